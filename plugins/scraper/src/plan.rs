//! From an input to a plan: everything checked, all faults at once.

use std::time::Duration;

use buddy_plugin::{Demand, Failure, Invalid};

use crate::address;
use crate::follow::Rules;
use crate::input::{FieldSpec, Follow, Input};

/// Pages that one task may name or fetch: what still fits one task's output and a night's work.
const MAX_PAGES: usize = 10_000;
/// Fields of one page.
const MAX_FIELDS: usize = 200;
/// Bytes of a selector or pattern; longer ones are mistakes.
const MAX_SELECTOR: usize = 2_000;
/// Typical seconds that a page takes from opening to closing, for the estimate.
const SECONDS_PER_PAGE: u64 = 2;

/// A start page: how it was written and its one spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) written: String,
    pub(crate) url: String,
}

/// A checked input.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) input: Input,
    pub(crate) starts: Vec<Start>,
    /// `None`: exactly the start pages.
    pub(crate) rules: Option<Rules>,
    pub(crate) max_pages: usize,
    pub(crate) max_depth: u32,
}

impl Plan {
    /// Checks an input.
    pub(crate) fn new(input: &Input) -> Result<Self, Failure> {
        let mut faults = Faults::default();
        let follow = faults.source(input);
        let (pointer, written) =
            if follow.is_some() { ("/start_urls", &input.start_urls) } else { ("/urls", &input.urls) };
        if written.len() > MAX_PAGES {
            faults.add(pointer, format!("{} addresses are more than the {MAX_PAGES} of one task", written.len()));
        }
        let mut starts = Vec::new();
        for (i, text) in written.iter().take(MAX_PAGES).enumerate() {
            match address::normalise(text) {
                Ok(url) => starts.push(Start { written: text.clone(), url: url.into() }),
                Err(fault) => faults.add(&format!("{pointer}/{i}"), format!("`{}` {fault}", shorten(text))),
            }
        }
        faults.fields(input);
        faults.range("/concurrency", u64::from(input.concurrency), 1, 50);
        faults.range("/per_host_delay_ms", input.per_host_delay_ms, 0, 60_000);
        faults.range("/max_age_seconds", input.max_age_seconds, 0, 31_536_000);
        faults.range("/timeout_seconds", u64::from(input.timeout_seconds), 1, 300);
        faults.range("/retries", u64::from(input.retries), 0, 10);
        if let Some(selector) = &input.wait_for {
            faults.selector("/wait_for", selector);
        }
        if let Some(follow) = &follow {
            faults.follow(follow);
        }
        faults.into_result()?;

        let max_pages = follow.as_ref().map_or(starts.len(), |follow| follow.max_pages as usize);
        let max_depth = follow.as_ref().map_or(0, |follow| follow.max_depth);
        let rules = follow.map(|follow| Rules::new(follow, starts.iter().map(|start| start.url.as_str())));
        Ok(Self { input: input.clone(), starts, rules, max_pages, max_depth })
    }

    /// What the task will probably need. A crawl is reckoned at its largest.
    pub(crate) fn demand(&self) -> Demand {
        let pages = if self.rules.is_some() { self.max_pages } else { self.starts.len() } as u64;
        let working = (pages * SECONDS_PER_PAGE).div_ceil(u64::from(self.input.concurrency));
        let waiting = (self.pages_of_busiest_host(pages) * self.input.per_host_delay_ms).div_ceil(1000);
        Demand {
            pages: u32::try_from(pages).unwrap_or(u32::MAX),
            bytes: 0,
            seconds: u32::try_from(working.max(waiting)).unwrap_or(u32::MAX),
            desktop_only: false,
        }
    }

    /// A crawl may stay on one host for all of its pages; a list says itself.
    fn pages_of_busiest_host(&self, pages: u64) -> u64 {
        if self.rules.is_some() {
            return pages;
        }
        let mut hosts = std::collections::BTreeMap::<String, u64>::new();
        for url in self.starts.iter().filter_map(|start| address::normalise(&start.url).ok()) {
            *hosts.entry(address::host(&url)).or_default() += 1;
        }
        hosts.into_values().max().unwrap_or(0)
    }

    /// Which links are wanted for following: `None`: none, empty: all.
    pub(crate) fn follow_selector(&self) -> Option<&str> {
        self.rules.as_ref().map(Rules::selector)
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.input.timeout_seconds))
    }
}

/// The faults found so far.
#[derive(Default)]
struct Faults(Vec<Invalid>);

impl Faults {
    /// More would not be read.
    const MOST: usize = 50;

    fn add(&mut self, path: &str, message: impl Into<String>) {
        if self.0.len() < Self::MOST {
            self.0.push(Invalid { path: path.to_owned(), message: message.into() });
        }
    }

    fn into_result(self) -> Result<(), Failure> {
        if self.0.is_empty() { Ok(()) } else { Err(Failure::InvalidInput(self.0)) }
    }

    /// Whether there are pages to begin with, and the rules to follow links by.
    fn source(&mut self, input: &Input) -> Option<Follow> {
        match (input.urls.is_empty(), input.start_urls.is_empty()) {
            (true, true) => {
                self.add("", "no page is named: give `urls`, or `start_urls` to follow links from");
                None
            }
            (false, false) => {
                self.add("/start_urls", "give either `urls` or `start_urls`, not both");
                None
            }
            (false, true) => {
                if input.follow.is_some() {
                    self.add("/follow", "links are followed from `start_urls`; with `urls` exactly those are scraped");
                }
                None
            }
            (true, false) => Some(input.follow.clone().unwrap_or_default()),
        }
    }

    fn fields(&mut self, input: &Input) {
        if input.fields.len() > MAX_FIELDS {
            self.add("/fields", format!("{} fields are more than {MAX_FIELDS}", input.fields.len()));
        }
        for (name, FieldSpec { selector, take, .. }) in input.fields.iter().take(MAX_FIELDS) {
            let pointer = format!("/fields/{}", name.replace('~', "~0").replace('/', "~1"));
            self.selector(&pointer, selector);
            if let Some(take) = take {
                let known = matches!(take.as_str(), "html" | "outer-html" | "value")
                    || take.strip_prefix('@').is_some_and(|attribute| !attribute.is_empty());
                if !known {
                    self.add(
                        &format!("{pointer}/take"),
                        format!("`{}` is none of `@attribute`, `html`, `outer-html`, `value`", shorten(take)),
                    );
                }
            }
        }
        if let Some(each) = &input.each {
            self.selector("/each", each);
            if input.fields.is_empty() {
                self.add("/each", "`each` needs `fields` to take from every element");
            }
        }
    }

    fn follow(&mut self, follow: &Follow) {
        self.range("/follow/max_depth", u64::from(follow.max_depth), 0, 100);
        self.range("/follow/max_pages", u64::from(follow.max_pages), 1, MAX_PAGES as u64);
        if let Some(selector) = &follow.selector {
            self.selector("/follow/selector", selector);
        }
        if let Some(pattern) = &follow.pattern {
            self.selector("/follow/pattern", pattern);
        }
        if follow.exclude.len() > 100 {
            self.add("/follow/exclude", format!("{} patterns are more than 100", follow.exclude.len()));
        }
        for (i, pattern) in follow.exclude.iter().take(100).enumerate() {
            self.selector(&format!("/follow/exclude/{i}"), pattern);
        }
    }

    fn selector(&mut self, path: &str, text: &str) {
        if text.trim().is_empty() {
            self.add(path, "is empty");
        } else if text.len() > MAX_SELECTOR {
            self.add(path, format!("is longer than {MAX_SELECTOR} bytes"));
        }
    }

    fn range(&mut self, path: &str, value: u64, min: u64, max: u64) {
        if !(min..=max).contains(&value) {
            self.add(path, format!("{value} is not between {min} and {max}"));
        }
    }
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= 80 { text.to_owned() } else { text.chars().take(79).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use buddy_plugin::serde_json::{Value, from_value, json};

    fn plan(input: Value) -> Result<Plan, Failure> {
        Plan::new(&from_value::<Input>(input).unwrap())
    }

    fn faults(input: Value) -> Vec<String> {
        match plan(input).unwrap_err() {
            Failure::InvalidInput(faults) => {
                faults.into_iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect()
            }
            other => panic!("not an invalid input: {other}"),
        }
    }

    #[test]
    fn an_input_without_pages_is_told_what_to_give() {
        assert_eq!(faults(json!({})), [": no page is named: give `urls`, or `start_urls` to follow links from"]);
    }

    #[test]
    fn all_faults_come_at_once_each_with_its_place() {
        let found = faults(json!({
            "urls": ["https://example.com/", "example.com"],
            "fields": { "a/b": { "selector": "h1", "take": "href" }, "c": "" },
            "concurrency": 0,
            "timeout_seconds": 301,
            "follow": {},
        }));
        assert_eq!(found.len(), 6, "{found:#?}");
        assert!(found.iter().any(|f| f.starts_with("/urls/1: `example.com` is not a full address")));
        assert!(
            found.contains(&"/fields/a~1b/take: `href` is none of `@attribute`, `html`, `outer-html`, `value`".into())
        );
        assert!(found.contains(&"/fields/c: is empty".into()));
        assert!(found.contains(&"/concurrency: 0 is not between 1 and 50".into()));
        assert!(found.contains(&"/timeout_seconds: 301 is not between 1 and 300".into()));
        assert!(found.iter().any(|f| f.starts_with("/follow: ")));
    }

    #[test]
    fn a_list_is_estimated_by_its_length_and_its_busiest_host() {
        let urls: Vec<_> = (0..20).map(|i| format!("https://example.com/{i}")).collect();
        let demand = plan(json!({ "urls": urls, "per_host_delay_ms": 2_000 })).unwrap().demand();
        assert_eq!((demand.pages, demand.seconds), (20, 40));
        let demand = plan(json!({ "urls": urls, "concurrency": 10 })).unwrap().demand();
        assert_eq!((demand.pages, demand.seconds), (20, 4));
    }

    #[test]
    fn a_crawl_is_estimated_by_its_largest_size() {
        let crawl = plan(json!({ "start_urls": ["https://example.com/"], "follow": { "max_pages": 250 } })).unwrap();
        assert_eq!(crawl.demand().pages, 250);
        assert_eq!(crawl.max_depth, 3);
    }
}
