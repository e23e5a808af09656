//! `browser.page`: one page of the pool, with the host's page cache and the plugin's denials around it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use buddy_browser as pool;
use buddy_browser::actions;
use buddy_buffer::CachedPage;
use buddy_egress::{ProxyLease, Target};
use buddy_runtime::capabilities::browser::{
    Button, ClickOptions, Dialog, Field, GotoOptions, Navigation, Page, Picture, State, WaitUntil,
};
use buddy_runtime::{Capability, HostError, code};

use super::browser::{Shared, Visitor};
use super::{artifact_error, browser_error, buffer_error, denied, egress_error};

/// Longest document that is handed to a plugin or kept in the page cache, in bytes. The largest page of the Rust
/// documentation, which prints a whole book, has 1.9 MB.
const MAX_HTML: usize = 8 * 1024 * 1024;

/// The header by which the forward proxy marks its own answers.
const PROXY_ANSWER: &str = "x-buddy-egress";

/// How long a page stays in the cache at most: plugins ask for pages of a certain age, this only bounds the store.
const KEEP_PAGES_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// A page of one run.
pub(super) struct RunPage {
    page: pool::Page,
    visitor: Arc<Visitor>,
    lease: Arc<ProxyLease>,
    shared: Arc<Shared>,
    /// The address of a kept document that is shown, and the page's own address then: once that changes the page has
    /// gone on.
    shown: Mutex<Option<(String, String)>>,
    /// A page that arrived whole, to be kept in the page cache as it is when it is first read: what the plugin waits for
    /// before that belongs to it.
    to_keep: Mutex<Option<CachedPage>>,
}

type Answer<T> = Result<T, HostError>;

fn mapped<T>(result: Result<T, pool::BrowserError>) -> Answer<T> {
    result.map_err(|error| browser_error(&error))
}

fn or_default(timeout: Option<Duration>) -> Duration {
    timeout.unwrap_or(pool::DEFAULT_TIMEOUT)
}

fn inside(options: &GotoOptions) -> pool::GotoOptions {
    pool::GotoOptions {
        wait_until: match options.wait_until {
            WaitUntil::Commit => pool::WaitUntil::Commit,
            WaitUntil::DomContentLoaded => pool::WaitUntil::DomContentLoaded,
            WaitUntil::Load => pool::WaitUntil::Load,
            WaitUntil::NetworkIdle => pool::WaitUntil::NetworkIdle,
        },
        timeout: or_default(options.timeout_ms.map(Duration::from_millis)),
        referer: options.referer.clone(),
    }
}

impl RunPage {
    pub(super) fn new(page: pool::Page, visitor: Arc<Visitor>, lease: Arc<ProxyLease>, shared: Arc<Shared>) -> Self {
        Self { page, visitor, lease, shared, shown: Mutex::new(None), to_keep: Mutex::new(None) }
    }

    /// Why the proxy could not reach the host of this address, if so: what the browser makes of it (a tunnel that
    /// failed, an empty page with status 403) says less.
    fn refusal(&self, url: &str) -> Option<HostError> {
        let target = Target::of(&url::Url::parse(url).ok()?).ok()?;
        let error = self.lease.failure_for(&target)?;
        Some(egress_error(&self.shared.grants, Capability::Browser, &error))
    }

    async fn arrived(&self, asked: &str, outcome: Result<pool::Navigation, pool::BrowserError>) -> Answer<Navigation> {
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                // After a redirect it is another host that was refused: the last one that the grants do not cover.
                let refused = self.refusal(asked).or_else(|| {
                    let last = self.lease.refused().pop()?;
                    Some(denied(&self.shared.grants, Capability::Browser, &last))
                });
                let by_network = matches!(error.code(), code::CONNECT | code::DNS | code::POLICY | code::FAILED);
                return Err(refused.filter(|_| by_network).unwrap_or_else(|| browser_error(&error)));
            }
        };
        // The document is the proxy's own answer, not the site's.
        if outcome.headers.iter().any(|(name, _)| name == PROXY_ANSWER)
            && let Some(refused) = self.refusal(&outcome.url)
        {
            return Err(refused);
        }
        let download = match outcome.download {
            Some(download) => Some(self.keep(&download).await?),
            None => None,
        };
        Ok(Navigation {
            url: outcome.url,
            status: outcome.status,
            timed_out: outcome.timed_out,
            download,
            from_cache: false,
            headers: outcome.headers,
            more: Vec::new(),
        })
    }

    /// A downloaded file as an artifact.
    async fn keep(&self, download: &pool::Download) -> Answer<String> {
        let store = &self.shared.artifacts;
        let create = store.create(self.shared.task.clone(), &download.suggested_name, "application/octet-stream");
        let mut file = create.await.map_err(|error| artifact_error(&error))?;
        let failed =
            |error: std::io::Error| HostError::new(code::FAILED, format!("a download could not be read: {error}"));
        let mut source = tokio::fs::File::open(&download.path).await.map_err(failed)?;
        let mut piece = vec![0; 64 * 1024];
        loop {
            let read = tokio::io::AsyncReadExt::read(&mut source, &mut piece).await.map_err(failed)?;
            if read == 0 {
                break;
            }
            file.write(&piece[..read]).await.map_err(|error| artifact_error(&error))?;
        }
        let description = file.finish().await.map_err(|error| artifact_error(&error))?;
        if let Err(error) = tokio::fs::remove_file(&download.path).await {
            tracing::debug!(%error, "a download that is kept as an artifact stays in the profile until it closes");
        }
        Ok(description.id)
    }

    async fn put(&self, name: &str, media_type: &str, body: &[u8]) -> Answer<String> {
        let put = self.shared.artifacts.put(self.shared.task.clone(), name, media_type, body);
        put.await.map_err(|error| artifact_error(&error))
    }

    /// Where the page cache has a page for this plugin: what one plugin kept is not another's to read, and what one kind
    /// of visitor saw is not what another would see. Nor is a page that has just loaded one whose requests are over.
    fn cache_key(&self, url: &str, wait_until: WaitUntil) -> String {
        let until = if wait_until == WaitUntil::NetworkIdle { "network-idle" } else { "load" };
        format!("{} {} {until} {url}", self.shared.plugin, self.visitor.look)
    }

    /// Whether the plugin may (still) go to this address. What is asked of the network is decided at the connection; a
    /// kept page makes none.
    fn may_go(&self, url: &str) -> bool {
        let target = url::Url::parse(url).ok().and_then(|url| Target::of(&url).ok());
        target.is_some_and(|target| self.lease.grant().rules().check_host(&target).is_ok())
    }

    /// The page as it was kept, if it is young enough: shown without its scripts.
    async fn show_cached(&self, url: &str, wait_until: WaitUntil, max_age_ms: u64) -> Answer<Option<Navigation>> {
        // Nothing is younger than now: at an age of 0 the page is fetched, to be kept anew.
        if max_age_ms == 0 || self.visitor.private.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let found = self.shared.buffer.page(&self.cache_key(url, wait_until)).map_err(|error| buffer_error(&error))?;
        let now = self.shared.buffer.now();
        let young = |kept: &CachedPage| now.saturating_sub(kept.cached_at) <= max_age_ms;
        let allowed = |kept: &CachedPage| self.may_go(url) && self.may_go(&kept.final_url);
        let Some(kept) = found.filter(|kept| young(kept) && allowed(kept)) else { return Ok(None) };
        let Ok(html) = String::from_utf8(kept.body) else { return Ok(None) };
        mapped(self.page.show(&kept.final_url, &html).await)?;
        let under = mapped(self.page.url())?;
        self.set_shown(Some((kept.final_url.clone(), under)));
        Ok(Some(Navigation {
            url: kept.final_url,
            status: Some(kept.status),
            timed_out: false,
            download: None,
            from_cache: true,
            headers: kept.headers,
            more: Vec::new(),
        }))
    }

    /// Takes note of a page that arrived whole, to be kept when it is read.
    fn keep_later(&self, asked: &str, wait_until: WaitUntil, outcome: &Navigation) {
        // Before `load` a document may be half of what it will be.
        let loaded = matches!(wait_until, WaitUntil::Load | WaitUntil::NetworkIdle) && !outcome.timed_out;
        if !loaded || outcome.status != Some(200) || outcome.download.is_some() {
            return;
        }
        let now = self.shared.buffer.now();
        self.set_to_keep(Some(CachedPage {
            url: self.cache_key(asked, wait_until),
            final_url: outcome.url.clone(),
            status: 200,
            headers: outcome.headers.clone(),
            body: Vec::new(),
            cached_at: now,
            expires_at: now.saturating_add(KEEP_PAGES_MS),
        }));
    }

    /// The page is about to be read or touched: keeps it as it is now, if it is to be kept. That it cannot be kept is no
    /// reason to fail what the plugin asks for.
    async fn keep_now(&self) {
        let Some(mut kept) = self.set_to_keep(None) else { return };
        if self.visitor.private.load(Ordering::Relaxed) {
            return;
        }
        match self.page.html(MAX_HTML).await {
            Ok(html) if !html.truncated => kept.body = html.text.into_bytes(),
            _ => return,
        }
        // One that has moved on since is another page.
        if self.page.url().is_ok_and(|url| url == kept.final_url)
            && let Err(error) = self.shared.buffer.put_page(kept).await
        {
            tracing::debug!(%error, "a page could not be kept in the page cache");
        }
    }

    /// Replaces the page that is to be kept; the one before.
    fn set_to_keep(&self, page: Option<CachedPage>) -> Option<CachedPage> {
        std::mem::replace(&mut *self.to_keep.lock().unwrap_or_else(PoisonError::into_inner), page)
    }

    /// The page goes elsewhere: what was there is neither shown nor to be kept any more.
    fn leaves(&self) {
        self.set_shown(None);
        self.set_to_keep(None);
    }

    /// The address of a kept document that is shown; nothing after a real navigation.
    fn set_shown(&self, shown: Option<(String, String)>) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = shown;
    }

    /// The address of the kept document, while it is what the page shows.
    fn shown(&self) -> Answer<Option<String>> {
        let own = mapped(self.page.url())?;
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(shown.filter(|(_, under)| *under == own).map(|(url, _)| url))
    }
}

#[async_trait]
impl Page for RunPage {
    async fn goto(&self, url: String, options: GotoOptions) -> Answer<Navigation> {
        self.leaves();
        if let Some(max_age) = options.max_age_ms
            && let Some(found) = self.show_cached(&url, options.wait_until, max_age).await?
        {
            return Ok(found);
        }
        let outcome = self.page.goto(&url, &inside(&options)).await;
        let outcome = self.arrived(&url, outcome).await?;
        if options.max_age_ms.is_some() {
            self.keep_later(&url, options.wait_until, &outcome);
        }
        Ok(outcome)
    }

    async fn back(&self) -> Answer<Navigation> {
        self.leaves();
        let outcome = self.page.back(&pool::GotoOptions::default()).await;
        self.arrived("", outcome).await
    }

    async fn reload(&self, options: GotoOptions) -> Answer<Navigation> {
        if let Some(shown) = self.shown()? {
            self.leaves();
            let outcome = self.page.goto(&shown, &inside(&options)).await;
            return self.arrived(&shown, outcome).await;
        }
        self.leaves();
        let url = mapped(self.page.url())?;
        let outcome = self.page.reload(&inside(&options)).await;
        self.arrived(&url, outcome).await
    }

    async fn url(&self) -> Answer<String> {
        self.shown()?.map_or_else(|| mapped(self.page.url()), Ok)
    }

    async fn title(&self) -> Answer<String> {
        self.keep_now().await;
        mapped(self.page.title().await)
    }

    async fn html(&self, frame: Option<String>) -> Answer<String> {
        self.keep_now().await;
        let html = match frame {
            None => self.page.html(MAX_HTML).await,
            Some(frame) => self.page.frame_html(&frame, MAX_HTML).await,
        };
        let html = mapped(html)?;
        if html.truncated {
            return Err(HostError::new(
                code::LIMIT,
                format!("The document has more than {MAX_HTML} bytes of HTML; take what is needed with `extract`."),
            ));
        }
        Ok(html.text)
    }

    async fn article(&self, frame: Option<String>) -> Answer<String> {
        self.keep_now().await;
        mapped(self.page.article(frame.as_deref()).await)
    }

    async fn extract(&self, each: Option<String>, fields: Vec<Field>) -> Answer<String> {
        self.keep_now().await;
        let inside = |field: Field| actions::Field {
            name: field.name,
            selector: field.selector,
            take: field.take,
            many: field.many,
        };
        let fields: Vec<actions::Field> = fields.into_iter().map(inside).collect();
        Ok(mapped(self.page.extract(each.as_deref(), &fields).await)?.to_string())
    }

    async fn text(&self, selector: String) -> Answer<String> {
        self.keep_now().await;
        mapped(self.page.text(&selector).await)
    }

    async fn attribute(&self, selector: String, name: String) -> Answer<Option<String>> {
        self.keep_now().await;
        mapped(self.page.attribute(&selector, &name).await)
    }

    async fn count(&self, selector: String) -> Answer<u32> {
        mapped(self.page.count(&selector).await)
    }

    async fn evaluate(&self, frame: Option<String>, script: String, argument: String) -> Answer<String> {
        self.keep_now().await;
        let argument = serde_json::from_str(&argument).map_err(|error| {
            HostError::new(code::INVALID, format!("The argument of `evaluate` is not JSON: {error}."))
        })?;
        Ok(mapped(self.page.evaluate(frame.as_deref(), &script, &argument).await)?.to_string())
    }

    async fn wait_for(&self, selector: String, state: State, timeout: Option<Duration>) -> Answer<()> {
        let state = match state {
            State::Attached => actions::State::Attached,
            State::Detached => actions::State::Detached,
            State::Visible => actions::State::Visible,
            State::Hidden => actions::State::Hidden,
        };
        mapped(self.page.wait_for(&selector, state, or_default(timeout)).await)
    }

    async fn wait_for_url(&self, pattern: String, timeout: Option<Duration>) -> Answer<String> {
        mapped(self.page.wait_for_url(&pattern, or_default(timeout)).await)
    }

    async fn click(&self, selector: String, options: ClickOptions) -> Answer<()> {
        self.keep_now().await;
        let options = actions::ClickOptions {
            button: match options.button {
                Button::Left => actions::Button::Left,
                Button::Middle => actions::Button::Middle,
                Button::Right => actions::Button::Right,
            },
            count: options.count,
            at: options.at,
            timeout: or_default(options.timeout_ms.map(Duration::from_millis)),
        };
        mapped(self.page.click(&selector, &options).await)
    }

    async fn hover(&self, selector: String, timeout: Option<Duration>) -> Answer<()> {
        self.keep_now().await;
        mapped(self.page.hover(&selector, or_default(timeout)).await)
    }

    async fn fill(&self, selector: String, value: String, timeout: Option<Duration>) -> Answer<()> {
        self.keep_now().await;
        mapped(self.page.fill(&selector, &value, or_default(timeout)).await)
    }

    async fn type_text(&self, selector: String, value: String, timeout: Option<Duration>) -> Answer<()> {
        self.keep_now().await;
        mapped(self.page.type_text(&selector, &value, or_default(timeout)).await)
    }

    async fn press(&self, selector: Option<String>, keys: String) -> Answer<()> {
        self.keep_now().await;
        mapped(self.page.press(selector.as_deref(), &keys).await)
    }

    async fn select_option(&self, selector: String, values: Vec<String>) -> Answer<Vec<String>> {
        self.keep_now().await;
        mapped(self.page.select_option(&selector, &values).await)
    }

    async fn set_checked(&self, selector: String, checked: bool) -> Answer<()> {
        self.keep_now().await;
        mapped(self.page.set_checked(&selector, checked).await)
    }

    async fn scroll(&self, until: Option<String>, max_steps: u32) -> Answer<u32> {
        self.keep_now().await;
        mapped(self.page.scroll(until.as_deref(), max_steps).await)
    }

    async fn screenshot(&self, picture: Picture, selector: Option<String>) -> Answer<String> {
        self.keep_now().await;
        let picture = match (picture, selector) {
            (Picture::Viewport, _) => pool::Picture::Viewport,
            (Picture::FullPage, _) => pool::Picture::FullPage,
            (Picture::Element, Some(selector)) => {
                pool::Picture::Clip(mapped(self.page.element_box(&selector, pool::DEFAULT_TIMEOUT).await)?)
            }
            (Picture::Element, None) => {
                return Err(HostError::new(code::INVALID, "A screenshot of an element needs the element's selector."));
            }
        };
        let body = mapped(self.page.screenshot(picture).await)?;
        self.put("screenshot.png", "image/png", &body).await
    }

    async fn pdf(&self) -> Answer<String> {
        self.keep_now().await;
        let body = mapped(self.page.pdf().await)?;
        self.put("page.pdf", "application/pdf", &body).await
    }

    async fn dialogs(&self) -> Answer<Vec<Dialog>> {
        let outside =
            |dialog: pool::Dialog| Dialog { kind: dialog.kind, message: dialog.message, answered: dialog.answered };
        Ok(self.page.dialogs().into_iter().map(outside).collect())
    }

    async fn close(&self) -> Answer<()> {
        mapped(self.page.close().await)
    }
}
