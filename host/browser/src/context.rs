//! A browser context: cookies, storage, cache and proxy of one task, and its pages.
//!
//! A context and its pages are handles. When the last handle of a page is dropped, the page closes in the
//! background and its place is free; when the last handle of a context and of all of its pages is dropped, the
//! context is disposed of with all it has stored. A task that is cancelled therefore leaves nothing behind.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chromiumoxide::cdp::browser_protocol::browser::{
    BrowserContextId, SetDownloadBehaviorBehavior, SetDownloadBehaviorParams,
};
use chromiumoxide::cdp::browser_protocol::network::{CookieParam, CookieSameSite, TimeSinceEpoch};
use chromiumoxide::cdp::browser_protocol::storage::{GetCookiesParams, SetCookiesParams};
use chromiumoxide::cdp::browser_protocol::target::{
    CreateBrowserContextParams, CreateTargetParams, DisposeBrowserContextParams,
};
use futures::future::try_join_all;
use serde_json::json;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use url::Url;

use crate::error::BrowserError;
use crate::page::Page;
use crate::pool::PoolInner;
use crate::pool::process::{BrowserProcess, HOUSEKEEPING, Lease, Target};
use crate::setup::Setup;
use crate::types::{ContextOptions, Cookie};

/// Cookies set in one call.
const COOKIES_MAX: usize = 1_000;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The part of a context that its process knows too.
pub(crate) struct ContextShared {
    setup: Arc<Setup>,
    downloads: PathBuf,
    popups: Mutex<VecDeque<Target>>,
    popup_came: Notify,
    max_popups: usize,
    closed: AtomicBool,
}

impl ContextShared {
    pub(crate) fn setup(&self) -> Arc<Setup> {
        Arc::clone(&self.setup)
    }

    /// Where its downloads lie.
    pub(crate) fn download_folder(&self) -> PathBuf {
        self.downloads.clone()
    }

    /// Whether another popup may wait to be asked for. Popups that closed themselves make room.
    pub(crate) fn has_room_for_popup(&self) -> bool {
        let mut popups = lock(&self.popups);
        popups.retain(|popup| popup.session.end().is_none());
        !self.closed.load(Ordering::Acquire) && popups.len() < self.max_popups
    }

    /// Keeps a popup for whoever asks for it.
    pub(crate) fn popup(&self, target: Target) {
        lock(&self.popups).push_back(target);
        self.popup_came.notify_one();
    }

    fn take_popup(&self) -> Option<Target> {
        let mut popups = lock(&self.popups);
        popups.retain(|popup| popup.session.end().is_none());
        popups.pop_front()
    }
}

pub(crate) struct ContextInner {
    pub(crate) pool: Arc<PoolInner>,
    pub(crate) process: Arc<BrowserProcess>,
    pub(crate) downloads: PathBuf,
    /// Whether its pages run their scripts.
    pub(crate) scripted: bool,
    id: BrowserContextId,
    shared: Arc<ContextShared>,
    /// Taken by whoever disposes of the context first, and dropped when it is gone.
    held: Mutex<Option<Held>>,
}

/// What a context holds of the pool.
struct Held {
    _lease: Lease,
    _place: OwnedSemaphorePermit,
}

/// An isolated context. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    inner: Arc<ContextInner>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("process", &self.inner.process.pid).finish_non_exhaustive()
    }
}

impl Context {
    /// Makes a context in `process`.
    pub(crate) async fn make(
        pool: Arc<PoolInner>,
        process: Arc<BrowserProcess>,
        lease: Lease,
        place: OwnedSemaphorePermit,
        options: &ContextOptions,
    ) -> Result<Self, BrowserError> {
        let setup = Arc::new(Setup::new(options, &process.user_agent)?);
        let proxy = options.proxy.as_deref().map(check_proxy).transpose()?;
        let create = CreateBrowserContextParams {
            // A context goes with its connection, so that a lost host leaves none.
            dispose_on_detach: Some(true),
            proxy_bypass_list: proxy.as_ref().map(|_| "<-loopback>".to_owned()),
            proxy_server: proxy,
            ..CreateBrowserContextParams::default()
        };
        let id = process.root.call(create, HOUSEKEEPING).await?.browser_context_id;
        let downloads = process.download_folder(id.as_ref());
        let shared = Arc::new(ContextShared {
            setup,
            downloads: downloads.clone(),
            popups: Mutex::default(),
            popup_came: Notify::new(),
            max_popups: pool.options.max_popups,
            closed: AtomicBool::new(false),
        });
        process.state.add_context(id.as_ref(), &shared);
        process.root.send(SetDownloadBehaviorParams {
            behavior: SetDownloadBehaviorBehavior::AllowAndName,
            browser_context_id: Some(id.clone()),
            download_path: Some(downloads.to_string_lossy().into_owned()),
            events_enabled: Some(true),
        });
        let held = Mutex::new(Some(Held { _lease: lease, _place: place }));
        Ok(Self {
            inner: Arc::new(ContextInner { pool, process, downloads, scripted: options.javascript, id, shared, held }),
        })
    }

    /// Opens a page. Waits for a place when all are taken.
    ///
    /// # Errors
    /// `busy` when the queue for a place is full or the wait is over; `invalid` when Chromium does not know the
    /// context's locale or time zone; `browser-lost` when the process is gone.
    pub async fn new_page(&self) -> Result<Page, BrowserError> {
        self.check_open()?;
        let pool = &self.inner.pool;
        let permit = pool.enter_page().await?;
        let inner = Arc::clone(&self.inner);
        // In a task of its own: a caller that is dropped half-way must not leave a page that nobody knows.
        let made = pool.runtime.spawn(async move { ContextInner::make_page(inner, permit).await });
        made.await.unwrap_or_else(|error| Err(BrowserError::Failed(format!("opening a page failed: {error}"))))
    }

    /// The next page that a page of this context opened by itself, at most `timeout` from now.
    ///
    /// # Errors
    /// `timed-out` when none came.
    pub async fn wait_for_page(&self, timeout: Duration) -> Result<Page, BrowserError> {
        self.check_open()?;
        let shared = &self.inner.shared;
        let wait = async {
            loop {
                if let Some(target) = shared.take_popup() {
                    return Page::new(target, Arc::clone(&self.inner));
                }
                shared.popup_came.notified().await;
            }
        };
        tokio::select! {
            page = tokio::time::timeout(timeout, wait) => {
                page.map_err(|_| BrowserError::TimedOut(format!("no page was opened within {} ms", timeout.as_millis())))
            }
            end = self.inner.process.root.ended() => Err(end.error()),
        }
    }

    /// The cookies that requests to `urls` would carry; all of the context's when there are none.
    pub async fn cookies(&self, urls: &[String]) -> Result<Vec<Cookie>, BrowserError> {
        self.check_open()?;
        let urls = urls
            .iter()
            .map(|url| {
                Url::parse(url).map_err(|error| BrowserError::Invalid(format!("{url:?} is no address: {error}")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let command = GetCookiesParams { browser_context_id: Some(self.inner.id.clone()) };
        let cookies = self.inner.process.root.call(command, HOUSEKEEPING).await?.cookies;
        Ok(cookies
            .into_iter()
            .map(|cookie| Cookie {
                name: cookie.name,
                value: cookie.value,
                domain: cookie.domain,
                path: cookie.path,
                expires: (!cookie.session && cookie.expires >= 0.0).then_some(cookie.expires),
                http_only: cookie.http_only,
                secure: cookie.secure,
                same_site: cookie.same_site.map(|same_site| same_site.as_ref().to_owned()),
            })
            .filter(|cookie| urls.is_empty() || urls.iter().any(|url| applies(cookie, url)))
            .collect())
    }

    /// Adds or replaces cookies.
    ///
    /// # Errors
    /// `invalid` for a cookie that no browser would take.
    pub async fn set_cookies(&self, cookies: &[Cookie]) -> Result<(), BrowserError> {
        self.check_open()?;
        if cookies.len() > COOKIES_MAX {
            return Err(BrowserError::Limit(format!(
                "{} cookies are too many for one call; set at most {COOKIES_MAX} at once",
                cookies.len()
            )));
        }
        let cookies = cookies.iter().map(cookie_param).collect::<Result<Vec<_>, _>>()?;
        let command = SetCookiesParams { cookies, browser_context_id: Some(self.inner.id.clone()) };
        match self.inner.process.root.call(command, HOUSEKEEPING).await {
            Err(BrowserError::Failed(words)) => Err(BrowserError::Invalid(format!("a cookie was refused: {words}"))),
            other => other.map(drop),
        }
    }

    /// Closes the context with its pages, and returns when it is gone. Again is no error.
    pub async fn close(&self) -> Result<(), BrowserError> {
        self.inner.dispose().await
    }

    fn check_open(&self) -> Result<(), BrowserError> {
        if self.inner.shared.closed.load(Ordering::Acquire) {
            return Err(BrowserError::Cancelled("the context was closed".to_owned()));
        }
        match self.inner.process.root.end() {
            Some(end) => Err(end.error()),
            None => Ok(()),
        }
    }
}

impl ContextInner {
    async fn make_page(self: Arc<Self>, permit: OwnedSemaphorePermit) -> Result<Page, BrowserError> {
        let process = &self.process;
        self.pool.page_opened(process);
        let create = CreateTargetParams {
            browser_context_id: Some(self.id.clone()),
            // Each page its own window: a tab behind another is not painted, and its animation frames stand still.
            new_window: Some(true),
            ..CreateTargetParams::new("about:blank")
        };
        let target_id = process.root.call(create, HOUSEKEEPING).await?.target_id;
        let target = process.state.take_arrival(target_id.as_ref()).ok_or_else(|| {
            BrowserError::Failed("the browser opened a page but did not hand it over; try again".to_owned())
        })?;
        target.state.hold(&target.session, permit);
        let session = &target.session;
        let mut commands: Vec<_> = self.shared.setup.override_commands().collect();
        commands.push(("Runtime.runIfWaitingForDebugger".into(), json!({})));
        let answers = try_join_all(commands.into_iter().map(|(method, params)| {
            let name = method.clone();
            async move {
                session.call_raw(method, params, HOUSEKEEPING).await.map_err(|error| match error {
                    BrowserError::Failed(words) if name.starts_with("Emulation.") => {
                        BrowserError::Invalid(format!("an option of the context was refused: {words}"))
                    }
                    other => other,
                })
            }
        }));
        answers.await?;
        Ok(Page::new(target, Arc::clone(&self)))
    }

    /// Disposes of the context once; later callers return at once.
    async fn dispose(&self) -> Result<(), BrowserError> {
        self.shared.closed.store(true, Ordering::Release);
        let Some(held) = lock(&self.held).take() else { return Ok(()) };
        lock(&self.shared.popups).clear();
        self.process.state.remove_context(self.id.as_ref());
        let disposed = dispose(Arc::clone(&self.process), self.id.clone(), self.downloads.clone(), held);
        // In a task of its own, so that it goes on when the caller does not wait.
        let disposed = self.pool.runtime.spawn(disposed);
        disposed.await.unwrap_or_else(|error| Err(BrowserError::Failed(format!("closing a context failed: {error}"))))
    }
}

impl Drop for ContextInner {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        let Some(held) = lock(&self.held).take() else { return };
        lock(&self.shared.popups).clear();
        self.process.state.remove_context(self.id.as_ref());
        let disposed = dispose(Arc::clone(&self.process), self.id.clone(), self.downloads.clone(), held);
        self.pool.runtime.spawn(async move {
            if let Err(error) = disposed.await {
                tracing::debug!(%error, "a context was not disposed of in order");
            }
        });
    }
}

/// Disposes of a context with its pages, without their `beforeunload`, then deletes its downloads. What it held of
/// the pool is free after that.
async fn dispose(
    process: Arc<BrowserProcess>,
    id: BrowserContextId,
    downloads: PathBuf,
    held: Held,
) -> Result<(), BrowserError> {
    let result = process.root.call(DisposeBrowserContextParams::new(id), HOUSEKEEPING).await.map(drop);
    remove_downloads(&downloads).await;
    drop(held);
    match result {
        // A process that is gone has no contexts.
        Err(BrowserError::BrowserLost(_)) => Ok(()),
        other => other,
    }
}

async fn remove_downloads(folder: &Path) {
    match tokio::fs::remove_dir_all(folder).await {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(folder = %folder.display(), %error, "a context's downloads could not be deleted"),
    }
}

/// A proxy as Chromium takes it: scheme, host and port.
fn check_proxy(proxy: &str) -> Result<String, BrowserError> {
    let malformed = |why: &str| BrowserError::Invalid(format!("{proxy:?} is no proxy for a context: {why}"));
    let url = Url::parse(proxy).map_err(|error| malformed(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https" | "socks5") {
        return Err(malformed("its scheme is http, https or socks5"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(malformed("Chromium takes no credentials here; give each context a port of its own"));
    }
    let host = url.host_str().ok_or_else(|| malformed("it has no host"))?;
    let port = url.port_or_known_default().ok_or_else(|| malformed("it has no port"))?;
    Ok(format!("{}://{host}:{port}", url.scheme()))
}

/// Whether a request to `url` would carry the cookie (RFC 6265, sections 5.1.3 and 5.1.4).
fn applies(cookie: &Cookie, url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let domain_fits = match cookie.domain.strip_prefix('.') {
        Some(domain) => host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')),
        None => host == cookie.domain,
    };
    let path_fits = url
        .path()
        .strip_prefix(cookie.path.as_str())
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || cookie.path.ends_with('/'));
    domain_fits && path_fits && (!cookie.secure || url.scheme() == "https" || is_loopback(host))
}

/// Chromium sends secure cookies to loopback hosts without encryption too.
fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost") || host.starts_with("127.") || host == "[::1]"
}

fn cookie_param(cookie: &Cookie) -> Result<CookieParam, BrowserError> {
    let refused = |why: &str| BrowserError::Invalid(format!("the cookie {:?} was refused: {why}", cookie.name));
    if cookie.domain.is_empty() {
        return Err(refused("it has no domain"));
    }
    let same_site = match cookie.same_site.as_deref() {
        None => None,
        Some("Strict") => Some(CookieSameSite::Strict),
        Some("Lax") => Some(CookieSameSite::Lax),
        Some("None") => Some(CookieSameSite::None),
        Some(_) => return Err(refused("same-site is Strict, Lax or None")),
    };
    Ok(CookieParam {
        domain: Some(cookie.domain.clone()),
        path: Some(if cookie.path.is_empty() { "/".to_owned() } else { cookie.path.clone() }),
        secure: Some(cookie.secure),
        http_only: Some(cookie.http_only),
        same_site,
        expires: cookie.expires.map(TimeSinceEpoch::new),
        ..CookieParam::new(cookie.name.clone(), cookie.value.clone())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn cookie(domain: &str, path: &str, secure: bool) -> Cookie {
        Cookie {
            name: "a".into(),
            value: "b".into(),
            domain: domain.into(),
            path: path.into(),
            expires: None,
            http_only: false,
            secure,
            same_site: None,
        }
    }

    #[test]
    fn a_cookie_applies_by_domain_path_and_scheme() {
        let url = Url::parse("http://www.example.com/shop/cart").unwrap();
        assert!(applies(&cookie(".example.com", "/", false), &url));
        assert!(applies(&cookie("www.example.com", "/shop", false), &url));
        assert!(!applies(&cookie("example.com", "/", false), &url));
        assert!(!applies(&cookie(".ample.com", "/", false), &url));
        assert!(!applies(&cookie(".example.com", "/sho", false), &url));
        assert!(!applies(&cookie(".example.com", "/", true), &url));
    }

    #[test]
    fn a_proxy_with_credentials_is_refused_with_the_way_out() {
        assert_eq!(check_proxy("http://127.0.0.1:8080").unwrap(), "http://127.0.0.1:8080");
        let error = check_proxy("http://a:b@127.0.0.1:8080").unwrap_err();
        assert!(error.to_string().contains("a port of its own"), "{error}");
        assert_eq!(check_proxy("ftp://127.0.0.1").unwrap_err().code(), "invalid");
    }
}
