//! The coordinator of a host that needs no account: its documents live in the host's own buffer.
//!
//! A write is one transaction of the buffer with its preconditions checked inside, so it is fenced as Firestore's are,
//! and many writers share one sync. Assignments are told from inside the transaction, in the order of the writes and
//! when nothing in it can fail any more; an agent that does not keep up loses its stream and begins again with a
//! snapshot.
//!
//! Watches and live reports are not kept on disk: they mean nothing after a restart.

mod documents;
mod effects;
mod forget;
mod index;
mod watchers;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use buddy_buffer::{Buffer, BufferError, DocWrite, Precondition, Tx};
use buddy_router::id::check_prefix;
use buddy_router::submit::on_existing;
use buddy_router::{Agent, AgentName, BootId, PrefixError, SessionId, Submission, Task, TaskId, TaskResult, UnixMs};

use crate::change;
use crate::{
    Applied, AssignmentEvent, Assignments, BeatError, Coordinator, CoordinatorError, Live, Notice, PushError, PushItem,
    Question, Seen, TaskQuery, Version, Versioned, WriteError,
};
use documents::{AgentDocument, agent_key, decode, encode, notice_key, question_key, result_key, task_key};
use effects::Effects;
use index::Index;
use watchers::Watchers;

/// Most tasks that somebody looks at, at once.
const MAX_WATCHED: usize = 10_000;

/// Most tasks that one list answers with.
pub const MAX_LIST: usize = 10_000;

/// The embedded coordinator. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Embedded {
    buffer: Buffer,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    index: Mutex<Index>,
    watchers: Mutex<Watchers>,
    watched: Mutex<HashMap<TaskId, Watched>>,
}

#[derive(Debug)]
struct Watched {
    until: Instant,
    live: Option<Live>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // The data behind these locks is whole between any two statements; a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Embedded {
    /// Opens the coordinator on a buffer: reads what tasks there are.
    pub fn open(buffer: Buffer) -> Result<Self, CoordinatorError> {
        let embedded = Self { buffer, shared: Arc::default() };
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = embedded.buffer.scan_docs(documents::TASKS, after.as_deref(), 1_000)?;
            let mut index = locked(&embedded.shared.index);
            for doc in &page.docs {
                index.put(&decode::<Task>(doc)?);
            }
            after = page.docs.last().map(|doc| doc.key.clone());
            if !page.more || after.is_none() {
                return Ok(embedded.clone());
            }
        }
    }

    /// How many tasks succeeded at `moment` or later, from the index: no document is read.
    pub fn succeeded_since(&self, moment: UnixMs) -> usize {
        locked(&self.shared.index).succeeded_since(moment)
    }

    /// A transaction that writes tasks. What it notes in its effects is told when `work` has succeeded, before
    /// anybody else writes.
    async fn transact<T, F>(&self, work: F) -> Result<T, Refused>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>, &mut Effects) -> Result<T, Refused> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let transaction = move |tx: &mut Tx<'_>| -> Result<T, Refused> {
            let mut effects = Effects::default();
            let value = work(tx, &mut effects)?;
            effects.tell(&shared);
            Ok(value)
        };
        self.buffer.transact(transaction).await
    }
}

/// Writes a task inside a transaction and notes whom it concerns.
fn store(
    tx: &mut Tx<'_>,
    effects: &mut Effects,
    mut task: Task,
    before: Option<Task>,
    more: Vec<DocWrite>,
) -> Result<Versioned<Task>, BufferError> {
    task.updated = tx.now();
    let mut writes =
        vec![DocWrite { key: task_key(&task.id), precondition: Precondition::None, value: Some(encode(&task)?) }];
    writes.extend(more);
    let versions = tx.commit_docs(writes)?;
    // The task's own write is the first one.
    let version = Version(versions.first().copied().unwrap_or_default());
    let stored = Versioned { value: task, version };
    effects.stored(before, stored.clone());
    Ok(stored)
}

fn notice_write(notice: Option<Notice>) -> Result<Vec<DocWrite>, BufferError> {
    let Some(notice) = notice else { return Ok(Vec::new()) };
    Ok(vec![DocWrite {
        key: notice_key(&notice.id()),
        precondition: Precondition::None,
        value: Some(encode(&notice)?),
    }])
}

/// An error of a transaction: what its caller sees.
enum Refused {
    Changed,
    At(usize),
    Other(CoordinatorError),
}

impl From<BufferError> for Refused {
    fn from(error: BufferError) -> Self {
        Self::Other(error.into())
    }
}

impl From<CoordinatorError> for Refused {
    fn from(error: CoordinatorError) -> Self {
        Self::Other(error)
    }
}

impl From<Refused> for WriteError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Changed | Refused::At(_) => Self::Changed,
            Refused::Other(error) => Self::Other(error),
        }
    }
}

fn read_task(tx: &Tx<'_>, id: &TaskId) -> Result<Option<Versioned<Task>>, Refused> {
    let Some(doc) = tx.doc(&task_key(id))? else { return Ok(None) };
    Ok(Some(Versioned { value: decode(&doc)?, version: Version(doc.version) }))
}

#[async_trait]
impl Coordinator for Embedded {
    async fn create(&self, task: Task, notice: Option<Notice>) -> Result<Submission, CoordinatorError> {
        let created = self.transact(move |tx, effects| {
            if let Some(existing) = read_task(tx, &task.id)? {
                return Ok(on_existing(&task, existing.value).map_err(CoordinatorError::from)?);
            }
            tx.require_space()?;
            let stored = store(tx, effects, task, None, notice_write(notice)?)?;
            Ok(Submission { task: stored.value, existed: false })
        });
        created.await.map_err(|refused| match refused {
            Refused::Other(error) => error,
            Refused::Changed | Refused::At(_) => CoordinatorError::Refused("a new task had a version".to_owned()),
        })
    }

    async fn task(&self, id: &TaskId) -> Result<Option<Versioned<Task>>, CoordinatorError> {
        let Some(doc) = self.buffer.doc(&task_key(id))? else { return Ok(None) };
        Ok(Some(Versioned { value: decode(&doc)?, version: Version(doc.version) }))
    }

    async fn find(&self, prefix: &str) -> Result<TaskId, CoordinatorError> {
        check_prefix(prefix)?;
        let mut candidates = locked(&self.shared.index).with_prefix(prefix, 10);
        match candidates.len() {
            0 => Err(PrefixError::NotFound(prefix.to_owned()).into()),
            1 => Ok(candidates.remove(0)),
            _ => Err(PrefixError::Ambiguous { prefix: prefix.to_owned(), candidates }.into()),
        }
    }

    async fn list(&self, query: &TaskQuery) -> Result<Vec<Task>, CoordinatorError> {
        let ids = locked(&self.shared.index).listed(query, MAX_LIST);
        let mut tasks = Vec::with_capacity(ids.len());
        for id in ids {
            // One that was forgotten since is left out.
            tasks.extend(self.task(&id).await?.map(|task| task.value));
        }
        Ok(tasks)
    }

    async fn succeeded_since(&self, moment: UnixMs) -> Result<u64, CoordinatorError> {
        // The method of the type itself, which stands before the trait's.
        Ok(Self::succeeded_since(self, moment) as u64)
    }

    async fn result(&self, id: &TaskId) -> Result<Option<TaskResult>, CoordinatorError> {
        self.buffer.doc(&result_key(id))?.map(|doc| decode(&doc)).transpose()
    }

    async fn write(&self, task: Task, expected: Version, notice: Option<Notice>) -> Result<Version, WriteError> {
        let written = self.transact(move |tx, effects| {
            let before = read_task(tx, &task.id)?.filter(|before| before.version == expected);
            let before = before.ok_or(Refused::Changed)?;
            let stored = store(tx, effects, task, Some(before.value), notice_write(notice)?)?;
            Ok(stored.version)
        });
        Ok(written.await?)
    }

    async fn fleet(&self) -> Result<Vec<Seen>, CoordinatorError> {
        let read = self.buffer.now();
        let page = self.buffer.scan_docs(documents::AGENTS, None, 10_000)?;
        page.docs.iter().map(|doc| decode::<AgentDocument>(doc).map(|agent| agent.seen(doc.version, read))).collect()
    }

    async fn agent(&self, name: &AgentName) -> Result<Option<Seen>, CoordinatorError> {
        let read = self.buffer.now();
        let Some(doc) = self.buffer.doc(&agent_key(name))? else { return Ok(None) };
        Ok(Some(decode::<AgentDocument>(&doc)?.seen(doc.version, read)))
    }

    async fn beat(&self, agent: Agent, expected: Option<Version>) -> Result<Version, BeatError> {
        let beat = self.buffer.transact(move |tx| -> Result<Version, Refused> {
            let key = agent_key(&agent.name);
            let precondition = match expected {
                None => Precondition::Exists(false),
                Some(Version(version)) => Precondition::Version(version),
            };
            let value = encode(&AgentDocument { agent, updated: tx.now() })?;
            match tx.commit_docs(vec![DocWrite { key, precondition, value: Some(value) }]) {
                Ok(versions) => Ok(Version(versions.first().copied().unwrap_or_default())),
                Err(BufferError::DocConflict { .. }) => Err(Refused::Changed),
                Err(error) => Err(error.into()),
            }
        });
        beat.await.map_err(|refused| match refused {
            Refused::Changed | Refused::At(_) => BeatError::Changed,
            Refused::Other(error) => BeatError::Other(error),
        })
    }

    async fn retire(&self, name: &AgentName, boot: BootId) -> Result<(), CoordinatorError> {
        let name = name.clone();
        let retired = self.buffer.transact(move |tx| -> Result<(), Refused> {
            let key = agent_key(&name);
            let Some(doc) = tx.doc(&key)? else { return Ok(()) };
            if decode::<AgentDocument>(&doc)?.agent.boot == boot {
                tx.commit_docs(vec![DocWrite { key, precondition: Precondition::None, value: None }])?;
            }
            Ok(())
        });
        retired.await.map_err(|refused| match refused {
            Refused::Other(error) => error,
            Refused::Changed | Refused::At(_) => CoordinatorError::Refused("the agent changed meanwhile".to_owned()),
        })
    }

    async fn assignments(&self, agent: &AgentName, session: &SessionId) -> Result<Assignments, CoordinatorError> {
        let (shared, agent, session) = (Arc::clone(&self.shared), agent.clone(), session.clone());
        // Inside a transaction nothing is written meanwhile: the snapshot and the changes after it have no gap.
        let stream = self.buffer.transact(move |tx| -> Result<Assignments, Refused> {
            let ids = locked(&shared.index).held_by(&agent);
            let mut held = Vec::new();
            for id in ids {
                let task = read_task(tx, &id)?;
                let own = |task: &Versioned<Task>| {
                    let holder = task.value.assigned.as_ref();
                    task.value.state.is_held() && holder.is_some_and(|holder| holder.session == session)
                };
                held.extend(task.filter(own));
            }
            let mut watchers = locked(&shared.watchers);
            Ok(watchers.add(agent, session, AssignmentEvent::Snapshot(held)))
        });
        stream.await.map_err(|refused| match refused {
            Refused::Other(error) => error,
            Refused::Changed | Refused::At(_) => CoordinatorError::Refused("the assignments changed".to_owned()),
        })
    }

    async fn push(&self, batch: &[PushItem]) -> Result<Applied, PushError> {
        let batch = batch.to_vec();
        let applied = self.transact(move |tx, effects| {
            // Decided for all before anything is written: an item that fails fails the batch.
            let mut next = Vec::with_capacity(batch.len());
            for (index, item) in batch.iter().enumerate() {
                let before = read_task(tx, &item.result.task)?.filter(|before| before.version == item.expected);
                let before = before.ok_or(Refused::At(index))?.value;
                let after = change::finish(&before, &item.result).map_err(|_| Refused::At(index))?;
                next.push((before, after, encode(&item.result)?));
            }
            let mut versions = Vec::with_capacity(next.len());
            for (before, after, result) in next {
                let more =
                    DocWrite { key: result_key(&after.id), precondition: Precondition::None, value: Some(result) };
                versions.push(store(tx, effects, after, Some(before), vec![more])?.version);
            }
            Ok(Applied { versions })
        });
        applied.await.map_err(|refused| match refused {
            Refused::At(index) => PushError::Changed { index },
            Refused::Changed => PushError::SomeChanged,
            // A local store that failed takes nothing more until it is opened again: the outbox keeps the batch.
            Refused::Other(error) => PushError::Later { reason: error.to_string() },
        })
    }

    fn pushes_are_free(&self) -> bool {
        true
    }

    async fn ask(&self, question: Question) -> Result<Question, CoordinatorError> {
        let asked = self.buffer.transact(move |tx| -> Result<Question, Refused> {
            let key = question_key(&question.task, &question.key);
            if let Some(doc) = tx.doc(&key)? {
                return Ok(decode(&doc)?);
            }
            let value = Some(encode(&question)?);
            tx.commit_docs(vec![DocWrite { key, precondition: Precondition::Exists(false), value }])?;
            Ok(question)
        });
        asked.await.map_err(|refused| match refused {
            Refused::Other(error) => error,
            Refused::Changed | Refused::At(_) => CoordinatorError::Refused("the question changed".to_owned()),
        })
    }

    async fn question(&self, task: &TaskId, key: &str) -> Result<Option<Question>, CoordinatorError> {
        self.buffer.doc(&question_key(task, key))?.map(|doc| decode(&doc)).transpose()
    }

    async fn open_questions(&self, task: &TaskId) -> Result<Vec<Question>, CoordinatorError> {
        let page = self.buffer.scan_docs(&question_key(task, ""), None, 100)?;
        let now = self.buffer.now();
        let mut open = Vec::new();
        for doc in &page.docs {
            let question: Question = decode(doc)?;
            if question.answer.is_none() && now < question.deadline {
                open.push(question);
            }
        }
        Ok(open)
    }

    async fn answer(&self, task: &TaskId, key: &str, answer: &str) -> Result<(), WriteError> {
        let (key, answer) = (question_key(task, key), answer.to_owned());
        let answered = self.buffer.transact(move |tx| -> Result<(), Refused> {
            let doc = tx.doc(&key)?.ok_or(Refused::Changed)?;
            let mut question: Question = decode(&doc)?;
            if question.answer.is_some() || tx.now() >= question.deadline {
                return Err(Refused::Changed);
            }
            question.answer = Some(answer);
            let value = Some(encode(&question)?);
            tx.commit_docs(vec![DocWrite { key, precondition: Precondition::Version(doc.version), value }])?;
            Ok(())
        });
        Ok(answered.await?)
    }

    async fn watch(&self, task: &TaskId, time: Duration) -> Result<(), CoordinatorError> {
        let mut watched = locked(&self.shared.watched);
        let now = Instant::now();
        watched.retain(|_, entry| entry.until > now);
        if watched.len() >= MAX_WATCHED && !watched.contains_key(task) {
            return Err(CoordinatorError::Refused(format!("{MAX_WATCHED} tasks are watched already")));
        }
        let entry = watched.entry(task.clone()).or_insert(Watched { until: now, live: None });
        entry.until = now + time;
        Ok(())
    }

    async fn is_watched(&self, task: &TaskId) -> Result<bool, CoordinatorError> {
        Ok(locked(&self.shared.watched).get(task).is_some_and(|entry| entry.until > Instant::now()))
    }

    async fn report(&self, task: &TaskId, live: Live) -> Result<(), CoordinatorError> {
        // A report that nobody looks at is not kept.
        if let Some(entry) = locked(&self.shared.watched).get_mut(task) {
            entry.live = Some(live);
        }
        Ok(())
    }

    async fn live(&self, task: &TaskId) -> Result<Option<Live>, CoordinatorError> {
        Ok(locked(&self.shared.watched).get(task).and_then(|entry| entry.live.clone()))
    }

    async fn notices(&self, limit: usize) -> Result<Vec<Notice>, CoordinatorError> {
        let page = self.buffer.scan_docs(documents::NOTICES, None, limit)?;
        let all: Vec<Notice> = page.docs.iter().map(decode).collect::<Result<_, _>>()?;
        Ok(all.into_iter().filter(|notice| !notice.claimed).collect())
    }

    async fn claim_notice(&self, id: &str) -> Result<bool, CoordinatorError> {
        let key = notice_key(id);
        let claimed = self.buffer.transact(move |tx| -> Result<bool, Refused> {
            let Some(doc) = tx.doc(&key)? else { return Ok(false) };
            let mut notice: Notice = decode(&doc)?;
            if notice.claimed {
                return Ok(false);
            }
            notice.claimed = true;
            let value = Some(encode(&notice)?);
            tx.commit_docs(vec![DocWrite { key, precondition: Precondition::Version(doc.version), value }])?;
            Ok(true)
        });
        claimed.await.map_err(|refused| match refused {
            Refused::Other(error) => error,
            Refused::Changed | Refused::At(_) => CoordinatorError::Refused("the notice changed".to_owned()),
        })
    }

    async fn now(&self) -> Result<UnixMs, CoordinatorError> {
        Ok(self.buffer.now())
    }
}
