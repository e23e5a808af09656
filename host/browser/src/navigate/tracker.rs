//! What a page's main frame is doing, told by its events.
//!
//! The tracker is a state machine without I/O: events in, a state out, published to whoever waits. Its states
//! matter for one question above all: is the document that is there the last one, or is another on its way? A
//! redirect by script or meta refresh announces itself by `frameScheduledNavigation`, `frameRequestedNavigation` and
//! `frameStartedNavigating`, and ends with a new document, a download, or nothing.
//!
//! Fields are read one by one instead of through the protocol's types: a newer Chromium may send a value those types
//! do not know, and losing a whole event over a field that nobody reads would make a navigation hang.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cdp::RawEvent;

/// Answers of documents kept: the present one and those of redirects on the way.
const ANSWERS_KEPT: usize = 8;

/// Longest announced delay of a redirect that a navigation waits for. Pages that refresh themselves every few
/// seconds do so for their readers; a redirect that wants to be seen takes at most this long.
pub(crate) const REDIRECT_DELAY_MAX: Duration = Duration::from_secs(2);

/// A document that is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pending {
    /// Announced for a moment from now.
    Scheduled { due: Instant },
    /// Asked for by the page; the browser has not taken it up yet.
    Requested { since: Instant },
    /// Being fetched.
    Started { loader: String },
}

/// The answer that a document came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Answer {
    pub(crate) status: Option<u16>,
    pub(crate) headers: Vec<(String, String)>,
}

/// What is known of the main frame.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// Documents the frame has had.
    pub(crate) commits: u64,
    /// Names the present document.
    pub(crate) loader: String,
    pub(crate) url: String,
    pub(crate) dom_content_loaded: bool,
    pub(crate) loaded: bool,
    pub(crate) network_idle: bool,
    pub(crate) pending: Option<Pending>,
    /// The loader of a document that did not come about, with Chromium's reason.
    pub(crate) failed: Option<(String, String)>,
    /// Downloads that took the place of a navigation of this frame.
    pub(crate) downloads: u64,
    answers: VecDeque<(String, Answer)>,
}

impl Progress {
    /// The answer of a document, once it is known.
    pub(crate) fn answer(&self, loader: &str) -> Option<&Answer> {
        self.answers.iter().rev().find(|(of, _)| of == loader).map(|(_, answer)| answer)
    }

    fn committed(&mut self, loader: String, url: String) {
        self.commits += 1;
        self.loader = loader;
        self.url = url;
        self.dom_content_loaded = false;
        self.loaded = false;
        self.network_idle = false;
        self.pending = None;
    }

    /// Takes an event of the frame `main`; whether anything changed.
    fn apply(&mut self, main: &str, event: &RawEvent, now: Instant) -> bool {
        match event.method.as_str() {
            "Page.lifecycleEvent" => self.lifecycle(main, event),
            "Page.frameNavigated" => {
                if event.text("/frame/id") != Some(main) {
                    return false;
                }
                let text = |pointer| event.text(pointer).unwrap_or_default();
                let url = format!("{}{}", text("/frame/url"), text("/frame/urlFragment"));
                self.committed(text("/frame/loaderId").to_owned(), url);
                true
            }
            _ if event.text("/frameId") != Some(main) => match event.method.as_str() {
                "Network.loadingFailed" => self.loading_failed(event),
                _ => false,
            },
            "Page.navigatedWithinDocument" => {
                if let Some(url) = event.text("/url") {
                    url.clone_into(&mut self.url);
                }
                // A request for a place in the same document ends with this.
                if matches!(self.pending, Some(Pending::Requested { .. })) {
                    self.pending = None;
                }
                true
            }
            "Page.frameScheduledNavigation" => {
                let delay = event.number("/delay").unwrap_or_default();
                let delay = Duration::try_from_secs_f64(delay).unwrap_or(Duration::MAX);
                let target = event.text("/url").unwrap_or_default();
                if delay > REDIRECT_DELAY_MAX || (!delay.is_zero() && same_document(target, &self.url)) {
                    return false;
                }
                if self.pending.is_none() {
                    self.pending = Some(Pending::Scheduled { due: now + delay });
                }
                true
            }
            "Page.frameClearedScheduledNavigation" => {
                // The timer ran out, and the request follows at once; or it was called off. The request, if there
                // is one, has been announced before this event.
                if let Some(Pending::Scheduled { .. }) = self.pending {
                    self.pending = Some(Pending::Requested { since: now });
                }
                true
            }
            "Page.frameRequestedNavigation" => {
                let here = event.text("/disposition").is_none_or(|disposition| disposition == "currentTab");
                if here && !matches!(self.pending, Some(Pending::Started { .. })) {
                    self.pending = Some(Pending::Requested { since: now });
                }
                here
            }
            "Page.frameStartedNavigating" => {
                let kind = event.text("/navigationType").unwrap_or_default();
                if matches!(kind, "sameDocument" | "historySameDocument") {
                    return false;
                }
                self.pending =
                    Some(Pending::Started { loader: event.text("/loaderId").unwrap_or_default().to_owned() });
                true
            }
            "Page.frameStoppedLoading" => {
                // Whatever was being fetched for this frame is over: committed, refused or empty (204).
                let over = matches!(self.pending, Some(Pending::Started { .. }));
                if over {
                    self.pending = None;
                }
                over
            }
            "Network.responseReceived" => self.response(event),
            _ => false,
        }
    }

    fn lifecycle(&mut self, main: &str, event: &RawEvent) -> bool {
        if event.text("/frameId") != Some(main) {
            return false;
        }
        if event.text("/loaderId") != Some(self.loader.as_str()) {
            return false;
        }
        match event.text("/name") {
            Some("DOMContentLoaded") => self.dom_content_loaded = true,
            Some("load") => self.loaded = true,
            Some("networkIdle") => self.network_idle = true,
            _ => return false,
        }
        true
    }

    fn response(&mut self, event: &RawEvent) -> bool {
        // The request of a document carries the id of its loader; all others are of no interest here.
        let Some(loader) = event.text("/loaderId").filter(|loader| event.text("/requestId") == Some(loader)) else {
            return false;
        };
        let status =
            event.part("/response/status").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
        let answer = Answer {
            status: status.filter(|status| *status > 0),
            headers: event.part("/response/headers").map(headers).unwrap_or_default(),
        };
        if self.answers.len() == ANSWERS_KEPT {
            self.answers.pop_front();
        }
        self.answers.push_back((loader.to_owned(), answer));
        true
    }

    fn loading_failed(&mut self, event: &RawEvent) -> bool {
        let (Some(Pending::Started { loader }), Some(request)) = (&self.pending, event.text("/requestId")) else {
            return false;
        };
        if loader != request {
            return false;
        }
        self.failed = Some((loader.clone(), event.text("/errorText").unwrap_or_default().to_owned()));
        self.pending = None;
        true
    }
}

/// Whether two addresses differ at most in their fragment.
pub(crate) fn same_document(one: &str, other: &str) -> bool {
    let base = |url: &str| url.split('#').next().unwrap_or_default().to_owned();
    base(one) == base(other)
}

/// Headers with names in lower case. Chromium joins repeated ones by a line feed; they come apart again.
pub(crate) fn headers(headers: &Value) -> Vec<(String, String)> {
    let Some(map) = headers.as_object() else { return Vec::new() };
    let mut list = Vec::with_capacity(map.len());
    for (name, value) in map {
        for line in value.as_str().unwrap_or_default().split('\n') {
            list.push((name.to_ascii_lowercase(), line.to_owned()));
        }
    }
    list
}

/// The state with its watchers.
#[derive(Debug)]
pub(crate) struct Tracker {
    main: String,
    progress: watch::Sender<Progress>,
}

impl Tracker {
    pub(crate) fn new(main: impl Into<String>) -> Self {
        let progress = Progress { url: "about:blank".to_owned(), ..Progress::default() };
        Self { main: main.into(), progress: watch::Sender::new(progress) }
    }

    /// The main frame's id.
    pub(crate) fn main(&self) -> &str {
        &self.main
    }

    /// Takes an event of the page's session.
    pub(crate) fn event(&self, event: &RawEvent) {
        self.progress.send_if_modified(|progress| progress.apply(&self.main, event, Instant::now()));
    }

    /// A download took the place of a navigation.
    pub(crate) fn download(&self) {
        self.progress.send_modify(|progress| {
            progress.downloads += 1;
            progress.pending = None;
        });
    }

    /// Forgets an announcement that came to nothing.
    pub(crate) fn give_up_pending(&self, pending: &Pending) {
        self.progress.send_if_modified(|progress| {
            let same = progress.pending.as_ref() == Some(pending);
            if same {
                progress.pending = None;
            }
            same
        });
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use serde_json::json;

    use super::*;

    fn event(method: &str, params: &Value) -> RawEvent {
        serde_json::from_value(json!({"method": method, "params": params})).unwrap()
    }

    fn navigated(loader: &str, url: &str) -> RawEvent {
        event(
            "Page.frameNavigated",
            &json!({"type": "Navigation", "frame": {
                "id": "F", "loaderId": loader, "url": url, "domainAndRegistry": "", "securityOrigin": "",
                "mimeType": "text/html", "secureContextType": "Secure", "crossOriginIsolatedContextType": "NotIsolated",
                "gatedAPIFeatures": []
            }}),
        )
    }

    fn lifecycle(loader: &str, name: &str) -> RawEvent {
        event("Page.lifecycleEvent", &json!({"frameId": "F", "loaderId": loader, "name": name, "timestamp": 1.0}))
    }

    fn after(events: &[RawEvent]) -> Progress {
        let mut progress = Progress::default();
        for event in events {
            progress.apply("F", event, Instant::now());
        }
        progress
    }

    #[test]
    fn a_new_document_starts_its_life_anew() {
        let progress = after(&[navigated("L1", "http://a/"), lifecycle("L1", "load"), navigated("L2", "http://b/")]);
        assert_eq!((progress.commits, progress.loaded, progress.url.as_str()), (2, false, "http://b/"));
        let late = after(&[navigated("L1", "http://a/"), navigated("L2", "http://b/"), lifecycle("L1", "load")]);
        assert!(!late.loaded, "an event of the former document must not count for the new one");
    }

    #[test]
    fn a_meta_refresh_is_pending_until_its_document_is_there() {
        let scheduled = event(
            "Page.frameScheduledNavigation",
            &json!({"frameId": "F", "delay": 0.0, "reason": "metaTagRefresh", "url": "http://b/"}),
        );
        let progress = after(&[navigated("L1", "http://a/"), scheduled.clone()]);
        assert!(matches!(progress.pending, Some(Pending::Scheduled { .. })));
        assert!(after(&[navigated("L1", "http://a/"), scheduled, navigated("L2", "http://b/")]).pending.is_none());
    }

    #[test]
    fn a_page_that_refreshes_itself_later_is_not_waited_for() {
        let refresh = |delay: f64, url: &str| {
            event(
                "Page.frameScheduledNavigation",
                &json!({"frameId": "F", "delay": delay, "reason": "metaTagRefresh", "url": url}),
            )
        };
        let start = navigated("L1", "http://a/");
        assert!(after(&[start.clone(), refresh(1.0, "http://a/")]).pending.is_none());
        assert!(after(&[start.clone(), refresh(30.0, "http://b/")]).pending.is_none());
        assert!(after(&[start, refresh(1.0, "http://b/")]).pending.is_some());
    }

    #[test]
    fn a_request_that_opens_another_tab_is_not_pending() {
        let request = |disposition: &str| {
            event(
                "Page.frameRequestedNavigation",
                &json!({"frameId": "F", "reason": "anchorClick", "url": "http://b/", "disposition": disposition}),
            )
        };
        assert!(after(&[request("newTab")]).pending.is_none());
        assert!(after(&[request("currentTab")]).pending.is_some());
    }

    #[test]
    fn other_frames_do_not_count() {
        let other = event("Page.frameRequestedNavigation", &json!({"frameId": "G", "url": "http://b/"}));
        assert!(after(&[other]).pending.is_none());
    }

    #[test]
    fn the_answer_of_a_document_is_found_by_its_loader() {
        let response = event(
            "Network.responseReceived",
            &json!({"requestId": "L1", "loaderId": "L1", "frameId": "F", "timestamp": 1.0, "type": "Document",
            "hasExtraInfo": false, "response": {"url": "http://a/", "status": 404, "statusText": "", "headers":
            {"Set-Cookie": "a=1\nb=2"}, "mimeType": "text/html", "charset": "", "connectionReused": false,
            "connectionId": 1, "encodedDataLength": 1, "securityState": "insecure"}}),
        );
        let progress = after(&[response]);
        let answer = progress.answer("L1").unwrap();
        assert_eq!(answer.status, Some(404));
        let cookies: Vec<_> = answer.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(cookies, [("set-cookie", "a=1"), ("set-cookie", "b=2")]);
        assert!(progress.answer("L2").is_none());
    }
}
