//! What is known of a page, kept by its events.
//!
//! Every session of a page, that of its main frame and those of frames in renderers of their own, has an observer
//! that keeps one shared [`PageState`]: the main frame's progress, which session holds which frame, the dialogs it
//! answered, the downloads that started. Dialogs are answered and blocked requests refused here, inside the
//! dispatcher, so that a page never hangs because nobody was looking.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chromiumoxide::cdp::browser_protocol::browser::CancelDownloadParams;
use chromiumoxide::cdp::browser_protocol::page::HandleJavaScriptDialogParams;
use chromiumoxide::cdp::browser_protocol::target::{CloseTargetParams, TargetInfo};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::cdp::{End, Observer, RawEvent, Session};
use crate::eval::{Worlds, first_chars};
use crate::navigate::tracker::Tracker;
use crate::pool::stats::Counters;
use crate::setup::Setup;
use crate::types::Dialog;

/// Dialogs kept until they are asked for; older ones go first.
const DIALOGS_KEPT: usize = 100;

/// Longest dialog text kept, in characters.
const DIALOG_TEXT: usize = 4_096;

/// Frames of a page that are known by id. A page with more is attacking its reader.
const FRAMES_MAX: usize = 4_096;

/// Downloads of a page since it was last blank; one more is cancelled.
pub(crate) const DOWNLOADS_MAX: usize = 16;

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DownloadState {
    Running,
    Done {
        size: u64,
    },
    /// Cancelled by the site, by the bound (`too_large`) or by a broken connection.
    Failed {
        too_large: bool,
    },
}

/// A download that a page started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DownloadEntry {
    /// Its name in the context's download folder.
    pub(crate) guid: String,
    pub(crate) url: String,
    pub(crate) suggested_name: String,
    pub(crate) state: DownloadState,
}

/// See the module.
pub(crate) struct PageState {
    pub(crate) tracker: Tracker,
    pub(crate) worlds: Worlds,
    pub(crate) downloads: watch::Sender<Vec<DownloadEntry>>,
    /// Where they lie.
    download_folder: PathBuf,
    frames: Mutex<HashMap<String, Session>>,
    dialogs: Mutex<VecDeque<Dialog>>,
    /// The page's place in the pool; given back the moment the page is over, whoever still holds it.
    slot: Mutex<Option<OwnedSemaphorePermit>>,
    setup: Arc<Setup>,
    counters: Arc<Counters>,
    root: Session,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Deletes files in the background: unlinking a large one takes its time, and the dispatcher has none.
fn remove_files(files: Vec<PathBuf>) {
    let remove = move || {
        for file in files {
            // One that is not there was moved by whoever asked for it.
            if let Err(error) = std::fs::remove_file(&file)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(file = %file.display(), %error, "a download could not be deleted; it goes with its context");
            }
        }
    };
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(remove)),
        Err(_) => remove(),
    }
}

impl PageState {
    /// The state of the page behind `session`, observing it from now on.
    pub(crate) fn observe(
        session: &Session,
        root: &Session,
        setup: Arc<Setup>,
        download_folder: PathBuf,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        let main = session.target_id().to_owned();
        let state = Arc::new(Self {
            tracker: Tracker::new(main.clone()),
            worlds: Worlds::default(),
            downloads: watch::Sender::new(Vec::new()),
            download_folder,
            frames: Mutex::new(HashMap::from([(main, session.clone())])),
            dialogs: Mutex::new(VecDeque::new()),
            slot: Mutex::new(None),
            setup,
            counters,
            root: root.clone(),
        });
        session.observe(Arc::new(PageObserver { page: Arc::clone(&state), main: true }));
        state
    }

    /// Puts the page's place in its care. One that is over already gives it back at once.
    pub(crate) fn hold(&self, session: &Session, permit: OwnedSemaphorePermit) {
        *lock(&self.slot) = Some(permit);
        // It may have ended between the caller's check and here.
        if session.end().is_some() {
            self.release();
        }
    }

    /// Gives the page's place back.
    pub(crate) fn release(&self) {
        lock(&self.slot).take();
    }

    /// Whether a frame is the page's main one.
    pub(crate) fn is_main_frame(&self, frame: &str) -> bool {
        self.tracker.main() == frame
    }

    /// The session whose renderer holds a frame.
    pub(crate) fn session_of(&self, frame: &str) -> Option<Session> {
        lock(&self.frames).get(frame).cloned()
    }

    /// All frames, each with the session whose renderer holds it.
    pub(crate) fn frames(&self) -> Vec<(String, Session)> {
        lock(&self.frames).iter().map(|(frame, session)| (frame.clone(), session.clone())).collect()
    }

    /// The dialogs since the last call.
    pub(crate) fn take_dialogs(&self) -> Vec<Dialog> {
        lock(&self.dialogs).drain(..).collect()
    }

    /// Records a download; `false` when the page has started too many.
    pub(crate) fn download_began(&self, entry: DownloadEntry, main_frame: bool) -> bool {
        let fits = self.downloads.send_if_modified(|list| {
            let fits = list.len() < DOWNLOADS_MAX;
            if fits {
                list.push(entry);
            }
            fits
        });
        if main_frame {
            self.tracker.download();
        }
        fits
    }

    /// Records how far a download is.
    pub(crate) fn download_at(&self, guid: &str, state: DownloadState) {
        let mut known = false;
        self.downloads.send_if_modified(|list| match list.iter_mut().find(|entry| entry.guid == guid) {
            Some(entry) => {
                known = true;
                let news = entry.state == DownloadState::Running && state != DownloadState::Running;
                if news {
                    entry.state = state;
                }
                news
            }
            None => false,
        });
        // It was complete before the browser heard that it is not wanted any more.
        if !known && matches!(state, DownloadState::Done { .. }) {
            remove_files(vec![self.download_folder.join(guid)]);
        }
    }

    /// Ends the downloads so far and deletes their files: nobody asks for them any more.
    pub(crate) fn drop_downloads(&self) {
        let downloads = self.downloads.send_replace(Vec::new());
        let mut complete = Vec::new();
        for entry in downloads {
            match entry.state {
                // Chromium deletes what it has of it.
                DownloadState::Running => self.root.send(CancelDownloadParams::new(entry.guid)),
                DownloadState::Done { .. } => complete.push(self.download_folder.join(entry.guid)),
                DownloadState::Failed { .. } => {}
            }
        }
        remove_files(complete);
    }

    fn put_frame(&self, frame: &str, session: &Session) {
        let mut frames = lock(&self.frames);
        if frames.len() < FRAMES_MAX || frames.contains_key(frame) {
            frames.insert(frame.to_owned(), session.clone());
        }
    }

    /// Answers a dialog by policy: an alert is taken note of; a question gets the answer that changes nothing;
    /// leaving a page is always allowed.
    fn dialog(&self, session: &Session, event: &RawEvent) {
        let kind = event.text("/type").unwrap_or_default();
        let accept = matches!(kind, "alert" | "beforeunload");
        session.send(HandleJavaScriptDialogParams::new(accept));
        let dialog = Dialog {
            kind: kind.to_owned(),
            message: first_chars(event.text("/message").unwrap_or_default(), DIALOG_TEXT).to_owned(),
            answered: if accept { "accepted" } else { "dismissed" }.to_owned(),
        };
        let mut dialogs = lock(&self.dialogs);
        if dialogs.len() == DIALOGS_KEPT {
            dialogs.pop_front();
        }
        dialogs.push_back(dialog);
    }
}

/// Keeps a [`PageState`] by the events of one of its sessions.
struct PageObserver {
    page: Arc<PageState>,
    main: bool,
}

impl Observer for PageObserver {
    fn event(&self, session: &Session, event: &RawEvent) {
        if self.main {
            self.page.tracker.event(event);
        }
        match event.method.as_str() {
            "Page.javascriptDialogOpening" => self.page.dialog(session, event),
            "Page.frameAttached" => {
                if let Some(frame) = event.text("/frameId") {
                    self.page.put_frame(frame, session);
                }
            }
            "Page.frameNavigated" => {
                if let Some(frame) = event.text("/frame/id") {
                    self.page.put_frame(frame, session);
                    self.page.worlds.forget(frame);
                }
            }
            "Page.frameDetached" => {
                // `swap` says that the frame goes on in another renderer, whose session takes it over.
                if let Some(frame) = event.text("/frameId").filter(|_| event.text("/reason") != Some("swap")) {
                    lock(&self.page.frames).remove(frame);
                    self.page.worlds.forget(frame);
                }
            }
            "Fetch.requestPaused" => {
                // Only blocked kinds are paused at all.
                if let Some(request) = event.text("/requestId") {
                    session
                        .send_raw("Fetch.failRequest", json!({"requestId": request, "errorReason": "BlockedByClient"}));
                }
            }
            _ => {}
        }
    }

    fn attached(&self, _session: &Session, child: &Session, target: &TargetInfo, waiting: bool) {
        if target.r#type == "iframe" {
            self.page.put_frame(child.target_id(), child);
            self.page.worlds.forget(child.target_id());
            child.observe(Arc::new(PageObserver { page: Arc::clone(&self.page), main: false }));
            for (method, params) in self.page.setup.frame_commands() {
                child.send_raw(method, params);
            }
        }
        if waiting {
            child.send_raw("Runtime.runIfWaitingForDebugger", json!({}));
        }
    }

    fn ended(&self, session: &Session, end: &End) {
        if !self.main {
            // The frame is gone, or back in its parent's renderer, whose events have taken it over already.
            lock(&self.page.frames).retain(|_, holder| holder.id() != session.id());
            return;
        }
        lock(&self.page.frames).clear();
        if *end == End::Crashed {
            Counters::add(&self.page.counters.crashed_pages);
            // The tab with its sad face is still there.
            self.page.root.send(CloseTargetParams::new(session.target_id().to_owned()));
        }
        self.page.drop_downloads();
        self.page.release();
    }
}
