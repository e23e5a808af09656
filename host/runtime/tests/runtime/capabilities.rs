//! What a plugin can do through the host, when it may.

use crate::support::{GateServer, Memory, grants, in_time, loaded, request};
use buddy_runtime::{Providers, RunRequest};
use serde_json::{Value, json};

async fn answer(request: RunRequest) -> Value {
    let (runtime, plugin) = loaded().await;
    let outcome = in_time(runtime.run(&plugin, request)).await;
    serde_json::from_str(&outcome.result.unwrap()).unwrap()
}

fn with(memory: &Memory, task_type: &str, input: &str) -> RunRequest {
    RunRequest { providers: memory.providers(), ..request(task_type, input) }
}

#[tokio::test]
async fn host_calls_of_one_instance_are_open_at_the_same_time() {
    // The server answers nobody until a hundred requests are open at once: were the calls one after the other, the
    // first would wait for ever.
    let server = GateServer::start(100).await;
    let input = format!(r#"{{"url":"{}","count":100}}"#, server.url);
    let answer = answer(request("fan_out_http", &input)).await;
    assert_eq!(answer["statuses"], json!(vec![200; 100]));
    assert_eq!(server.most(), 100);
}

#[tokio::test]
async fn calls_beyond_the_slots_wait_their_turn() {
    let server = GateServer::start(5).await;
    let input = format!(r#"{{"url":"{}","count":20}}"#, server.url);
    let mut request = request("fan_out_http", &input);
    request.limits.concurrent_calls = 5;
    assert_eq!(answer(request).await["statuses"], json!(vec![200; 20]));
    assert_eq!(server.most(), 5);
}

#[tokio::test]
async fn the_context_is_that_of_the_request() {
    let mut request = request("context", "null");
    request.task.mission = Some("mission-7".into());
    request.task.attempt = 3;
    assert_eq!(
        answer(request).await,
        json!({"task-id": "task-1", "mission": "mission-7", "attempt": 3, "deadline-ms": 60_000})
    );
}

#[tokio::test]
async fn a_plugin_can_wait_many_times_at_once() {
    assert_eq!(answer(request("sleep_at_once", r#"{"count":1000,"ms":20}"#)).await, json!(1000));
}

#[tokio::test]
async fn a_wait_ends_early_when_the_run_is_to_end() {
    let (runtime, plugin) = loaded().await;
    let mut request = request("sleep_at_once", r#"{"count":3,"ms":100000000}"#);
    request.limits.grace = crate::support::PATIENCE;
    let cancel = request.cancel.clone();
    let (outcome, ()) = tokio::join!(in_time(runtime.run(&plugin, request)), async {
        crate::support::eventually("it runs", || runtime.instances() == 1).await;
        cancel.cancel();
    });
    assert_eq!(outcome.result.as_deref(), Ok("3"));
}

#[tokio::test]
async fn progress_reaches_whoever_watches() {
    let memory = Memory::default();
    assert_eq!(answer(with(&memory, "progress", "null")).await, json!(false));
    let reports = memory.0.reports.lock().unwrap();
    assert_eq!(reports.last(), Some(&(3, Some(3), "step 3".to_owned())));
}

#[tokio::test]
async fn checkpoints_last_from_try_to_try() {
    let memory = Memory::default();
    assert_eq!(answer(with(&memory, "checkpoint_count", "null")).await["count"], json!(1));
    let second = answer(with(&memory, "checkpoint_count", "null")).await;
    assert_eq!(second, json!({"count": 2, "entries": [["count", "2"]]}));
}

#[tokio::test]
async fn a_checkpoint_that_is_not_json_or_has_no_key_is_refused() {
    let (runtime, plugin) = loaded().await;
    for (input, message) in [
        (r#"{"key":"k","value":"{"}"#, "invalid: The value of checkpoint \"k\" is not JSON"),
        (r#"{"key":"","value":"1"}"#, "invalid: A key has 1 to 512 bytes; this one has 0."),
    ] {
        let failure = in_time(runtime.run(&plugin, request("checkpoint_save", input))).await.result.unwrap_err();
        assert!(failure.to_string().starts_with(message), "{failure}");
    }
}

#[tokio::test]
async fn the_store_keeps_compares_lists_and_removes() {
    let answer = answer(request("store_roundtrip", r#"{"key":"k","value":"v"}"#)).await;
    assert_eq!(answer, json!({"value": "v", "keys": ["k"], "swapped": false, "gone": true}));
}

#[tokio::test]
async fn an_artifact_is_written_finished_once_and_read_back() {
    let memory = Memory::default();
    let answer = answer(with(&memory, "artifact_roundtrip", r#"{"text":"Grüße"}"#)).await;
    assert_eq!(
        answer,
        json!({"size": 7, "name": "note.txt", "media-type": "text/plain", "read": "Grüße", "after-finish": "invalid"})
    );
    assert_eq!(memory.alive(), 0, "the writer is gone");
}

#[tokio::test]
async fn a_page_is_opened_used_and_freed() {
    let memory = Memory::default();
    let answer = answer(with(&memory, "browser_title", r#"{"url":"http://127.0.0.1/a"}"#)).await;
    assert_eq!(
        answer,
        json!({"url": "http://127.0.0.1/a", "title": "The title of http://127.0.0.1/a", "from-cache": false})
    );
    assert_eq!(memory.alive(), 0, "context and page are gone");
}

#[tokio::test]
async fn what_comes_later_says_so() {
    insta::assert_json_snapshot!(answer(request("browser_later", "null")).await);
}

#[tokio::test]
async fn secrets_are_names() {
    assert_eq!(answer(request("secret_names", "null")).await, json!(["a", "b"]));
}

#[tokio::test]
async fn p5_what_is_not_granted_fails_with_the_lines_to_add() {
    let mut request = request("denied_probe", "null");
    request.grants = grants(&[]);
    insta::assert_json_snapshot!(answer(request).await);
}

#[tokio::test]
async fn p5_a_browser_without_a_granted_host_goes_nowhere() {
    let (runtime, plugin) = loaded().await;
    let mut request = request("browser_title", r#"{"url":"https://example.com/"}"#);
    request.grants = grants(&[("browser", &[])]);
    let failure = in_time(runtime.run(&plugin, request)).await.result.unwrap_err().to_string();
    assert!(failure.starts_with("denied: the plugin `testing` may not use `browser` for \"example.com\""), "{failure}");
    assert!(failure.ends_with("\n    testing:\n      browser: [\"example.com\"]"), "{failure}");
}

#[tokio::test]
async fn what_is_granted_but_has_nothing_behind_it_is_unavailable() {
    let mut request = request("denied_probe", "null");
    request.grants = grants(&[
        ("http", &["example.com"]),
        ("browser", &["*"]),
        ("store", &[]),
        ("checkpoint", &[]),
        ("artifacts", &[]),
        ("firestore", &["*"]),
        ("human", &[]),
    ]);
    request.providers = Providers::default();
    insta::assert_json_snapshot!(answer(request).await);
}

#[tokio::test]
async fn log_lines_and_progress_without_a_listener_go_nowhere() {
    let mut request = request("log_flood", r#"{"lines":3,"bytes":3}"#);
    request.providers = Providers::default();
    assert_eq!(answer(request).await, json!(3));
}
