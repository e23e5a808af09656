//! One page of a context.
//!
//! A [`Page`] is a handle: when the last clone is dropped, the page closes in the background. A page that is over,
//! because it was closed, crashed, or lost its browser, fails every call at once and has given its place back.
//!
//! For the modules of this crate a page is a [`session`](Page::session) to send commands on, the
//! [`frame_session`](Page::frame_session) of a frame, and [`call_function`](Page::call_function) with its relatives
//! in `eval`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chromiumoxide::cdp::browser_protocol::page::FrameId;
use serde_json::Value;
use tokio::time::Instant;

use crate::cdp::Session;
use crate::context::ContextInner;
use crate::error::BrowserError;
use crate::eval::Worlds;
use crate::page_state::PageState;
use crate::pool::process::Target;
use crate::pool::stats::Counters;
use crate::types::{DEFAULT_TIMEOUT, Dialog, Html};

/// Returns a document as HTML with its type, at most `bound` UTF-16 units of it.
const HTML: &str = r"bound => {
  const type = document.doctype ? new XMLSerializer().serializeToString(document.doctype) + '\n' : '';
  const root = document.documentElement;
  const text = type + (root ? root.outerHTML : '');
  return { text: text.slice(0, bound), truncated: text.length > bound };
}";

/// The deadline of calls whose caller names none.
pub(crate) fn default_deadline() -> Instant {
    Instant::now() + DEFAULT_TIMEOUT
}

/// One page. Cheap to clone.
#[derive(Clone)]
pub struct Page {
    inner: Arc<PageInner>,
}

struct PageInner {
    target: Target,
    main_frame: FrameId,
    navigation: tokio::sync::Mutex<()>,
    /// Held by whoever uses the keyboard or the pointer: there is one focus for all.
    input: tokio::sync::Mutex<()>,
    /// Whether it has been sent somewhere.
    visited: AtomicBool,
    context: Arc<ContextInner>,
}

impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Page").field("session", self.session()).finish_non_exhaustive()
    }
}

impl Page {
    pub(crate) fn new(target: Target, context: Arc<ContextInner>) -> Self {
        let main_frame = FrameId::new(target.session.target_id());
        Self {
            inner: Arc::new(PageInner {
                target,
                main_frame,
                navigation: tokio::sync::Mutex::default(),
                input: tokio::sync::Mutex::default(),
                visited: AtomicBool::new(false),
                context,
            }),
        }
    }

    /// The page's address now.
    ///
    /// # Errors
    /// When the page is over.
    pub fn url(&self) -> Result<String, BrowserError> {
        self.check_open()?;
        Ok(self.state().tracker.watch().borrow().url.clone())
    }

    /// The document's title.
    pub async fn title(&self) -> Result<String, BrowserError> {
        let title = self.call_function(None, "() => document.title", &[], default_deadline()).await?;
        Ok(title.as_str().unwrap_or_default().to_owned())
    }

    /// The document as HTML, at most `max_bytes` of it in UTF-8.
    pub async fn html(&self, max_bytes: usize) -> Result<Html, BrowserError> {
        self.html_in(None, max_bytes, default_deadline()).await
    }

    /// The HTML of a frame's document.
    pub(crate) async fn html_in(
        &self,
        frame: Option<&FrameId>,
        max_bytes: usize,
        deadline: Instant,
    ) -> Result<Html, BrowserError> {
        // A UTF-16 unit takes at least one byte, so this many units never hold less than is asked for.
        let value = self.call_function(frame, HTML, &[max_bytes.into()], deadline).await?;
        let mut text = value.get("text").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut truncated = value.get("truncated").and_then(Value::as_bool).unwrap_or_default();
        if text.len() > max_bytes {
            text.truncate(text.floor_char_boundary(max_bytes));
            truncated = true;
        }
        Ok(Html { text, truncated })
    }

    /// The dialogs since the last call, oldest first; at most the last 100. All were answered by policy: an alert
    /// is accepted, a confirmation or prompt dismissed, leaving a page always allowed.
    pub fn dialogs(&self) -> Vec<Dialog> {
        self.state().take_dialogs()
    }

    /// Whether the page is over: closed, crashed, or without its browser.
    pub fn is_closed(&self) -> bool {
        self.session().end().is_some()
    }

    /// Closes the page without asking it, and returns when it is gone. Again is no error.
    pub async fn close(&self) -> Result<(), BrowserError> {
        match self.inner.target.close().await {
            Err(BrowserError::TimedOut(why)) => {
                // Its place is free all the same; the context's end takes the rest.
                self.state().release();
                Err(BrowserError::TimedOut(why))
            }
            other => other,
        }
    }

    fn check_open(&self) -> Result<(), BrowserError> {
        self.session().end().map_or(Ok(()), |end| Err(end.error()))
    }

    /// The session of the page's main frame.
    pub(crate) fn session(&self) -> &Session {
        &self.inner.target.session
    }

    /// The id of the main frame; it stays the same over navigations.
    pub(crate) fn main_frame(&self) -> &FrameId {
        &self.inner.main_frame
    }

    /// The session whose renderer holds `frame`.
    pub(crate) fn frame_session(&self, frame: &FrameId) -> Result<Session, BrowserError> {
        self.check_open()?;
        self.state()
            .session_of(frame.as_ref())
            .ok_or_else(|| BrowserError::NotFound("the frame is not in the page any more".to_owned()))
    }

    pub(crate) fn worlds(&self) -> &Worlds {
        &self.state().worlds
    }

    pub(crate) fn state(&self) -> &Arc<PageState> {
        &self.inner.target.state
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.inner.context.pool.counters
    }

    /// Whether the page runs its scripts.
    pub(crate) fn scripted(&self) -> bool {
        self.inner.context.scripted
    }

    /// Where the context's downloads lie.
    pub(crate) fn download_folder(&self) -> PathBuf {
        self.inner.context.downloads.clone()
    }

    pub(crate) async fn navigation_lock(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.inner.navigation.lock().await
    }

    /// The turn at the page's keyboard and pointer: first come, first served, until it is dropped.
    ///
    /// # Errors
    /// `timed-out` when others had it until the deadline.
    pub(crate) async fn input_turn(&self, deadline: Instant) -> Result<tokio::sync::MutexGuard<'_, ()>, BrowserError> {
        tokio::time::timeout_at(deadline, self.inner.input.lock())
            .await
            .map_err(|_| BrowserError::TimedOut("other actions on this page took all the time".to_owned()))
    }

    /// Counts that the page loads something, for its process's retirement. The first load is counted with the page's
    /// opening.
    pub(crate) fn count_load(&self) {
        if self.inner.visited.swap(true, Ordering::Relaxed) {
            let context = &self.inner.context;
            context.pool.page_loads(&context.process);
        }
    }

    /// Waits until the page's address satisfies `condition`, and returns it.
    pub(crate) async fn wait_url(
        &self,
        timeout: Duration,
        mut condition: impl FnMut(&str) -> bool,
    ) -> Result<String, BrowserError> {
        let mut watch = self.state().tracker.watch();
        tokio::select! {
            biased;
            met = tokio::time::timeout(timeout, watch.wait_for(|progress| condition(&progress.url))) => match met {
                Ok(Ok(progress)) => Ok(progress.url.clone()),
                _ => Err(BrowserError::timed_out("the wait for the page's address", timeout)),
            },
            end = self.session().ended() => Err(end.error()),
        }
    }
}
