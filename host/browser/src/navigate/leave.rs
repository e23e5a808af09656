//! Leaving a document for `about:blank`, after which the page is as good as a new one.
//!
//! What a document leaves behind in its tab would otherwise show in the next: `sessionStorage`, the window's name, the
//! history; and while it is being left it can still act, by `beforeunload` and `pagehide`, timers, a redirect or a
//! download that it starts. So its scripts are switched off first and it loses its listeners. Then it goes to a blank
//! document of its own origin and renderer, where the tab forgets with nobody left who could write again: a step to
//! another renderer switches scripts on for the document that is on its way out, and a timer of it may run then. From
//! there the tab goes to the blank page that everybody can start from. Downloads that the document has started end with
//! it, and their files are deleted.
//!
//! What stays: what belongs to the context (cookies, `localStorage`, caches), the `sessionStorage` of origins that the
//! tab has been to since it was last blank and that are in no frame of it now, and windows that the document opened,
//! which hold on to the tab as their opener; and a download that it asked for and whose answer has not come yet: Chromium
//! does not tell of it before that, so it counts as one of the next document.

use chromiumoxide::cdp::browser_protocol::page::{FrameId, NavigateParams, ResetNavigationHistoryParams};
use futures::future::join_all;
use serde_json::json;
use tokio::time::Instant;

use crate::cdp::Session;
use crate::error::BrowserError;
use crate::page::Page;
use crate::types::Navigation;

use super::tracker::Progress;

/// The address of a blank page.
pub(super) const BLANK: &str = "about:blank";

/// Timers are cleared, as one of them may run at the last moment (ids rise by one with each timer; above 100,000 of them
/// the oldest are left, a bound on the work). `open` takes the listeners off window and document; XML documents refuse it,
/// and then `pagehide` is heard. Documents of an opaque origin have no storage, and say so by an exception.
const FORGET: &str = "() => {
  window.stop();
  for (let id = setTimeout(() => {}), last = id - 100000; id > 0 && id > last; id--) clearTimeout(id);
  try { document.open(); document.close(); } catch {}
  try { sessionStorage.clear(); } catch {}
  window.name = '';
}";

/// Goes to a blank document by the document's own hand, so that it has its origin and stays in its renderer.
const STEP_ASIDE: &str = "() => { location.replace('about:blank'); }";

const SCRIPTS_OFF: &str = "Emulation.setScriptExecutionDisabled";

impl Page {
    /// Goes to `about:blank` as the module says. Fails when the document does not let go before `deadline`, as one that
    /// is busy with its own scripts does not.
    pub(super) async fn leave(&self, deadline: Instant) -> Result<Navigation, BrowserError> {
        let frames = self.state().frames();
        if self.scripted() {
            // Waited for: Chromium does not keep its order with what follows.
            let mut left = self.switch_scripts_off(true, &frames, deadline).await;
            if left.is_ok() {
                left = self.leave_unscripted(&frames, deadline).await;
            }
            // Whatever came of it. Waited for: a document that comes sooner might start in a renderer that has not heard.
            let on = self.switch_scripts_off(false, &frames, deadline).await;
            left.and(on)?;
        } else {
            self.leave_unscripted(&frames, deadline).await?;
        }
        self.state().drop_downloads();
        Ok(Navigation {
            url: BLANK.to_owned(),
            status: None,
            timed_out: false,
            download: None,
            headers: Vec::new(),
            client_redirects: 0,
        })
    }

    async fn switch_scripts_off(
        &self,
        off: bool,
        frames: &[(String, Session)],
        deadline: Instant,
    ) -> Result<(), BrowserError> {
        let main: &str = self.main_frame().as_ref();
        for (_, session) in frames.iter().filter(|(frame, _)| frame != main) {
            session.send_raw(SCRIPTS_OFF, json!({"value": off}));
        }
        let time = deadline.saturating_duration_since(Instant::now());
        self.session().call_raw(SCRIPTS_OFF, json!({"value": off}), time).await.map(drop)
    }

    async fn leave_unscripted(&self, frames: &[(String, Session)], deadline: Instant) -> Result<(), BrowserError> {
        let main: &str = self.main_frame().as_ref();
        let mut below = Vec::with_capacity(frames.len());
        for (frame, _) in frames.iter().filter(|(frame, _)| frame != main) {
            below.push(self.forget_in(FrameId::new(frame.clone()), deadline));
        }
        // Before the main one, which takes them with it.
        join_all(below).await;
        self.call_function(None, FORGET, &[], deadline).await?;
        let mut watch = self.state().tracker.watch();
        let commits = watch.borrow().commits;
        self.call_function(None, STEP_ASIDE, &[], deadline).await?;
        let aside = |progress: &Progress| progress.commits > commits && progress.loaded && progress.url == BLANK;
        if !self.until(&mut watch, deadline, aside).await? {
            return Err(stays());
        }
        self.call_function(None, FORGET, &[], deadline).await?;
        let answer = self.session().call_until(NavigateParams::new(BLANK), deadline).await?;
        let loader: String = answer.loader_id.map(Into::into).unwrap_or_default();
        let there = self.until(&mut watch, deadline, |progress| progress.loader == loader && progress.loaded).await?;
        if !there {
            return Err(stays());
        }
        // Whoever still wrote after all that leaves the name; such a page is not to be used again.
        if self.call_function(None, "() => window.name", &[], deadline).await? != json!("") {
            return Err(BrowserError::Failed(
                "the document went on writing while it was being left; open a new page".to_owned(),
            ));
        }
        self.session().call_until(ResetNavigationHistoryParams::default(), deadline).await?;
        Ok(())
    }

    async fn forget_in(&self, frame: FrameId, deadline: Instant) {
        // One that is gone has nothing to forget.
        if let Err(error) = self.call_function_once(Some(&frame), FORGET, &[], true, deadline).await {
            tracing::trace!(%error, "a frame went away before it was told to forget");
        }
    }
}

fn stays() -> BrowserError {
    BrowserError::TimedOut(
        "the page did not leave its document in time, as it is busy with its own scripts; open a new page".to_owned(),
    )
}
