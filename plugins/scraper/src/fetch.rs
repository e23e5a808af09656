//! Fetches pages: from an address to an [`Outcome`], with its retries and its checkpoint.
//!
//! All pages of a task share one browser context unless the input says `isolated`. When the browser dies, every page that
//! was open in it fails at once and nobody knows which of them was the cause. So from then on these *suspects* are
//! tried again one at a time: the one that kills the browser uses up its own tries, not those of its neighbours.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use buddy_plugin::browser::{self, ContextOptions, Field, GotoOptions, Navigation, ResourceKind, State, WaitUntil};
use buddy_plugin::serde_json::{Map, Value};
use buddy_plugin::{Failure, HostError, context, log, progress};
use futures::lock::Mutex;
use url::Url;

use crate::crawl::{Job, Outcome};
use crate::input::{Input, Resource, WaitUntil as InputWait};
use crate::output::{Page, PageFailure};
use crate::pace::Pace;
use crate::plan::Plan;
use crate::reading::{Reading, SCRIPT, Want};
use crate::retry::{self, Decision, Fault, Reach};
use crate::saved::Saved;
use crate::sites::{Sites, Verdict};
use crate::{address, bounds, chance};

/// How often a page that moves on by script while it is being read is read again.
const READINGS: usize = 4;

/// Time that is left for the pages under way when a run ends because its time does.
const LAST_MOMENTS: Duration = Duration::from_secs(10);

/// What the pages of a run share.
pub(crate) struct Fetcher<'a> {
    plan: &'a Plan,
    saved: Saved,
    sites: Sites,
    pace: RefCell<Pace>,
    shared: Shared,
    /// Held by a suspect while it is tried again.
    suspects: Mutex<()>,
    stop: RefCell<Option<Failure>>,
    /// Until the host would end the run, less what is needed to end it in order.
    time: Duration,
    started: Instant,
    resumed: Cell<u64>,
}

impl<'a> Fetcher<'a> {
    pub(crate) fn new(plan: &'a Plan) -> Self {
        Self {
            plan,
            saved: Saved::default(),
            sites: Sites::default(),
            pace: RefCell::new(Pace::new(Duration::from_millis(plan.input.per_host_delay_ms))),
            shared: Shared::default(),
            suspects: Mutex::new(()),
            stop: RefCell::new(None),
            time: context::get().deadline.saturating_sub(LAST_MOMENTS),
            started: Instant::now(),
            resumed: Cell::new(0),
        }
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

    /// What becomes of a page; `None` if the run stopped before that was known.
    ///
    /// `keep_the_new` leaves out of its links what need not be kept.
    pub(crate) async fn page(&self, job: &Job, keep_the_new: impl Fn(u32, &mut Vec<String>)) -> Option<Outcome> {
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
                Verdict::Unknown { code, reason } => {
                    return Some(failed(job, &Fault::page(&code, reason, false), 0));
                }
            }
        }
        let host = address::host(&url);
        let mut suspect = false;
        let mut attempt = 1;
        loop {
            let wait = self.pace.borrow_mut().reserve(&host, Instant::now());
            context::sleep(wait).await;
            let alone = if suspect { Some(self.suspects.lock().await) } else { None };
            if self.stopped().is_some() {
                return None;
            }
            let tried = self.attempt(job, attempt).await;
            drop(alone);
            let fault = match tried {
                Ok((page, links)) => return Some(Outcome::Page(Box::new(page), links)),
                Err(fault) => fault,
            };
            suspect |= fault.reach == Reach::Browser;
            match retry::decide(&fault, attempt, self.plan.input.retries, chance::number()) {
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
                    context::sleep(wait).await;
                }
            }
            attempt += 1;
        }
    }

    /// One try: opens a tab, goes there, reads, closes the tab.
    async fn attempt(&self, job: &Job, attempt: u32) -> Result<(Page, Vec<String>), Fault> {
        let input = &self.plan.input;
        let own;
        let opened;
        let context = if input.isolated {
            own = browser::open(context_options(input)).await?;
            &own
        } else {
            opened = self.shared.get(input).await?;
            opened.as_ref()
        };
        let tab = match context.new_page().await {
            Ok(tab) => tab,
            Err(error) => return Err(self.lost(context, error)),
        };
        let mut page = Page { requested_url: job.url.clone(), depth: job.depth, attempt, ..Page::default() };
        match self.visit(&tab, job, &mut page).await {
            Ok(links) => {
                // A tab that does not close is the pool's to clean up; what was read stands.
                if let Err(error) = tab.close().await {
                    log::debug(format!("a tab did not close: {error}"));
                }
                bounds::fit(&mut page, bounds::PAGE_BYTES);
                Ok((page, links))
            }
            Err(Miss::Host(error)) => Err(self.lost(context, error)),
            Err(Miss::Page(fault)) => Err(fault),
        }
    }

    /// Takes a host's error as a fault; a dead browser's context is not used again.
    fn lost(&self, context: &browser::Context, error: HostError) -> Fault {
        let fault = Fault::from(error);
        if fault.reach == Reach::Browser {
            self.shared.forget(context);
        }
        fault
    }

    async fn visit(&self, tab: &browser::Page, job: &Job, page: &mut Page) -> Result<Vec<String>, Miss> {
        let input = &self.plan.input;
        let navigation = tab.goto(&job.url, goto_options(self.plan)).await?;
        check(&navigation)?;
        page.status = navigation.status;
        page.timed_out = navigation.timed_out;
        page.from_cache = navigation.from_cache;
        if let Some(selector) = &input.wait_for {
            tab.wait_for(selector, State::Attached, Some(self.plan.timeout())).await?;
        }
        let mut expected = spelt(&navigation.url);
        let links = {
            let mut readings = 0;
            loop {
                let reading = self.read(tab, page).await?;
                let url = spelt(&reading.url);
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

/// The context that all pages share, opened by the first that needs it.
#[derive(Default)]
struct Shared {
    opening: Mutex<()>,
    open: RefCell<Option<Rc<browser::Context>>>,
}

impl Shared {
    async fn get(&self, input: &Input) -> Result<Rc<browser::Context>, HostError> {
        // One opens, the others wait for it.
        let _opening = self.opening.lock().await;
        if let Some(context) = &*self.open.borrow() {
            return Ok(Rc::clone(context));
        }
        let context = Rc::new(browser::open(context_options(input)).await?);
        *self.open.borrow_mut() = Some(Rc::clone(&context));
        Ok(context)
    }

    /// Forgets this context, unless another one was opened since.
    fn forget(&self, dead: &browser::Context) {
        self.open.borrow_mut().take_if(|context| std::ptr::eq(context.as_ref(), dead));
    }

    async fn close(&self) {
        let context = self.open.borrow_mut().take().and_then(Rc::into_inner);
        if let Some(context) = context
            && let Err(error) = context.close().await
        {
            log::debug(format!("the browser context did not close: {error}"));
        }
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
    let Fault { code, reason, .. } = fault.clone();
    Outcome::Failed(PageFailure { url: job.url.clone(), code, reason, attempts })
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

fn context_options(input: &Input) -> ContextOptions {
    let kind = |resource: &Resource| match resource {
        Resource::Image => ResourceKind::Image,
        Resource::Media => ResourceKind::Media,
        Resource::Font => ResourceKind::Font,
        Resource::Stylesheet => ResourceKind::Stylesheet,
        Resource::Script => ResourceKind::Script,
        Resource::Other => ResourceKind::Other,
    };
    let options = ContextOptions::new().javascript(input.javascript).block(input.block.iter().map(kind));
    match &input.user_agent {
        Some(user_agent) => options.user_agent(user_agent),
        None => options,
    }
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
    fn fields_become_an_object_and_with_each_a_list() {
        let mut page = Page::default();
        take_fields(&mut page, json!({ "a": "1" }), false);
        assert_eq!(page.fields.as_ref().map(Map::len), Some(1));
        take_fields(&mut page, json!([{ "a": "1" }, { "a": "2" }]), true);
        assert_eq!(page.items.as_ref().map(Vec::len), Some(2));
    }
}
