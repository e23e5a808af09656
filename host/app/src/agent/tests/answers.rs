//! What the control API answers from a real agent.

use buddy_router::{DigestSpec, State};
use serde_json::value::RawValue;

use super::{rig, task};
use crate::control::views::SubmitRequest;
use crate::control::{ErrorCode, HostApi as _};

#[tokio::test]
async fn a_plugin_whose_name_is_taken_is_listed_as_refused_with_the_reason() {
    let rig = rig(&["a=testing", "b=testing"]).await;
    let plugins = rig.api.plugins().await.unwrap();
    let states: Vec<&str> = plugins.iter().map(|plugin| plugin.state.as_str()).collect();
    assert_eq!(states, ["ready", "refused"]);
    let refused = &plugins[1];
    assert!(refused.file.ends_with("b.wasm"), "{}", refused.file);
    let reason = refused.reason.as_deref().unwrap();
    assert!(reason.contains("b.wasm are both named testing"), "{reason}");
    assert_eq!(rig.api.plugin("testing").await.unwrap().state, "ready");
}

#[tokio::test]
async fn a_host_that_is_stopping_refuses_a_task_as_a_conflict() {
    let rig = rig(&["testing"]).await;
    rig.agent.drain();
    let request = SubmitRequest {
        r#type: "noop".to_owned(),
        input: RawValue::from_string("null".to_owned()).unwrap(),
        digest: None,
        key: None,
        priority: None,
        max_attempts: None,
        waits: false,
    };
    let refusal = rig.api.submit(request).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::Conflict, "{refusal}");
    assert!(refusal.help.is_some());
}

#[tokio::test]
async fn progress_of_the_digest_is_told_as_that() {
    let rig = rig(&["testing", "digest"]).await;
    let input = r#"{"from":{"result_of":"self","path":"pages"}}"#.to_owned();
    let digest = DigestSpec { task_type: "data_processing".into(), input };
    let scrape = task(1, "echo", r#"{"pages":[{"id":1},{"id":2}]}"#, Some(digest));
    rig.give(&scrape).await;
    rig.work();
    rig.reaches(&scrape, State::Succeeded).await;
    let progress = rig.buffer.progress(&scrape.id).unwrap().unwrap();
    assert!(progress.message.starts_with("digest"), "{progress:?}");
}
