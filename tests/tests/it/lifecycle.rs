//! The life of a host and of its tasks, seen from the command line.

use std::time::Duration;

use buddy_tests::{Host, HostBuilder, until};
use serde_json::{Value, json};
#[cfg(unix)]
use sysinfo::Signal;

const SOON: Duration = Duration::from_secs(60);

fn testing() -> HostBuilder {
    HostBuilder::default().plugin("testing")
}

fn runs(host: &Host, id: &str) {
    until("the task runs", SOON, || (host.task(id)["state"] == "running").then_some(()));
}

#[test]
fn status_has_exactly_the_fields_of_the_dashboard() {
    let host = testing().yaml("agent:\n  name: front-desk\n").start();
    let status = host.run(&["status", "--json"]).ok().json();
    // In the order of the dashboard, hence the text and not the parsed object, which sorts.
    let text = host.run(&["status", "--json"]).ok().out;
    let names: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix('"')?.split('"').next()).collect();
    assert_eq!(
        names,
        [
            "agent",
            "status",
            "uptime",
            "tasks_completed_today",
            "active_browsers",
            "pending_sync",
            "memory_usage",
            "disk_usage",
            "last_sync",
            "firebase_latency"
        ]
    );
    assert_eq!(status["agent"], "front-desk");
    assert_eq!(status["status"], "ONLINE");
    assert_eq!(status["tasks_completed_today"], 0);
    assert_eq!(status["active_browsers"], 0);
    assert_eq!(status["last_sync"], "never");
    assert_eq!(status["firebase_latency"], Value::Null);

    let id = host.submit("echo", &json!({}), &[]);
    let _ = host.finished(&id, SOON);
    assert_eq!(host.run(&["status", "--json"]).ok().json()["tasks_completed_today"], 1);
}

#[test]
fn a_host_that_is_stopped_lets_its_tasks_finish_and_remembers_them() {
    let mut host = testing().start();
    let id = host.submit("sleep_at_once", &json!({ "count": 1, "ms": 1_500 }), &[]);
    runs(&host, &id);
    assert_eq!(host.stop(), Some(0), "{}", host.log());
    let gone = host.run(&["task", "show", &id]);
    assert_eq!(gone.code, Some(4), "{gone:?}");

    host.start();
    let task = host.task(&id);
    assert_eq!(task["state"], "succeeded", "{task:#}\n{}", host.log());
    assert_eq!(task["attempt"], 1);
    assert_eq!(host.result(&id), json!(1));
}

#[test]
fn a_host_that_is_stopped_at_once_goes_on_at_the_next_start_without_a_lost_try() {
    let mut host = testing().start();
    let id = host.submit("sleep_forever", &json!({}), &["--max-attempts", "2"]);
    runs(&host, &id);
    let pid = host.pid();
    let stopped = host.run(&["stop", "--now", "--json"]).ok().json();
    assert_eq!(stopped["pid"], pid);
    host.kill();

    host.start();
    let task = until("the task runs again", SOON, || {
        let task = host.task(&id);
        (task["state"] == "running").then_some(task)
    });
    assert_eq!(task["attempt"], 1, "an interruption is not a try: {task:#}");
    let _ = host.run(&["task", "cancel", &id]).ok();
}

/// As `systemctl stop` does it.
#[cfg(unix)]
#[test]
fn a_host_that_gets_sigterm_lets_its_tasks_finish_and_ends_well() {
    let mut host = testing().start();
    let id = host.submit("sleep_at_once", &json!({ "count": 1, "ms": 4_000 }), &[]);
    runs(&host, &id);
    host.signal(Signal::Term);
    assert_eq!(host.ended(SOON), Some(0), "{}", host.log());
    assert!(host.log().contains("stopping: no more tasks are started"), "it waited for the task: {}", host.log());

    host.start();
    let task = host.task(&id);
    assert_eq!((&task["state"], &task["attempt"]), (&json!("succeeded"), &json!(1)), "{task:#}\n{}", host.log());
    assert_eq!(host.result(&id), json!(1));
}

/// As a person does it who does not want to wait.
#[cfg(unix)]
#[test]
fn a_second_ctrl_c_interrupts_at_once_and_costs_no_try() {
    let mut host = testing().start();
    let id = host.submit("sleep_forever", &json!({}), &["--max-attempts", "2"]);
    runs(&host, &id);
    host.signal(Signal::Interrupt);
    until("the host stops", SOON, || host.log().contains("stopping: no more tasks are started").then_some(()));
    assert_eq!(host.task(&id)["state"], "running", "the first one lets it go on");
    host.signal(Signal::Interrupt);
    // Without the second one it would have waited for half a minute.
    assert_eq!(host.ended(Duration::from_secs(20)), Some(0), "{}", host.log());

    host.start();
    let task = until("the task runs again", SOON, || {
        let task = host.task(&id);
        (task["state"] == "running").then_some(task)
    });
    assert_eq!(task["attempt"], 1, "an interruption is not a try: {task:#}");
    let _ = host.run(&["task", "cancel", &id]).ok();
}

#[test]
fn cancel_stops_a_task_that_runs_and_frees_its_slot() {
    let host = testing().yaml("resources:\n  max_tasks: 1\n").start();
    let id = host.submit("sleep_forever", &json!({}), &[]);
    runs(&host, &id);
    let next = host.submit("echo", &json!({ "turn": 2 }), &[]);
    assert_eq!(host.task(&next)["state"], "assigned", "it waits for the only slot");

    let cancelled = host.run(&["task", "cancel", &id[..8], "--json"]).ok().json();
    assert_eq!(cancelled["state"], "cancelled");
    assert_eq!(host.finished(&next, SOON)["state"], "succeeded");
    let task = host.task(&id);
    assert_eq!(task["state"], "cancelled", "{task:#}");
    assert_eq!(host.run(&["task", "cancel", &id, "--json"]).ok().json()["state"], "cancelled", "twice is once");
}

#[test]
fn retry_gives_a_failed_task_new_tries() {
    let host = testing().start();
    let id = host.submit("fail_permanent", &json!({}), &[]);
    let failed = host.finished(&id, SOON);
    assert_eq!(failed["state"], "failed", "{failed:#}");
    assert_eq!(failed["attempt"], 1);
    assert!(failed["error"].as_str().unwrap().contains("never, on purpose"), "{failed:#}");

    let again = host.run(&["task", "retry", &id, "--json"]).ok().json();
    assert_ne!(again["state"], "failed", "{again:#}");
    let first_end = failed["finished"].clone();
    until("the task failed again", SOON, || {
        let task = host.task(&id);
        (task["state"] == "failed" && task["finished"] != first_end).then_some(())
    });
    let lines = host.run(&["task", "logs", &id]).ok().out;
    assert_eq!(lines.matches("never, on purpose").count(), 2, "it ran twice: {lines}");

    let done = host.submit("echo", &json!({}), &[]);
    let _ = host.finished(&done, SOON);
    assert_eq!(host.run(&["task", "retry", &done]).code, Some(6), "a task that succeeded is not run again");
}

#[test]
fn what_may_pass_is_tried_again_and_then_given_up() {
    let host = testing().start();
    let id = host.submit("fail_retryable", &json!({}), &["--max-attempts", "2"]);
    let task = host.finished(&id, SOON);
    assert_eq!(task["state"], "failed", "{task:#}");
    assert_eq!(task["attempt"], 2);
    assert!(task["error"].as_str().unwrap().starts_with("given up after 2 tries"), "{task:#}");
}

#[test]
fn a_task_is_submitted_once_under_one_key() {
    let host = testing().start();
    let submit = |input: &str| host.run(&["submit", "echo", input, "--key", "order-7", "--json"]);
    let first = submit(r#"{"a":1}"#).ok().json();
    let again = submit(r#"{"a":1}"#).ok().json();
    assert_eq!((&first["created"], &again["created"]), (&json!(true), &json!(false)));
    assert_eq!(first["id"], again["id"]);
    let other = submit(r#"{"a":2}"#);
    assert_eq!(other.code, Some(6), "{other:?}");
    let tasks = host.run(&["task", "list", "--json"]).ok().json();
    assert_eq!(tasks.as_array().unwrap().len(), 1);
}

#[test]
fn start_runs_a_host_in_the_background_until_stop() {
    let host = testing().prepare();
    let started = host.run(&["start", "--json"]).ok().json();
    assert_eq!(started["already_running"], false, "{started}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let log = std::path::Path::new(started["log"].as_str().unwrap());
        assert_eq!((mode(log.parent().unwrap()), mode(log)), (0o700, 0o600), "what it keeps is its owner's alone");
    }
    let again = host.run(&["start", "--json"]).ok().json();
    assert_eq!((&again["already_running"], &again["pid"]), (&json!(true), &started["pid"]));
    let answer = host.run(&["submit", "echo", r#"{"hello":"there"}"#, "--wait", "--json"]).ok().json();
    assert_eq!(answer["data"], json!({ "hello": "there" }));
    let stopped = host.run(&["stop", "--json"]).ok().json();
    assert_eq!((&stopped["stopped"], &stopped["pid"]), (&json!(true), &started["pid"]));
    assert_eq!(host.run(&["status"]).code, Some(4));
}

#[test]
fn capabilities_say_which_task_types_a_host_takes() {
    let host = testing().plugin("digest").yaml("agent:\n  capabilities: [data_processing]\n").start();
    let input = json!({ "from": { "records": [{ "a": 1 }] }, "steps": [] });
    let id = host.submit("data_processing", &input, &[]);
    assert_eq!(host.finished(&id, SOON)["state"], "succeeded");

    let refused = host.run(&["submit", "echo", "{}", "--wait"]);
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(refused.err.contains("agent.capabilities"), "it says which setting is in the way: {refused:?}");
}

#[test]
fn fifty_quick_tasks_all_succeed() {
    let host = testing().start();
    let ids: Vec<String> = (0..50).map(|n| host.submit("echo", &json!({ "n": n }), &[])).collect();
    for (n, id) in ids.iter().enumerate() {
        let task = host.finished(id, SOON);
        assert_eq!(task["state"], "succeeded", "{task:#}");
        assert_eq!(host.result(id), json!({ "n": n }));
    }
    let succeeded = host.run(&["task", "list", "--state", "succeeded", "--limit", "100", "--json"]).ok().json();
    assert_eq!(succeeded.as_array().unwrap().len(), 50);
    assert_eq!(host.run(&["status", "--json"]).ok().json()["tasks_completed_today"], 50);
}
