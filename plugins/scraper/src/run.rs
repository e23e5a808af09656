//! A run: waves of addresses out of the [`Crawl`], fetched at once, and what became of them back into it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Instant;

use buddy_plugin::{Failure, log, progress};
use futures::{StreamExt, stream};
use url::Url;

use crate::crawl::{Crawl, Job};
use crate::fetch::Fetcher;
use crate::output::{Output, PageFailure};
use crate::pace;
use crate::plan::Plan;
use crate::{address, bounds};

/// Reasons that are told when every page failed.
const REASONS: usize = 3;

/// Does the task.
///
/// # Errors
/// Retryable when the run was stopped from outside (cancelled, out of time, no browser to be had now): a later try goes
/// on from the checkpoints. Permanent when the host has no browser at all, or its owner has granted none of the pages.
/// Pages that fail are no error, unless all do: then it is retryable if any of them may work later, and permanent else.
pub(crate) async fn run(plan: &Plan) -> Result<Output, Failure> {
    let started = Instant::now();
    let fetcher = Fetcher::new(plan);
    let crawl = RefCell::new(Crawl::new(plan));
    fetcher.recall().await;
    let result = crawl_all(plan, &fetcher, &crawl).await;
    fetcher.close().await;
    result?;
    let crawl = crawl.into_inner();
    let may_work_later = crawl.may_work_later();
    let (pages, failures, mut stats) = crawl.finish();
    stats.resumed = fetcher.resumed();
    stats.duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    if stats.succeeded == 0 && !failures.is_empty() {
        fetcher.begin_anew().await;
        return Err(match nothing_granted(&failures) {
            Some(reason) => Failure::permanent(reason),
            None if may_work_later => Failure::retryable(nothing_scraped(&failures, stats.failed)),
            None => Failure::permanent(nothing_scraped(&failures, stats.failed)),
        });
    }
    log::line(log::Level::Info, "scraped")
        .field("pages", stats.succeeded)
        .field("failures", stats.failed)
        .field("resumed", stats.resumed)
        .field("duration_ms", stats.duration_ms)
        .write();
    Ok(Output { pages, failures, stats })
}

async fn crawl_all(plan: &Plan, fetcher: &Fetcher<'_>, crawl: &RefCell<Crawl>) -> Result<(), Failure> {
    let at_once = plan.input.concurrency as usize;
    loop {
        let wave = crawl.borrow_mut().next_wave();
        if wave.is_empty() {
            return Ok(());
        }
        fetcher.learn_sites(&wave).await;
        fetcher.begin(wave.len());
        let jobs = pace::take_turns(wave, host_of);
        let mut pages = stream::iter(jobs)
            .map(|job| async move {
                let outcome = fetcher.page(&job, |depth, links| crawl.borrow().keep_the_new(depth, links)).await;
                (job, outcome)
            })
            .buffer_unordered(at_once);
        // On a stop the pages that are under way still end: each ends soon, and is then one less to fetch again.
        while let Some((job, outcome)) = pages.next().await {
            if let Some(outcome) = outcome {
                crawl.borrow_mut().complete(job.index, outcome);
                let (done, total) = crawl.borrow().progress();
                progress::report(done, Some(total), &job.url);
            }
        }
        if let Some(stop) = fetcher.stopped() {
            return Err(stop);
        }
    }
}

fn host_of(job: &Job) -> String {
    Url::parse(&job.url).map(|url| address::host(&url)).unwrap_or_default()
}

/// If every page was refused for want of a grant, the task as a whole was: the reason, or the first of several. (Each
/// comes with the lines that would grant it, and those of two reasons cannot stand in one file as they are.)
fn nothing_granted(failures: &[PageFailure]) -> Option<String> {
    let first = failures.first()?;
    if failures.iter().any(|failure| failure.code != "denied") {
        return None;
    }
    let reasons: BTreeSet<&str> = failures.iter().map(|failure| failure.reason.as_str()).collect();
    let others = match reasons.len() {
        1 => String::new(),
        several => format!(" for {several} reasons; the first"),
    };
    Some(format!("no page may be opened{others}: {}", first.reason))
}

/// How many pages failed, and why the first of them did.
fn nothing_scraped(failures: &[PageFailure], count: u64) -> String {
    let mut first: Vec<String> = failures
        .iter()
        .take(REASONS)
        .map(|failure| {
            let mut url = failure.url.clone();
            bounds::cut(&mut url, bounds::REASON_BYTES);
            format!("{url}: {}", failure.reason)
        })
        .collect();
    match count.saturating_sub(first.len() as u64) {
        0 => {}
        others => first.push(format!("and {others} more")),
    }
    let pages = if count == 1 { "the only page failed".to_owned() } else { format!("all {count} pages failed") };
    format!("{pages}: {}", first.join("; "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use buddy_plugin::serde_json::{from_value, json};

    fn failure(code: &str, reason: &str) -> PageFailure {
        PageFailure { url: "https://example.com/".into(), code: code.into(), reason: reason.into(), attempts: 1 }
    }

    #[test]
    fn a_task_of_which_nothing_is_granted_fails_with_the_lines_to_add() {
        let all = [failure("denied", "add b"), failure("denied", "add a"), failure("denied", "add b")];
        assert_eq!(nothing_granted(&all).unwrap(), "no page may be opened for 2 reasons; the first: add b");
        assert_eq!(nothing_granted(&all[..1]).unwrap(), "no page may be opened: add b");
        assert_eq!(nothing_granted(&[failure("denied", "add a"), failure("dns", "no such name")]), None);
        assert_eq!(nothing_granted(&[]), None);
    }

    #[test]
    fn a_run_on_a_host_without_a_browser_fails_as_a_whole_and_is_not_tried_again() {
        let input = from_value(json!({ "urls": ["https://example.com/"], "respect_robots": false, "retries": 0 }));
        let plan = Plan::new(&input.unwrap()).unwrap();
        let failure = futures::executor::block_on(run(&plan)).unwrap_err();
        assert!(matches!(failure, Failure::Permanent(_)), "{failure}");
    }

    #[test]
    fn a_run_of_which_every_page_failed_fails_with_their_number_and_the_first_reasons() {
        let input = from_value(json!({ "urls": ["https://example.com/", "https://example.com/a"], "retries": 0 }));
        let plan = Plan::new(&input.unwrap()).unwrap();
        // Outside of a sandbox `http` answers `unavailable`, for good.
        let failure = futures::executor::block_on(run(&plan)).unwrap_err();
        assert!(matches!(failure, Failure::Permanent(_)), "{failure}");
        let reason = failure.to_string();
        assert!(
            reason.starts_with("all 2 pages failed: https://example.com/: https://example.com/robots.txt"),
            "{reason}"
        );
    }

    #[test]
    fn of_many_failures_the_first_three_are_told_and_the_others_counted() {
        let all = [failure("dns", "a"), failure("dns", "b"), failure("dns", "c"), failure("dns", "d")];
        let at = "https://example.com/";
        assert_eq!(nothing_scraped(&all[..1], 1), format!("the only page failed: {at}: a"));
        assert_eq!(nothing_scraped(&all, 9), format!("all 9 pages failed: {at}: a; {at}: b; {at}: c; and 6 more"));
    }
}
