//! Tasks, results, and a coordinator on a folder of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use buddy_buffer::{Buffer, Options};
use buddy_router::agent::{Capacity, Role};
use buddy_router::submit::prepare;
use buddy_router::{Agent, Body, BootId, NewTask, Outcome, SessionId, Task, TaskResult};
use buddy_sync::embedded::Embedded;
use buddy_sync::{Coordinator, Versioned, change};

pub(crate) struct Bench {
    pub(crate) buffer: Buffer,
    pub(crate) coordinator: Embedded,
    /// What the buffer's clock shows.
    pub(crate) clock: Arc<AtomicU64>,
    _folder: tempfile::TempDir,
}

pub(crate) fn bench() -> Bench {
    bench_at(1)
}

/// A bench whose clock stands at `now` until the test sets it.
pub(crate) fn bench_at(now: u64) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicU64::new(now));
    let shown = Arc::clone(&clock);
    let options =
        Options { clock: Arc::new(move || shown.load(Ordering::SeqCst)), ..Options::new(folder.path().join("buffer")) };
    let (buffer, _) = Buffer::open(&options).unwrap();
    Bench { coordinator: Embedded::open(buffer.clone()).unwrap(), buffer, clock, _folder: folder }
}

pub(crate) fn session(number: u128) -> SessionId {
    SessionId::from_random(number)
}

pub(crate) fn task(number: u128) -> Task {
    let new = NewTask {
        task_type: "t".into(),
        payload: format!("{{\"n\":{number}}}"),
        client: "test".into(),
        idempotency_key: None,
        max_attempts: None,
        priority: 0,
        not_before: None,
        mission: None,
        digest: None,
        urgent: false,
    };
    prepare(new, 1, number).unwrap()
}

pub(crate) fn assigned(number: u128, to: &str, session_number: u128) -> Task {
    change::assign(&task(number), to.parse().unwrap(), session(session_number), "test".into()).unwrap()
}

pub(crate) fn success(task: &Task, text: &str) -> TaskResult {
    let holder = task.assigned.clone().unwrap();
    TaskResult {
        task: task.id.clone(),
        payload_hash: task.payload_hash.clone(),
        outcome: Outcome::Succeeded { body: Body::Inline(text.into()) },
        lease: holder.lease,
        agent: holder.agent,
        session: holder.session,
        tries: 1,
        started: 1,
        finished: 2,
        raw_artifact: None,
    }
}

pub(crate) fn agent(name: &str, session_number: u128, boot: u64) -> Agent {
    Agent {
        name: name.parse().unwrap(),
        role: Role::Desktop,
        session: session(session_number),
        boot: BootId(boot),
        seq: 0,
        draining: false,
        capabilities: vec![],
        task_types: BTreeMap::new(),
        capacity: Capacity { tasks: 1, pages: 1 },
        held: 0,
        running: vec![],
        status: BTreeMap::new(),
    }
}

impl Bench {
    pub(crate) async fn read(&self, task: &Task) -> Versioned<Task> {
        self.coordinator.task(&task.id).await.unwrap().unwrap()
    }
}

/// Polls until the condition holds; the deadline only turns a hang into a failure.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "still not so: {what}");
        tokio::task::yield_now().await;
    }
}
