//! The commands against a host that answers.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use buddy_host::control::views::*;

use crate::memory_host::{MemoryHost, Serving};
use crate::program::Program;

struct Case {
    program: Program,
    host: Arc<MemoryHost>,
    serving: Serving,
}

async fn case() -> Case {
    let program = Program::new();
    program.write("buddy.yaml", "storage:\n  path: data\n");
    let storage = program.path().join("data");
    std::fs::create_dir(&storage).unwrap();
    let host = MemoryHost::new();
    let serving = host.serve(&storage).await;
    Case { program, host, serving }
}

#[tokio::test]
async fn status_for_people_and_for_programs() {
    let case = case().await;
    let people = case.program.run_beside(&["status"]).await;
    let programs = case.program.run_beside(&["--status", "--json"]).await;
    insta::assert_snapshot!(format!("{}\n{}", people.all(), programs.all()));
}

#[tokio::test]
async fn a_task_from_submit_to_result() {
    let case = case().await;
    case.program.write("input.json", "{\"urls\": [\"https://example.com\"]}");
    let ran = case
        .program
        .run_beside(&["submit", "web_navigate", "@input.json", "--key", "k", "--digest", "data_processing:{}"])
        .await;
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", ran.all());
    let id = ran.stdout.trim();
    assert_eq!(case.host.input(id), "{\"urls\": [\"https://example.com\"]}");

    let again = case.program.run_beside(&["submit", "web_navigate", "{}", "--key", "k"]).await;
    assert_eq!(again.stdout, ran.stdout, "the same key is the same task");

    case.host.say(id, "one");
    case.host.say(id, "two");
    case.host.say(id, "three");
    let logs = case.program.run_beside(&["task", "logs", id]).await;
    let early = case.program.run_beside(&["task", "result", id]).await;
    case.host.finish(id, r#"[{"title":"A","links":3},{"title":"B","links":12}]"#);
    let followed = case.program.run_beside(&["task", "logs", &id[..4], "--follow", "--json"]).await;
    let result = case.program.run_beside(&["task", "result", id]).await;
    let json = case.program.run_beside(&["task", "result", id, "--json"]).await;
    let parts = [logs, early, followed, result, json].map(|ran| ran.all());
    insta::assert_snapshot!(parts.join("\n"));
}

#[tokio::test]
async fn submit_wait_prints_the_result_when_the_task_is_done() {
    let case = case().await;
    let wait = case.program.run_beside(&["submit", "a", "{}", "--wait"]);
    let work = async {
        let id = case.host.first_task().await;
        case.host.change(&id, |entry| {
            entry.view.progress = Some(ProgressView { done: 1, total: Some(2), message: None });
        });
        case.host.finish(&id, "{\"answer\":42}");
    };
    let (ran, ()) = tokio::join!(wait, work);
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert_eq!(ran.stdout, "{\n  \"answer\": 42\n}\n");
    assert_eq!(ran.stderr, "", "no progress bar where there is no terminal");
}

#[tokio::test]
async fn submit_wait_says_once_that_the_host_is_paused() {
    let case = case().await;
    case.host.status.send_replace("PAUSED: the data folder is full");
    let wait = case.program.run_beside(&["submit", "a", "{}", "--wait"]);
    let work = async {
        let id = case.host.first_task().await;
        case.host.watched().await;
        case.host.finish(&id, "7");
    };
    let (ran, ()) = tokio::join!(wait, work);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "7\n"), "{}", ran.all());
    assert_eq!(ran.stderr, "the host is PAUSED: the data folder is full\n");
}

#[tokio::test]
async fn submit_wait_ends_with_1_when_the_task_fails() {
    let case = case().await;
    let wait = case.program.run_beside(&["submit", "a", "{}", "--wait"]);
    let work = async {
        let id = case.host.first_task().await;
        case.host.fail(&id, "the site answered 500");
    };
    let (ran, ()) = tokio::join!(wait, work);
    insta::assert_snapshot!(ran.all());
    assert_eq!(ran.code, 1);
}

#[tokio::test]
async fn where_a_digest_failed_the_refusal_of_a_result_names_the_file_of_the_raw_one() {
    let case = case().await;
    case.program.run_beside(&["submit", "a", "{}"]).await;
    let id = case.host.first_task().await;
    case.host.change(&id, |entry| entry.view.result_location = Some("data/artifacts/raw".to_owned()));
    case.host.fail(&id, "the digest failed: no such path");
    let ran = case.program.run_beside(&["task", "result", &id]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{}", ran.all());
    assert!(ran.stderr.contains("help: the raw result is data/artifacts/raw; "), "{}", ran.stderr);
}

#[cfg(unix)]
#[tokio::test]
async fn ctrl_c_ends_the_wait_and_not_the_task() {
    let case = case().await;
    let mut command = tokio::process::Command::from(case.program.command(&["submit", "a", "{}", "--wait"]));
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    let pid = child.id().unwrap();
    let id = case.host.first_task().await;
    // The watch is open, so the handler for Ctrl-C is in place with it.
    case.host.watched().await;
    let kill = std::process::Command::new("kill").args(["-INT", &pid.to_string()]).status().unwrap();
    assert!(kill.success());
    let output = child.wait_with_output().await.unwrap();
    let ran = case.program.ran(&output);
    assert_eq!(ran.code, 130, "{}", ran.all());
    assert_eq!(ran.stderr, format!("the task goes on; look at it with `buddy-host task show {id}`\n"));
}

#[tokio::test]
async fn a_fault_in_the_configuration_does_not_hide_the_running_host() {
    let case = case().await;
    case.program.write("buddy.yaml", "agent:\n  nam: mine\nstorage:\n  path: data\n");
    let ran = case.program.run_beside(&["status"]).await;
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert!(ran.stdout.contains("test-agent"), "{}", ran.all());
    assert!(ran.stderr.starts_with("warning: FOLDER/buddy.yaml, line 2: the key `agent.nam`"), "{}", ran.all());
}

#[tokio::test]
async fn a_log_that_is_followed_ends_with_the_host() {
    use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
    let Case { program, host, serving } = case().await;
    let submitted = program.run_beside(&["submit", "a", "{}"]).await;
    let id = submitted.stdout.trim();
    host.say(id, "one");
    let mut command = tokio::process::Command::from(program.command(&["task", "logs", id, "-f"]));
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await.unwrap().unwrap().unwrap();
    assert!(line.ends_with("info  one"), "{line}");
    serving.end().await;
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).await.unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(4), "{told}");
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn the_wait_survives_a_restart_of_the_host() {
    let Case { program, host, serving } = case().await;
    let wait = program.run_beside(&["submit", "a", "{}", "--wait"]);
    let work = async {
        let id = host.first_task().await;
        serving.end().await;
        let serving = host.serve(&program.path().join("data")).await;
        host.finish(&id, "7");
        serving
    };
    let (ran, _serving) = tokio::join!(wait, work);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "7\n"), "{}", ran.all());
}

#[tokio::test]
async fn refusals_of_the_host_are_shown_with_their_help() {
    let case = case().await;
    for _ in 0..2 {
        case.program.run_beside(&["submit", "a", "{}"]).await;
    }
    let mut told = String::new();
    for arguments in [
        &["submit", "unknown", "{}"][..],
        &["task", "show", "zz"],
        &["task", "show", ""],
        &["plugin", "show", ""],
        &["task", "show", "ab"],
        &["task", "retry", "ab00"],
        &["plugin", "show", "nobody"],
    ] {
        let ran = case.program.run_beside(arguments).await;
        let _ = write!(told, "# buddy-host {}\n{}\n", arguments.join(" "), ran.all());
    }
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn tasks_and_plugins_are_listed() {
    let case = case().await;
    case.program.run_beside(&["submit", "web_navigate", "{}"]).await;
    case.host.change("ab00aaaa", |entry| {
        entry.view.state = TaskState::WaitingForHuman;
    });
    let list = case.program.run_beside(&["task", "list", "--state", "waiting-for-human"]).await;
    let none = case.program.run_beside(&["task", "list", "--type", "other"]).await;
    let plugins = case.program.run_beside(&["plugin", "list"]).await;
    let answer = case.program.run_beside(&["task", "answer", "ab00", "code", "1234", "--json"]).await;
    assert_eq!(answer.code, 0, "{}", answer.all());
    insta::with_settings!({filters => vec![(r"(just now|\d+ \w+ ago)", "AGO"), (r" {2,}", "  ")]}, {
        insta::assert_snapshot!(format!("{}\n{}\n{}", list.all(), none.all(), plugins.all()));
    });
}

#[tokio::test]
async fn doctor_sees_the_running_host() {
    let case = case().await;
    let ran = case.program.run_beside(&["doctor"]).await;
    let expected = format!("running host: ONLINE (process {}, port {})", std::process::id(), case.serving.port);
    assert!(ran.stdout.contains(&expected), "{}", ran.stdout);
}

#[tokio::test]
async fn start_is_content_with_a_host_that_runs_already() {
    let case = case().await;
    let ran = case.program.run_beside(&["start"]).await;
    assert_eq!(ran.code, 0, "{}", ran.all());
    assert_eq!(ran.stdout, format!("already running: process {}, log FOLDER/data/host.log\n", std::process::id()));
}

#[tokio::test]
async fn start_says_what_else_there_is_to_know_of_a_host() {
    let case = case().await;
    case.host.status.send_replace("ONLINE: the earlier queue could not be read");
    let ran = case.program.run_beside(&["start"]).await;
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (0, "warning: the host is ONLINE: the earlier queue could not be read\n")
    );
}

#[tokio::test]
async fn stop_passes_the_wish_on_to_the_host() {
    let case = case().await;
    let mut stopped = case.host.stopped.subscribe();
    // This test is the host's process and does not end, so the command is not waited for.
    let mut command = tokio::process::Command::from(case.program.command(&["stop"]));
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    let wish = tokio::time::timeout(Duration::from_secs(30), stopped.wait_for(Option::is_some));
    assert_eq!(*wish.await.unwrap().unwrap(), Some(false));
    child.kill().await.unwrap();
}
