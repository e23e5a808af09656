//! Checkpoints: a finished page is on disk before it counts, so that a run that was killed fetches it no second time.
//!
//! One entry for each page and each robots.txt, under a hash of its address. The address stands in the entry too: should
//! two addresses ever share a hash, the one that is not found there is simply fetched again.
//!
//! What is kept counts for the *round* in which it was kept. A run in which every page failed begins a new one, or else its
//! failures would be all that a later try of the task finds.
//!
//! Where `checkpoint` is not granted or its disk fails, the run goes on without, and says so once.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use buddy_plugin::serde::de::DeserializeOwned;
use buddy_plugin::serde::{Deserialize, Serialize};
use buddy_plugin::{ErrorCode, HostError, checkpoint, log};

use crate::begun::{Mark, Past};
use crate::crawl::Outcome;
use crate::output::{Page, PageFailure};
use crate::robots::Robots;

/// The shape of the entries. An entry of another shape (kept by another version of this plugin) is passed over.
const SHAPE: u32 = 1;

/// What the keys of marks begin with.
const BEGUN: &str = "begun";

/// An entry.
#[derive(Debug, Serialize, Deserialize)]
#[serde(crate = "buddy_plugin::serde")]
struct Entry<T> {
    shape: u32,
    address: String,
    value: T,
}

/// A finished page as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(crate = "buddy_plugin::serde", rename_all = "snake_case")]
enum Finished {
    Page {
        page: Box<Page>,
        follow: Vec<String>,
    },
    Failed {
        #[serde(flatten)]
        failure: PageFailure,
        /// Absent in entries of earlier versions of this plugin, here and below.
        #[serde(default)]
        retryable: bool,
        #[serde(default)]
        round: u32,
    },
}

/// What the runs of the task know of each other.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(crate = "buddy_plugin::serde")]
struct Runs {
    round: u32,
    /// A run of this round has begun.
    begun: bool,
}

/// A marked try.
#[derive(Debug, Serialize, Deserialize)]
#[serde(crate = "buddy_plugin::serde")]
struct Begun {
    #[serde(flatten)]
    mark: Mark,
    round: u32,
}

/// The checkpoints of this run.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    load_off: Cell<bool>,
    save_off: Cell<bool>,
    round: Cell<u32>,
    follows: Cell<bool>,
    begun: RefCell<HashMap<String, Past>>,
}

impl Saved {
    /// Reads what earlier runs have left for this one, which belongs to the task's try `run`.
    pub(crate) async fn recall(&self, run: u32) {
        let runs = self.load::<Runs>("runs", "").await.unwrap_or_default();
        self.round.set(runs.round);
        self.follows.set(runs.begun);
        if !runs.begun {
            self.save("runs", "", Runs { begun: true, ..runs }).await;
            return;
        }
        let mut begun = HashMap::<String, Past>::new();
        for Entry { address, value, .. } in self.all::<Begun>(BEGUN).await {
            if value.round == runs.round {
                begun.entry(address).or_default().add(value.mark, run);
            }
        }
        self.begun.replace(begun);
    }

    /// Whether an earlier run of this round has begun, and did not come to an end.
    pub(crate) fn follows(&self) -> bool {
        self.follows.get()
    }

    /// The tries of a page that earlier runs have begun.
    pub(crate) fn past(&self, url: &str) -> Past {
        self.begun.borrow().get(url).copied().unwrap_or_default()
    }

    /// Marks a try of a page. Each has a key of its own: a run that kept nothing but a new one has come further.
    pub(crate) async fn mark(&self, url: &str, mark: Mark) {
        let begun = Begun { mark, round: self.round.get() };
        self.save(&format!("{BEGUN}-{}", mark.attempt), url, begun).await;
    }

    /// Lets no failure and no mark of this run count in a later one.
    pub(crate) async fn begin_anew(&self) {
        self.save("runs", "", Runs { round: self.round.get() + 1, begun: false }).await;
    }

    /// What became of a page in an earlier try of this task.
    pub(crate) async fn page(&self, url: &str, depth: u32) -> Option<Outcome> {
        Some(match self.load::<Finished>("page", url).await? {
            Finished::Page { mut page, follow } => {
                page.depth = depth;
                Outcome::Page(page, follow)
            }
            Finished::Failed { failure, retryable, round } if round == self.round.get() => {
                Outcome::Failed { failure, retryable }
            }
            Finished::Failed { .. } => return None,
        })
    }

    /// Keeps what became of a page. (What robots.txt forbids is found out again for nothing.)
    pub(crate) async fn keep_page(&self, url: &str, outcome: &Outcome) {
        let finished = match outcome {
            Outcome::Page(page, follow) => Finished::Page { page: page.clone(), follow: follow.clone() },
            Outcome::Failed { failure, retryable } => {
                Finished::Failed { failure: failure.clone(), retryable: *retryable, round: self.round.get() }
            }
            Outcome::Disallowed => return,
        };
        self.save("page", url, finished).await;
    }

    /// The rules of a site, read in an earlier try.
    pub(crate) async fn robots(&self, origin: &str) -> Option<Robots> {
        self.load("robots", origin).await
    }

    /// Keeps the rules of a site.
    pub(crate) async fn keep_robots(&self, origin: &str, robots: &Robots) {
        self.save("robots", origin, robots).await;
    }

    async fn load<T: DeserializeOwned>(&self, kind: &str, address: &str) -> Option<T> {
        if self.load_off.get() {
            return None;
        }
        match checkpoint::load::<Entry<T>>(&key(kind, address)).await {
            Ok(Some(entry)) if entry.shape == SHAPE && entry.address == address => Some(entry.value),
            Ok(_) => None,
            Err(error) => {
                self.not_read(&error);
                None
            }
        }
    }

    async fn all<T: DeserializeOwned>(&self, kind: &str) -> Vec<Entry<T>> {
        if self.load_off.get() {
            return Vec::new();
        }
        match checkpoint::entries::<Entry<T>>(kind).await {
            Ok(entries) => entries.into_iter().map(|(_, entry)| entry).filter(|entry| entry.shape == SHAPE).collect(),
            Err(error) => {
                self.not_read(&error);
                Vec::new()
            }
        }
    }

    /// An entry of another shape says nothing about the next one; anything else is the capability itself.
    fn not_read(&self, error: &HostError) {
        if error.code != ErrorCode::Invalid {
            give_up(&self.load_off, "no checkpoint can be read", &error.message);
        }
    }

    async fn save<T: Serialize>(&self, kind: &str, address: &str, value: T) {
        if self.save_off.get() {
            return;
        }
        let entry = Entry { shape: SHAPE, address: address.to_owned(), value };
        if let Err(error) = checkpoint::save(&key(kind, address), &entry).await {
            give_up(&self.save_off, "no checkpoint can be kept", &error.message);
        }
    }
}

/// Reading and keeping fail apart: a full disk keeps nothing new and still has what was kept.
fn give_up(off: &Cell<bool>, what: &str, why: &str) {
    if !off.replace(true) {
        log::warn(format!("{what} from here on; a restart would fetch these pages again: {why}"));
    }
}

/// FNV-1a: short and the same everywhere. It need not resist anybody, see the module's documentation.
fn key(kind: &str, address: &str) -> String {
    let hash = address
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("{kind}/{hash:016x}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use buddy_plugin::serde_json::{self, json};

    #[test]
    fn keys_are_short_and_stay_the_same_over_versions() {
        assert_eq!(key("page", ""), "page/cbf29ce484222325");
        assert_eq!(key("page", "a"), "page/af63dc4c8601ec8c");
    }

    #[test]
    fn a_page_comes_back_as_it_was_kept() {
        let page = Page {
            url: "https://example.com/".into(),
            title: "Example".into(),
            fields: json!({ "price": "1" }).as_object().cloned(),
            attempt: 2,
            truncated: vec!["links".into()],
            ..Page::default()
        };
        let finished = Finished::Page { page: Box::new(page), follow: vec!["https://example.com/a".into()] };
        let text = serde_json::to_string(&finished).unwrap();
        assert_eq!(serde_json::from_str::<Finished>(&text).unwrap(), finished);
    }

    #[test]
    fn a_failure_comes_back_also_as_earlier_versions_kept_it() {
        let failure =
            PageFailure { url: "https://a/".into(), code: "dns".into(), reason: "no such name".into(), attempts: 3 };
        let finished = Finished::Failed { failure: failure.clone(), retryable: true, round: 2 };
        let text = serde_json::to_string(&finished).unwrap();
        assert_eq!(serde_json::from_str::<Finished>(&text).unwrap(), finished);
        let earlier = json!({ "failed": failure.clone() });
        let finished = Finished::Failed { failure, retryable: false, round: 0 };
        assert_eq!(serde_json::from_value::<Finished>(earlier).unwrap(), finished);
    }

    #[test]
    fn rules_come_back_as_they_were_kept() {
        let robots = Robots::parse("User-agent: *\nDisallow: /a*b$\n");
        let text = serde_json::to_string(&robots).unwrap();
        assert_eq!(serde_json::from_str::<Robots>(&text).unwrap(), robots);
    }
}
