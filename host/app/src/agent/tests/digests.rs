//! Tries of a task with a digest.

use buddy_router::{Body, DigestSpec, Outcome, State};
use buddy_sync::Coordinator;
use tokio_util::sync::CancellationToken;

use super::super::attempt::{self, RAW_RESULTS, TryEnd};
use super::{rig, task};
use crate::control::HostApi as _;

#[tokio::test]
async fn a_digest_that_cannot_be_kept_is_made_again_from_the_same_raw_result() {
    let rig = rig(&["testing"]).await;
    let digest = DigestSpec { task_type: "big_output".into(), input: r#"{"bytes":1000000}"#.into() };
    let task = task(1, "noop", "null", Some(digest));
    let (parts, never) = (rig.agent.parts(), CancellationToken::new());
    let try_it = || attempt::attempt(parts, rig.coordinator.as_ref(), &task, &never, &never);
    let kept = || rig.buffer.kv_get(RAW_RESULTS, &format!("{}/{}", task.id, task.payload_hash)).unwrap();

    // Of the 50 GB that the data folder may hold there is room for the raw result, and not for its digest.
    parts.artifacts.others_hold((50 << 30) - 100_000);
    let full = try_it().await;
    assert!(matches!(&full, TryEnd::Retry { after: Some(_), .. }), "{full:?}");
    let raw = String::from_utf8(kept().expect("the raw result is not forgotten")).unwrap();

    parts.artifacts.others_hold(0);
    let TryEnd::Over { outcome, raw_artifact } = try_it().await else { panic!("it is not over") };
    assert!(matches!(outcome, Outcome::Succeeded { body: Body::Artifact { .. } }), "{outcome:?}");
    assert_eq!((raw_artifact, kept()), (Some(raw), None));
}

#[tokio::test]
async fn the_raw_result_of_a_digest_that_failed_is_shown_and_can_be_digested_again() {
    let rig = rig(&["testing", "digest"]).await;
    let input = r#"{"from":{"result_of":"self","path":"sites"}}"#.to_owned();
    let digest = DigestSpec { task_type: "data_processing".into(), input };
    let pages = r#"{"pages":[{"id":1},{"id":2}]}"#;
    let scrape = task(1, "echo", pages, Some(digest));
    rig.give(&scrape).await;
    rig.work();
    rig.ends(&scrape, State::Failed).await;

    let shown = rig.api.task(scrape.id.as_str()).await.unwrap();
    let error = shown.error.unwrap();
    assert!(error.starts_with("the digest failed: "), "{error}");
    let how = format!(r#"{{"from":{{"result_of":"{}"}}}}"#, scrape.id.short());
    assert!(error.contains("the raw result is kept") && error.ends_with(&how), "{error}");
    assert_eq!(std::fs::read_to_string(shown.result_location.unwrap()).unwrap(), pages);

    let how = format!(r#"{{"from":{{"result_of":"{}","path":"pages"}}}}"#, scrape.id);
    let again = task(2, "data_processing", &how, None);
    rig.give(&again).await;
    rig.ends(&again, State::Succeeded).await;
    let result = rig.coordinator.result(&again.id).await.unwrap().unwrap();
    let Outcome::Succeeded { body: Body::Inline(table) } = result.outcome else { panic!("{result:?}") };
    assert!(table.contains(r#""row_count":2"#), "{table}");
}

#[tokio::test]
async fn a_task_that_is_given_up_over_its_digest_names_its_raw_result_too() {
    let rig = rig(&["testing"]).await;
    let digest = DigestSpec { task_type: "big_output".into(), input: r#"{"bytes":1000000}"#.into() };
    let mut last = task(1, "noop", "null", Some(digest));
    last.max_attempts = 1;
    rig.agent.parts().artifacts.others_hold((50 << 30) - 100_000);
    rig.give(&last).await;
    rig.work();
    rig.ends(&last, State::Failed).await;
    let result = rig.coordinator.result(&last.id).await.unwrap().unwrap();
    let Outcome::Failed { reason } = &result.outcome else { panic!("{result:?}") };
    assert!(reason.starts_with("given up after 1 tries") && reason.contains("the raw result is kept"), "{reason}");
    assert!(result.raw_artifact.is_some());
}
