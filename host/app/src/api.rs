//! The host behind its control API: what commands and programs on this computer can ask of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use buddy_buffer::{BufferError, LogLevel};
use buddy_router::submit::prepare;
use buddy_router::{Body, Demand, DigestSpec, NewTask, Outcome, State, Submission, Task, TaskId, TaskResult, UnixMs};
use buddy_runtime::{Failure, Plugin};
use buddy_sync::{CoordinatorError, TaskQuery, Versioned, WriteError, change};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use jiff::Timestamp;
use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::agent::{Agent, Kind, find_references};
use crate::config::Grants;
use crate::control::views::{
    AnswerRequest, AskedView, LogLine, PluginView, ProgressView, QuestionView, ResultView, StatusFacts, StatusView,
    SubmitReply, SubmitRequest, TaskFilter, TaskTypeView, TaskView,
};
use crate::control::{ApiError, ErrorCode, HostApi};
use crate::usage::Meter;

/// Who submits through the control API.
const CLIENT: &str = "local";

/// Tasks listed when nobody says how many.
const LIST: u32 = 50;

/// Log lines in one answer.
const LOG_PAGE: usize = 500;

/// Largest result that travels through the control API, in bytes; a larger one is named by its file.
const MAX_DATA: u64 = 4 * 1024 * 1024;

/// Time between two looks of somebody who watches: changes wake it, this only covers what nobody tells.
const LOOK: Duration = Duration::from_millis(500);

/// How a host is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Not yet.
    No,
    /// Runs get time to finish.
    Drain,
    /// Runs are interrupted.
    Now,
}

/// The host's side of the control API. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    agent: Agent,
    grants: Arc<Grants>,
    started: Instant,
    meter: Meter,
    stop: watch::Sender<Stop>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("agent", &self.agent).finish_non_exhaustive()
    }
}

fn failed(error: impl std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::Failed, error.to_string())
}

fn refused(error: CoordinatorError) -> ApiError {
    match error {
        CoordinatorError::Prefix(error) => {
            let code = match error {
                buddy_router::PrefixError::Malformed(_) => ErrorCode::Invalid,
                buddy_router::PrefixError::NotFound(_) => ErrorCode::NotFound,
                buddy_router::PrefixError::Ambiguous { .. } => ErrorCode::Ambiguous,
            };
            ApiError::new(code, error.to_string())
        }
        CoordinatorError::Conflict(error) => ApiError::new(ErrorCode::Conflict, error.to_string()),
        CoordinatorError::Store(error @ BufferError::DiskFull { .. }) => {
            ApiError::new(ErrorCode::Unavailable, error.to_string())
        }
        CoordinatorError::Unreachable(_) => ApiError::new(ErrorCode::Busy, error.to_string()),
        other => failed(other),
    }
}

fn changed(error: WriteError) -> ApiError {
    match error {
        WriteError::Changed => ApiError::new(ErrorCode::Conflict, "the task changed meanwhile")
            .with_help("look at it again and repeat the command"),
        WriteError::Other(error) => refused(error),
    }
}

fn timestamp(ms: UnixMs) -> Timestamp {
    i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::UNIX_EPOCH)
}

impl Api {
    /// For a running agent; the receiver is told when somebody wants the host to stop.
    pub fn new(agent: Agent, grants: Grants, meter: Meter) -> (Arc<Self>, watch::Receiver<Stop>) {
        let (stop, asked) = watch::channel(Stop::No);
        let api = Self { agent, grants: Arc::new(grants), started: Instant::now(), meter, stop };
        (Arc::new(api), asked)
    }

    async fn find(&self, id: &str) -> Result<TaskId, ApiError> {
        self.agent.coordinator().find(id).await.map_err(refused)
    }

    async fn read(&self, id: &str) -> Result<Versioned<Task>, ApiError> {
        let id = self.find(id).await?;
        let task = self.agent.coordinator().task(&id).await.map_err(refused)?;
        task.ok_or_else(|| ApiError::new(ErrorCode::NotFound, format!("task {} was removed", id.short())))
    }

    /// The plugin of a task type that this host may run.
    fn plugin_for(&self, task_type: &str) -> Result<&Arc<Plugin>, ApiError> {
        let plugins = &self.agent.parts().plugins;
        self.agent.may_run(task_type).map_err(|reason| {
            let near = buddy_runtime::nearest(task_type, plugins.task_types()).filter(|near| near != task_type);
            ApiError::new(ErrorCode::Invalid, reason).with_help(match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`buddy-host plugin list` shows what is here and why a plugin is not".to_owned(),
            })
        })?;
        let plugin = plugins.for_task_type(task_type);
        plugin.ok_or_else(|| {
            ApiError::new(ErrorCode::Invalid, format!("no plugin here runs the task type `{task_type}`"))
        })
    }

    /// Asks the plugin what the input will need, which refuses an input that can never work.
    async fn estimate(&self, what: &str, task_type: &str, input: &str) -> Result<Demand, ApiError> {
        let plugin = self.plugin_for(task_type)?;
        let parts = self.agent.parts();
        let demand = parts.runtime.estimate(plugin, task_type, input).await.map_err(|failure| match failure {
            Failure::InvalidInput(faults) => {
                let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
                ApiError::new(ErrorCode::Invalid, format!("the {what} of {task_type} is wrong: {}", faults.join("; ")))
                    .with_help(format!("`buddy-host plugin show {}` has an example that works", plugin.name()))
            }
            other => {
                ApiError::new(ErrorCode::Failed, format!("the {what} of {task_type} could not be checked: {other}"))
            }
        })?;
        let mut bytes = demand.bytes;
        let schema = plugin.task_type(task_type).map(|task_type| task_type.input.text());
        let schema = schema.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        if let Ok(value) = serde_json::from_str(input) {
            for reference in find_references(&schema, &value) {
                // What is not there counts nothing here: the task then fails with its own sentence.
                bytes = bytes.saturating_add(self.size_of(reference.kind, &reference.value).await);
            }
        }
        Ok(Demand { pages: demand.pages, bytes, seconds: demand.seconds, desktop_only: demand.desktop_only })
    }

    /// Bytes of what an input refers to.
    async fn size_of(&self, kind: Kind, value: &str) -> u64 {
        let coordinator = self.agent.coordinator();
        let artifact = match kind {
            Kind::Artifact => value.to_owned(),
            Kind::TaskResult => {
                let Ok(id) = coordinator.find(value).await else { return 0 };
                let Ok(Some(result)) = coordinator.result(&id).await else { return 0 };
                match (result.outcome, result.raw_artifact) {
                    (Outcome::Succeeded { body: Body::Inline(text) }, _) => return text.len() as u64,
                    (Outcome::Succeeded { body: Body::Artifact { size, .. } }, _) => return size,
                    (Outcome::Failed { .. }, Some(raw)) => raw,
                    (Outcome::Failed { .. }, None) => return 0,
                }
            }
        };
        self.agent.parts().artifacts.describe(&artifact).await.map_or(0, |known| known.size)
    }

    /// What the coordinator knows of a task and, while this host holds it, what the buffer knows better.
    async fn view(&self, task: &Task) -> Result<TaskView, ApiError> {
        let parts = self.agent.parts();
        let local = parts.buffer.task(&task.id).map_err(failed)?;
        let here =
            local.filter(|local| !task.state.is_final() && local.task.lease == task.lease && task.state.is_held());
        let (state, reason, attempt, started) = match &here {
            // Finished here and not pushed yet: it is over when its result is applied, so that who sees that can read it.
            Some(local) if local.task.state.is_final() => {
                (State::Running, "its result is on its way".to_owned(), local.task.tries, local.started)
            }
            Some(local) => (local.task.state, local.task.reason.clone(), local.task.tries, local.started),
            None => (task.state, task.reason.clone(), task.tries, None),
        };
        let progress = parts.buffer.progress(&task.id).map_err(failed)?;
        let result = if task.state.is_final() {
            self.agent.coordinator().result(&task.id).await.map_err(refused)?
        } else {
            None
        };
        let started = result.as_ref().map(|result| result.started).or(started);
        let finished = result.as_ref().map(|result| result.finished).or(task.state.is_final().then_some(task.updated));
        let error = match (state, &result) {
            (State::Failed, Some(result)) => match &result.outcome {
                Outcome::Failed { reason } => Some(reason.clone()),
                Outcome::Succeeded { .. } => None,
            },
            (State::Failed | State::Rejected | State::BackingOff, _) => Some(reason.clone()),
            _ => None,
        };
        let question = self.agent.coordinator().open_questions(&task.id).await.map_err(refused)?.into_iter().next();
        Ok(TaskView {
            id: task.id.to_string(),
            r#type: task.task_type.clone(),
            state,
            reason: Some(reason).filter(|reason| !reason.is_empty() && error.as_ref() != Some(reason)),
            attempt,
            max_attempts: task.max_attempts,
            priority: task.priority,
            agent: task.assigned.as_ref().map(|holder| holder.agent.to_string()),
            created: timestamp(task.created),
            updated: timestamp(task.updated),
            started: started.map(timestamp),
            finished: finished.map(timestamp),
            progress: progress.map(|report| ProgressView {
                done: report.done,
                total: report.total,
                message: Some(report.message).filter(|message| !message.is_empty()),
            }),
            error,
            question: question.map(|question| QuestionView {
                key: question.key,
                text: question.text,
                choices: question.choices,
            }),
            digest: task.digest.as_ref().map(|digest| digest.task_type.clone()),
            result_location: result.and_then(|result| self.location(&result)),
        })
    }

    /// The file of the full result, when it is one.
    fn location(&self, result: &TaskResult) -> Option<String> {
        let id = match (&result.raw_artifact, &result.outcome) {
            (Some(raw), _) => raw,
            (None, Outcome::Succeeded { body: Body::Artifact { id, .. } }) => id,
            _ => return None,
        };
        self.agent.parts().artifacts.path(id).ok().map(|path| path.display().to_string())
    }

    /// One fenced change of a task, decided anew when somebody else was faster.
    async fn alter(
        &self,
        id: &str,
        next: impl Fn(&Task) -> Result<Option<Task>, ApiError>,
    ) -> Result<TaskView, ApiError> {
        let mut last = WriteError::Changed;
        for _ in 0..5 {
            let present = self.read(id).await?;
            let Some(task) = next(&present.value)? else { return self.view(&present.value).await };
            match self.agent.coordinator().write(task.clone(), present.version, None).await {
                Ok(_) => {
                    self.agent.wake_router();
                    self.agent.parts().changed.notify_waiters();
                    return self.task(id).await;
                }
                Err(WriteError::Changed) => last = WriteError::Changed,
                Err(error) => return Err(changed(error)),
            }
        }
        Err(changed(last))
    }

    async fn completed_today(&self) -> Result<u64, ApiError> {
        let midnight = jiff::Zoned::now().start_of_day().map_err(failed)?.timestamp().as_millisecond();
        let since = u64::try_from(midnight).unwrap_or_default();
        self.agent.coordinator().succeeded_since(since).await.map_err(refused)
    }

    fn plugin_view(&self, plugin: &Plugin) -> PluginView {
        let manifest = plugin.manifest();
        let grants = self.grants.of_plugin(plugin.name());
        let asked = manifest.capabilities.iter().map(|request| AskedView {
            capability: request.capability.clone(),
            scopes: request.scope.clone(),
            reason: request.reason.clone(),
            granted: grants.contains_key(&request.capability),
        });
        let blocked: Vec<String> =
            manifest.task_types.keys().filter_map(|task_type| self.agent.may_run(task_type).err()).collect();
        PluginView {
            name: plugin.name().to_owned(),
            version: plugin.version().to_string(),
            state: "ready".to_owned(),
            reason: blocked.into_iter().next(),
            summary: manifest.summary.clone(),
            file: plugin.path().display().to_string(),
            sha256: plugin.sha256().to_owned(),
            task_types: manifest
                .task_types
                .values()
                .map(|task_type| TaskTypeView {
                    name: task_type.name.clone(),
                    summary: task_type.summary.clone(),
                    example: task_type.example.clone(),
                })
                .collect(),
            asked: asked.collect(),
            grants,
        }
    }
}

fn line(number: u64, line: &buddy_buffer::LogLine) -> LogLine {
    let level = match line.level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    };
    let mut message = line.message.clone();
    for (name, value) in &line.fields {
        message.extend([" ", name, "=", value]);
    }
    LogLine { seq: number, at: timestamp(line.at), level: level.to_owned(), message }
}

#[async_trait]
impl HostApi for Api {
    async fn status(&self) -> Result<StatusView, ApiError> {
        let parts = self.agent.parts();
        let stats = parts.pool.stats();
        let push = self.agent.pusher().status();
        let status = if self.agent.is_draining() {
            "DRAINING".to_owned()
        } else {
            // The dashboard has no field for a reason, so it stands behind the word.
            match (parts.storage.paused(), self.agent.paused()) {
                (Some(why), _) => format!("PAUSED: {why}"),
                (None, None | Some(BufferError::OverBound { .. })) => "ONLINE".to_owned(),
                (None, Some(BufferError::DiskFull { .. })) => "DISK FULL".to_owned(),
                (None, Some(_)) => "BUFFER BROKEN".to_owned(),
            }
        };
        // To the end of this run, so that it is not missed; later `doctor` finds the folder.
        let status = match parts.buffer.folder_set_aside() {
            None => status,
            Some(aside) => {
                let joint = if status.contains(": ") { "; " } else { ": " };
                let folder = aside.path.display();
                format!(
                    "{status}{joint}the earlier queue could not be read and lies in {folder}; this host began with an empty one"
                )
            }
        };
        let disk = parts.storage.used().map_err(failed)?.total();
        let now = parts.buffer.now();
        let facts = StatusFacts {
            agent: self.agent.identity().name.to_string(),
            status,
            uptime: self.started.elapsed(),
            tasks_completed_today: self.completed_today().await?,
            active_browsers: stats.active_pages as u64,
            pending_sync: parts.buffer.pending(),
            memory: self.meter.memory(stats.memory),
            disk: (disk, self.meter.disk_allowed()),
            last_sync: push.last_success.map(|moment| Duration::from_millis(now.saturating_sub(moment))),
            // Without Firebase there is nothing whose answer could be timed.
            firebase_latency: None,
        };
        Ok(facts.into())
    }

    async fn submit(&self, request: SubmitRequest) -> Result<SubmitReply, ApiError> {
        let coordinator = self.agent.coordinator();
        if self.agent.is_draining() {
            return Err(ApiError::new(ErrorCode::Conflict, "the host is stopping and takes no more tasks")
                .with_help("start it again when it has ended: `buddy-host start`"));
        }
        let room = self.agent.parts().storage.require_any_room();
        room.map_err(|error| ApiError::new(ErrorCode::Unavailable, error.to_string()))?;
        let new = NewTask {
            task_type: request.r#type,
            payload: request.input.get().to_owned(),
            client: CLIENT.to_owned(),
            idempotency_key: request.key,
            max_attempts: Some(request.max_attempts.unwrap_or(self.meter.max_attempts())),
            priority: request.priority.unwrap_or(0),
            not_before: None,
            mission: None,
            digest: request
                .digest
                .map(|digest| DigestSpec { task_type: digest.r#type, input: digest.input.get().to_owned() }),
            urgent: request.waits,
        };
        let now = coordinator.now().await.map_err(refused)?;
        let mut task =
            prepare(new, now, rand::random()).map_err(|error| ApiError::new(ErrorCode::Invalid, error.to_string()))?;
        let demand = self.estimate("input", &task.task_type, &task.payload).await?;
        if let Some(digest) = &task.digest {
            self.estimate("digest input", &digest.task_type, &digest.input).await?;
        }
        task.demand = Some(demand);
        let task = self.agent.route_new(task).await.map_err(refused)?;
        let Submission { task, existed } = coordinator.create(task, None).await.map_err(refused)?;
        Ok(SubmitReply { id: task.id.to_string(), state: task.state, created: !existed })
    }

    async fn tasks(&self, filter: TaskFilter) -> Result<Vec<TaskView>, ApiError> {
        // A state that only the buffer knows (running, for example) is one of those that the coordinator calls assigned.
        let wanted = filter.state;
        let stored = wanted.map(|state| if state.is_held() { State::Assigned } else { state });
        let limit = filter.limit.unwrap_or(LIST).min(1_000) as usize;
        let narrowed = wanted != stored;
        let query = TaskQuery {
            state: stored,
            task_type: filter.r#type,
            oldest_first: false,
            limit: if narrowed { buddy_sync::embedded::MAX_LIST } else { limit },
        };
        let mut views = Vec::new();
        for task in self.agent.coordinator().list(&query).await.map_err(refused)? {
            let view = self.view(&task).await?;
            if filter.state.is_none_or(|state| view.state == state) {
                views.push(view);
            }
            if views.len() == limit {
                break;
            }
        }
        Ok(views)
    }

    async fn task(&self, id: &str) -> Result<TaskView, ApiError> {
        let task = self.read(id).await?;
        self.view(&task.value).await
    }

    async fn logs(&self, id: &str, from: u64) -> Result<Vec<LogLine>, ApiError> {
        let id = self.find(id).await?;
        let page = self.agent.parts().buffer.log(&id, from, LOG_PAGE).map_err(failed)?;
        Ok(page.lines.into_iter().map(|(number, text)| line(number, &text)).collect())
    }

    async fn follow(&self, id: &str, from: u64) -> Result<BoxStream<'static, LogLine>, ApiError> {
        let id = self.find(id).await?;
        let agent = self.agent.clone();
        let lines = stream::unfold((agent, id, from, false), |(agent, id, from, over)| async move {
            let mut over = over;
            loop {
                let changed = Arc::clone(&agent.parts().changed).notified_owned();
                let page = agent.parts().buffer.log(&id, from, LOG_PAGE).ok()?;
                if let Some((last, _)) = page.lines.last() {
                    let next = last + 1;
                    let lines: Vec<LogLine> =
                        page.lines.into_iter().map(|(number, text)| line(number, &text)).collect();
                    return Some((stream::iter(lines), (agent, id, next, over)));
                }
                if over {
                    return None;
                }
                let _ = tokio::time::timeout(LOOK, changed).await;
                // Looked at before the next page: what was said until then is read once more after it ended.
                over = agent.coordinator().task(&id).await.ok()?.is_none_or(|task| task.value.state.is_final());
            }
        });
        Ok(lines.flatten().boxed())
    }

    async fn watch(&self, id: &str) -> Result<BoxStream<'static, TaskView>, ApiError> {
        let id = self.find(id).await?.to_string();
        self.agent.coordinator().watch(&id.parse().map_err(failed)?, Duration::from_secs(60)).await.map_err(refused)?;
        let api = self.clone();
        let views = stream::unfold((api, id, None::<TaskView>), |(api, id, last)| async move {
            if last.as_ref().is_some_and(|view| view.state.is_final()) {
                return None;
            }
            loop {
                let changed = Arc::clone(&api.agent.parts().changed).notified_owned();
                let view = api.task(&id).await.ok()?;
                if last.as_ref() != Some(&view) {
                    return Some((view.clone(), (api, id, Some(view))));
                }
                let _ = tokio::time::timeout(LOOK, changed).await;
            }
        });
        Ok(views.boxed())
    }

    async fn result(&self, id: &str) -> Result<ResultView, ApiError> {
        let task = self.read(id).await?.value;
        let view = self.view(&task).await?;
        if !view.state.is_final() {
            return Err(ApiError::new(
                ErrorCode::Conflict,
                format!("task {} is {} and has no result yet", task.id.short(), view.state.as_str()),
            )
            .with_help(format!("`buddy-host task show {}` tells how far it is", task.id.short())));
        }
        let result = self.agent.coordinator().result(&task.id).await.map_err(refused)?;
        let artifacts = &self.agent.parts().artifacts;
        let (text, bytes) = match result.as_ref().map(|result| &result.outcome) {
            Some(Outcome::Succeeded { body: Body::Inline(text) }) => (Some(text.clone()), Some(text.len() as u64)),
            Some(Outcome::Succeeded { body: Body::Artifact { id, size } }) if *size <= MAX_DATA => {
                let size = usize::try_from(*size).unwrap_or(usize::MAX);
                let body = artifacts.read(id, 0, size).await.map_err(failed)?;
                (String::from_utf8(body).ok(), Some(size as u64))
            }
            Some(Outcome::Succeeded { body: Body::Artifact { size, .. } }) => (None, Some(*size)),
            _ => (None, None),
        };
        let full = match result.as_ref().and_then(|result| result.raw_artifact.as_ref()) {
            Some(raw) => artifacts.describe(raw).await.ok().map(|known| known.size),
            None => bytes,
        };
        Ok(ResultView {
            id: task.id.to_string(),
            state: view.state,
            data: text.map(RawValue::from_string).transpose().map_err(failed)?,
            digested: task.digest.is_some(),
            location: view.result_location,
            bytes: full,
            error: view.error,
        })
    }

    async fn cancel(&self, id: &str) -> Result<TaskView, ApiError> {
        let cancel = |task: &Task| {
            // What was asked for is so.
            if task.state == State::Cancelled {
                return Ok(None);
            }
            let short = task.id.short();
            let mut next = change::cancel(task, "cancelled by a person".to_owned()).map_err(|step| {
                ApiError::new(ErrorCode::Conflict, format!("task {short} cannot be cancelled: it is {}", step.from))
                    .with_help(format!("`buddy-host task show {short}` tells how it ended"))
            })?;
            // The coordinator hears of tries with their result only.
            let local = self.agent.parts().buffer.task(&task.id).map_err(failed)?;
            let begun = local.filter(|local| local.task.lease == task.lease).map_or(0, |local| local.task.tries);
            next.tries = next.tries.max(begun);
            Ok(Some(next))
        };
        self.alter(id, cancel).await
    }

    async fn retry(&self, id: &str) -> Result<TaskView, ApiError> {
        let retry = |task: &Task| {
            change::retry(task).map(Some).map_err(|error| {
                ApiError::new(ErrorCode::Conflict, error.to_string())
                    .with_help("only a failed or cancelled task is retried")
            })
        };
        self.alter(id, retry).await
    }

    async fn answer(&self, id: &str, answer: AnswerRequest) -> Result<TaskView, ApiError> {
        let task = self.find(id).await?;
        match self.agent.coordinator().answer(&task, &answer.key, &answer.answer).await {
            Ok(()) => self.task(id).await,
            Err(WriteError::Changed) => Err(ApiError::new(
                ErrorCode::Conflict,
                format!("task {} has no open question `{}`", task.short(), answer.key),
            )),
            Err(WriteError::Other(error)) => Err(refused(error)),
        }
    }

    async fn plugins(&self) -> Result<Vec<PluginView>, ApiError> {
        let plugins = &self.agent.parts().plugins;
        let mut views: Vec<PluginView> = plugins.plugins().iter().map(|plugin| self.plugin_view(plugin)).collect();
        views.extend(plugins.refused().iter().map(|(plugin, why)| PluginView {
            state: "refused".to_owned(),
            reason: Some(why.clone()),
            ..self.plugin_view(plugin)
        }));
        views.extend(plugins.failures().iter().map(|failure| PluginView {
            name: failure.path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default(),
            version: String::new(),
            state: "broken".to_owned(),
            reason: Some(failure.reason.clone()),
            summary: String::new(),
            file: failure.path.display().to_string(),
            sha256: String::new(),
            task_types: Vec::new(),
            asked: Vec::new(),
            grants: BTreeMap::new(),
        }));
        Ok(views)
    }

    async fn plugin(&self, name: &str) -> Result<PluginView, ApiError> {
        let found = self.plugins().await?.into_iter().find(|plugin| plugin.name == name);
        found.ok_or_else(|| {
            ApiError::new(ErrorCode::NotFound, format!("there is no plugin `{name}`"))
                .with_help("`buddy-host plugin list` shows what is here")
        })
    }

    async fn stop(&self, now: bool) -> Result<(), ApiError> {
        self.stop.send_replace(if now { Stop::Now } else { Stop::Drain });
        Ok(())
    }
}
