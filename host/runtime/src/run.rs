//! One try of one task: a fresh store and instance, one call, bounds around it.
//!
//! Whatever a plugin does, `run` returns: with its result, with its own failure, or with the host's word for what
//! happened. The call, the deadline, cancelling and shutting down meet in one `select!` *around* the call; when another
//! than the call wins, the store is dropped with everything that was under way in it, blocked host calls included. (A
//! time-out placed inside the call would not fire while the plugin computes.) A run that fails leaves nothing behind but
//! what it had made durable by `checkpoint`, `store` and `artifacts`.

mod explain;
mod outcome;

pub use outcome::{Failure, Fault, RunOutcome, Usage};

use crate::capabilities::Providers;
use crate::grants::Grants;
use crate::limits::{Calls, CpuMeter, RunLimits};
use crate::plugin::Plugin;
use crate::runtime::Runtime;
use crate::state::{HostState, Phase, Session};
use crate::wit;
use serde_json::value::RawValue;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use wasmtime::{AsContextMut, PoolConcurrencyLimitError, Store, UpdateDeadline};

/// Which task this is, as the plugin's `context` shows it.
#[derive(Debug, Clone, Default)]
pub struct TaskInfo {
    /// Stable across tries.
    pub task_id: String,
    /// The mission that it belongs to.
    pub mission: Option<String>,
    /// 1 for the first try.
    pub attempt: u32,
}

/// One try.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// One of the plugin's task types.
    pub task_type: String,
    /// JSON.
    pub input: String,
    /// Which task this is.
    pub task: TaskInfo,
    /// What the owner allows this plugin.
    pub grants: Arc<Grants>,
    /// What stands behind the capabilities.
    pub providers: Providers,
    /// The bounds.
    pub limits: RunLimits,
    /// Somebody wants this task to stop.
    pub cancel: CancellationToken,
    /// The host stops.
    pub shutdown: CancellationToken,
}

impl RunRequest {
    /// A try without grants and providers, within the default limits, that nobody stops.
    pub fn new(task_type: impl Into<String>, input: impl Into<String>) -> Self {
        Self {
            task_type: task_type.into(),
            input: input.into(),
            task: TaskInfo { attempt: 1, ..TaskInfo::default() },
            grants: Arc::default(),
            providers: Providers::default(),
            limits: RunLimits::default(),
            cancel: CancellationToken::new(),
            shutdown: CancellationToken::new(),
        }
    }
}

/// Host calls under way are tasks in a table of the component runtime, a few entries each; a plugin can make further
/// entries by itself. This many beside its calls.
const OTHER_ENTRIES: usize = 1_000;

impl Runtime {
    /// Runs one try of a task.
    ///
    /// The input is checked against the task type's schema before an instance is made. Cancelling and shutting down give
    /// the plugin `limits.grace` to return by itself. The future may be dropped at any time; that stops the run at once.
    pub async fn run(&self, plugin: &Arc<Plugin>, request: RunRequest) -> RunOutcome {
        let RunRequest { task_type, input, task, grants, providers, limits, cancel, shutdown } = request;
        let (task_type, input) = match check_input(plugin, task_type, input, limits.input).await {
            Ok(checked) => checked,
            Err(failure) => return RunOutcome::refused(failure),
        };
        let session = Arc::new(Session {
            phase: Phase::Running,
            info: wit::context::Info {
                task_id: task.task_id,
                mission: task.mission,
                attempt: task.attempt,
                deadline_ms: u64::try_from(limits.wall.as_millis()).unwrap_or(u64::MAX),
                more: Vec::new(),
            },
            grants,
            asked: Arc::clone(&plugin.asked),
            providers,
            calls: Calls::new(&limits),
            pages: Arc::new(Semaphore::new(limits.pages.min(Semaphore::MAX_PERMITS))),
            cpu: CpuMeter::new(limits.cpu),
            log_bytes_left: AtomicUsize::new(limits.log_bytes),
            log_lines_dropped: AtomicU64::new(0),
            cancel,
            shutdown,
            told: AtomicBool::new(false),
        });
        let call = async |instance: &wit::Plugin, store: &mut Store<HostState>| {
            store
                .run_concurrent(async |accessor| {
                    instance.buddy_plugin_task().call_run(accessor, task_type, input).await
                })
                .await?
        };
        let (result, usage, output) = self.drive(&plugin.pre, &session, &limits, call).await;
        let result = match result {
            Ok(Ok(text)) => check_output(text, limits.output),
            Ok(Err(failure)) => Err(stopped(&session).unwrap_or_else(|| failure.into())),
            Err(failure) => Err(failure),
        };
        RunOutcome { result, usage, output, told_to_stop: session.told.load(Ordering::Relaxed) }
    }

    /// Asks the plugin what a task will need.
    ///
    /// # Errors
    /// The input is invalid, by its schema or in the plugin's own words; or the plugin fails at this.
    pub async fn estimate(
        &self,
        plugin: &Arc<Plugin>,
        task_type: &str,
        input: &str,
    ) -> Result<wit::task::Demand, Failure> {
        let limits = RunLimits::quick();
        let (task_type, input) = check_input(plugin, task_type.to_owned(), input.to_owned(), limits.input).await?;
        let answer = self
            .ask(&plugin.pre, limits, async |task, store| task.call_estimate(store, &task_type, &input).await)
            .await?;
        answer.map_err(Failure::from)
    }

    /// Calls an export that neither waits nor has capabilities. A few at once, the others wait: what they hold is beside
    /// the memory that all runs share, as a question must not be refused for want of it.
    pub(crate) async fn ask<R>(
        &self,
        pre: &wit::PluginPre<HostState>,
        limits: RunLimits,
        call: impl AsyncFnOnce(&wit::task::Guest, &mut Store<HostState>) -> wasmtime::Result<R>,
    ) -> Result<R, Failure> {
        let Ok(_turn) = self.places().questions.acquire().await else {
            // Never closed.
            return Err(Failure::Shutdown);
        };
        let session = Arc::new(Session::asking(&limits));
        let call = async |instance: &wit::Plugin, store: &mut Store<HostState>| {
            call(instance.buddy_plugin_task(), store).await
        };
        self.drive(pre, &session, &limits, call).await.0
    }

    /// Makes an instance, makes the call, and stops it when it must be stopped.
    async fn drive<R>(
        &self,
        pre: &wit::PluginPre<HostState>,
        session: &Arc<Session>,
        limits: &RunLimits,
        call: impl AsyncFnOnce(&wit::Plugin, &mut Store<HostState>) -> wasmtime::Result<R>,
    ) -> (Result<R, Failure>, Usage, String) {
        let places = self.places();
        // The wait for a place is not the run's time, so only the owner ends it.
        let place = tokio::select! {
            biased;
            () = session.stopping() => None,
            place = places.instances.acquire() => place.ok(),
        };
        let Some(place) = place else {
            return (Err(stopped(session).unwrap_or(Failure::Shutdown)), Usage::default(), String::new());
        };
        let _running = self.ticker().running();
        let deadline = Instant::now().checked_add(limits.wall);
        let mut slot: Option<Store<HostState>> = None;
        let ended = {
            let mut call = pin!(async {
                let (store, instance) = self.instantiate(pre, session, limits, &mut slot).await?;
                call(&instance, store).await
            });
            let metered = poll_fn(|cx| session.cpu.poll(|| call.as_mut().poll(cx)));
            tokio::select! {
                biased;
                failure = until_stopped(session, limits.grace) => Err(failure),
                () = until(deadline) => Err(Failure::Deadline(limits.wall)),
                result = metered => Ok(result),
            }
        };
        let result = match (ended, slot.as_mut()) {
            (Ok(Ok(value)), _) => Ok(value),
            (Ok(Err(error)), Some(store)) => Err(explain::trap(&error, store.data(), limits)),
            (Ok(Err(error)), None) => Err(Failure::Host(format!("{error:#}"))),
            (Err(failure), _) => Err(failure),
        };
        let usage = Usage {
            wall: session.cpu.origin().elapsed(),
            cpu: session.cpu.spent(),
            peak_memory: slot.as_ref().map_or(0, |store| store.data().memory.peak()),
            host_calls: session.calls.total(),
            log_lines_dropped: session.log_lines_dropped.load(Ordering::Relaxed),
        };
        let output = slot.as_ref().map(|store| store.data().output()).unwrap_or_default();
        // Here everything that was under way ends; then its place is free.
        drop(slot);
        drop(place);
        places.freed.notify_waiters();
        (result, usage, output)
    }

    /// A fresh instance in a fresh store, which is left in `slot` whatever happens. Where the pool has no memory, table
    /// or stack left, because others' components take several each, it waits until one of them is gone.
    async fn instantiate<'s>(
        &self,
        pre: &wit::PluginPre<HostState>,
        session: &Arc<Session>,
        limits: &RunLimits,
        slot: &'s mut Option<Store<HostState>>,
    ) -> wasmtime::Result<(&'s mut Store<HostState>, wit::Plugin)> {
        let places = self.places();
        loop {
            let mut freed = pin!(places.freed.notified());
            // From here on no notice is missed.
            freed.as_mut().enable();
            let mut store = self.store(session, limits);
            match pre.instantiate_async(&mut store).await {
                Err(error) if error.is::<PoolConcurrencyLimitError>() && self.instances() > 1 => {
                    drop(store); // with the part of the pool that it did get
                    freed.await;
                }
                Err(error) => {
                    *slot = Some(store);
                    return Err(error);
                }
                Ok(instance) => return Ok((slot.insert(store), instance)),
            }
        }
    }

    fn store(&self, session: &Arc<Session>, limits: &RunLimits) -> Store<HostState> {
        let shared = (session.phase == Phase::Running).then(|| self.shared_memory()).flatten();
        let mut store = Store::new(self.engine(), HostState::new(Arc::clone(session), limits, shared));
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(limits.call_bytes.max(limits.output));
        store.set_max_component_handles(
            limits.handles.saturating_add(limits.calls_under_way).saturating_add(OTHER_ENTRIES),
        );
        if let Some(table) = store.concurrent_resource_table() {
            table.set_max_capacity(limits.calls_under_way.saturating_mul(4).saturating_add(OTHER_ENTRIES));
        }
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut context| {
            context.as_context_mut().data().session.cpu.check().map_err(wasmtime::Error::new)?;
            // Gives the thread back for a moment, where the `select!` looks at the clock.
            Ok(UpdateDeadline::Yield(1))
        });
        store
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        // Beyond what the clock can show.
        None => std::future::pending().await,
    }
}

/// Ends when the run is to be stopped and has had its grace.
async fn until_stopped(session: &Session, grace: Duration) -> Failure {
    session.stopping().await;
    sleep(grace).await;
    stopped(session).unwrap_or(Failure::Cancelled)
}

fn stopped(session: &Session) -> Option<Failure> {
    if session.cancel.is_cancelled() {
        Some(Failure::Cancelled)
    } else if session.shutdown.is_cancelled() {
        Some(Failure::Shutdown)
    } else {
        None
    }
}

/// Inputs up to this size are checked at once, in well under a millisecond; larger ones beside the async runtime.
const QUICKLY_CHECKED: usize = 64 << 10;

/// Checks the input and gives it back.
async fn check_input(
    plugin: &Arc<Plugin>,
    task_type: String,
    input: String,
    bound: usize,
) -> Result<(String, String), Failure> {
    if input.len() > bound {
        let message =
            format!("the input has {} bytes and may have {bound}; pass large data as an artifact", input.len());
        return Err(Failure::InvalidInput(vec![Fault { path: String::new(), message }]));
    }
    if input.len() <= QUICKLY_CHECKED {
        check_schema(plugin, &task_type, &input)?;
        return Ok((task_type, input));
    }
    let plugin = Arc::clone(plugin);
    tokio::task::spawn_blocking(move || check_schema(&plugin, &task_type, &input).map(|()| (task_type, input)))
        .await
        .map_err(|error| Failure::Host(format!("checking its input failed ({error})")))?
}

fn check_schema(plugin: &Plugin, task_type: &str, input: &str) -> Result<(), Failure> {
    let Some(described) = plugin.task_type(task_type) else {
        return Err(Failure::UnknownTaskType {
            task_type: task_type.to_owned(),
            plugin: plugin.name().to_owned(),
            known: plugin.manifest().task_types.keys().cloned().collect(),
        });
    };
    described.input.check(input).map_err(|faults| Failure::InvalidInput(faults.into_iter().map(Fault::from).collect()))
}

fn check_output(text: String, bound: usize) -> Result<String, Failure> {
    if text.len() > bound {
        return Err(Failure::BadOutput(format!(
            "The plugin's result has {} bytes and may have {bound}; it should keep large data as an artifact.",
            text.len()
        )));
    }
    match serde_json::from_str::<&RawValue>(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::BadOutput(format!("The plugin's result is not JSON: {error}."))),
    }
}
