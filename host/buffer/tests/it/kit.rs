//! What several tests need.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use buddy_buffer::{Buffer, Options};
use buddy_router::{AgentName, Assignment, Body, Lease, Outcome, SessionId, State, Task, TaskId, TaskResult};

/// A clock that a test sets.
#[derive(Clone, Default)]
pub(crate) struct TestClock(Arc<AtomicU64>);

impl TestClock {
    pub(crate) fn at(now: u64) -> Self {
        Self(Arc::new(AtomicU64::new(now)))
    }

    pub(crate) fn set(&self, now: u64) {
        self.0.store(now, Ordering::SeqCst);
    }
}

/// Options for a folder inside `root`, with a clock of the test's own.
pub(crate) fn options(root: &tempfile::TempDir, clock: &TestClock) -> Options {
    let clock = clock.0.clone();
    Options {
        clock: Arc::new(move || clock.load(Ordering::SeqCst)),
        // Whatever disk the tests run on.
        free_floor: 0,
        ..Options::new(root.path().join("buffer"))
    }
}

/// Bytes that do not compress, the same for the same salt.
pub(crate) fn noise(len: usize, salt: u64) -> Vec<u8> {
    // SplitMix64: the upper byte of a scrambled counter.
    let mut state = salt;
    let byte = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB).to_be_bytes()[0]
    };
    std::iter::repeat_with(byte).take(len).collect()
}

/// A fresh buffer.
pub(crate) fn fresh(clock: &TestClock) -> (tempfile::TempDir, Buffer) {
    let root = tempfile::tempdir().unwrap();
    let (buffer, report) = Buffer::open(&options(&root, clock)).unwrap();
    assert!(report.fresh);
    (root, buffer)
}

/// A task that was assigned under a lease.
pub(crate) fn task(number: u128, lease: u64) -> Task {
    Task {
        id: TaskId::from_random(number),
        task_type: "web_navigate".to_owned(),
        payload: r#"{"urls":[]}"#.to_owned(),
        payload_hash: "hash".to_owned(),
        state: State::Assigned,
        reason: "it has a browser".to_owned(),
        assigned: Some(Assignment {
            agent: "desk".parse::<AgentName>().unwrap(),
            session: SessionId::from_random(1),
            lease: Lease(lease),
        }),
        lease: Lease(lease),
        tries: 0,
        max_attempts: 3,
        priority: 0,
        not_before: None,
        mission: None,
        digest: None,
        demand: None,
        urgent: false,
        client: "test".to_owned(),
        result_hash: None,
        created: 1,
        updated: 1,
    }
}

/// A success of a task.
pub(crate) fn success(task: &Task, text: &str) -> TaskResult {
    TaskResult {
        task: task.id.clone(),
        payload_hash: task.payload_hash.clone(),
        outcome: Outcome::Succeeded { body: Body::Inline(text.to_owned()) },
        lease: task.lease,
        agent: "desk".parse().unwrap(),
        session: SessionId::from_random(1),
        tries: task.tries,
        started: 1,
        finished: 2,
        raw_artifact: None,
    }
}
