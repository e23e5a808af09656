//! `browser.page`: one page.

use super::{
    ClickOptions, Dialog, Exchange, Field, GotoOptions, Navigation, Picture, PointerStep, State, allow_url, get,
};
use crate::capabilities::{Host, session};
use crate::error::HostError;
use crate::state::HostState;
use crate::wit::browser;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::component::{Accessor, Resource};

type Answer<T> = Result<T, HostError>;

/// A page. Dropped, it closes. Selectors, waits and frames as `wit/browser.wit` describes them; an absent time-out means
/// the contract's default. The methods with a body come with a later version of the host.
#[async_trait::async_trait]
#[allow(missing_docs)] // documented in wit/browser.wit, method by method
pub trait Page: Send + Sync {
    async fn goto(&self, url: String, options: GotoOptions) -> Answer<Navigation>;
    async fn back(&self) -> Answer<Navigation>;
    async fn reload(&self, options: GotoOptions) -> Answer<Navigation>;
    async fn url(&self) -> Answer<String>;
    async fn title(&self) -> Answer<String>;
    async fn html(&self, frame: Option<String>) -> Answer<String>;
    async fn article(&self, frame: Option<String>) -> Answer<String>;
    async fn extract(&self, each: Option<String>, fields: Vec<Field>) -> Answer<String>;
    async fn text(&self, selector: String) -> Answer<String>;
    async fn attribute(&self, selector: String, name: String) -> Answer<Option<String>>;
    async fn count(&self, selector: String) -> Answer<u32>;
    async fn evaluate(&self, frame: Option<String>, script: String, argument: String) -> Answer<String>;
    async fn wait_for(&self, selector: String, state: State, timeout: Option<Duration>) -> Answer<()>;
    async fn wait_for_url(&self, pattern: String, timeout: Option<Duration>) -> Answer<String>;
    async fn click(&self, selector: String, options: ClickOptions) -> Answer<()>;
    async fn hover(&self, selector: String, timeout: Option<Duration>) -> Answer<()>;
    async fn fill(&self, selector: String, value: String, timeout: Option<Duration>) -> Answer<()>;
    async fn type_text(&self, selector: String, value: String, timeout: Option<Duration>) -> Answer<()>;
    async fn press(&self, selector: Option<String>, keys: String) -> Answer<()>;
    async fn select_option(&self, selector: String, values: Vec<String>) -> Answer<Vec<String>>;
    async fn set_checked(&self, selector: String, checked: bool) -> Answer<()>;
    async fn scroll(&self, until: Option<String>, max_steps: u32) -> Answer<u32>;
    async fn screenshot(&self, picture: Picture, selector: Option<String>) -> Answer<String>;
    async fn pdf(&self) -> Answer<String>;
    async fn dialogs(&self) -> Answer<Vec<Dialog>>;
    async fn close(&self) -> Answer<()>;

    async fn wait_for_response(&self, pattern: String, timeout: Option<Duration>) -> Answer<Exchange> {
        let _ = (pattern, timeout);
        Err(HostError::unavailable("`wait-for-response`"))
    }
    async fn drag(&self, source: String, target: String, timeout: Option<Duration>) -> Answer<()> {
        let _ = (source, target, timeout);
        Err(HostError::unavailable("`drag`"))
    }
    async fn pointer(&self, steps: Vec<PointerStep>) -> Answer<()> {
        let _ = steps;
        Err(HostError::unavailable("`pointer`"))
    }
    async fn upload(&self, selector: String, files: Vec<String>) -> Answer<()> {
        let _ = (selector, files);
        Err(HostError::unavailable("`upload`"))
    }
    async fn download(&self, selector: String, timeout: Option<Duration>) -> Answer<String> {
        let _ = (selector, timeout);
        Err(HostError::unavailable("`download`"))
    }
}

/// A plugin's handle to a page, and its place among the pages that the run may have open.
#[derive(Clone)]
pub struct PageHandle {
    page: Arc<dyn Page>,
    _permit: Arc<OwnedSemaphorePermit>,
}

impl PageHandle {
    pub(super) fn new(page: Arc<dyn Page>, permit: OwnedSemaphorePermit) -> Self {
        Self { page, _permit: Arc::new(permit) }
    }
}

impl browser::HostPage for HostState {
    fn drop(&mut self, page: Resource<PageHandle>) -> wasmtime::Result<()> {
        self.table.delete(page)?;
        Ok(())
    }
}

type Caller = Accessor<HostState, Host>;
type Handle = Resource<PageHandle>;

/// Admits a call that hands over `bytes` and makes it.
async fn on<T, F>(host: &Caller, page: &Handle, bytes: usize, call: impl FnOnce(Arc<dyn Page>) -> F + Send) -> Answer<T>
where
    F: Future<Output = Answer<T>> + Send,
{
    let session = session(host);
    let handle = get(host, page)?;
    let _call = session.calls.enter(bytes).await?;
    call(Arc::clone(&handle.page)).await
}

fn millis(ms: Option<u64>) -> Option<Duration> {
    ms.map(Duration::from_millis)
}

fn len(text: Option<&String>) -> usize {
    text.map_or(0, String::len)
}

impl browser::HostPageWithStore<HostState> for Host {
    async fn goto(host: &Caller, page: Handle, url: String, options: GotoOptions) -> Answer<Navigation> {
        allow_url(&session(host), &url)?;
        on(host, &page, url.len(), |page| async move { page.goto(url, options).await }).await
    }
    async fn back(host: &Caller, page: Handle) -> Answer<Navigation> {
        on(host, &page, 0, |page| async move { page.back().await }).await
    }
    async fn reload(host: &Caller, page: Handle, options: GotoOptions) -> Answer<Navigation> {
        on(host, &page, 0, |page| async move { page.reload(options).await }).await
    }
    async fn url(host: &Caller, page: Handle) -> Answer<String> {
        on(host, &page, 0, |page| async move { page.url().await }).await
    }
    async fn title(host: &Caller, page: Handle) -> Answer<String> {
        on(host, &page, 0, |page| async move { page.title().await }).await
    }
    async fn html(host: &Caller, page: Handle, frame: Option<String>) -> Answer<String> {
        on(host, &page, len(frame.as_ref()), |page| async move { page.html(frame).await }).await
    }
    async fn article(host: &Caller, page: Handle, frame: Option<String>) -> Answer<String> {
        on(host, &page, len(frame.as_ref()), |page| async move { page.article(frame).await }).await
    }
    async fn extract(host: &Caller, page: Handle, each: Option<String>, fields: Vec<Field>) -> Answer<String> {
        let named: usize = fields.iter().map(|f| f.name.len() + f.selector.len() + len(f.take.as_ref())).sum();
        let bytes = named + len(each.as_ref());
        on(host, &page, bytes, |page| async move { page.extract(each, fields).await }).await
    }
    async fn text(host: &Caller, page: Handle, selector: String) -> Answer<String> {
        on(host, &page, selector.len(), |page| async move { page.text(selector).await }).await
    }
    async fn attribute(host: &Caller, page: Handle, selector: String, name: String) -> Answer<Option<String>> {
        let bytes = selector.len() + name.len();
        on(host, &page, bytes, |page| async move { page.attribute(selector, name).await }).await
    }
    async fn count(host: &Caller, page: Handle, selector: String) -> Answer<u32> {
        on(host, &page, selector.len(), |page| async move { page.count(selector).await }).await
    }
    async fn evaluate(
        host: &Caller,
        page: Handle,
        frame: Option<String>,
        script: String,
        argument: String,
    ) -> Answer<String> {
        let bytes = script.len() + argument.len() + len(frame.as_ref());
        on(host, &page, bytes, |page| async move { page.evaluate(frame, script, argument).await }).await
    }
    async fn wait_for(host: &Caller, page: Handle, selector: String, state: State, ms: Option<u64>) -> Answer<()> {
        on(host, &page, selector.len(), |page| async move { page.wait_for(selector, state, millis(ms)).await }).await
    }
    async fn wait_for_url(host: &Caller, page: Handle, pattern: String, ms: Option<u64>) -> Answer<String> {
        on(host, &page, pattern.len(), |page| async move { page.wait_for_url(pattern, millis(ms)).await }).await
    }
    async fn wait_for_response(host: &Caller, page: Handle, pattern: String, ms: Option<u64>) -> Answer<Exchange> {
        on(host, &page, pattern.len(), |page| async move { page.wait_for_response(pattern, millis(ms)).await }).await
    }
    async fn click(host: &Caller, page: Handle, selector: String, options: ClickOptions) -> Answer<()> {
        on(host, &page, selector.len(), |page| async move { page.click(selector, options).await }).await
    }
    async fn hover(host: &Caller, page: Handle, selector: String, ms: Option<u64>) -> Answer<()> {
        on(host, &page, selector.len(), |page| async move { page.hover(selector, millis(ms)).await }).await
    }
    async fn fill(host: &Caller, page: Handle, selector: String, value: String, ms: Option<u64>) -> Answer<()> {
        let bytes = selector.len() + value.len();
        on(host, &page, bytes, |page| async move { page.fill(selector, value, millis(ms)).await }).await
    }
    async fn type_text(host: &Caller, page: Handle, selector: String, value: String, ms: Option<u64>) -> Answer<()> {
        let bytes = selector.len() + value.len();
        on(host, &page, bytes, |page| async move { page.type_text(selector, value, millis(ms)).await }).await
    }
    async fn press(host: &Caller, page: Handle, selector: Option<String>, keys: String) -> Answer<()> {
        let bytes = len(selector.as_ref()) + keys.len();
        on(host, &page, bytes, |page| async move { page.press(selector, keys).await }).await
    }
    async fn select_option(host: &Caller, page: Handle, selector: String, values: Vec<String>) -> Answer<Vec<String>> {
        let bytes = selector.len() + values.iter().map(String::len).sum::<usize>();
        on(host, &page, bytes, |page| async move { page.select_option(selector, values).await }).await
    }
    async fn set_checked(host: &Caller, page: Handle, selector: String, checked: bool) -> Answer<()> {
        on(host, &page, selector.len(), |page| async move { page.set_checked(selector, checked).await }).await
    }
    async fn drag(host: &Caller, page: Handle, source: String, target: String, ms: Option<u64>) -> Answer<()> {
        let bytes = source.len() + target.len();
        on(host, &page, bytes, |page| async move { page.drag(source, target, millis(ms)).await }).await
    }
    async fn pointer(host: &Caller, page: Handle, steps: Vec<PointerStep>) -> Answer<()> {
        let bytes = steps.len() * size_of::<PointerStep>();
        on(host, &page, bytes, |page| async move { page.pointer(steps).await }).await
    }
    async fn upload(host: &Caller, page: Handle, selector: String, files: Vec<String>) -> Answer<()> {
        let bytes = selector.len() + files.iter().map(String::len).sum::<usize>();
        on(host, &page, bytes, |page| async move { page.upload(selector, files).await }).await
    }
    async fn scroll(host: &Caller, page: Handle, until: Option<String>, max_steps: u32) -> Answer<u32> {
        on(host, &page, len(until.as_ref()), |page| async move { page.scroll(until, max_steps).await }).await
    }
    async fn download(host: &Caller, page: Handle, selector: String, ms: Option<u64>) -> Answer<String> {
        on(host, &page, selector.len(), |page| async move { page.download(selector, millis(ms)).await }).await
    }
    async fn screenshot(host: &Caller, page: Handle, picture: Picture, selector: Option<String>) -> Answer<String> {
        let bytes = len(selector.as_ref());
        on(host, &page, bytes, |page| async move { page.screenshot(picture, selector).await }).await
    }
    async fn pdf(host: &Caller, page: Handle) -> Answer<String> {
        on(host, &page, 0, |page| async move { page.pdf().await }).await
    }
    async fn dialogs(host: &Caller, page: Handle) -> Answer<Vec<Dialog>> {
        on(host, &page, 0, |page| async move { page.dialogs().await }).await
    }
    async fn close(host: &Caller, page: Handle) -> Answer<()> {
        let session = session(host);
        let handle = get(host, &page)?;
        // It frees what others wait for, so it waits for no slot itself.
        let _call = session.calls.enter_waiting(0)?;
        handle.page.close().await
    }
}
