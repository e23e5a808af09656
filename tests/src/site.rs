//! A web site on loopback that serves a folder and counts what is asked of it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// A site that lives as long as this value.
#[derive(Debug)]
pub struct Site {
    port: u16,
    shared: Arc<Shared>,
    // Dropping the runtime ends the server.
    _runtime: tokio::runtime::Runtime,
}

#[derive(Debug, Default)]
struct Shared {
    folder: PathBuf,
    pages: BTreeMap<String, String>,
    hits: Mutex<BTreeMap<String, u32>>,
}

impl Site {
    /// Serves the files of a folder.
    pub fn folder(folder: &Path) -> Self {
        Self::serve(Shared { folder: folder.to_owned(), ..Shared::default() })
    }

    /// Serves these pages: path → HTML.
    pub fn pages<P: Into<String>, B: Into<String>>(pages: impl IntoIterator<Item = (P, B)>) -> Self {
        let pages = pages.into_iter().map(|(path, body)| (path.into(), body.into())).collect();
        Self::serve(Shared { pages, ..Shared::default() })
    }

    fn serve(shared: Shared) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let shared = Arc::new(shared);
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let listener = runtime.block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { port, shared, _runtime: runtime }
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What a plugin must be granted to reach this site.
    pub fn grant(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Requests so far, by path.
    pub fn hits(&self) -> BTreeMap<String, u32> {
        self.shared.hits.lock().unwrap().clone()
    }

    /// Requests so far for HTML pages.
    pub fn page_hits(&self) -> BTreeMap<String, u32> {
        self.hits()
            .into_iter()
            .filter(|(path, _)| std::path::Path::new(path).extension().is_none_or(|extension| extension == "html"))
            .collect()
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    *shared.hits.lock().unwrap().entry(path.clone()).or_insert(0) += 1;
    if let Some(page) = shared.pages.get(&path) {
        return ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page.clone()).into_response();
    }
    let relative = path.trim_start_matches('/');
    if shared.folder.as_os_str().is_empty() || relative.split('/').any(|part| part == "..") {
        return StatusCode::NOT_FOUND.into_response();
    }
    let mut file = shared.folder.join(relative);
    if file.is_dir() {
        file.push("index.html");
    }
    match tokio::fs::read(&file).await {
        Ok(bytes) => ([(header::CONTENT_TYPE, media_type(&file))], Body::from(bytes)).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

fn media_type(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}
