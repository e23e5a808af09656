//! Checkpoints: a finished page is on disk before it counts, so that a run that was killed fetches it no second time.
//!
//! One entry for each page and each robots.txt, under a hash of its address. The address stands in the entry too: should
//! two addresses ever share a hash, the one that is not found there is simply fetched again.
//!
//! Where `checkpoint` is not granted or its disk fails, the run goes on without, and says so once.

use std::cell::Cell;

use buddy_plugin::serde::de::DeserializeOwned;
use buddy_plugin::serde::{Deserialize, Serialize};
use buddy_plugin::{checkpoint, log};

use crate::crawl::Outcome;
use crate::output::{Page, PageFailure};
use crate::robots::Robots;

/// The shape of the entries. An entry of another shape (kept by another version of this plugin) is passed over.
const SHAPE: u32 = 1;

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
    Page { page: Box<Page>, follow: Vec<String> },
    Failed(PageFailure),
}

/// The checkpoints of this run.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    load_off: Cell<bool>,
    save_off: Cell<bool>,
}

impl Saved {
    /// What became of a page in an earlier try of this task.
    pub(crate) async fn page(&self, url: &str, depth: u32) -> Option<Outcome> {
        Some(match self.load::<Finished>("page", url).await? {
            Finished::Page { mut page, follow } => {
                page.depth = depth;
                Outcome::Page(page, follow)
            }
            Finished::Failed(failure) => Outcome::Failed(failure),
        })
    }

    /// Keeps what became of a page. (What robots.txt forbids is found out again for nothing.)
    pub(crate) async fn keep_page(&self, url: &str, outcome: &Outcome) {
        let finished = match outcome {
            Outcome::Page(page, follow) => Finished::Page { page: page.clone(), follow: follow.clone() },
            Outcome::Failed(failure) => Finished::Failed(failure.clone()),
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
                // An entry of another shape says nothing about the next one; anything else is the capability itself.
                if error.code != buddy_plugin::ErrorCode::Invalid {
                    give_up(&self.load_off, "no checkpoint can be read", &error.message);
                }
                None
            }
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
    fn rules_come_back_as_they_were_kept() {
        let robots = Robots::parse("User-agent: *\nDisallow: /a*b$\n");
        let text = serde_json::to_string(&robots).unwrap();
        assert_eq!(serde_json::from_str::<Robots>(&text).unwrap(), robots);
    }
}
