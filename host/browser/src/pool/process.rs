//! One Chromium process of the pool, and what its browser session tells.
//!
//! A process is watched by one task that ends in one of three ways: the process died by itself, its connection
//! broke, or the pool ended it. In each the task kills what is left of the process group, reaps it, fails every open
//! call with `browser-lost`, deletes the folder and tells the pool.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use chromiumoxide::cdp::browser_protocol::browser::{CancelDownloadParams, GetVersionParams};
use chromiumoxide::cdp::browser_protocol::target::{
    CloseTargetParams, FilterEntry, SetAutoAttachParams, TargetFilter, TargetInfo,
};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::cdp::{End, Observer, RawEvent, Session};
use crate::context::ContextShared;
use crate::error::BrowserError;
use crate::launch::{self, LaunchOptions, Launched};
use crate::page_state::{DownloadEntry, DownloadState, PageState};
use crate::pool::gate::Gate;
use crate::pool::retire::{RetireReason, Usage};
use crate::pool::stats::{Counters, ProcessStats};

/// Bound on the commands that set a process or page up, and on those that tear it down: all are answered by the
/// browser's main process in a millisecond or two, however slow pages are.
pub(crate) const HOUSEKEEPING: Duration = Duration::from_secs(10);

/// Targets attached for a page that is being made and not yet taken.
const ARRIVALS_MAX: usize = 256;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An attached page that nobody owns in its own right yet. Dropping it closes the target.
pub(crate) struct Target {
    pub(crate) session: Session,
    pub(crate) state: Arc<PageState>,
    root: Session,
}

impl Drop for Target {
    fn drop(&mut self) {
        if self.session.end().is_none() {
            self.root.send(CloseTargetParams::new(self.session.target_id().to_owned()));
        }
    }
}

impl Target {
    /// Closes the target and waits until it is gone.
    pub(crate) async fn close(&self) -> Result<(), BrowserError> {
        if self.session.end().is_some() {
            return Ok(());
        }
        // `closeTarget` does not ask the page's `beforeunload`; one that shows a dialog all the same is answered.
        self.root.send(CloseTargetParams::new(self.session.target_id().to_owned()));
        tokio::time::timeout(HOUSEKEEPING, self.session.ended())
            .await
            .map(drop)
            .map_err(|_| BrowserError::timed_out("closing the page", HOUSEKEEPING))
    }
}

/// Closes a page that was just attached. It is paused, and as long as it is, so is the page that opened it: the two
/// share a thread.
fn refuse(root: &Session, child: &Session) {
    child.send_raw("Runtime.runIfWaitingForDebugger", serde_json::json!({}));
    root.send(CloseTargetParams::new(child.target_id().to_owned()));
}

/// What the browser session tells, by context and page.
pub(crate) struct ProcessState {
    contexts: Mutex<HashMap<String, Weak<ContextShared>>>,
    /// Pages that were asked for and are attached, until their maker takes them.
    arrivals: Mutex<HashMap<String, Target>>,
    pages: Mutex<HashMap<String, Weak<PageState>>>,
    downloads: Mutex<HashMap<String, Weak<PageState>>>,
    counters: Arc<Counters>,
    page_gate: Arc<Gate>,
    max_download: u64,
}

impl ProcessState {
    pub(crate) fn new(counters: Arc<Counters>, page_gate: Arc<Gate>, max_download: u64) -> Self {
        Self {
            contexts: Mutex::default(),
            arrivals: Mutex::default(),
            pages: Mutex::default(),
            downloads: Mutex::default(),
            counters,
            page_gate,
            max_download,
        }
    }

    /// Makes a context known, before its first page is made.
    pub(crate) fn add_context(&self, id: &str, context: &Arc<ContextShared>) {
        lock(&self.contexts).insert(id.to_owned(), Arc::downgrade(context));
    }

    pub(crate) fn remove_context(&self, id: &str) {
        lock(&self.contexts).remove(id);
    }

    /// The page just made, by its target. It is attached before the answer to its making arrives.
    pub(crate) fn take_arrival(&self, target: &str) -> Option<Target> {
        lock(&self.arrivals).remove(target)
    }

    fn page_attached(&self, root: &Session, child: &Session, target: &TargetInfo) {
        let context = target.browser_context_id.as_ref().and_then(|id| {
            let id: &str = id.as_ref();
            lock(&self.contexts).get(id).and_then(Weak::upgrade)
        });
        // A page of no context of ours, or of one that is closing.
        let Some(context) = context else {
            return refuse(root, child);
        };
        let popup = target.opener_id.is_some() || target.opener_frame_id.is_some();
        // A popup is a page like any other: with a place, or not at all.
        let permit = if popup {
            let Some(permit) = self.page_gate.try_enter().filter(|_| context.has_room_for_popup()) else {
                Counters::add(&self.counters.popups_closed);
                tracing::debug!("a popup was closed because there was no room for it");
                return refuse(root, child);
            };
            Some(permit)
        } else {
            None
        };
        let folder = context.download_folder();
        let state = PageState::observe(child, root, context.setup(), folder, Arc::clone(&self.counters));
        {
            let mut pages = lock(&self.pages);
            pages.retain(|_, page| page.strong_count() > 0);
            pages.insert(child.target_id().to_owned(), Arc::downgrade(&state));
        }
        for (method, params) in context.setup().page_commands() {
            child.send_raw(method, params);
        }
        let arrived = Target { session: child.clone(), state, root: root.clone() };
        if let Some(permit) = permit {
            for (method, params) in context.setup().override_commands() {
                child.send_raw(method, params);
            }
            child.send_raw("Runtime.runIfWaitingForDebugger", serde_json::json!({}));
            arrived.state.hold(child, permit);
            Counters::add(&self.counters.pages);
            context.popup(arrived);
        } else {
            let mut arrivals = lock(&self.arrivals);
            arrivals.retain(|_, target| target.session.end().is_none());
            if arrivals.len() < ARRIVALS_MAX {
                arrivals.insert(child.target_id().to_owned(), arrived);
            }
        }
    }

    fn download_began(&self, root: &Session, event: &RawEvent) {
        let (Some(guid), Some(frame)) = (event.text("/guid"), event.text("/frameId")) else { return };
        let page = {
            let pages = lock(&self.pages);
            let direct = pages.get(frame).and_then(Weak::upgrade);
            direct.or_else(|| pages.values().filter_map(Weak::upgrade).find(|page| page.session_of(frame).is_some()))
        };
        let entry = DownloadEntry {
            guid: guid.to_owned(),
            url: event.text("/url").unwrap_or_default().to_owned(),
            suggested_name: event.text("/suggestedFilename").unwrap_or_default().to_owned(),
            state: DownloadState::Running,
        };
        match page {
            Some(page) if page.download_began(entry, page.is_main_frame(frame)) => {
                let mut downloads = lock(&self.downloads);
                downloads.retain(|_, page| page.strong_count() > 0);
                downloads.insert(guid.to_owned(), Arc::downgrade(&page));
            }
            _ => root.send(CancelDownloadParams::new(guid)),
        }
    }

    fn download_progress(&self, root: &Session, event: &RawEvent) {
        let Some(guid) = event.text("/guid") else { return };
        let received = bytes(event.number("/receivedBytes"));
        let too_large = received.max(bytes(event.number("/totalBytes"))) > self.max_download;
        let state = match event.text("/state") {
            Some("completed") => DownloadState::Done { size: received },
            Some("canceled") => DownloadState::Failed { too_large: false },
            _ if too_large => {
                root.send(CancelDownloadParams::new(guid));
                DownloadState::Failed { too_large: true }
            }
            _ => return,
        };
        if let Some(page) = lock(&self.downloads).remove(guid).and_then(|page| page.upgrade()) {
            page.download_at(guid, state);
        }
    }
}

/// A count of bytes that the protocol carries as a floating-point number.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates, which is what is wanted
fn bytes(number: Option<f64>) -> u64 {
    number.unwrap_or_default() as u64
}

impl Observer for ProcessState {
    fn event(&self, session: &Session, event: &RawEvent) {
        match event.method.as_str() {
            "Browser.downloadWillBegin" => self.download_began(session, event),
            "Browser.downloadProgress" => self.download_progress(session, event),
            _ => {}
        }
    }

    fn attached(&self, root: &Session, child: &Session, target: &TargetInfo, _waiting: bool) {
        if target.r#type == "page" {
            self.page_attached(root, child, target);
        }
    }

    fn ended(&self, _session: &Session, _end: &End) {
        lock(&self.arrivals).clear();
        lock(&self.contexts).clear();
    }
}

/// How a process came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By itself.
    Died,
    /// By a rule.
    Retired(RetireReason),
    /// With its pool.
    PoolClosed,
}

/// A running process.
pub(crate) struct BrowserProcess {
    pub(crate) pid: u32,
    pub(crate) root: Session,
    pub(crate) state: Arc<ProcessState>,
    /// Chromium's own `User-Agent`.
    pub(crate) user_agent: String,
    downloads: std::path::PathBuf,
    contexts: AtomicUsize,
    pages: AtomicU64,
    memory: AtomicU64,
    idle_since: Mutex<Instant>,
    retiring: Mutex<Option<RetireReason>>,
    ending: Mutex<Option<Ending>>,
    end: Notify,
}

/// Counts one context of a process while it exists.
pub(crate) struct Lease(Arc<BrowserProcess>);

impl Drop for Lease {
    fn drop(&mut self) {
        let last = self.0.contexts.fetch_sub(1, Ordering::AcqRel) == 1;
        if last {
            *lock(&self.0.idle_since) = Instant::now();
            if let Some(reason) = self.0.retiring() {
                self.0.finish(Ending::Retired(reason));
            }
        }
    }
}

impl BrowserProcess {
    /// Starts a process and the task that watches it; `ended` is called once it is gone.
    pub(crate) async fn start(
        options: &LaunchOptions,
        root: &std::path::Path,
        state: Arc<ProcessState>,
        ended: impl FnOnce(Arc<BrowserProcess>, Ending) + Send + 'static,
    ) -> Result<Arc<Self>, BrowserError> {
        let launched = launch::launch(options, root, Arc::clone(&state) as Arc<dyn Observer>).await?;
        let session = launched.root.clone();
        let attach = SetAutoAttachParams {
            flatten: Some(true),
            filter: Some(TargetFilter::new(vec![FilterEntry {
                r#type: Some("page".to_owned()),
                exclude: Some(false),
            }])),
            ..SetAutoAttachParams::new(true, true)
        };
        let set_up = async {
            session.call(attach, HOUSEKEEPING).await?;
            session.call(GetVersionParams::default(), HOUSEKEEPING).await
        };
        let user_agent = match set_up.await {
            Ok(version) => version.user_agent,
            Err(error) => {
                let Launched { mut child, pid, folder, .. } = launched;
                launch::kill(&mut *child, pid).await;
                launch::drop_in_background(folder);
                return Err(error);
            }
        };
        let process = Arc::new(Self {
            pid: launched.pid,
            root: session,
            state,
            user_agent,
            downloads: launched.folder.downloads(),
            contexts: AtomicUsize::new(0),
            pages: AtomicU64::new(0),
            memory: AtomicU64::new(0),
            idle_since: Mutex::new(Instant::now()),
            retiring: Mutex::new(None),
            ending: Mutex::new(None),
            end: Notify::new(),
        });
        tokio::spawn(watch(Arc::clone(&process), launched, ended));
        Ok(process)
    }

    /// Takes a context's place in this process, unless it is on its way out.
    pub(crate) fn lease(self: &Arc<Self>) -> Option<Lease> {
        self.contexts.fetch_add(1, Ordering::AcqRel);
        let lease = Lease(Arc::clone(self));
        (self.retiring().is_none() && self.root.end().is_none() && lock(&self.ending).is_none()).then_some(lease)
    }

    pub(crate) fn contexts(&self) -> usize {
        self.contexts.load(Ordering::Acquire)
    }

    /// Folder for the downloads of a context.
    pub(crate) fn download_folder(&self, context: &str) -> std::path::PathBuf {
        self.downloads.join(context)
    }

    /// Counts a page loaded in it.
    pub(crate) fn page_loads(&self) {
        self.pages.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage {
            pages: self.pages.load(Ordering::Relaxed),
            memory: self.memory.load(Ordering::Relaxed),
            contexts: self.contexts(),
        }
    }

    pub(crate) fn measured(&self, memory: u64) {
        self.memory.store(memory, Ordering::Relaxed);
    }

    pub(crate) fn retiring(&self) -> Option<RetireReason> {
        *lock(&self.retiring)
    }

    /// How long it has had no context; `None` while it has one.
    pub(crate) fn idle_for(&self) -> Option<Duration> {
        (self.contexts() == 0).then(|| lock(&self.idle_since).elapsed())
    }

    /// Takes no more contexts from now on, and ends with the last one.
    pub(crate) fn retire(&self, reason: RetireReason) {
        {
            let mut retiring = lock(&self.retiring);
            if retiring.is_some() {
                return;
            }
            *retiring = Some(reason);
        }
        if self.contexts() == 0 {
            self.finish(Ending::Retired(reason));
        }
    }

    /// Ends it now.
    pub(crate) fn finish(&self, how: Ending) {
        lock(&self.ending).get_or_insert(how);
        self.end.notify_one();
    }

    pub(crate) fn stats(&self) -> ProcessStats {
        let usage = self.usage();
        ProcessStats {
            pid: self.pid,
            contexts: usage.contexts,
            pages: usage.pages,
            memory: usage.memory,
            retiring: self.retiring(),
        }
    }
}

async fn watch(
    process: Arc<BrowserProcess>,
    launched: Launched,
    ended: impl FnOnce(Arc<BrowserProcess>, Ending) + Send + 'static,
) {
    let Launched { mut child, pid, lifeline, root, loss, folder, stderr } = launched;
    let how = tokio::select! {
        status = child.wait() => match status {
            Ok(status) => format!("it ended with {status}"),
            Err(error) => format!("it could not be watched: {error}"),
        },
        end = root.ended() => match end {
            End::BrowserLost(how) => how,
            _ => "its connection closed".to_owned(),
        },
        () = process.end.notified() => "it was ended by the pool".to_owned(),
    };
    let ending = *lock(&process.ending).get_or_insert(Ending::Died);
    if ending == Ending::Died {
        tracing::warn!(pid, %how, last_words = %stderr.text(), "a browser process died");
    }
    loss.lost(how);
    root.ended().await;
    launch::kill(&mut *child, pid).await;
    drop(lifeline);
    let removed = tokio::task::spawn_blocking(move || drop(folder)).await;
    if let Err(error) = removed {
        tracing::warn!(pid, %error, "a browser's folder could not be deleted");
    }
    ended(process, ending);
}
