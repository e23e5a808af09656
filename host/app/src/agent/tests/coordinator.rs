//! The embedded coordinator, which fails, waits or panics where a test says so.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use buddy_buffer::Buffer;
use buddy_router::{Agent, AgentName, BootId, SessionId, Submission, Task, TaskId, TaskResult, UnixMs};
use buddy_sync::embedded::Embedded;
use buddy_sync::{
    Applied, Assignments, BeatError, Coordinator, CoordinatorError, Live, Notice, PushError, PushItem, Question, Seen,
    TaskQuery, Version, Versioned, WriteError,
};
use tokio::sync::{Semaphore, oneshot};

/// What happens to one write.
pub(super) enum Write {
    /// It does not arrive.
    NotSent,
    /// It lands, and its answer is lost.
    AnswerLost,
    /// Before it is made: tells the test, and waits for it.
    Before(Gate),
    /// It lands; before the answer: tells the test, and waits for it.
    After(Gate),
    /// The same, and then the answer is lost.
    AfterAndLost(Gate),
}

/// A place where a test steps in.
pub(super) struct Gate {
    reached: oneshot::Sender<()>,
    go: oneshot::Receiver<()>,
}

/// The test's side of it.
pub(super) struct Keeper {
    pub(super) reached: oneshot::Receiver<()>,
    pub(super) go: oneshot::Sender<()>,
}

pub(super) fn gate() -> (Gate, Keeper) {
    let ((reached, seen), (go, wait)) = (oneshot::channel(), oneshot::channel());
    (Gate { reached, go: wait }, Keeper { reached: seen, go })
}

impl Gate {
    async fn pass(self) {
        let _ = self.reached.send(());
        let _ = self.go.await;
    }
}

pub(super) struct Scripted {
    inner: Embedded,
    /// Everything but writes and creating is unreachable.
    pub(super) offline: AtomicBool,
    /// Streams of assignments that may be opened.
    pub(super) streams: Semaphore,
    /// The next writes; then all succeed.
    pub(super) writes: Mutex<VecDeque<Write>>,
    /// The next fresh read of an agent's document waits here.
    pub(super) agent_read: Mutex<Option<Gate>>,
    /// Results that cannot be read.
    pub(super) unreadable: Mutex<BTreeSet<TaskId>>,
    /// Reading one of those panics.
    pub(super) panics: AtomicBool,
}

fn unreachable<T>() -> Result<T, CoordinatorError> {
    Err(CoordinatorError::Unreachable("as the test says".to_owned()))
}

impl Scripted {
    pub(super) fn new(buffer: Buffer) -> Self {
        Self {
            inner: Embedded::open(buffer).unwrap(),
            offline: AtomicBool::new(false),
            streams: Semaphore::new(Semaphore::MAX_PERMITS),
            writes: Mutex::default(),
            agent_read: Mutex::default(),
            unreadable: Mutex::default(),
            panics: AtomicBool::new(false),
        }
    }

    pub(super) fn script(&self, writes: impl IntoIterator<Item = Write>) {
        self.writes.lock().unwrap().extend(writes);
    }

    fn online(&self) -> Result<&Embedded, CoordinatorError> {
        if self.offline.load(Ordering::SeqCst) { unreachable() } else { Ok(&self.inner) }
    }
}

#[async_trait]
impl Coordinator for Scripted {
    async fn create(&self, task: Task, notice: Option<Notice>) -> Result<Submission, CoordinatorError> {
        self.inner.create(task, notice).await
    }

    async fn task(&self, id: &TaskId) -> Result<Option<Versioned<Task>>, CoordinatorError> {
        self.online()?.task(id).await
    }

    async fn find(&self, prefix: &str) -> Result<TaskId, CoordinatorError> {
        self.online()?.find(prefix).await
    }

    async fn list(&self, query: &TaskQuery) -> Result<Vec<Task>, CoordinatorError> {
        self.online()?.list(query).await
    }

    async fn succeeded_since(&self, moment: UnixMs) -> Result<u64, CoordinatorError> {
        Coordinator::succeeded_since(self.online()?, moment).await
    }

    async fn result(&self, id: &TaskId) -> Result<Option<TaskResult>, CoordinatorError> {
        if self.unreadable.lock().unwrap().contains(id) {
            assert!(!self.panics.load(Ordering::SeqCst), "as the test says");
            return unreachable();
        }
        self.online()?.result(id).await
    }

    async fn write(&self, task: Task, expected: Version, notice: Option<Notice>) -> Result<Version, WriteError> {
        let script = self.writes.lock().unwrap().pop_front();
        match script {
            None => self.inner.write(task, expected, notice).await,
            Some(Write::NotSent) => Ok(unreachable()?),
            Some(Write::AnswerLost) => {
                self.inner.write(task, expected, notice).await?;
                Ok(unreachable()?)
            }
            Some(Write::Before(gate)) => {
                gate.pass().await;
                self.inner.write(task, expected, notice).await
            }
            Some(Write::After(gate)) => {
                let written = self.inner.write(task, expected, notice).await;
                gate.pass().await;
                written
            }
            Some(Write::AfterAndLost(gate)) => {
                self.inner.write(task, expected, notice).await?;
                gate.pass().await;
                Ok(unreachable()?)
            }
        }
    }

    async fn fleet(&self) -> Result<Vec<Seen>, CoordinatorError> {
        self.online()?.fleet().await
    }

    async fn agent(&self, name: &AgentName) -> Result<Option<Seen>, CoordinatorError> {
        let gate = self.agent_read.lock().unwrap().take();
        if let Some(gate) = gate {
            gate.pass().await;
        }
        self.online()?.agent(name).await
    }

    async fn beat(&self, agent: Agent, expected: Option<Version>) -> Result<Version, BeatError> {
        self.online()?.beat(agent, expected).await
    }

    async fn retire(&self, name: &AgentName, boot: BootId) -> Result<(), CoordinatorError> {
        self.online()?.retire(name, boot).await
    }

    async fn assignments(&self, agent: &AgentName, session: &SessionId) -> Result<Assignments, CoordinatorError> {
        self.online()?;
        self.streams.acquire().await.unwrap().forget();
        self.inner.assignments(agent, session).await
    }

    async fn push(&self, batch: &[PushItem]) -> Result<Applied, PushError> {
        self.inner.push(batch).await
    }

    fn pushes_are_free(&self) -> bool {
        true
    }

    async fn ask(&self, question: Question) -> Result<Question, CoordinatorError> {
        self.online()?.ask(question).await
    }

    async fn question(&self, task: &TaskId, key: &str) -> Result<Option<Question>, CoordinatorError> {
        self.online()?.question(task, key).await
    }

    async fn open_questions(&self, task: &TaskId) -> Result<Vec<Question>, CoordinatorError> {
        self.online()?.open_questions(task).await
    }

    async fn answer(&self, task: &TaskId, key: &str, answer: &str) -> Result<(), WriteError> {
        self.online()?.answer(task, key, answer).await
    }

    async fn watch(&self, task: &TaskId, time: Duration) -> Result<(), CoordinatorError> {
        self.online()?.watch(task, time).await
    }

    async fn is_watched(&self, task: &TaskId) -> Result<bool, CoordinatorError> {
        self.online()?.is_watched(task).await
    }

    async fn report(&self, task: &TaskId, live: Live) -> Result<(), CoordinatorError> {
        self.online()?.report(task, live).await
    }

    async fn live(&self, task: &TaskId) -> Result<Option<Live>, CoordinatorError> {
        self.online()?.live(task).await
    }

    async fn notices(&self, limit: usize) -> Result<Vec<Notice>, CoordinatorError> {
        self.online()?.notices(limit).await
    }

    async fn claim_notice(&self, id: &str) -> Result<bool, CoordinatorError> {
        self.online()?.claim_notice(id).await
    }

    async fn now(&self) -> Result<UnixMs, CoordinatorError> {
        self.online()?.now().await
    }
}
