//! The control API: who may come in, what is bounded, and the client against the server.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use buddy_host::control::api::ErrorCode;
use buddy_host::control::file::{CONTROL_FILE, ControlFile};
use buddy_host::control::views::*;
use buddy_host::control::{Client, ClientError, ControlError, ControlServer};
use buddy_host::failure::{Exit, Explain as _};
use serde_json::value::RawValue;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::memory_host::{MemoryHost, Serving};

struct Case {
    folder: TempDir,
    host: Arc<MemoryHost>,
    serving: Serving,
    client: Client,
}

async fn case() -> Case {
    let folder = tempfile::tempdir().unwrap();
    let host = MemoryHost::new();
    let serving = host.serve(folder.path()).await;
    let client = Client::find(folder.path()).unwrap();
    Case { folder, host, serving, client }
}

/// A stream that stays silent is a failure, not a test that never ends.
async fn soon<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("an event within 30 s")
}

fn request(kind: &str, input: &str) -> SubmitRequest {
    SubmitRequest {
        r#type: kind.to_owned(),
        input: RawValue::from_string(input.to_owned()).unwrap(),
        digest: None,
        key: None,
        priority: None,
        max_attempts: None,
        waits: false,
    }
}

/// Sends the bytes as they are and gives the status line's code and the body.
async fn raw(port: u16, text: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    socket.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(30), socket.read_to_end(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    (status, body)
}

#[tokio::test]
async fn only_a_loopback_name_with_the_token_and_no_web_page_comes_in() {
    let case = case().await;
    let port = case.serving.port;
    let token = ControlFile::read(case.folder.path()).unwrap().unwrap().token;
    let get =
        |host: &str, rest: &str| format!("GET /v1/status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{rest}\r\n");
    let auth = format!("Authorization: Bearer {token}\r\n");
    let ours = format!("127.0.0.1:{port}");

    assert_eq!(raw(port, &get(&ours, &auth)).await.0, 200);
    assert_eq!(raw(port, &get(&format!("localhost:{port}"), &auth)).await.0, 200);

    let mut told = Vec::new();
    let rebound = format!("evil.example:{port}");
    let wrong = format!("Authorization: Bearer {}\r\n", "0".repeat(64));
    let page = format!("{auth}Origin: https://evil.example\r\n");
    for (what, host, rest, expected) in [
        ("a name that was rebound to loopback", rebound.as_str(), auth.as_str(), 403),
        ("the right name on another port", "127.0.0.1:1", auth.as_str(), 403),
        ("no token", ours.as_str(), "", 401),
        ("a wrong token", ours.as_str(), wrong.as_str(), 401),
        ("a web page", ours.as_str(), page.as_str(), 403),
    ] {
        let (status, body) = raw(port, &get(host, rest)).await;
        assert_eq!(status, expected, "{what}");
        told.push(format!("# {what}\n{body}"));
    }
    insta::with_settings!({filters => vec![(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT")]}, {
        insta::assert_snapshot!(told.join("\n"));
    });
}

#[tokio::test]
async fn every_refusal_is_json_with_a_code() {
    let case = case().await;
    let port = case.serving.port;
    let token = ControlFile::read(case.folder.path()).unwrap().unwrap().token;
    let send = |line: &str, body: &str| {
        let length = body.len();
        format!(
            "{line} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    };
    let mut told = Vec::new();
    for (line, body) in [
        ("GET /nowhere", ""),
        ("PUT /v1/status", ""),
        ("POST /v1/tasks", "not json"),
        ("POST /v1/tasks", "{\"type\": \"a\", \"input\": {}, \"prioritty\": 1}"),
        ("GET /v1/tasks?state=sleepy", ""),
        ("GET /v1/tasks/nobody", ""),
        ("GET /v1/tasks/%00", ""),
        ("POST /v1/stop", "[1]"),
    ] {
        let (status, body) = raw(port, &send(line, body)).await;
        told.push(format!("# {line}\n{status} {body}"));
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[tokio::test]
async fn a_request_above_8_mib_is_refused_and_the_host_goes_on() {
    let case = case().await;
    let input = format!("\"{}\"", "x".repeat(9 << 20));
    // The server may answer and close before all was sent; both are a refusal.
    match case.client.submit(&request("a", &input)).await.unwrap_err() {
        ClientError::Refused(error) => assert_eq!(error.code, ErrorCode::TooLarge),
        ClientError::Unreachable { .. } => {}
        other => panic!("{other}"),
    }
    assert!(case.client.tasks(&TaskFilter::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn status_has_exactly_the_dashboards_fields() {
    let case = case().await;
    let token = ControlFile::read(case.folder.path()).unwrap().unwrap().token;
    let port = case.serving.port;
    let text = format!(
        "GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    let (_, body) = raw(port, &text).await;
    let status: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&body).unwrap();
    let mut fields: Vec<&str> = status.keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "active_browsers",
            "agent",
            "disk_usage",
            "firebase_latency",
            "last_sync",
            "memory_usage",
            "pending_sync",
            "status",
            "tasks_completed_today",
            "uptime"
        ]
    );
    assert_eq!(status["firebase_latency"], serde_json::Value::Null);
    assert_eq!(status["tasks_completed_today"], 3);
}

#[tokio::test]
async fn a_task_goes_through_the_client_and_back_unchanged() {
    let case = case().await;
    // A number that no 64-bit type holds, and keys in an order of their own.
    let input = r#"{"z":123456789012345678901234567890,"a":1.10}"#;
    let reply = case.client.submit(&request("web_navigate", input)).await.unwrap();
    assert!(reply.created);
    assert_eq!(case.host.input(&reply.id), input);
    case.host.finish(&reply.id, input);
    let result = case.client.result(&reply.id).await.unwrap();
    assert_eq!(result.data.unwrap().get(), input);
}

#[tokio::test]
async fn a_task_is_found_by_any_unambiguous_prefix() {
    let case = case().await;
    let first = case.client.submit(&request("a", "{}")).await.unwrap().id;
    let _second = case.client.submit(&request("a", "{}")).await.unwrap();
    assert_eq!(case.client.task(&first[..4]).await.unwrap().id, first);
    let code = |error| match error {
        ClientError::Refused(error) => error.code,
        other => panic!("{other}"),
    };
    assert_eq!(code(case.client.task("ab").await.unwrap_err()), ErrorCode::Ambiguous);
    assert_eq!(code(case.client.task("zz").await.unwrap_err()), ErrorCode::NotFound);
    for odd in ["", "..", "a/b", "ä ?#"] {
        assert_eq!(code(case.client.task(odd).await.unwrap_err()), ErrorCode::NotFound, "{odd:?}");
    }
}

#[tokio::test]
async fn lists_are_filtered() {
    let case = case().await;
    let first = case.client.submit(&request("a", "{}")).await.unwrap().id;
    let second = case.client.submit(&request("b", "{}")).await.unwrap().id;
    case.client.cancel(&first).await.unwrap();
    let ids = async |filter: TaskFilter| -> Vec<String> {
        case.client.tasks(&filter).await.unwrap().into_iter().map(|task| task.id).collect()
    };
    assert_eq!(
        ids(TaskFilter { state: Some(TaskState::Cancelled), ..TaskFilter::default() }).await,
        std::slice::from_ref(&first)
    );
    assert_eq!(
        ids(TaskFilter { r#type: Some("b".to_owned()), ..TaskFilter::default() }).await,
        std::slice::from_ref(&second)
    );
    assert_eq!(ids(TaskFilter { limit: Some(1), ..TaskFilter::default() }).await, [second]);
}

#[tokio::test]
async fn a_watch_shows_changes_and_ends_with_the_final_state() {
    let case = case().await;
    let id = case.client.submit(&request("a", "{}")).await.unwrap().id;
    let mut changes = case.client.watch(&id).await.unwrap();
    assert_eq!(soon(changes.next()).await.unwrap().unwrap().state, TaskState::Running);
    case.host.change(&id, |entry| {
        entry.view.progress =
            Some(ProgressView { done: 1, total: Some(2), message: Some("a line\nand an empty one\n\n".to_owned()) });
    });
    let progress = soon(changes.next()).await.unwrap().unwrap().progress.unwrap();
    assert_eq!(progress.message.as_deref(), Some("a line\nand an empty one\n\n"));
    case.host.finish(&id, "1");
    assert_eq!(soon(changes.next()).await.unwrap().unwrap().state, TaskState::Succeeded);
    assert!(soon(changes.next()).await.unwrap().is_none());
    assert!(soon(changes.next()).await.unwrap().is_none(), "over stays over");
}

#[tokio::test]
async fn a_followed_log_gives_old_and_new_lines_once_and_ends_with_the_task() {
    let case = case().await;
    let id = case.client.submit(&request("a", "{}")).await.unwrap().id;
    case.host.say(&id, "old");
    let mut lines = case.client.follow(&id, 0).await.unwrap();
    assert_eq!(soon(lines.next()).await.unwrap().unwrap().message, "old");
    case.host.say(&id, "new");
    assert_eq!(soon(lines.next()).await.unwrap().unwrap().message, "new");
    case.host.finish(&id, "1");
    assert!(soon(lines.next()).await.unwrap().is_none());
}

#[tokio::test]
async fn the_end_of_the_host_cuts_a_watch_and_leaves_nothing_behind() {
    let case = case().await;
    let id = case.client.submit(&request("a", "{}")).await.unwrap().id;
    let mut changes = case.client.watch(&id).await.unwrap();
    soon(changes.next()).await.unwrap();
    case.serving.end().await;
    assert!(matches!(soon(changes.next()).await, Err(ClientError::Unreachable { .. })));
    assert_eq!(fs::read_dir(case.folder.path()).unwrap().count(), 0);
    let error = Client::find(case.folder.path()).unwrap_err();
    assert_eq!(error.exit(), Exit::NoHost);
}

#[tokio::test]
async fn a_file_left_by_a_killed_host_means_no_host() {
    let folder = tempfile::tempdir().unwrap();
    // Above the largest process number a kernel gives out.
    let stale = ControlFile { port: 1, token: "t".to_owned(), pid: u32::MAX - 1, started: 1 };
    fs::write(folder.path().join(CONTROL_FILE), serde_json::to_vec(&stale).unwrap()).unwrap();
    assert!(matches!(Client::find(folder.path()), Err(ClientError::NoHost { .. })));
    let host = MemoryHost::new();
    let serving = host.serve(folder.path()).await;
    assert_eq!(Client::find(folder.path()).unwrap().status().await.unwrap().agent, "test-agent");
    serving.end().await;
}

#[tokio::test]
async fn a_process_number_that_was_given_out_again_is_not_taken_for_the_host() {
    let folder = tempfile::tempdir().unwrap();
    // This test's own process, but started at another time and without that token.
    let stale = ControlFile { port: 9, token: "t".to_owned(), pid: std::process::id(), started: 1 };
    fs::write(folder.path().join(CONTROL_FILE), serde_json::to_vec(&stale).unwrap()).unwrap();
    assert!(!ControlFile::read(folder.path()).unwrap().unwrap().is_same_process());
    ControlServer::bind(folder.path(), 0).await.unwrap();
}

#[tokio::test]
async fn a_second_host_and_a_taken_port_are_conflicts() {
    let case = case().await;
    let error = ControlServer::bind(case.folder.path(), 0).await.unwrap_err();
    assert!(matches!(error, ControlError::AnotherHost { .. }));
    assert_eq!(error.exit(), Exit::Conflict);
    let elsewhere = tempfile::tempdir().unwrap();
    let error = ControlServer::bind(elsewhere.path(), case.serving.port).await.unwrap_err();
    assert!(matches!(error, ControlError::PortInUse(_)));
    assert_eq!(error.exit(), Exit::Conflict);
}
