//! `browser`: contexts of the pool whose traffic leaves by a listener of the forward proxy that stands for the plugin's
//! granted hosts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use buddy_browser as pool;
use buddy_buffer::Buffer;
use buddy_egress::{Grant, LeaseOptions, Proxy, ProxyLease};
use buddy_router::TaskId;
use buddy_runtime::capabilities::browser::{Browser, BrowserContext, ContextOptions, Cookie, Page, ResourceKind};
use buddy_runtime::{Grants, HostError, code};
use serde_json::json;

use super::browser_error;
use super::page::RunPage;
use crate::artifacts::ArtifactStore;

/// What the pages of one run share.
pub(super) struct Shared {
    pub(super) plugin: String,
    pub(super) grants: Arc<Grants>,
    pub(super) artifacts: ArtifactStore,
    pub(super) buffer: Buffer,
    pub(super) task: TaskId,
}

/// One run's browser.
pub struct RunBrowser {
    pool: pool::Pool,
    proxy: Proxy,
    grant: Arc<Grant>,
    shared: Arc<Shared>,
}

impl RunBrowser {
    /// For one task of a plugin with these grants.
    pub fn new(
        pool: pool::Pool,
        proxy: Proxy,
        grant: Arc<Grant>,
        grants: Arc<Grants>,
        artifacts: ArtifactStore,
        buffer: Buffer,
        task: TaskId,
    ) -> Self {
        let plugin = grant.holder().to_owned();
        Self { pool, proxy, grant, shared: Arc::new(Shared { plugin, grants, artifacts, buffer, task }) }
    }
}

#[async_trait]
impl Browser for RunBrowser {
    async fn open(&self, options: ContextOptions) -> Result<Arc<dyn BrowserContext>, HostError> {
        if options.proxy.is_some() {
            return Err(HostError::unavailable("a proxy of the plugin's own"));
        }
        let label = format!("task {}", self.shared.task.short());
        let lease = self.proxy.lease(&self.grant, &label, LeaseOptions::default()).await.map_err(|error| {
            HostError::retryable(code::UNAVAILABLE, format!("no loopback port for the browser's traffic: {error}"))
        })?;
        let own = !options.headers.is_empty() || options.user_agent.is_some() || options.profile.is_some();
        let visitor = Arc::new(Visitor { private: AtomicBool::new(own), look: look(&options) });
        let wanted = pool::ContextOptions {
            profile: options.profile,
            viewport: options.viewport,
            user_agent: options.user_agent,
            locale: options.locale,
            time_zone: options.time_zone,
            headers: options.headers,
            proxy: Some(lease.url()),
            javascript: options.javascript,
            block: options.block.into_iter().map(kind).collect(),
        };
        let context = self.pool.open(wanted).await.map_err(|error| browser_error(&error))?;
        Ok(Arc::new(RunContext { context, visitor, lease: Arc::new(lease), shared: Arc::clone(&self.shared) }))
    }
}

/// What a page of such a context may depend on, besides its address: each look has pages of its own in the page cache.
/// Written as JSON, so that no text of a plugin's choice reads as another look.
fn look(options: &ContextOptions) -> String {
    let mut block: Vec<&str> = options.block.iter().map(|kind| name(*kind)).collect();
    block.sort_unstable();
    block.dedup();
    json!([options.javascript, block, options.locale, options.time_zone, options.viewport]).to_string()
}

fn name(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Image => "image",
        ResourceKind::Media => "media",
        ResourceKind::Font => "font",
        ResourceKind::Stylesheet => "stylesheet",
        ResourceKind::Script => "script",
        ResourceKind::Other => "other",
    }
}

fn kind(kind: ResourceKind) -> pool::ResourceKind {
    match kind {
        ResourceKind::Image => pool::ResourceKind::Image,
        ResourceKind::Media => pool::ResourceKind::Media,
        ResourceKind::Font => pool::ResourceKind::Font,
        ResourceKind::Stylesheet => pool::ResourceKind::Stylesheet,
        ResourceKind::Script => pool::ResourceKind::Script,
        ResourceKind::Other => pool::ResourceKind::Other,
    }
}

/// Who visits, as the page cache sees it.
pub(super) struct Visitor {
    /// Set once the pages are somebody's own: cookies or headers were given. Such pages are not kept in the page cache.
    pub(super) private: AtomicBool,
    /// See [`look`].
    pub(super) look: String,
}

struct RunContext {
    context: pool::Context,
    visitor: Arc<Visitor>,
    lease: Arc<ProxyLease>,
    shared: Arc<Shared>,
}

impl RunContext {
    fn page(&self, page: pool::Page) -> RunPage {
        RunPage::new(page, Arc::clone(&self.visitor), Arc::clone(&self.lease), Arc::clone(&self.shared))
    }
}

#[async_trait]
impl BrowserContext for RunContext {
    async fn new_page(&self) -> Result<Arc<dyn Page>, HostError> {
        let page = self.context.new_page().await.map_err(|error| browser_error(&error))?;
        Ok(Arc::new(self.page(page)))
    }

    async fn wait_for_page(&self, timeout: Option<Duration>) -> Result<Arc<dyn Page>, HostError> {
        let timeout = timeout.unwrap_or(pool::DEFAULT_TIMEOUT);
        let page = self.context.wait_for_page(timeout).await.map_err(|error| browser_error(&error))?;
        Ok(Arc::new(self.page(page)))
    }

    async fn cookies(&self, urls: Vec<String>) -> Result<Vec<Cookie>, HostError> {
        let cookies = self.context.cookies(&urls).await.map_err(|error| browser_error(&error))?;
        let outside = |cookie: pool::Cookie| Cookie {
            name: cookie.name,
            value: cookie.value,
            domain: cookie.domain,
            path: cookie.path,
            expires: cookie.expires,
            http_only: cookie.http_only,
            secure: cookie.secure,
            same_site: cookie.same_site,
        };
        Ok(cookies.into_iter().map(outside).collect())
    }

    async fn set_cookies(&self, cookies: Vec<Cookie>) -> Result<(), HostError> {
        let inside = |cookie: Cookie| pool::Cookie {
            name: cookie.name,
            value: cookie.value,
            domain: cookie.domain,
            path: cookie.path,
            expires: cookie.expires,
            http_only: cookie.http_only,
            secure: cookie.secure,
            same_site: cookie.same_site,
        };
        let cookies: Vec<pool::Cookie> = cookies.into_iter().map(inside).collect();
        self.visitor.private.store(true, Ordering::Relaxed);
        self.context.set_cookies(&cookies).await.map_err(|error| browser_error(&error))
    }

    async fn close(&self) -> Result<(), HostError> {
        self.context.close().await.map_err(|error| browser_error(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> ContextOptions {
        ContextOptions {
            profile: None,
            viewport: None,
            user_agent: None,
            locale: None,
            time_zone: None,
            headers: Vec::new(),
            proxy: None,
            javascript: true,
            block: Vec::new(),
            more: Vec::new(),
        }
    }

    #[test]
    fn contexts_whose_pages_may_differ_have_different_looks() {
        let looks = [
            options(),
            ContextOptions { javascript: false, ..options() },
            ContextOptions { block: vec![ResourceKind::Script], ..options() },
            ContextOptions { block: vec![ResourceKind::Script, ResourceKind::Image], ..options() },
            ContextOptions { locale: Some("de-DE".to_owned()), ..options() },
            ContextOptions { time_zone: Some("de-DE".to_owned()), ..options() },
            ContextOptions { viewport: Some((390, 844)), ..options() },
        ]
        .map(|options| look(&options));
        let different: std::collections::BTreeSet<_> = looks.iter().collect();
        assert_eq!(different.len(), looks.len(), "{looks:?}");
        let twice = vec![ResourceKind::Image, ResourceKind::Script, ResourceKind::Image];
        assert_eq!(look(&ContextOptions { block: twice, ..options() }), looks[3], "a set has no order");
    }
}
