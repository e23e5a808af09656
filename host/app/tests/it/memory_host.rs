//! A host that keeps its tasks in memory, to see the control API and the commands at work. Its tasks do nothing by
//! themselves: a test moves them on.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use buddy_host::control::api::{ApiError, ErrorCode, HostApi};
use buddy_host::control::views::*;
use buddy_host::control::{ControlHandle, ControlServer};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use jiff::Timestamp;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) view: TaskView,
    pub(crate) key: Option<String>,
    pub(crate) input: String,
    pub(crate) lines: Vec<LogLine>,
    pub(crate) result: Option<Box<RawValue>>,
}

type Tasks = BTreeMap<String, Entry>;

pub(crate) struct MemoryHost {
    tasks: watch::Sender<Tasks>,
    watches: watch::Sender<usize>,
    pub(crate) stopped: watch::Sender<Option<bool>>,
    pub(crate) status: watch::Sender<&'static str>,
}

impl MemoryHost {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            tasks: watch::Sender::new(Tasks::new()),
            watches: watch::Sender::new(0),
            stopped: watch::Sender::new(None),
            status: watch::Sender::new("ONLINE"),
        })
    }

    /// Serves on a free port for this data folder until the guard's `shutdown` is cancelled.
    pub(crate) async fn serve(self: &Arc<Self>, storage: &Path) -> Serving {
        let server = ControlServer::bind(storage, 0).await.unwrap();
        let port = server.address().port();
        let shutdown = CancellationToken::new();
        let handle = server.start(Arc::clone(self) as Arc<dyn HostApi>, shutdown.clone()).unwrap();
        Serving { port, shutdown, handle: Some(handle) }
    }

    pub(crate) fn change(&self, id: &str, change: impl FnOnce(&mut Entry)) {
        self.tasks.send_modify(|tasks| change(tasks.get_mut(id).unwrap()));
    }

    pub(crate) fn say(&self, id: &str, message: &str) {
        self.change(id, |entry| {
            let seq = entry.lines.len() as u64;
            entry.lines.push(LogLine { seq, at: moment(), level: "info".to_owned(), message: message.to_owned() });
        });
    }

    pub(crate) fn finish(&self, id: &str, result: &str) {
        self.change(id, |entry| {
            entry.view.state = TaskState::Succeeded;
            entry.view.finished = Some(moment());
            entry.result = Some(RawValue::from_string(result.to_owned()).unwrap());
        });
    }

    pub(crate) fn fail(&self, id: &str, why: &str) {
        self.change(id, |entry| {
            entry.view.state = TaskState::Failed;
            entry.view.error = Some(why.to_owned());
        });
    }

    pub(crate) fn input(&self, id: &str) -> String {
        self.tasks.borrow()[id].input.clone()
    }

    /// The id of the first task that is submitted.
    pub(crate) async fn first_task(&self) -> String {
        let mut tasks = self.tasks.subscribe();
        let tasks = tokio::time::timeout(Duration::from_secs(30), tasks.wait_for(|tasks| !tasks.is_empty()));
        tasks.await.expect("a task within 30 s").unwrap().keys().next().unwrap().clone()
    }

    /// Waits until somebody watches a task.
    pub(crate) async fn watched(&self) {
        let mut watches = self.watches.subscribe();
        let watched = tokio::time::timeout(Duration::from_secs(30), watches.wait_for(|count| *count > 0));
        watched.await.expect("a watch within 30 s").unwrap();
    }

    fn entry(&self, id: &str) -> Result<Entry, ApiError> {
        let tasks = self.tasks.borrow();
        let mut found = tasks.range(id.to_owned()..).take_while(|(full, _)| full.starts_with(id));
        match (found.next(), found.next()) {
            (None, _) => Err(ApiError::new(ErrorCode::NotFound, format!("no task begins with {id}"))
                .with_help("`buddy-host task list` shows all")),
            (Some((_, entry)), None) => Ok(entry.clone()),
            (Some(_), Some(_)) => Err(ApiError::new(ErrorCode::Ambiguous, format!("several tasks begin with {id}"))
                .with_help("give more of the id")),
        }
    }
}

/// A moment that is the same in every run.
pub(crate) fn moment() -> Timestamp {
    Timestamp::from_second(1_772_366_400).unwrap()
}

pub(crate) struct Serving {
    pub(crate) port: u16,
    pub(crate) shutdown: CancellationToken,
    handle: Option<ControlHandle>,
}

impl Serving {
    pub(crate) async fn end(mut self) {
        self.shutdown.cancel();
        self.handle.take().unwrap().finish().await;
    }
}

#[async_trait]
impl HostApi for MemoryHost {
    async fn status(&self) -> Result<StatusView, ApiError> {
        Ok(StatusFacts {
            agent: "test-agent".to_owned(),
            status: (*self.status.borrow()).to_owned(),
            uptime: Duration::from_secs(90),
            tasks_completed_today: 3,
            active_browsers: 2,
            pending_sync: 1,
            memory: (1 << 30, 16 << 30),
            disk: (1 << 29, 50 << 30),
            last_sync: Some(Duration::from_secs(32)),
            firebase_latency: None,
        }
        .into())
    }

    async fn submit(&self, request: SubmitRequest) -> Result<SubmitReply, ApiError> {
        if request.r#type == "unknown" {
            return Err(ApiError::new(ErrorCode::Invalid, "no plugin does the task type `unknown`")
                .with_help("`buddy-host plugin list` shows what there is"));
        }
        let same_key = |entry: &&Entry| request.key.is_some() && entry.key == request.key;
        if let Some(entry) = self.tasks.borrow().values().find(same_key) {
            return Ok(SubmitReply { id: entry.view.id.clone(), state: entry.view.state, created: false });
        }
        let id = format!("{:04x}aaaa", self.tasks.borrow().len() + 0xab00);
        let view = TaskView {
            id: id.clone(),
            r#type: request.r#type,
            state: TaskState::Running,
            reason: None,
            attempt: 1,
            max_attempts: request.max_attempts.unwrap_or(3),
            priority: request.priority.unwrap_or(0),
            agent: Some("test-agent".to_owned()),
            created: moment(),
            updated: moment(),
            started: Some(moment()),
            finished: None,
            progress: None,
            error: None,
            question: None,
            digest: request.digest.map(|digest| digest.r#type),
            result_location: None,
        };
        let entry =
            Entry { view, key: request.key, input: request.input.get().to_owned(), lines: vec![], result: None };
        self.tasks.send_modify(|tasks| {
            tasks.insert(id.clone(), entry);
        });
        Ok(SubmitReply { id, state: TaskState::Running, created: true })
    }

    async fn tasks(&self, filter: TaskFilter) -> Result<Vec<TaskView>, ApiError> {
        let tasks = self.tasks.borrow();
        let fits = |view: &&TaskView| {
            filter.state.is_none_or(|state| state == view.state)
                && filter.r#type.as_ref().is_none_or(|kind| *kind == view.r#type)
        };
        let views = tasks.values().rev().map(|entry| &entry.view).filter(fits);
        Ok(views.take(filter.limit.unwrap_or(50) as usize).cloned().collect())
    }

    async fn task(&self, id: &str) -> Result<TaskView, ApiError> {
        self.entry(id).map(|entry| entry.view)
    }

    async fn logs(&self, id: &str, from: u64) -> Result<Vec<LogLine>, ApiError> {
        // Two at a time, so that the client has to ask again.
        let lines = self.entry(id)?.lines;
        Ok(lines.into_iter().filter(|line| line.seq >= from).take(2).collect())
    }

    async fn follow(&self, id: &str, from: u64) -> Result<BoxStream<'static, LogLine>, ApiError> {
        let id = self.entry(id)?.view.id;
        let tasks = self.tasks.subscribe();
        let lines = stream::unfold((tasks, from), move |(mut tasks, next)| {
            let id = id.clone();
            async move {
                let line = {
                    let ready = |tasks: &Tasks| {
                        let entry = &tasks[&id];
                        entry.lines.len() as u64 > next || entry.view.state.is_final()
                    };
                    tasks.wait_for(ready).await.ok()?[&id].lines.iter().find(|line| line.seq == next).cloned()
                };
                line.map(|line| (line, (tasks, next + 1)))
            }
        });
        Ok(lines.boxed())
    }

    async fn watch(&self, id: &str) -> Result<BoxStream<'static, TaskView>, ApiError> {
        let id = self.entry(id)?.view.id;
        let mut tasks = self.tasks.subscribe();
        tasks.mark_changed();
        self.watches.send_modify(|count| *count += 1);
        let views = stream::unfold(tasks, move |mut tasks| {
            let id = id.clone();
            async move {
                tasks.changed().await.ok()?;
                let view = tasks.borrow_and_update()[&id].view.clone();
                Some((view, tasks))
            }
        });
        Ok(views.boxed())
    }

    async fn result(&self, id: &str) -> Result<ResultView, ApiError> {
        let entry = self.entry(id)?;
        if !entry.view.state.is_final() {
            return Err(ApiError::new(ErrorCode::Conflict, "the task is not finished"));
        }
        Ok(ResultView {
            id: entry.view.id,
            state: entry.view.state,
            data: entry.result,
            digested: entry.view.digest.is_some(),
            location: entry.view.result_location,
            bytes: None,
            error: entry.view.error,
        })
    }

    async fn cancel(&self, id: &str) -> Result<TaskView, ApiError> {
        let id = self.entry(id)?.view.id;
        self.change(&id, |entry| entry.view.state = TaskState::Cancelled);
        self.task(&id).await
    }

    async fn retry(&self, id: &str) -> Result<TaskView, ApiError> {
        let entry = self.entry(id)?;
        if !entry.view.state.is_final() {
            return Err(ApiError::new(ErrorCode::Conflict, "the task is not finished, so there is nothing to retry"));
        }
        self.change(&entry.view.id, |entry| {
            entry.view.state = TaskState::Submitted;
        });
        self.task(&entry.view.id).await
    }

    async fn answer(&self, id: &str, answer: AnswerRequest) -> Result<TaskView, ApiError> {
        let id = self.entry(id)?.view.id;
        self.say(&id, &format!("{} = {}", answer.key, answer.answer));
        self.task(&id).await
    }

    async fn plugins(&self) -> Result<Vec<PluginView>, ApiError> {
        Ok(vec![self.plugin("sample").await?])
    }

    async fn plugin(&self, name: &str) -> Result<PluginView, ApiError> {
        if name != "sample" {
            return Err(ApiError::new(ErrorCode::NotFound, format!("there is no plugin `{name}`")));
        }
        Ok(PluginView {
            name: "sample".to_owned(),
            version: "1.2.3".to_owned(),
            state: "ready".to_owned(),
            reason: None,
            summary: "Does nothing".to_owned(),
            file: "plugins/sample.wasm".to_owned(),
            sha256: "00".repeat(32),
            task_types: vec![],
            asked: vec![],
            grants: BTreeMap::new(),
        })
    }

    async fn stop(&self, now: bool) -> Result<(), ApiError> {
        self.stopped.send_replace(Some(now));
        Ok(())
    }
}
