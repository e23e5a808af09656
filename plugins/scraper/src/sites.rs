//! What the robots.txt of each site in a run says.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use buddy_plugin::{ErrorCode, HostError, context, http};
use futures::{StreamExt, stream};
use url::Url;

use crate::retry::{self, Decision, Fault};
use crate::robots::{MAX_BYTES, Robots, TOKEN};
use crate::saved::Saved;
use crate::{address, chance};

/// Time for one robots.txt.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Redirects that the RFC asks to follow.
const REDIRECTS: u32 = 5;

/// A site's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// These rules hold; none of them allows everything.
    Rules(Robots),
    /// Nobody knows, so everything is forbidden.
    Unreachable(Fault),
}

/// The sites that the run has met.
#[derive(Debug, Default)]
pub(crate) struct Sites(RefCell<HashMap<String, Policy>>);

impl Sites {
    /// Reads the robots.txt of each of these sites that is not known yet, several at once.
    pub(crate) async fn learn(&self, urls: impl Iterator<Item = Url>, saved: &Saved, retries: u32, at_once: usize) {
        let unknown: BTreeSet<String> =
            urls.map(|url| address::origin(&url)).filter(|origin| !self.0.borrow().contains_key(origin)).collect();
        let mut answers = stream::iter(unknown)
            .map(|origin| async move {
                let policy = policy(&origin, saved, retries).await;
                (origin, policy)
            })
            .buffer_unordered(at_once);
        while let Some((origin, policy)) = answers.next().await {
            self.0.borrow_mut().insert(origin, policy);
        }
    }

    /// Whether a page may be fetched. Its site has been [learnt](Sites::learn).
    pub(crate) fn judge(&self, url: &Url) -> Verdict {
        match self.0.borrow().get(&address::origin(url)) {
            None => Verdict::Allowed,
            Some(Policy::Unreachable(fault)) => Verdict::Unknown(fault.clone()),
            Some(Policy::Rules(robots)) => {
                let allowed = match url.query() {
                    Some(query) => robots.allows(&format!("{}?{query}", url.path())),
                    None => robots.allows(url.path()),
                };
                if allowed { Verdict::Allowed } else { Verdict::Forbidden }
            }
        }
    }
}

/// What robots.txt says of one page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed,
    Forbidden,
    /// The file could not be read.
    Unknown(Fault),
}

async fn policy(origin: &str, saved: &Saved, retries: u32) -> Policy {
    if let Some(robots) = saved.robots(origin).await {
        return Policy::Rules(robots);
    }
    let mut attempt = 1;
    loop {
        let answer = http::get(format!("{origin}/robots.txt"))
            .header("user-agent", format!("{TOKEN}/{}", env!("CARGO_PKG_VERSION")))
            .timeout(TIMEOUT)
            .max_redirects(REDIRECTS)
            .max_bytes(MAX_BYTES as u64)
            .send()
            .await;
        match understand(answer) {
            Ok(robots) => {
                saved.keep_robots(origin, &robots).await;
                return Policy::Rules(robots);
            }
            Err(fault) => match retry::decide(&fault, attempt, retries, chance::number()) {
                Decision::Again(wait) => context::sleep(wait).await,
                Decision::GiveUp | Decision::StopRun => {
                    let code = if fault.code == "denied" { "denied" } else { "robots-unreachable" };
                    let reason = format!(
                        "{origin}/robots.txt cannot be read, so nobody knows what the site allows \
                         (`respect_robots: false` scrapes it all the same): {}",
                        fault.reason
                    );
                    return Policy::Unreachable(Fault::page(code, reason, fault.retryable));
                }
            },
        }
        attempt += 1;
    }
}

/// RFC 9309 §2.3.1: which answers are rules, which are none, and which forbid everything.
fn understand(answer: Result<http::Response, HostError>) -> Result<Robots, Fault> {
    match answer {
        Ok(response) if response.is_success() => Ok(Robots::parse(&response.text())),
        Ok(response) if response.status >= 500 => Err(Fault::status(response.status, None)),
        // Not there, or redirected without end: no rules.
        Ok(_) => Ok(Robots::default()),
        Err(error) if error.code == ErrorCode::Redirects => Ok(Robots::default()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn where_no_robots_txt_can_be_read_nothing_is_allowed_and_the_reason_is_said() {
        let url = address::normalise("https://example.com/a").unwrap();
        let sites = Sites::default();
        // Outside of a sandbox `http` answers `unavailable`: as good as a dead network.
        futures::executor::block_on(sites.learn([url.clone()].into_iter(), &Saved::default(), 0, 4));
        match sites.judge(&url) {
            Verdict::Unknown(fault) => {
                assert_eq!(fault.code, "robots-unreachable");
                assert!(fault.reason.starts_with("https://example.com/robots.txt cannot be read"), "{}", fault.reason);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn redirects_without_end_are_no_rules() {
        let endless = HostError::new(ErrorCode::Redirects, "more than 5 redirects");
        assert_eq!(understand(Err(endless)), Ok(Robots::default()));
        let dead = HostError::new(ErrorCode::Connect, "nobody answers");
        assert!(understand(Err(dead)).is_err());
    }
}
