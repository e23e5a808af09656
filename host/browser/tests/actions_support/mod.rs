//! A page of a real Chromium on a site of its own, for the tests of actions.
//!
//! Each test file uses a part of it.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use buddy_browser::actions::{ClickOptions, Field};
use buddy_browser::{Context, ContextOptions, GotoOptions, Page, Pool, PoolOptions};
use serde_json::Value;

/// Long enough for a loaded machine; nothing that passes waits for it.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// For what is expected to time out: long enough for several looks.
pub(crate) const SHORT: Duration = Duration::from_millis(700);

/// A site, a browser, and a page that shows the site's `/`.
pub(crate) struct Stage {
    pub(crate) page: Page,
    /// `http://127.0.0.1:PORT`
    pub(crate) site: String,
    /// The same site under another name, which for a browser is another site: `http://localhost:PORT`.
    pub(crate) other_site: String,
    context: Context,
    pool: Pool,
    _folder: tempfile::TempDir,
}

impl Stage {
    /// Opens `body` as the page's document.
    pub(crate) async fn of(body: &str) -> Self {
        Self::with(&[("/", body)]).await
    }

    /// Serves documents by path and opens `/`. `{site}` and `{other_site}` in them stand for the addresses.
    pub(crate) async fn with(documents: &[(&str, &str)]) -> Self {
        Self::in_context(documents, ContextOptions::default()).await
    }

    /// Like [`with`](Self::with), in a context of one's own choice.
    pub(crate) async fn in_context(documents: &[(&str, &str)], options: ContextOptions) -> Self {
        let (site, other_site) = serve(documents).await;
        let folder = tempfile::tempdir().unwrap();
        let pool = Pool::new(PoolOptions::new(folder.path())).await.unwrap();
        let context = pool.open(options).await.unwrap();
        let page = context.new_page().await.unwrap();
        let stage = Self { page, site, other_site, context, pool, _folder: folder };
        stage.goto("/").await;
        stage
    }

    pub(crate) async fn goto(&self, path: &str) {
        let options = GotoOptions { timeout: LONG, ..GotoOptions::default() };
        self.page.goto(&format!("{}{path}", self.site), &options).await.unwrap();
    }

    /// A script's value; the script must work.
    pub(crate) async fn js(&self, script: &str) -> Value {
        self.page.evaluate(None, script, &Value::Null).await.unwrap()
    }

    pub(crate) async fn close(self) {
        self.context.close().await.unwrap();
        self.pool.close().await;
    }
}

/// Serves documents on a loopback port of their own.
async fn serve(documents: &[(&str, &str)]) -> (String, String) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let site = format!("http://127.0.0.1:{port}");
    let other_site = format!("http://localhost:{port}");
    let documents: HashMap<String, String> = documents
        .iter()
        .map(|(path, body)| {
            let body = body.replace("{site}", &site).replace("{other_site}", &other_site);
            ((*path).to_owned(), format!("<!doctype html><meta charset=utf-8>{body}"))
        })
        .collect();
    let app = Router::new().fallback(document).with_state(Arc::new(documents));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (site, other_site)
}

async fn document(State(documents): State<Arc<HashMap<String, String>>>, uri: Uri) -> Response {
    match documents.get(uri.path()) {
        Some(body) => ([(header::CONTENT_TYPE, "text/html")], body.clone()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

pub(crate) fn field(name: &str, selector: &str, take: Option<&str>, many: bool) -> Field {
    Field { name: name.to_owned(), selector: selector.to_owned(), take: take.map(str::to_owned), many }
}

pub(crate) fn click_within(timeout: Duration) -> ClickOptions {
    ClickOptions { timeout, ..ClickOptions::default() }
}
