//! Fetches pages: from an address to an [`Outcome`], with its retries and its checkpoint.
//!
//! All pages of a task share one browser context unless the input says `isolated`, and in it a few tabs (`tabs`). A tab
//! is used again only if nothing out of the ordinary happened in it, and only by way of `about:blank`, where the host
//! makes it forget its page: what a page yields must not depend on which page was in its tab before.
//!
//! When the browser dies, every page that was open in it fails at once and nobody knows which of them was the cause. So
//! from then on these *suspects* are tried again one at a time: the one that kills the browser uses up its own tries, not
//! those of its neighbours.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use buddy_plugin::browser::{self, Field, GotoOptions, Navigation, State, WaitUntil};
use buddy_plugin::serde_json::{Map, Value};
use buddy_plugin::{ErrorCode, Failure, HostError, context, log, progress};
use futures::lock::{Mutex, MutexGuard};
use url::Url;

use crate::begun::{End, Mark};
use crate::crawl::{Job, Outcome};
use crate::input::{Input, WaitUntil as InputWait};
use crate::output::{Page, PageFailure};
use crate::pace::Pace;
use crate::plan::Plan;
use crate::reading::{Reading, SCRIPT, Want};
use crate::retry::{self, Decision, Fault, Reach};
use crate::saved::Saved;
use crate::shared::{Demand, Open, Resting, Shared, context_options};
use crate::sites::{Sites, Verdict};
use crate::tabs::{Tab, Turn};
use crate::{address, bounds, chance};

/// How often a page that moves on by script while it is being read is read again.
const READINGS: usize = 4;

/// Time that is left for the pages under way when a run ends because its time does, at most; of a short run, a tenth.
const LAST_MOMENTS: Duration = Duration::from_secs(10);

/// How long a page that was not loaded in time may take to answer at all.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// How long a tab may take to leave its page: one that needs longer is busy with the page's own scripts.
const LEAVE: Duration = Duration::from_secs(2);

/// A page that rests for longer than this gives up its claim to a tab. Opening one takes about 100 ms.
const SHORT_REST: Duration = Duration::from_millis(500);

/// What the pages of a run share.
pub(crate) struct Fetcher<'a> {
    plan: &'a Plan,
    saved: Saved,
    sites: Sites,
    pace: RefCell<Pace>,
    shared: Shared,
    demand: Demand,
    /// Held by a suspect while it is tried again.
    suspects: Mutex<()>,
    stop: RefCell<Option<Failure>>,
    /// Until the host would end the run, less what is needed to end it in order.
    time: Duration,
    started: Instant,
    resumed: Cell<u64>,
    /// The task's try.
    run: u32,
    /// Pages that were gone to.
    fetched: Cell<u32>,
}

impl<'a> Fetcher<'a> {
    pub(crate) fn new(plan: &'a Plan) -> Self {
        let task = context::get();
        Self {
            plan,
            saved: Saved::default(),
            sites: Sites::default(),
            pace: RefCell::new(Pace::new(Duration::from_millis(plan.input.per_host_delay_ms))),
            shared: Shared::default(),
            demand: Demand::new(plan.input.concurrency as usize),
            suspects: Mutex::new(()),
            stop: RefCell::new(None),
            time: time_for_pages(task.deadline),
            started: Instant::now(),
            resumed: Cell::new(0),
            run: task.attempt,
            fetched: Cell::new(0),
        }
    }

    /// Takes over what earlier runs of the task have left.
    pub(crate) async fn recall(&self) {
        self.saved.recall(self.run).await;
    }

    /// Lets a later try of the task try every page anew.
    pub(crate) async fn begin_anew(&self) {
        self.saved.begin_anew().await;
    }

    /// Reads the robots.txt of the sites in a wave.
    pub(crate) async fn learn_sites(&self, wave: &[Job]) {
        if self.plan.input.respect_robots {
            let urls = wave.iter().filter_map(|job| Url::parse(&job.url).ok());
            let at_once = self.plan.input.concurrency as usize;
            self.sites.learn(urls, &self.saved, self.plan.input.retries, at_once).await;
        }
    }

    /// Why the run should stop, if it should.
    pub(crate) fn stopped(&self) -> Option<Failure> {
        if progress::is_cancelled() {
            self.stop_run(Failure::retryable(
                "the task is being cancelled or its host is stopping; finished pages are kept",
            ));
        }
        if self.started.elapsed() >= self.time {
            self.stop_run(Failure::retryable(
                "the time for one run is over; the next one goes on from the pages that are finished",
            ));
        }
        self.stop.borrow().clone()
    }

    fn stop_run(&self, why: Failure) {
        self.stop.borrow_mut().get_or_insert(why);
    }

    /// Pages that were taken from checkpoints.
    pub(crate) fn resumed(&self) -> u64 {
        self.resumed.get()
    }

    /// A wave of so many pages begins.
    pub(crate) fn begin(&self, pages: usize) {
        self.demand.begin(pages);
    }

    /// What becomes of a page; `None` if the run stopped before that was known.
    ///
    /// `keep_the_new` leaves out of its links what need not be kept.
    pub(crate) async fn page(&self, job: &Job, keep_the_new: impl Fn(u32, &mut Vec<String>)) -> Option<Outcome> {
        let outcome = self.outcome(job, keep_the_new).await;
        self.demand.finished();
        self.shared.trim(self.demand.tabs());
        outcome
    }

    async fn outcome(&self, job: &Job, keep_the_new: impl Fn(u32, &mut Vec<String>)) -> Option<Outcome> {
        if self.stopped().is_some() {
            return None;
        }
        if let Some(outcome) = self.saved.page(&job.url, job.depth).await {
            self.resumed.set(self.resumed.get() + 1);
            return Some(outcome);
        }
        let mut outcome = self.fetch(job).await?;
        if let Outcome::Page(_, links) = &mut outcome {
            keep_the_new(job.depth, links);
        }
        self.saved.keep_page(&job.url, &outcome).await;
        Some(outcome)
    }

    async fn fetch(&self, job: &Job) -> Option<Outcome> {
        // A job's address is one that was parsed before it became a job.
        let Ok(url) = Url::parse(&job.url) else {
            return Some(failed(job, &Fault::page("invalid", "this is not an address", false), 0));
        };
        if self.plan.input.respect_robots {
            match self.sites.judge(&url) {
                Verdict::Allowed => {}
                Verdict::Forbidden => return Some(Outcome::Disallowed),
                Verdict::Unknown(fault) => return Some(failed(job, &fault, 0)),
            }
        }
        let past = self.saved.past(&job.url);
        if let Some(fault) = past.spent(self.plan.input.retries) {
            return Some(failed(job, &fault, past.attempts));
        }
        let host = address::host(&url);
        // What was open when the last run ended is among the first, or was marked: see `begun`.
        let early = self.fetched.replace(self.fetched.get() + 1) < self.plan.input.concurrency;
        let was_open = self.saved.follows() && (early || past.attempts > 0);
        let mut suspect = was_open && self.run > 1;
        let mut attempt = past.attempts + 1;
        // Those that the host had no place for are not the page's.
        let mut its_own = past.attempts;
        loop {
            let wait = self.pace.borrow_mut().reserve(&host, Instant::now());
            self.rest(wait).await;
            let alone = if suspect { Some(self.alone().await) } else { None };
            if self.stopped().is_some() {
                return None;
            }
            let mark = Mark { attempt: its_own + 1, run: self.run, alone: suspect, end: End::Open };
            let mark = (was_open || its_own > 0).then_some(mark);
            if let Some(mark) = mark {
                self.saved.mark(&job.url, mark).await;
            }
            let tried = self.attempt(job, attempt).await;
            let fault = match tried {
                Ok((page, links)) => return Some(Outcome::Page(Box::new(page), links)),
                Err(fault) => fault,
            };
            let decision = retry::decide(&fault, attempt, self.plan.input.retries, chance::number());
            if let Some(mark) = mark {
                match decision {
                    Decision::StopRun => self.saved.mark(&job.url, Mark { end: End::Stopped, ..mark }).await,
                    Decision::Again(_) if mark.alone => {
                        self.saved.mark(&job.url, Mark { end: End::Failed, ..mark }).await;
                    }
                    // It is kept as a failure, or with the mark of its next try.
                    Decision::GiveUp | Decision::Again(_) => {}
                }
            }
            drop(alone);
            its_own += u32::from(fault.reach != Reach::Run);
            suspect |= fault.reach == Reach::Browser;
            match decision {
                Decision::GiveUp => return Some(failed(job, &fault, attempt)),
                Decision::StopRun => {
                    self.stop_run(stop(fault));
                    return None;
                }
                Decision::Again(wait) => {
                    log::line(log::Level::Warn, "a page is tried again")
                        .field("url", &job.url)
                        .field("code", &fault.code)
                        .field("reason", &fault.reason)
                        .field("attempt", attempt)
                        .write();
                    if let Some(asked) = fault.after {
                        self.pace.borrow_mut().hold(&host, Instant::now(), asked.min(retry::LONGEST_ASKED));
                    }
                    self.rest(wait).await;
                }
            }
            attempt += 1;
        }
    }

    async fn rest(&self, wait: Duration) {
        let _resting = (wait > SHORT_REST).then(|| self.needs_no_tab());
        context::sleep(wait).await;
    }

    /// Waits until no other suspect is being tried.
    async fn alone(&self) -> MutexGuard<'_, ()> {
        let _resting = self.needs_no_tab();
        self.suspects.lock().await
    }

    /// For as long as the page does not need a tab; one that is free for it now is closed.
    fn needs_no_tab(&self) -> Resting<'_> {
        let resting = self.demand.rest();
        self.shared.trim(self.demand.tabs());
        resting
    }

    /// One try: takes a tab, goes there, reads.
    async fn attempt(&self, job: &Job, attempt: u32) -> Result<(Page, Vec<String>), Fault> {
        let mut page = Page { requested_url: job.url.clone(), depth: job.depth, attempt, ..Page::default() };
        let links = if self.plan.input.isolated {
            let context = browser::open(context_options(&self.plan.input)).await?;
            let tab = context.new_page().await?;
            let visited = self.visit(&tab, job, &mut page).await;
            if visited.is_ok() {
                close(tab).await;
            }
            visited.map_err(Miss::into_fault)
        } else {
            self.attempt_in_shared(job, &mut page).await
        }?;
        bounds::fit(&mut page, bounds::PAGE_BYTES);
        Ok((page, links))
    }

    async fn attempt_in_shared(&self, job: &Job, page: &mut Page) -> Result<Vec<String>, Fault> {
        let (open, tab) = self.tab().await?;
        let visited = self.visit(&tab.page, job, page).await;
        let sound = match &visited {
            Ok(_) => !page.timed_out && same_origin(&job.url, &page.url),
            Err(Miss::Page(fault)) => fault.code == retry::HTTP_STATUS && same_origin(&job.url, &page.url),
            Err(Miss::Host(_)) => false,
        };
        match visited {
            Err(Miss::Host(error)) => {
                open.tabs.discarded();
                Err(self.lost(&open, error))
            }
            visited => {
                self.put_back(&open, tab, sound).await;
                visited.map_err(Miss::into_fault)
            }
        }
    }

    /// A tab of the shared context, with that.
    async fn tab(&self) -> Result<(Rc<Open>, Tab<browser::Page>), Fault> {
        loop {
            let open = self.shared.get(&self.plan.input).await?;
            match open.tabs.turn().await {
                Some(Turn::Tab(tab)) => return Ok((open, tab)),
                Some(Turn::Open) => {
                    let page = open.context.new_page().await;
                    return match open.tabs.opened(page, Instant::now()) {
                        Ok(tab) => Ok((open, tab)),
                        Err(error) => Err(self.lost(&open, error)),
                    };
                }
                // The browser died while this page was waiting, so it was not the cause.
                None => {}
            }
        }
    }

    /// Keeps a tab for another page, or closes it: if anything happened in it that could show in the next page, if it is
    /// worn out, and if no page is about to need it.
    async fn put_back(&self, open: &Open, mut tab: Tab<browser::Page>, sound: bool) {
        let sound = sound
            && open.tabs.keeps(&mut tab, self.demand.tabs(), Instant::now())
            && matches!(tab.page.dialogs().await, Ok(dialogs) if dialogs.is_empty())
            && tab.page.goto("about:blank", GotoOptions::new().timeout(LEAVE)).await.is_ok();
        if sound {
            open.tabs.give_back(tab, self.demand.tabs());
        } else {
            open.tabs.discarded();
            close(tab.page).await;
        }
    }

    /// Takes a host's error as a fault; a dead browser's context is not used again.
    fn lost(&self, open: &Open, error: HostError) -> Fault {
        let fault = Fault::from(error);
        if fault.reach == Reach::Browser {
            self.shared.forget(open);
        }
        fault
    }

    async fn visit(&self, tab: &browser::Page, job: &Job, page: &mut Page) -> Result<Vec<String>, Miss> {
        let input = &self.plan.input;
        let mut navigation = tab.goto(&job.url, goto_options(self.plan)).await?;
        if let Some(selector) = &input.wait_for
            && navigation.from_cache
            && tab.count(selector).await? == 0
        {
            // A kept page runs no scripts, so what it lacks does not come: it is fetched, and kept anew.
            navigation = tab.goto(&job.url, goto_options(self.plan).max_age(Duration::ZERO)).await?;
        }
        page.url = spelt(&navigation.url);
        check(&navigation)?;
        page.status = navigation.status;
        page.timed_out = navigation.timed_out;
        page.from_cache = navigation.from_cache;
        if navigation.timed_out {
            // Reading would wait as long again for a page that hangs.
            tab.wait_for(":root", State::Attached, Some(SIGN_OF_LIFE)).await.map_err(hangs)?;
        }
        if let Some(selector) = &input.wait_for {
            tab.wait_for(selector, State::Attached, Some(self.plan.timeout())).await?;
        }
        let mut expected = page.url.clone();
        let links = {
            let mut readings = 0;
            loop {
                let reading = self.read(tab, page).await?;
                // A page that is shown as it was kept has no address of its own, and runs no script to move on by.
                let url = if navigation.from_cache { expected.clone() } else { spelt(&reading.url) };
                // Fields and script are separate calls: only if both saw the same address they saw the same document.
                if url == expected {
                    page.url = url;
                    break reading.into_page(page);
                }
                readings += 1;
                if readings == READINGS {
                    let reason = format!("the page keeps moving on by script, last to {url}");
                    return Err(Miss::Page(Fault::page("unsettled", reason, true)));
                }
                expected = url;
            }
        };
        if input.screenshot {
            page.screenshot = Some(tab.screenshot_full_page().await?);
        }
        Ok(links)
    }

    /// Reads the document that is there now.
    async fn read(&self, tab: &browser::Page, page: &mut Page) -> Result<Reading, Miss> {
        let input = &self.plan.input;
        page.truncated.clear();
        if !input.fields.is_empty() {
            let value = tab.extract(input.each.as_deref(), fields(input)).await?;
            take_fields(page, value, input.each.is_some());
        }
        if input.article {
            let mut article = tab.article(None).await?;
            if bounds::cut(&mut article, bounds::ARTICLE_BYTES) {
                bounds::note(page, "article");
            }
            page.article = Some(article);
        }
        let want = Want {
            links: input.links,
            metadata: input.metadata,
            tables: input.tables,
            follow: self.plan.follow_selector(),
        };
        Ok(tab.evaluate(None, SCRIPT, &want).await?)
    }

    /// Closes the shared context.
    pub(crate) async fn close(&self) {
        self.shared.close().await;
    }
}

/// A visit that did not succeed.
enum Miss {
    Host(HostError),
    Page(Fault),
}

impl From<HostError> for Miss {
    fn from(error: HostError) -> Self {
        Self::Host(error)
    }
}

impl From<Fault> for Miss {
    fn from(fault: Fault) -> Self {
        Self::Page(fault)
    }
}

impl Miss {
    fn into_fault(self) -> Fault {
        match self {
            Self::Host(error) => error.into(),
            Self::Page(fault) => fault,
        }
    }
}

/// Closes a tab. One that does not close is the pool's to clean up; what was read stands.
async fn close(tab: browser::Page) {
    if let Err(error) = tab.close().await {
        log::debug(format!("a tab did not close: {error}"));
    }
}

/// How much of a run's time is for beginning pages.
fn time_for_pages(deadline: Duration) -> Duration {
    deadline.saturating_sub(LAST_MOMENTS.min(deadline / 10))
}

/// Whether a page ended on the site that was asked for: else a document of another origin was in the tab on the way, and
/// what that stored for the tab's lifetime stays.
fn same_origin(asked: &str, ended: &str) -> bool {
    match (Url::parse(asked), Url::parse(ended)) {
        (Ok(asked), Ok(ended)) => asked.origin() == ended.origin(),
        _ => false,
    }
}

/// What a fault that stops the run means for the task: what the host does not have at all is not tried again.
fn stop(fault: Fault) -> Failure {
    if fault.retryable || fault.code == "cancelled" {
        Failure::Retryable { message: fault.reason, after: fault.after }
    } else {
        Failure::Permanent(fault.reason)
    }
}

fn failed(job: &Job, fault: &Fault, attempts: u32) -> Outcome {
    let Fault { code, reason, retryable, .. } = fault.clone();
    Outcome::Failed { failure: PageFailure { url: job.url.clone(), code, reason, attempts }, retryable }
}

/// The error of a page that shows no sign of life.
fn hangs(mut error: HostError) -> HostError {
    if error.code == ErrorCode::TimedOut {
        error.message =
            format!("the page was not loaded in time, and hangs: it did not answer within {SIGN_OF_LIFE:?}");
    }
    error
}

/// What a navigation means that did arrive somewhere.
fn check(navigation: &Navigation) -> Result<(), Fault> {
    if let Some(artifact) = &navigation.download {
        return Err(Fault::page("download", format!("the address is a download, kept as artifact {artifact}"), false));
    }
    match navigation.status {
        Some(status) if status >= 400 => {
            let after =
                header(&navigation.headers, "retry-after").and_then(|value| asked_wait(value, SystemTime::now()));
            Err(Fault::status(status, after))
        }
        _ => Ok(()),
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// `Retry-After`, in seconds or as a date.
fn asked_wait(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    // A date that has passed asks for no wait.
    Some(httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default())
}

/// An address in its one spelling, or as it is where it has none (`about:blank`).
fn spelt(url: &str) -> String {
    address::normalise(url).map_or_else(|_| url.to_owned(), String::from)
}

fn take_fields(page: &mut Page, value: Value, each: bool) {
    let mut value = value;
    let cut = bounds::cut_value(&mut value);
    match value {
        Value::Array(items) => page.items = Some(items),
        Value::Object(fields) => page.fields = Some(fields),
        _ if each => page.items = Some(Vec::new()),
        _ => page.fields = Some(Map::new()),
    }
    if cut {
        bounds::note(page, if each { "items" } else { "fields" });
    }
}

fn fields(input: &Input) -> impl Iterator<Item = Field> {
    input.fields.iter().map(|(name, spec)| {
        let mut field = Field::text(name, &spec.selector);
        if let Some(take) = &spec.take {
            field = field.take(take);
        }
        if spec.many { field.many() } else { field }
    })
}

fn goto_options(plan: &Plan) -> GotoOptions {
    let wait_until = match plan.input.wait_until {
        InputWait::Commit => WaitUntil::Commit,
        InputWait::DomContentLoaded => WaitUntil::DomContentLoaded,
        InputWait::Load => WaitUntil::Load,
        InputWait::NetworkIdle => WaitUntil::NetworkIdle,
    };
    let options = GotoOptions::new().wait_until(wait_until).timeout(plan.timeout());
    match plan.input.max_age_seconds {
        0 => options,
        seconds => options.max_age(Duration::from_secs(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use buddy_plugin::serde_json::json;

    #[test]
    fn b15_a_wait_is_asked_for_in_seconds_or_by_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 30);
        assert_eq!(asked_wait(" 120 ", now), Some(Duration::from_mins(2)));
        assert_eq!(asked_wait("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(asked_wait("Sat, 06 Nov 1993 08:49:37 GMT", now), Some(Duration::ZERO));
        assert_eq!(asked_wait("soon", now), None);
    }

    #[test]
    fn most_of_a_runs_time_is_for_its_pages_however_short_it_is() {
        for (deadline, time) in [(0, 0), (1_000, 900), (10_000, 9_000), (100_000, 90_000), (3_600_000, 3_590_000)] {
            assert_eq!(time_for_pages(Duration::from_millis(deadline)), Duration::from_millis(time));
        }
    }

    #[test]
    fn fields_become_an_object_and_with_each_a_list() {
        let mut page = Page::default();
        take_fields(&mut page, json!({ "a": "1" }), false);
        assert_eq!(page.fields.as_ref().map(Map::len), Some(1));
        take_fields(&mut page, json!([{ "a": "1" }, { "a": "2" }]), true);
        assert_eq!(page.items.as_ref().map(Vec::len), Some(2));
    }
}
