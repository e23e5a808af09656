//! A host that is killed goes on where it was.

use std::collections::BTreeMap;
use std::time::Duration;

use buddy_tests::{Host, HostBuilder, until};
use serde_json::{Value, json};

use crate::docs::{CONCURRENCY, Docs, LONG};

const PAGES: usize = 60;

fn done(task: &Value) -> u64 {
    task["progress"]["done"].as_u64().unwrap_or(0)
}

/// The pages of a scrape and its failures; the figures of the run are the run's own.
fn output(host: &Host, id: &str) -> Value {
    let task = host.finished(id, LONG);
    assert_eq!(task["state"], "succeeded", "{task:#}\n{}", host.log());
    let result = host.result(id);
    json!({ "pages": result["pages"], "failures": result["failures"] })
}

#[test]
fn a_scrape_whose_host_is_killed_half_way_ends_the_same_and_fetches_no_finished_page_again() {
    let docs = Docs::serve();
    let input = docs.scrape(PAGES, &[]);
    let mut host = docs.host();
    let undisturbed = host.submit("web_navigate", &input, &[]);
    let expected = output(&host, &undisturbed);
    let before = docs.site.page_hits();

    let id = host.submit("web_navigate", &input, &[]);
    let seen = until("half of the pages are done", LONG, || {
        let task = host.task(&id);
        assert_eq!(task["finished"], Value::Null, "the scrape was over before it could be interrupted: {task:#}");
        Some(done(&task)).filter(|done| *done >= PAGES as u64 / 2)
    });
    host.kill();
    host.start();
    assert_eq!(output(&host, &id), expected);

    let task = host.task(&id);
    assert_eq!(task["attempt"], 2, "{task:#}");
    let resumed = host.result(&id)["stats"]["resumed"].as_u64().unwrap();
    assert!(resumed >= seen, "{seen} pages were done before the kill, and {resumed} were taken over");
    let again: BTreeMap<String, u32> = docs
        .site
        .page_hits()
        .into_iter()
        .map(|(path, hits)| (path.clone(), hits - 2 * before.get(&path).copied().unwrap_or(0)))
        .filter(|(_, again)| *again > 0)
        .collect();
    // Only what was under way when the host died.
    assert!(again.len() <= CONCURRENCY as usize && again.values().all(|again| *again == 1), "{again:#?}");
}

#[test]
fn q9_a_task_whose_host_dies_in_every_try_is_given_up_with_a_sentence() {
    let mut host = HostBuilder::default().plugin("testing").start();
    let id = host.submit("sleep_at_once", &json!({ "count": 1, "ms": 50_000 }), &["--max-attempts", "2"]);
    for attempt in 1..=2 {
        until(&format!("try {attempt} runs"), Duration::from_secs(30), || {
            let task = host.task(&id);
            (task["state"] == "running" && task["attempt"] == attempt).then_some(())
        });
        host.kill();
        host.start();
    }
    let task = host.finished(&id, Duration::from_secs(30));
    assert_eq!(task["state"], "failed", "{task:#}");
    assert_eq!(task["attempt"], 2);
    assert_eq!(task["error"], "given up after 2 tries: the host ended in the middle of each, the last time too");
}

/// Tasks that run at once below, and so the most that one kill can cut off.
const AT_ONCE: usize = 4;

/// Five times: early, while most are not even submitted, to late, when most are done.
#[test]
fn fifty_queued_tasks_all_end_once_whenever_their_host_is_killed() {
    const TASKS: usize = 50;
    let mut host =
        HostBuilder::default().plugin("testing").yaml(&format!("resources:\n  max_tasks: {AT_ONCE}\n")).start();
    let mut done = 0;
    for (round, done_at_the_kill) in [1, 8, 16, 28, 40].into_iter().enumerate() {
        let due = |host: &Host| succeeded(host).len() >= done + done_at_the_kill;
        let mut killed = false;
        let mut ids = Vec::new();
        for count in 1..=TASKS {
            // What each of them answers is its own count, which tells its result from every other.
            ids.push(host.submit("sleep_at_once", &json!({ "count": count, "ms": 200 }), &[]));
            // Asking costs as much as submitting.
            if !killed && count % 4 == 0 && due(&host) {
                host.kill();
                host.start();
                killed = true;
            }
        }
        if !killed {
            until("so many are done that the host is to be killed", LONG, || due(&host).then_some(()));
            host.kill();
            host.start();
        }
        done += TASKS;
        let tasks = until("all have succeeded", LONG, || Some(succeeded(&host)).filter(|tasks| tasks.len() >= done));
        assert_eq!(tasks.len(), done);
        let again: Vec<&Value> = tasks.iter().filter(|task| task["attempt"] != 1).collect();
        assert!(again.len() <= AT_ONCE * (round + 1), "more ran again than were under way: {again:#?}");
        assert!(again.iter().all(|task| task["attempt"] == 2), "one kill is one try: {again:#?}");
        for (id, count) in ids.iter().zip(1..) {
            assert_eq!(host.result(id), json!(count));
        }
    }
}

fn succeeded(host: &Host) -> Vec<Value> {
    let listed = host.run(&["task", "list", "--state", "succeeded", "--limit", "1000", "--json"]).ok().json();
    listed.as_array().unwrap().clone()
}
