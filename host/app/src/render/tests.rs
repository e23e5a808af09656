#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Every text as it is shown.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::control::views::*;
use crate::failure::Exit;

const GIB: u64 = 1 << 30;

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn task(id: &str, state: TaskState) -> TaskView {
    TaskView {
        id: id.to_owned(),
        r#type: "web_navigate".to_owned(),
        state,
        reason: None,
        attempt: 1,
        max_attempts: 3,
        priority: 0,
        agent: None,
        created: "2026-03-01T11:55:00Z".parse().unwrap(),
        updated: now(),
        started: None,
        finished: None,
        progress: None,
        error: None,
        question: None,
        digest: None,
        result_location: None,
    }
}

#[test]
fn the_words_of_states_are_those_that_programs_know() {
    let words: Vec<String> = TaskState::ALL.iter().map(|state| serde_json::to_string(state).unwrap()).collect();
    insta::assert_snapshot!(words.join(" "), @r#""submitted" "deferred" "assigned" "running" "backing-off" "waiting-for-human" "succeeded" "failed" "cancelled" "rejected""#);
    for (state, word) in TaskState::ALL.into_iter().zip(words) {
        assert_eq!(word.trim_matches('"'), state.as_str());
    }
}

#[test]
fn status_has_the_dashboards_own_words() {
    let facts = StatusFacts {
        agent: "Buddy-Local-Desktop".to_owned(),
        status: "ONLINE".to_owned(),
        uptime: Duration::from_mins(14 * 60 + 32),
        tasks_completed_today: 127,
        active_browsers: 8,
        pending_sync: 12,
        memory: (6 * GIB + GIB / 5, 16 * GIB),
        disk: (2 * GIB + GIB / 10, 50 * GIB),
        last_sync: Some(Duration::from_secs(32)),
        firebase_latency: Some(Duration::from_millis(45)),
    };
    let view = StatusView::from(facts);
    insta::assert_snapshot!("status_json", serde_json::to_string_pretty(&view).unwrap());
    let local = StatusView { firebase_latency: None, last_sync: "never".to_owned(), ..view };
    insta::assert_snapshot!("status", status::status(&local, 80));
}

#[test]
fn a_list_of_tasks() {
    let mut running = task("0123456789abcdef", TaskState::Running);
    running.progress = Some(ProgressView { done: 12, total: Some(100), message: Some("page 12".to_owned()) });
    let mut failed = task("ffeeddccbbaa9988", TaskState::Failed);
    failed.error = Some(format!("{}\nsecond line", "the site answered 500 and went on doing so ".repeat(3)));
    failed.attempt = 3;
    assert_eq!(tasks::list(&[], now(), 100), "no tasks\n");
    insta::assert_snapshot!(tasks::list(&[running, failed, task("short", TaskState::Submitted)], now(), 120));
}

#[test]
fn one_task_in_full() {
    let mut done = task("0123456789abcdef", TaskState::Succeeded);
    done.started = Some("2026-03-01T11:55:01Z".parse().unwrap());
    done.finished = Some("2026-03-01T11:57:06.5Z".parse().unwrap());
    done.progress = Some(ProgressView { done: 100, total: Some(100), message: Some("done".to_owned()) });
    done.digest = Some("data_processing".to_owned());
    done.result_location = Some("buddy-data/artifacts/ab/cd".to_owned());
    done.agent = Some("buddy-desktop".to_owned());
    insta::assert_snapshot!(tasks::show(&done, now(), 100));
}

#[test]
fn words_of_others_cannot_steer_the_terminal() {
    let mut bad = task("x", TaskState::Failed);
    bad.error = Some("\u{1b}[2J\u{7}gone\u{202e}txt".to_owned());
    let shown = tasks::list(std::slice::from_ref(&bad), now(), 120) + &tasks::show(&bad, now(), 120);
    assert!(shown.chars().all(|c| c == '\n' || !c.is_control()));
    assert!(!shown.contains('\u{202e}'));
    let line = LogLine { seq: 1, at: now(), level: "info".to_owned(), message: "\u{1b}]0;title\u{7}hello".to_owned() };
    assert_eq!(tasks::log_line(&line), "2026-03-01 12:00:00Z info  ]0;titlehello\n");
    assert_eq!(one_line("a\n\u{1b}[2Jb\r.wasm"), "a\\n\\u{1b}[2Jb\\r.wasm");
}

#[test]
fn a_plugin_with_what_it_still_needs() {
    let plugin = PluginView {
        name: "scraper".to_owned(),
        version: "0.1.0".to_owned(),
        state: "ready".to_owned(),
        reason: None,
        summary: "Scrapes web sites".to_owned(),
        file: "plugins/scraper.wasm".to_owned(),
        sha256: "ab".repeat(32),
        task_types: vec![TaskTypeView {
            name: "web_navigate".to_owned(),
            summary: "Visits pages and takes fields from them".to_owned(),
            example: r#"{"urls":["https://example.com/"]}"#.to_owned(),
        }],
        asked: vec![
            AskedView {
                capability: "browser".to_owned(),
                scopes: vec!["*".to_owned()],
                reason: "opens the pages you name".to_owned(),
                granted: false,
            },
            AskedView {
                capability: "http".to_owned(),
                scopes: vec!["www.example.com".to_owned(), "example.org".to_owned()],
                reason: "reads robots.txt".to_owned(),
                granted: true,
            },
            AskedView {
                capability: "secrets".to_owned(),
                scopes: vec!["www.example.com".to_owned()],
                reason: "signs in".to_owned(),
                granted: true,
            },
            AskedView {
                capability: "checkpoint".to_owned(),
                scopes: vec![],
                reason: "goes on where it was".to_owned(),
                granted: true,
            },
        ],
        grants: BTreeMap::from([
            ("checkpoint".to_owned(), vec!["*".to_owned()]),
            ("http".to_owned(), vec!["*.example.com".to_owned()]),
            ("secrets".to_owned(), vec!["*.example.com".to_owned()]),
        ]),
    };
    let refused = PluginView {
        state: "refused".to_owned(),
        reason: Some("plugins/a.wasm and plugins/b.wasm are both named scraper".to_owned()),
        ..plugin.clone()
    };
    let broken = PluginView {
        name: "notes".to_owned(),
        version: String::new(),
        state: "broken".to_owned(),
        reason: Some(
            "this is a text file, expected a WebAssembly component;\u{1b}[2J build it for wasm32-wasip2 (`cargo build \
             --target wasm32-wasip2`)"
                .to_owned(),
        ),
        task_types: Vec::new(),
        asked: Vec::new(),
        grants: BTreeMap::new(),
        ..plugin.clone()
    };
    let list = plugins::list(&[plugin.clone(), refused, broken.clone()], 100);
    assert!(list.lines().all(|line| line.chars().count() <= 100), "{list}");
    insta::assert_snapshot!("plugin_list", list);
    let full = plugins::show(&broken, 200);
    assert!(full.contains("wasm32-wasip2`)"), "{full}");
    insta::assert_snapshot!("plugin_show", plugins::show(&plugin, 100));
}

#[test]
fn the_doctors_report() {
    use crate::config::{Effective, Place, Value};
    let found = doctor::Report {
        ok: false,
        config_file: Some("buddy.yaml".to_owned()),
        folder: ".".to_owned(),
        settings: vec![
            Effective {
                key: "resources.max_browsers",
                value: Value::Whole(4),
                source: Place::Env { name: "MAX_CONCURRENT_BROWSERS".to_owned() },
            },
            Effective { key: "firebase.project_id", value: Value::Unset, source: Place::Default },
            Effective {
                key: "storage.path",
                value: Value::Path("buddy-data".into()),
                source: Place::File { path: "buddy.yaml".into(), line: 12 },
            },
        ],
        checks: vec![
            doctor::Check {
                name: "data folder",
                verdict: doctor::Verdict::Ok,
                found: "writable, 120 GB free".to_owned(),
                help: None,
                exit: Exit::Ok,
            },
            doctor::Check {
                name: "Chromium",
                verdict: doctor::Verdict::Wrong,
                found: "not found".to_owned(),
                help: Some("sudo apt-get install chromium".to_owned()),
                exit: Exit::Missing,
            },
        ],
    };
    insta::assert_snapshot!("doctor", doctor::report(&found, 100));
    insta::assert_snapshot!("doctor_json", serde_json::to_string_pretty(&found).unwrap());
}

#[test]
fn a_question_brings_no_commands_for_the_terminal() {
    let question = QuestionView {
        key: "go\u{1b}]0;x\u{7}".to_owned(),
        text: "May\u{1b}[2J I\u{202e}?".to_owned(),
        choices: Vec::new(),
    };
    let shown = tasks::question("0191a2b3-c4d5", &question);
    assert_eq!(shown, "question: May[2J I?\nhelp: `buddy-host task answer 0191a2b3-c go]0;x ANSWER`");
}
