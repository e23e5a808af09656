//! The pool as the runtime's browser: what the scraper asks for, and no more.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use buddy_browser as pool;
use buddy_runtime::capabilities::browser;
use buddy_runtime::{HostError, code};
use serde_json::Value;

type Answer<T> = Result<T, HostError>;

fn mapped<T>(result: Result<T, pool::BrowserError>) -> Answer<T> {
    result.map_err(|error| {
        let make = if error.retryable() { HostError::retryable } else { HostError::new };
        make(error.code(), error.to_string())
    })
}

fn unasked<T>() -> Answer<T> {
    Err(HostError::new(code::FAILED, "The scraper does not ask for this."))
}

pub(crate) struct Chromium(pub(crate) pool::Pool);

struct Window(pool::Context);

struct Tab(pool::Page);

#[async_trait]
impl browser::Browser for Chromium {
    async fn open(&self, options: browser::ContextOptions) -> Answer<Arc<dyn browser::BrowserContext>> {
        let wanted = pool::ContextOptions { javascript: options.javascript, ..pool::ContextOptions::default() };
        Ok(Arc::new(Window(mapped(self.0.open(wanted).await)?)))
    }
}

#[async_trait]
impl browser::BrowserContext for Window {
    async fn new_page(&self) -> Answer<Arc<dyn browser::Page>> {
        Ok(Arc::new(Tab(mapped(self.0.new_page().await)?)))
    }
    async fn cookies(&self, _: Vec<String>) -> Answer<Vec<browser::Cookie>> {
        unasked()
    }
    async fn set_cookies(&self, _: Vec<browser::Cookie>) -> Answer<()> {
        unasked()
    }
    async fn close(&self) -> Answer<()> {
        mapped(self.0.close().await)
    }
}

#[async_trait]
impl browser::Page for Tab {
    async fn goto(&self, url: String, options: browser::GotoOptions) -> Answer<browser::Navigation> {
        let timeout = options.timeout_ms.map_or(pool::DEFAULT_TIMEOUT, Duration::from_millis);
        let outcome = mapped(self.0.goto(&url, &pool::GotoOptions { timeout, ..pool::GotoOptions::default() }).await)?;
        Ok(browser::Navigation {
            url: outcome.url,
            status: outcome.status,
            timed_out: outcome.timed_out,
            download: None,
            from_cache: false,
            headers: outcome.headers,
            more: Vec::new(),
        })
    }
    async fn extract(&self, each: Option<String>, fields: Vec<browser::Field>) -> Answer<String> {
        let fields: Vec<_> = fields
            .into_iter()
            .map(|field| pool::actions::Field {
                name: field.name,
                selector: field.selector,
                take: field.take,
                many: field.many,
            })
            .collect();
        Ok(mapped(self.0.extract(each.as_deref(), &fields).await)?.to_string())
    }
    async fn evaluate(&self, frame: Option<String>, script: String, argument: String) -> Answer<String> {
        let argument: Value = serde_json::from_str(&argument).unwrap();
        Ok(mapped(self.0.evaluate(frame.as_deref(), &script, &argument).await)?.to_string())
    }
    async fn dialogs(&self) -> Answer<Vec<browser::Dialog>> {
        let outside = |dialog: pool::Dialog| browser::Dialog {
            kind: dialog.kind,
            message: dialog.message,
            answered: dialog.answered,
        };
        Ok(self.0.dialogs().into_iter().map(outside).collect())
    }
    async fn close(&self) -> Answer<()> {
        mapped(self.0.close().await)
    }

    async fn back(&self) -> Answer<browser::Navigation> {
        unasked()
    }
    async fn reload(&self, _: browser::GotoOptions) -> Answer<browser::Navigation> {
        unasked()
    }
    async fn url(&self) -> Answer<String> {
        unasked()
    }
    async fn title(&self) -> Answer<String> {
        unasked()
    }
    async fn html(&self, _: Option<String>) -> Answer<String> {
        unasked()
    }
    async fn article(&self, _: Option<String>) -> Answer<String> {
        unasked()
    }
    async fn text(&self, _: String) -> Answer<String> {
        unasked()
    }
    async fn attribute(&self, _: String, _: String) -> Answer<Option<String>> {
        unasked()
    }
    async fn count(&self, _: String) -> Answer<u32> {
        unasked()
    }
    async fn wait_for(&self, _: String, _: browser::State, _: Option<Duration>) -> Answer<()> {
        unasked()
    }
    async fn wait_for_url(&self, _: String, _: Option<Duration>) -> Answer<String> {
        unasked()
    }
    async fn click(&self, _: String, _: browser::ClickOptions) -> Answer<()> {
        unasked()
    }
    async fn hover(&self, _: String, _: Option<Duration>) -> Answer<()> {
        unasked()
    }
    async fn fill(&self, _: String, _: String, _: Option<Duration>) -> Answer<()> {
        unasked()
    }
    async fn type_text(&self, _: String, _: String, _: Option<Duration>) -> Answer<()> {
        unasked()
    }
    async fn press(&self, _: Option<String>, _: String) -> Answer<()> {
        unasked()
    }
    async fn select_option(&self, _: String, _: Vec<String>) -> Answer<Vec<String>> {
        unasked()
    }
    async fn set_checked(&self, _: String, _: bool) -> Answer<()> {
        unasked()
    }
    async fn scroll(&self, _: Option<String>, _: u32) -> Answer<u32> {
        unasked()
    }
    async fn screenshot(&self, _: browser::Picture, _: Option<String>) -> Answer<String> {
        unasked()
    }
    async fn pdf(&self) -> Answer<String> {
        unasked()
    }
}
