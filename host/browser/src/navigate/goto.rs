//! Going somewhere: raw `Page.navigate` and waits of our own.
//!
//! A navigation returns when its document has come as far as the caller asked for *and* no other document is on its
//! way. Pages that only redirect, by script or `<meta http-equiv="refresh">`, are followed: what the caller gets is
//! the page a person would end up on. Whether such a redirect is coming is asked of the page itself: a small
//! function in its isolated world is answered only after everything that the page has announced so far, and says
//! whether a refresh is written in the document that Chromium has not scheduled yet.
//!
//! Every wait has the caller's deadline. A page that is there but not complete by then is returned with
//! `timed_out`; a page that is not there at all is an error.

use std::time::Duration;

use chromiumoxide::cdp::browser_protocol::page::{
    GetNavigationHistoryParams, NavigateParams, NavigateToHistoryEntryParams, ReloadParams, StopLoadingParams,
};
use tokio::sync::watch;
use tokio::time::Instant;

use super::errors::{check_url, net_error};
use super::leave::BLANK;
use super::tracker::{Pending, Progress, REDIRECT_DELAY_MAX, same_document};
use crate::cdp::Session;
use crate::error::BrowserError;
use crate::page::Page;
use crate::page_state::{DownloadEntry, DownloadState};
use crate::pool::stats::Counters;
use crate::types::{Download, GotoOptions, Navigation, WaitUntil};

/// Redirects by script or refresh that one navigation follows. Sign-in flows take three or four.
const CLIENT_REDIRECTS_MAX: u64 = 10;

/// How long a page that can be read already may take to finish loading before it is returned with `timed_out`: a
/// frame or a request that hangs must not hold up the rest of a task for the whole timeout.
const LOAD_GRACE: Duration = Duration::from_secs(10);

/// How long a request for another document may go without being taken up. Chromium takes one up within
/// milliseconds; one that it drops (the page called it off, the address is refused) is not announced.
const REQUEST_GRACE: Duration = Duration::from_secs(1);

/// How long the page may take to say whether it is about to leave. A page busy with its own scripts answers late.
const PROBE_GRACE: Duration = Duration::from_secs(5);

/// How long the answer's status and headers may come after the document: they take another way to us.
const ANSWER_GRACE: Duration = Duration::from_millis(250);

/// Tries when another navigation of the page gets in the way.
const INTERRUPTED_MAX: u32 = 3;

/// Asks a document whether it is about to leave: after the timers that are due now, the delay and target of its
/// refresh.
const PROBE: &str = r#"async scripted => {
  if (scripted) await new Promise(done => setTimeout(done, 0));
  const meta = document.querySelector('meta[http-equiv="refresh" i]');
  return meta ? meta.getAttribute('content') : null;
}"#;

enum Start<'a> {
    Url { url: &'a str, referer: Option<&'a str> },
    Reload,
    Back,
}

/// How a try to start ended.
enum Started {
    /// A document came. The number is the frame's count of documents with the first one of this navigation.
    Document(u64),
    /// Another place of the same document.
    Place,
    Download,
}

impl Page {
    /// Goes to an address. `about:blank` makes the page as good as a new one: its document is left without its scripts
    /// having a say, and the tab forgets `sessionStorage`, window name and history. That counts as no navigation.
    ///
    /// # Errors
    /// `dns`, `connect`, `tls`, `policy` when the document cannot be fetched; `redirects` for a loop by the server or
    /// by script; `timed-out` when there was no document in time; `invalid` for an address that is not the web.
    pub async fn goto(&self, url: &str, options: &GotoOptions) -> Result<Navigation, BrowserError> {
        if check_url(url)?.as_str() == BLANK {
            let deadline = Instant::now() + options.timeout;
            let _one = self.navigation_turn(options.timeout, deadline).await?;
            return self.leave(deadline).await;
        }
        self.navigate(&Start::Url { url, referer: options.referer.as_deref() }, options).await
    }

    /// Loads the page's document again.
    pub async fn reload(&self, options: &GotoOptions) -> Result<Navigation, BrowserError> {
        self.navigate(&Start::Reload, options).await
    }

    /// Goes back in the page's history.
    ///
    /// # Errors
    /// `not-found` when there is nothing to go back to.
    pub async fn back(&self, options: &GotoOptions) -> Result<Navigation, BrowserError> {
        self.navigate(&Start::Back, options).await
    }

    async fn navigate(&self, start: &Start<'_>, options: &GotoOptions) -> Result<Navigation, BrowserError> {
        let counters = self.counters();
        Counters::add(&counters.navigations);
        self.count_load();
        let deadline = Instant::now() + options.timeout;
        let _one = self.navigation_turn(options.timeout, deadline).await?;
        let result = self.navigate_alone(start, options, deadline).await;
        if result.is_err() {
            Counters::add(&counters.failed_navigations);
        }
        result
    }

    /// One navigation at a time: a second would end the first half-way.
    async fn navigation_turn(
        &self,
        timeout: Duration,
        deadline: Instant,
    ) -> Result<tokio::sync::MutexGuard<'_, ()>, BrowserError> {
        tokio::time::timeout_at(deadline, self.navigation_lock())
            .await
            .map_err(|_| BrowserError::timed_out("another navigation of this page", timeout))
    }

    async fn navigate_alone(
        &self,
        start: &Start<'_>,
        options: &GotoOptions,
        deadline: Instant,
    ) -> Result<Navigation, BrowserError> {
        let mut watch = self.state().tracker.watch();
        let downloads_before = self.downloads_so_far();
        let mut interrupted = 0;
        let started = loop {
            let before = watch.borrow().commits;
            match self.start(start, &mut watch, options.timeout, deadline).await {
                Err(BrowserError::Failed(words)) if words.contains("ERR_ABORTED") && interrupted < INTERRUPTED_MAX => {
                    // Either the answer has no content, or the page itself went elsewhere in the same moment. In
                    // the second case a document of its own comes: let it, then insist.
                    interrupted += 1;
                    self.wait_for_pending(&mut watch, deadline).await?;
                    if watch.borrow().commits == before {
                        return Err(BrowserError::Failed(words));
                    }
                }
                other => break other?,
            }
        };
        let mut timed_out = false;
        let mut download = matches!(started, Started::Download);
        let mut first = watch.borrow().commits;
        if let Started::Document(count) = started {
            first = count;
            let journey = Journey { first, downloads_before, deadline };
            match self.arrive(&mut watch, options.wait_until, &journey).await? {
                Arrival::Complete => {}
                Arrival::Late => timed_out = true,
                Arrival::Download => download = true,
            }
        }
        let download = if download { Some(self.finished_download(downloads_before, deadline).await?) } else { None };
        let (loader, url) = {
            let progress = watch.borrow();
            (progress.loader.clone(), progress.url.clone())
        };
        if url.starts_with("http") && download.is_none() {
            // Absent for a document that needed no request; then the short wait is in vain.
            let known = self.until(&mut watch, deadline.min(Instant::now() + ANSWER_GRACE), |progress| {
                progress.answer(&loader).is_some()
            });
            known.await?;
        }
        let progress = watch.borrow();
        let answer = progress.answer(&loader).cloned().unwrap_or_default();
        Ok(Navigation {
            url,
            status: answer.status,
            timed_out,
            download,
            headers: answer.headers,
            client_redirects: u32::try_from(progress.commits.saturating_sub(first)).unwrap_or(u32::MAX),
        })
    }

    /// Waits until the document that stays is as far as asked.
    async fn arrive(
        &self,
        watch: &mut watch::Receiver<Progress>,
        until: WaitUntil,
        journey: &Journey,
    ) -> Result<Arrival, BrowserError> {
        loop {
            let seen = watch.borrow().commits;
            if seen.saturating_sub(journey.first) > CLIENT_REDIRECTS_MAX {
                return Err(self.stop_redirecting(watch));
            }
            let complete = self.wait_until(watch, until, seen, journey).await?;
            if self.downloads_so_far() > journey.downloads_before {
                return Ok(Arrival::Download);
            }
            if watch.borrow().commits > seen {
                continue;
            }
            if until == WaitUntil::Commit || (!complete && Instant::now() >= journey.deadline) {
                return Ok(if complete { Arrival::Complete } else { Arrival::Late });
            }
            match self.settle(watch, seen, journey).await? {
                Settled::Yes if complete => return Ok(Arrival::Complete),
                Settled::Yes | Settled::Late => return Ok(Arrival::Late),
                Settled::Download => return Ok(Arrival::Download),
                Settled::Another => {}
            }
        }
    }

    /// Starts and waits for the document, or for what came instead.
    async fn start(
        &self,
        start: &Start<'_>,
        watch: &mut watch::Receiver<Progress>,
        timeout: Duration,
        deadline: Instant,
    ) -> Result<Started, BrowserError> {
        let session = self.session();
        let (commits, downloads) = {
            let progress = watch.borrow_and_update();
            (progress.commits, progress.downloads)
        };
        let too_late = |what: &str| BrowserError::timed_out(what, timeout);
        match start {
            Start::Url { url, referer } => {
                let command = NavigateParams {
                    referrer: referer.map(ToOwned::to_owned),
                    ..NavigateParams::new((*url).to_owned())
                };
                let answer = match session.call_until(command, deadline).await {
                    Err(BrowserError::TimedOut(_)) => {
                        if watch.borrow().commits > commits {
                            return Ok(Started::Document(commits + 1));
                        }
                        session.send(StopLoadingParams::default());
                        return Err(too_late(&format!("the first answer of {url}")));
                    }
                    other => other?,
                };
                if answer.is_download == Some(true) || watch.borrow().downloads > downloads {
                    return Ok(Started::Download);
                }
                if let Some(text) = answer.error_text.filter(|text| !text.is_empty()) {
                    return Err(net_error(url, &text));
                }
                let Some(loader) = answer.loader_id else {
                    // Another place in the same document. Its address is told a moment later.
                    let target = check_url(url)?;
                    let grace = deadline.min(Instant::now() + ANSWER_GRACE);
                    self.until(watch, grace, |progress| progress.url == target.as_str()).await?;
                    return Ok(Started::Place);
                };
                let loader: String = loader.into();
                let there = self
                    .until(watch, deadline, |progress| {
                        progress.loader == loader || progress.commits > commits || progress.downloads > downloads
                    })
                    .await?;
                if watch.borrow().downloads > downloads {
                    return Ok(Started::Download);
                }
                if there {
                    Ok(Started::Document(commits + 1))
                } else {
                    Err(too_late(&format!("the document of {url}")))
                }
            }
            Start::Reload => {
                session.call_until(ReloadParams::default(), deadline).await?;
                self.committed(watch, commits, downloads, session, deadline)
                    .await?
                    .ok_or_else(|| too_late("loading the page again"))
            }
            Start::Back => {
                let history = session.call_until(GetNavigationHistoryParams::default(), deadline).await?;
                let entry = usize::try_from(history.current_index - 1)
                    .ok()
                    .and_then(|index| history.entries.get(index))
                    .ok_or_else(|| BrowserError::NotFound("the page has nothing to go back to".to_owned()))?;
                let here = watch.borrow().url.clone();
                session.call_until(NavigateToHistoryEntryParams::new(entry.id), deadline).await?;
                if same_document(&entry.url, &here) && entry.url != here {
                    let url = entry.url.clone();
                    self.until(watch, deadline, |progress| progress.url == url || progress.commits > commits).await?;
                    let another = watch.borrow().commits > commits;
                    return Ok(if another { Started::Document(commits + 1) } else { Started::Place });
                }
                self.committed(watch, commits, downloads, session, deadline)
                    .await?
                    .ok_or_else(|| too_late("going back"))
            }
        }
    }

    /// Waits for a document or a download; `None` when there was none in time.
    async fn committed(
        &self,
        watch: &mut watch::Receiver<Progress>,
        commits: u64,
        downloads: u64,
        session: &Session,
        deadline: Instant,
    ) -> Result<Option<Started>, BrowserError> {
        let came = self
            .until(watch, deadline, |progress| {
                progress.commits > commits || progress.downloads > downloads || progress.failed.is_some()
            })
            .await?;
        if !came {
            session.send(StopLoadingParams::default());
            return Ok(None);
        }
        let progress = watch.borrow();
        if progress.downloads > downloads {
            return Ok(Some(Started::Download));
        }
        match &progress.failed {
            Some((_, text)) if progress.commits == commits => Err(net_error(&progress.url, text)),
            _ => Ok(Some(Started::Document(commits + 1))),
        }
    }

    /// Waits until the present document is as far as asked, another took its place, or a download came instead;
    /// `false` when none of it happened in time.
    async fn wait_until(
        &self,
        watch: &mut watch::Receiver<Progress>,
        until: WaitUntil,
        seen: u64,
        journey: &Journey,
    ) -> Result<bool, BrowserError> {
        if until == WaitUntil::Commit {
            return Ok(true);
        }
        let downloads = watch.borrow().downloads;
        let over = |progress: &Progress| progress.commits > seen || progress.downloads > downloads;
        let readable = |progress: &Progress| over(progress) || progress.dom_content_loaded;
        if !self.until(watch, journey.deadline, readable).await? {
            return Ok(false);
        }
        if until == WaitUntil::DomContentLoaded {
            return Ok(true);
        }
        let grace = journey.deadline.min(Instant::now() + LOAD_GRACE);
        let complete = |progress: &Progress| {
            over(progress) || (progress.loaded && (until != WaitUntil::NetworkIdle || progress.network_idle))
        };
        self.until(watch, grace, complete).await
    }

    /// Waits until `condition` holds; `false` at the deadline.
    pub(super) async fn until(
        &self,
        watch: &mut watch::Receiver<Progress>,
        deadline: Instant,
        condition: impl FnMut(&Progress) -> bool,
    ) -> Result<bool, BrowserError> {
        tokio::select! {
            biased;
            met = tokio::time::timeout_at(deadline, watch.wait_for(condition)) => Ok(matches!(met, Ok(Ok(_)))),
            end = self.session().ended() => Err(end.error()),
        }
    }

    /// Waits until no other document is on its way. `seen` is the number of documents when the present one was
    /// found complete.
    async fn settle(
        &self,
        watch: &mut watch::Receiver<Progress>,
        seen: u64,
        journey: &Journey,
    ) -> Result<Settled, BrowserError> {
        let deadline = journey.deadline;
        let another = |watch: &watch::Receiver<Progress>| watch.borrow().commits > seen;
        if another(watch) {
            return Ok(Settled::Another);
        }
        if watch.borrow().pending.is_none() {
            let refresh = loop {
                match self.probe(deadline).await {
                    Ok(refresh) => break refresh,
                    // The document is gone, and the event of the next one is on its way. Without one it was our
                    // world that was gone, made in a document before this: ask again in a new one.
                    Err(BrowserError::ContextLost(_)) => {
                        let grace = deadline.min(Instant::now() + REQUEST_GRACE);
                        if self.until(watch, grace, |progress| progress.commits > seen).await? {
                            return Ok(Settled::Another);
                        }
                        if Instant::now() >= deadline {
                            return Ok(Settled::Late);
                        }
                    }
                    // A page that is busy cannot say; what it has announced so far is known all the same.
                    Err(BrowserError::TimedOut(_) | BrowserError::Failed(_)) => break None,
                    Err(error) => return Err(error),
                }
            };
            if another(watch) {
                return Ok(Settled::Another);
            }
            let due = {
                let progress = watch.borrow();
                due_refresh(&progress, refresh).filter(|_| progress.pending.is_none())
            };
            if let Some(delay) = due {
                // Chromium schedules a refresh when the document has loaded.
                let grace = deadline.min(Instant::now() + delay + REQUEST_GRACE);
                self.until(watch, grace, |progress| progress.pending.is_some() || progress.commits > seen).await?;
            }
        }
        let settled = self.wait_for_pending(watch, deadline).await?;
        if another(watch) {
            return Ok(Settled::Another);
        }
        if self.downloads_so_far() > journey.downloads_before {
            return Ok(Settled::Download);
        }
        Ok(if settled { Settled::Yes } else { Settled::Late })
    }

    /// Waits until nothing is pending; `false` when something still was at the deadline.
    async fn wait_for_pending(
        &self,
        watch: &mut watch::Receiver<Progress>,
        deadline: Instant,
    ) -> Result<bool, BrowserError> {
        loop {
            let pending = watch.borrow_and_update().pending.clone();
            let Some(pending) = pending else { return Ok(true) };
            let until = match &pending {
                Pending::Scheduled { due } => *due + REQUEST_GRACE,
                Pending::Requested { since } => *since + REQUEST_GRACE,
                Pending::Started { .. } => deadline,
            };
            let changed =
                self.until(watch, until.min(deadline), |progress| progress.pending.as_ref() != Some(&pending)).await?;
            if changed {
                continue;
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            self.state().tracker.give_up_pending(&pending);
        }
    }

    async fn probe(&self, deadline: Instant) -> Result<Option<String>, BrowserError> {
        let deadline = deadline.min(Instant::now() + PROBE_GRACE);
        let scripted = self.scripted().into();
        let object = self.call_function_once(None, PROBE, &[scripted], true, deadline).await;
        if matches!(object, Err(BrowserError::ContextLost(_))) {
            self.worlds().forget(self.main_frame().as_ref());
        }
        Ok(object?.value.as_ref().and_then(serde_json::Value::as_str).map(ToOwned::to_owned))
    }

    /// Stops a page that redirects itself in a loop, so that it does not go on when nobody waits.
    fn stop_redirecting(&self, watch: &watch::Receiver<Progress>) -> BrowserError {
        let url = watch.borrow().url.clone();
        self.session().send(StopLoadingParams::default());
        self.session().send(NavigateParams::new("about:blank"));
        BrowserError::Redirects(format!(
            "the page redirected itself more than {CLIENT_REDIRECTS_MAX} times; the last address was {url}"
        ))
    }

    /// How many downloads the page has started so far; for [`finished_download`](Self::finished_download).
    pub(crate) fn downloads_so_far(&self) -> usize {
        self.state().downloads.borrow().len()
    }

    /// Waits for the download that the page started after its first `before` ones, until its file is complete.
    pub(crate) async fn finished_download(&self, before: usize, deadline: Instant) -> Result<Download, BrowserError> {
        let mut watch = self.state().downloads.subscribe();
        let over =
            |list: &Vec<DownloadEntry>| list.get(before).is_some_and(|entry| entry.state != DownloadState::Running);
        let entry = tokio::select! {
            biased;
            list = tokio::time::timeout_at(deadline, watch.wait_for(over)) => match list {
                Ok(Ok(list)) => list.get(before).cloned(),
                _ => None,
            },
            end = self.session().ended() => return Err(end.error()),
        };
        let Some(entry) = entry else {
            return Err(BrowserError::TimedOut("the download was not complete in time".to_owned()));
        };
        match entry.state {
            DownloadState::Done { size } => Ok(Download {
                path: self.download_folder().join(&entry.guid),
                suggested_name: entry.suggested_name,
                url: entry.url,
                size,
            }),
            DownloadState::Failed { too_large: true } => Err(BrowserError::Limit(format!(
                "the download of {} is larger than allowed; it was cancelled",
                entry.url
            ))),
            _ => Err(BrowserError::Failed(format!("the download of {} broke off", entry.url))),
        }
    }
}

/// A navigation on its way.
struct Journey {
    /// The frame's count of documents with the first one of this navigation; each further one is a redirect.
    first: u64,
    downloads_before: usize,
    deadline: Instant,
}

/// How a navigation ended that had a document.
enum Arrival {
    Complete,
    Late,
    Download,
}

/// What [`Page::settle`] found.
enum Settled {
    /// The document stays.
    Yes,
    /// Another document has come.
    Another,
    /// A download has come instead of another document.
    Download,
    /// Another document was on its way at the deadline.
    Late,
}

/// The delay of a refresh that is worth waiting for, from the document or its answer's header.
fn due_refresh(progress: &Progress, from_document: Option<String>) -> Option<Duration> {
    let content = from_document.or_else(|| {
        let answer = progress.answer(&progress.loader)?;
        answer.headers.iter().find(|(name, _)| name == "refresh").map(|(_, value)| value.clone())
    })?;
    parse_refresh(&content, &progress.url)
}

/// Delay of a `refresh` value when it is a redirect: soon, and to another address (or at once, which is a loop).
fn parse_refresh(content: &str, here: &str) -> Option<Duration> {
    let content = content.trim_start();
    let number_end = content.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(content.len());
    let (number, rest) = content.split_at(number_end);
    let number = if number.starts_with('.') { "0" } else { number };
    let delay = Duration::try_from_secs_f64(number.split('.').next()?.parse::<f64>().ok()?).ok()?;
    if delay > REDIRECT_DELAY_MAX {
        return None;
    }
    let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ';' || c == ',');
    let target = rest
        .get(..3)
        .filter(|word| word.eq_ignore_ascii_case("url"))
        .and_then(|_| rest[3..].trim_start().strip_prefix('='))
        .unwrap_or(rest)
        .trim()
        .trim_matches(['"', '\'']);
    let elsewhere = !target.is_empty() && {
        let base = url::Url::parse(here).ok();
        let joined = base.and_then(|base| base.join(target).ok());
        joined.is_none_or(|joined| !same_document(joined.as_str(), here))
    };
    (elsewhere || delay.is_zero()).then_some(delay)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_is_waited_for_when_it_is_a_redirect() {
        let here = "http://a/x.html";
        for content in ["0; URL=b.html", "0;url='b.html'", " 0, b.html", "0 ;  uRl = \"/b\"", "1.5;url=b"] {
            assert!(parse_refresh(content, here).is_some(), "{content}");
        }
        for content in ["30;url=b.html", "1", "1;url=x.html", "2;url=#top", "soon", "", ";url=b"] {
            assert!(parse_refresh(content, here).is_none(), "{content}");
        }
        assert_eq!(parse_refresh("0", here), Some(Duration::ZERO));
    }

    proptest::proptest! {
        #[test]
        fn any_refresh_text_is_taken_without_panic(content in ".{0,40}") {
            let _ = parse_refresh(&content, "http://a/");
        }
    }
}
