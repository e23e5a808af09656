//! The order of a crawl, apart from all fetching: which addresses come next, and what becomes of what was found there.
//!
//! A crawl goes level by level. [`Crawl::next_wave`] hands out addresses of the present level, [`Crawl::complete`] takes
//! what became of each, in any order. Everything that depends on order (which of two pages is the alias of the other,
//! which links come first, where `max_pages` and the output's bound cut) is decided in the order of discovery, never of
//! completion: the same site gives the same output, whatever was slow and however often the run was killed.
//!
//! **Redirects.** Two addresses that end at one page are one page: the address found first keeps it, the others become
//! its `aliases`, and neither uses up `max_pages`. Failed pages do use it up.
//!
//! **Bounds.** The output keeps pages whole as long as all up to there fit (`bounds`), then without their contents, then
//! only counts them: again in the order of discovery. A crawl makes at most twice `max_pages` requests and a few, however many of them turn out to be aliases.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use crate::follow::Rules;
use crate::output::{Page, PageFailure, Stats};
use crate::plan::Plan;
use crate::{address, bounds};
use url::Url;

/// Requests that even a crawl of one page may make, for stubs in front of it.
const SPARE_REQUESTS: usize = 20;

/// An address to go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// The place in the order of discovery.
    pub(crate) index: usize,
    pub(crate) url: String,
    pub(crate) depth: u32,
}

/// What became of a job.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// A page, and the links on it that may be followed, in document order.
    Page(Box<Page>, Vec<String>),
    /// A page that failed for good.
    Failed {
        failure: PageFailure,
        /// Whether it may work in a later run.
        retryable: bool,
    },
    /// robots.txt forbids it.
    Disallowed,
}

/// A completed job that waits for the jobs before it.
struct Held {
    outcome: Outcome,
    /// The page's size before anything was left out.
    bytes: usize,
    stripped: bool,
}

/// The state of a crawl.
pub(crate) struct Crawl {
    rules: Option<Rules>,
    max_pages: usize,
    max_depth: u32,
    max_requests: usize,
    max_output: usize,

    depth: u32,
    level: VecDeque<String>,
    next_level: Vec<String>,
    /// Every address that was or will be asked for.
    seen: HashSet<String>,
    /// Where pages ended, by their place in `pages`; `None` for one that the output had no room for.
    ended: HashMap<String, Option<usize>>,
    /// Places of `max_pages` that are taken.
    taken: usize,

    wave: Vec<Job>,
    issued: usize,
    folded: usize,
    held: BTreeMap<usize, Held>,
    held_bytes: usize,
    folded_bytes: usize,
    light_bytes: usize,

    pages: Vec<Page>,
    failures: Vec<PageFailure>,
    /// Whether any failure may not be one in a later run.
    may_work_later: bool,
    stats: Stats,
}

impl Crawl {
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut crawl = Self {
            rules: plan.rules.clone(),
            max_pages: plan.max_pages,
            max_depth: plan.max_depth,
            max_requests: plan.max_pages * 2 + SPARE_REQUESTS,
            max_output: bounds::OUTPUT_BYTES,
            depth: 0,
            level: VecDeque::new(),
            next_level: Vec::new(),
            seen: HashSet::new(),
            ended: HashMap::new(),
            taken: 0,
            wave: Vec::new(),
            issued: 0,
            folded: 0,
            held: BTreeMap::new(),
            held_bytes: 0,
            folded_bytes: 0,
            light_bytes: 0,
            pages: Vec::new(),
            failures: Vec::new(),
            may_work_later: false,
            stats: Stats::default(),
        };
        for start in &plan.starts {
            if crawl.seen.insert(start.url.clone()) {
                crawl.level.push_back(start.url.clone());
            }
        }
        crawl
    }

    /// The next addresses to go to, once all that were handed out before are completed; empty at the end.
    pub(crate) fn next_wave(&mut self) -> Vec<Job> {
        debug_assert!(self.folded == self.issued, "a wave begins when the last one is complete");
        loop {
            let room = self.max_pages.saturating_sub(self.taken).min(self.max_requests.saturating_sub(self.issued));
            if room == 0 {
                return Vec::new();
            }
            if self.level.is_empty() {
                if self.depth == self.max_depth || self.next_level.is_empty() {
                    return Vec::new();
                }
                self.depth += 1;
                self.level = std::mem::take(&mut self.next_level).into();
            }
            self.wave.clear();
            while self.wave.len() < room
                && let Some(url) = self.level.pop_front()
            {
                // It may have turned out since to be where another address led.
                if let Some(&at) = self.ended.get(&url) {
                    self.alias(at, url);
                    continue;
                }
                self.wave.push(Job { index: self.issued + self.wave.len(), url, depth: self.depth });
            }
            if !self.wave.is_empty() {
                self.issued += self.wave.len();
                return self.wave.clone();
            }
        }
    }

    /// Says what became of a job of the present wave.
    pub(crate) fn complete(&mut self, index: usize, outcome: Outcome) {
        let bytes = if let Outcome::Page(page, _) = &outcome { bounds::size(page) } else { 0 };
        self.held_bytes += bytes;
        self.held.insert(index, Held { outcome, bytes, stripped: false });
        self.strip_the_last();
        while let Some(held) = self.held.remove(&self.folded) {
            if !held.stripped {
                self.held_bytes -= held.bytes;
            }
            self.folded_bytes = self.folded_bytes.saturating_add(held.bytes);
            self.folded += 1;
            self.fold(held);
        }
    }

    /// How many pages are done, and how many there will be as far as is known.
    pub(crate) fn progress(&self) -> (u64, u64) {
        let done = self.taken + self.held.len();
        let known = self.seen.len() - usize::try_from(self.stats.aliases).unwrap_or(0);
        (done as u64, known.min(self.max_pages).max(done) as u64)
    }

    /// Whether any of the failures may not be one in a later run.
    pub(crate) fn may_work_later(&self) -> bool {
        self.may_work_later
    }

    /// The end: pages, failures, figures (but for those that only the fetching knows).
    pub(crate) fn finish(mut self) -> (Vec<Page>, Vec<PageFailure>, Stats) {
        self.stats.from_cache = self.pages.iter().filter(|page| page.from_cache).count() as u64;
        self.stats.truncated = self.pages.iter().filter(|page| !page.truncated.is_empty()).count() as u64;
        (self.pages, self.failures, self.stats)
    }

    /// Keeps what is held within the output's bound. A page is kept whole if all pages up to it, in the order of
    /// discovery, fit together. If what is here already does not fit, then the last of it cannot be kept whole whatever
    /// is still to come before it: so this leaves out nothing that the final order would keep.
    fn strip_the_last(&mut self) {
        while self.folded_bytes.saturating_add(self.held_bytes) > self.max_output {
            let Some(held) = self.held.values_mut().rev().find(|held| !held.stripped && held.bytes > 0) else {
                return;
            };
            held.stripped = true;
            self.held_bytes -= held.bytes;
            if let Outcome::Page(page, _) = &mut held.outcome {
                bounds::strip(page);
            }
        }
    }

    fn fold(&mut self, held: Held) {
        let Job { url, depth, .. } = self.wave[self.folded - 1 - (self.issued - self.wave.len())].clone();
        match held.outcome {
            Outcome::Page(page, links) => {
                self.stats.requested += 1;
                self.stats.retries += u64::from(page.attempt.saturating_sub(1));
                self.fold_page(page, depth, links);
            }
            Outcome::Failed { failure, retryable } => {
                self.may_work_later |= retryable;
                self.stats.requested += 1;
                self.stats.retries += u64::from(failure.attempts.saturating_sub(1));
                self.fail(failure);
            }
            Outcome::Disallowed if depth == 0 => self.fail(PageFailure {
                url,
                code: "robots".to_owned(),
                reason: "the site's robots.txt forbids this page; `respect_robots: false` scrapes it all the same"
                    .to_owned(),
                attempts: 0,
            }),
            Outcome::Disallowed => self.stats.skipped_by_robots += 1,
        }
    }

    fn fold_page(&mut self, mut page: Box<Page>, depth: u32, links: Vec<String>) {
        if let Some(&at) = self.ended.get(&page.url) {
            return self.alias(at, page.requested_url);
        }
        if let Some(rules) = &mut self.rules {
            if depth == 0 {
                rules.start_ended_at(&page.url);
            } else if rules.left_the_site(&page.url) {
                let reason = format!("the link leads away from the site, to {}", page.url);
                return self.fail(PageFailure {
                    url: page.requested_url,
                    code: "off-host".to_owned(),
                    reason,
                    attempts: page.attempt,
                });
            }
        }
        self.taken += 1;
        self.stats.succeeded += 1;
        let whole = self.folded_bytes <= self.max_output;
        if !whole {
            bounds::strip(&mut page);
        }
        let place = (whole || self.light(bounds::size(&page))).then_some(self.pages.len());
        self.ended.insert(page.url.clone(), place);
        self.ended.entry(page.requested_url.clone()).or_insert(place);
        if place.is_some() {
            self.pages.push(*page);
        } else {
            self.stats.left_out += 1;
        }
        self.follow(depth, links);
    }

    fn fail(&mut self, mut failure: PageFailure) {
        self.taken += 1;
        self.stats.failed += 1;
        bounds::cut(&mut failure.reason, bounds::REASON_BYTES);
        if self.light(bounds::size(&failure)) {
            self.failures.push(failure);
        } else {
            self.stats.left_out += 1;
        }
    }

    /// Whether there is still room for so much beside the whole pages; takes it.
    fn light(&mut self, bytes: usize) -> bool {
        let room = self.light_bytes.saturating_add(bytes) <= bounds::LIGHT_BYTES;
        if room {
            self.light_bytes += bytes;
        }
        room
    }

    fn alias(&mut self, at: Option<usize>, url: String) {
        self.stats.aliases += 1;
        let Some(page) = at.map(|at| &self.pages[at]) else { return };
        let known = url == page.url || url == page.requested_url || page.aliases.contains(&url);
        if let Some(at) = at
            && !known
            && self.light(url.len())
        {
            self.pages[at].aliases.push(url);
        }
    }

    /// Leaves out of a page's links those that [`Crawl::complete`] would not follow whatever comes before that page, so
    /// that they need not be kept until then. What is known already was found before that page in the order of
    /// discovery too, because only completed beginnings of a wave make addresses known.
    pub(crate) fn keep_the_new(&self, depth: u32, links: &mut Vec<String>) {
        match &self.rules {
            Some(rules) if depth < self.max_depth => links.retain(|link| {
                let allowed = |url: &Url| {
                    // The start pages that are still under way may add their hosts.
                    if depth == 0 { rules.fits(url) } else { rules.allows(url) }
                };
                !self.seen.contains(link) && Url::parse(link).is_ok_and(|url| allowed(&url))
            }),
            _ => links.clear(),
        }
    }

    fn follow(&mut self, depth: u32, links: Vec<String>) {
        let Some(rules) = &self.rules else { return };
        if depth >= self.max_depth {
            return;
        }
        for link in links {
            // More could never be asked for.
            if self.next_level.len() >= self.max_requests {
                return;
            }
            let Ok(url) = address::normalise(&link) else {
                continue;
            };
            if rules.allows(&url) && !self.ended.contains_key(url.as_str()) && !self.seen.contains(url.as_str()) {
                self.seen.insert(url.to_string());
                self.next_level.push(url.into());
            }
        }
    }
}

#[cfg(test)]
#[path = "crawl_tests.rs"]
mod tests;
