//! Tries of a task with a digest.

use buddy_router::{Body, DigestSpec, Outcome};
use tokio_util::sync::CancellationToken;

use super::super::attempt::{self, RAW_RESULTS, TryEnd};
use super::{rig, task};

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
