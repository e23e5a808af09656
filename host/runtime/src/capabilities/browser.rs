//! `browser`: isolated contexts and their pages in the host's Chromium pool.
//!
//! A handle owns its provider object: when the plugin drops it, or the run ends in whatever way, the object is dropped,
//! which closes what it stands for. Calls that are under way on it keep it until they end.

mod page;

pub use page::{Page, PageHandle};

use super::{Host, session};
use crate::error::{HostError, code};
use crate::grants::Capability;
use crate::state::{HostState, Phase};
use crate::wit::browser;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::{Accessor, Resource};

pub use browser::{
    Button, ClickOptions, ContextOptions, Cookie, Dialog, Exchange, Field, GotoOptions, Navigation, Picture,
    PointerStep, ResourceKind, State, WaitUntil,
};

/// The pool.
///
/// **The provider decides which hosts are granted**, for the browser's whole traffic; here a navigation is refused only
/// when no host is granted at all, or the address is none.
#[async_trait::async_trait]
pub trait Browser: Send + Sync {
    /// Opens a context.
    async fn open(&self, options: ContextOptions) -> Result<Arc<dyn BrowserContext>, HostError>;
}

/// An isolated context. Dropped, it closes with its pages.
#[async_trait::async_trait]
pub trait BrowserContext: Send + Sync {
    /// Opens a page, once the pool has one free.
    async fn new_page(&self) -> Result<Arc<dyn Page>, HostError>;
    /// The cookies that `urls` would get; none given: all.
    async fn cookies(&self, urls: Vec<String>) -> Result<Vec<Cookie>, HostError>;
    /// Sets cookies.
    async fn set_cookies(&self, cookies: Vec<Cookie>) -> Result<(), HostError>;
    /// Closes it with its pages.
    async fn close(&self) -> Result<(), HostError>;
    /// The next page that one of its pages opens.
    async fn wait_for_page(&self, timeout: Option<Duration>) -> Result<Arc<dyn Page>, HostError> {
        let _ = timeout;
        Err(HostError::unavailable("`wait-for-page`"))
    }
}

/// A plugin's handle to a context.
#[derive(Clone)]
pub struct ContextHandle(Arc<dyn BrowserContext>);

impl browser::Host for HostState {}

impl browser::HostWithStore<HostState> for Host {
    async fn open(
        host: &Accessor<HostState, Self>,
        options: ContextOptions,
    ) -> Result<Resource<ContextHandle>, HostError> {
        let session = session(host);
        let browser = session.granted(Capability::Browser, session.providers.browser.as_ref())?;
        if options.profile.is_some() {
            return Err(HostError::unavailable("named browser profiles"));
        }
        let _call = session.calls.enter_waiting(size(&options))?;
        let context = browser.open(options).await?;
        Ok(host.with(|mut access| access.get().table.push(ContextHandle(context)))?)
    }
}

impl browser::HostContext for HostState {
    fn drop(&mut self, context: Resource<ContextHandle>) -> wasmtime::Result<()> {
        self.table.delete(context)?;
        Ok(())
    }
}

impl browser::HostContextWithStore<HostState> for Host {
    async fn new_page(
        host: &Accessor<HostState, Self>,
        context: Resource<ContextHandle>,
    ) -> Result<Resource<PageHandle>, HostError> {
        let session = session(host);
        let ContextHandle(context) = get(host, &context)?;
        let _call = session.calls.enter_waiting(0)?;
        let permit = page_permit(&session).await?;
        let page = context.new_page().await?;
        Ok(host.with(|mut access| access.get().table.push(PageHandle::new(page, permit)))?)
    }

    async fn wait_for_page(
        host: &Accessor<HostState, Self>,
        context: Resource<ContextHandle>,
        timeout_ms: Option<u64>,
    ) -> Result<Resource<PageHandle>, HostError> {
        let session = session(host);
        let ContextHandle(context) = get(host, &context)?;
        let _call = session.calls.enter_waiting(0)?;
        let permit = page_permit(&session).await?;
        let page = context.wait_for_page(timeout_ms.map(Duration::from_millis)).await?;
        Ok(host.with(|mut access| access.get().table.push(PageHandle::new(page, permit)))?)
    }

    async fn cookies(
        host: &Accessor<HostState, Self>,
        context: Resource<ContextHandle>,
        urls: Vec<String>,
    ) -> Result<Vec<Cookie>, HostError> {
        let session = session(host);
        let ContextHandle(context) = get(host, &context)?;
        for url in &urls {
            allow_url(&session, url)?;
        }
        let _call = session.calls.enter(urls.iter().map(String::len).sum()).await?;
        context.cookies(urls).await
    }

    async fn set_cookies(
        host: &Accessor<HostState, Self>,
        context: Resource<ContextHandle>,
        cookies: Vec<Cookie>,
    ) -> Result<(), HostError> {
        let session = session(host);
        let ContextHandle(context) = get(host, &context)?;
        let bytes = cookies.iter().map(|c| c.name.len() + c.value.len() + c.domain.len() + c.path.len()).sum();
        let _call = session.calls.enter(bytes).await?;
        context.set_cookies(cookies).await
    }

    async fn close(host: &Accessor<HostState, Self>, context: Resource<ContextHandle>) -> Result<(), HostError> {
        let session = session(host);
        let ContextHandle(context) = get(host, &context)?;
        // It frees what others wait for, so it waits for no slot itself.
        let _call = session.calls.enter_waiting(0)?;
        context.close().await
    }
}

/// The object behind a handle.
fn get<T: Clone + Send + 'static>(host: &Accessor<HostState, Host>, handle: &Resource<T>) -> Result<T, HostError> {
    Ok(host.with(|mut access| access.get().table.get(handle).cloned())?)
}

/// Whether the plugin may go to `url`. A blank page is nowhere.
fn allow_url(session: &crate::state::Session, url: &str) -> Result<(), HostError> {
    if url == "about:blank" || session.phase == Phase::Asking {
        return Ok(());
    }
    session.grants.allow_some_host(Capability::Browser, url)
}

/// One of the pages that this run may have open.
async fn page_permit(session: &crate::state::Session) -> Result<tokio::sync::OwnedSemaphorePermit, HostError> {
    Arc::clone(&session.pages)
        .acquire_owned()
        .await
        // The semaphore is never closed; if it were, the run would be over.
        .map_err(|_| HostError::new(code::CANCELLED, "The run is being stopped."))
}

/// What the options hold of the host's memory.
fn size(options: &ContextOptions) -> usize {
    let headers: usize = options.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let texts = [&options.user_agent, &options.locale, &options.time_zone, &options.proxy];
    headers + texts.into_iter().flatten().map(String::len).sum::<usize>()
}
