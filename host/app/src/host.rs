//! The assembly of the host: builds the parts in the order in which they need each other, runs them, and takes them down
//! in the opposite order.

pub mod checks;
mod loops;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use buddy_browser::{BrowserError, LaunchOptions, Pool, PoolOptions};
use buddy_buffer::{Buffer, BufferError, OpenError, Options};
use buddy_egress::{Egress, EgressError, FetchOptions, Fetcher, Proxy, ProxyOptions};
use buddy_router::batch::BatchPolicy;
use buddy_router::submit::{NewTask, prepare};
use buddy_router::{AgentName, BootId, IdError};
use buddy_runtime::{Failure, LoadError, PluginSet, RunLimits, Runtime, RuntimeError, SharedMemory};
use buddy_sync::embedded::Embedded;
use buddy_sync::push::{Pusher, Versions};
use buddy_sync::{Coordinator, CoordinatorError};
use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::agent::{Agent, AgentOptions, Displaced, GrantProblem, Identity, Parts, PluginRights, PluginRun};
use crate::api::{Api, Stop};
use crate::artifacts::{ArtifactError, ArtifactStore};
use crate::config::Config;
use crate::control::{ControlError, ControlHandle, ControlServer, HostApi};
use crate::failure::{Exit, Explain, besides};
use crate::memory::MemoryBudget;
use crate::render::one_line;
use crate::storage::{self, Storage};
use crate::usage::{Meter, gigabytes};
use loops::Loops;

/// How long runs may go on after the host was asked to stop. A page takes seconds; what is longer has checkpoints.
const DRAIN: Duration = Duration::from_secs(30);

/// How long interrupted runs may take to end: their grace of half a second, and time to write it down.
const INTERRUPT: Duration = Duration::from_secs(10);

/// How long finished tasks and their results are kept.
const KEEP_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// Time between two sweeps of what has expired.
const SWEEP: Duration = Duration::from_secs(600);

/// How to run.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunOptions {}

/// A plugin to run once, without the queue.
#[derive(Debug, Clone)]
pub struct ExecRequest {
    /// The component's file.
    pub component: PathBuf,
    /// The task type.
    pub task_type: String,
    /// Its input.
    pub input: Box<RawValue>,
}

/// Why the host does not run.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The cloud role comes with Firestore.
    #[error("this version has no cloud role: it runs tasks on this computer only")]
    NoCloud,
    /// The agent's name cannot be one.
    #[error("agent.name: {0}")]
    Name(#[from] IdError),
    /// A folder cannot be made.
    #[error("the folder {path} cannot be made: {source}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The plugins folder is a file.
    #[error("plugins.folder: {path} is a file, not a folder", path = .0.display())]
    PluginsNoFolder(PathBuf),
    /// The plugins folder cannot be read.
    #[error("the plugins folder {path} cannot be read: {source}")]
    Plugins {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The buffer does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The buffer failed.
    #[error(transparent)]
    Buffer(#[from] BufferError),
    /// Another host, or the port.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The sandbox.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The browsers' folder.
    #[error(transparent)]
    Browser(#[from] BrowserError),
    /// The network's side.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// A grant that cannot be one.
    #[error(transparent)]
    Grant(#[from] GrantProblem),
    /// The artifacts' folder.
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
    /// Another process has this one's place.
    #[error(transparent)]
    Displaced(#[from] Displaced),
    /// The coordinator.
    #[error(transparent)]
    Coordinator(#[from] CoordinatorError),
    /// `exec`: the file is no plugin.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// `exec`: the run failed.
    #[error("{0}")]
    Run(Failure, String),
    /// `exec`: the input or the output is no JSON.
    #[error("{0}")]
    Json(String),
    /// A part of the host that never ends has ended.
    #[error(
        "the host's {0} ended by itself, which is a fault: start the host again; nothing that was accepted is lost"
    )]
    LoopEnded(&'static str),
    /// The signals of the system cannot be heard.
    #[error("the signals of the system cannot be heard: {0}")]
    Signals(std::io::Error),
}

impl Explain for HostError {
    fn exit(&self) -> Exit {
        match self {
            Self::NoCloud
            | Self::Name(_)
            | Self::Grant(_)
            | Self::Load(_)
            | Self::Json(_)
            | Self::Run(Failure::InvalidInput(_) | Failure::UnknownTaskType { .. }, _) => Exit::Input,
            Self::Open(OpenError::InUse { .. }) | Self::Displaced(_) => Exit::Conflict,
            Self::Control(error) => error.exit(),
            Self::Folder { .. }
            | Self::PluginsNoFolder(_)
            | Self::Plugins { .. }
            | Self::Open(_)
            | Self::Browser(_)
            | Self::Artifacts(_) => Exit::Missing,
            _ => Exit::Failed,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::NoCloud => Some("set agent.mode to desktop, or leave `--mode cloud` out".to_owned()),
            Self::Control(error) => error.help(),
            Self::Grant(_) => Some("correct it in the section plugins.grants of buddy.yaml".to_owned()),
            Self::PluginsNoFolder(_) => Some("set plugins.folder to the folder of the `.wasm` files".to_owned()),
            Self::Folder { source, .. } => Some(match source.kind() {
                ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
                    "a file is in its place or above it: move that away, or choose another folder in buddy.yaml"
                        .to_owned()
                }
                _ => "make the folder above it writable, or choose another in buddy.yaml".to_owned(),
            }),
            Self::Open(OpenError::Io { .. }) => {
                Some("make the data folder writable, or choose another in `storage.path`".to_owned())
            }
            Self::Plugins { .. } => {
                Some("make the folder and put `.wasm` files into it, or set plugins.folder to another".to_owned())
            }
            Self::Run(failure, output) => {
                besides(&failure.to_string(), output).map(|rest| format!("before that it wrote: {rest}"))
            }
            _ => None,
        }
    }
}

async fn make(path: &Path) -> Result<(), HostError> {
    tokio::fs::create_dir_all(path).await.map_err(|source| HostError::Folder { path: path.to_owned(), source })
}

/// The owner's bounds for one run.
fn limits(config: &Config) -> RunLimits {
    RunLimits {
        wall: Duration::from_secs(config.tasks.wall_seconds),
        cpu: Duration::from_secs(config.tasks.cpu_seconds),
        memory: config.tasks.memory_mib as usize * 1024 * 1024,
        pages: config.resources.max_browsers.max(1) as usize,
        ..RunLimits::default()
    }
}

/// The parts that runs need, over an open buffer. Plugins that cannot be used are in the set with their reasons.
pub(crate) async fn parts(config: &Config, buffer: Buffer, plugins: PluginsFrom<'_>) -> Result<Parts, HostError> {
    let data = &config.storage.path;
    let limits = limits(config);
    let memory = MemoryBudget::new(gigabytes(config.resources.max_memory_gb));
    let allowed = gigabytes(config.resources.temp_storage_gb);
    let mut sandbox = checks::sandbox(config);
    sandbox.memory = Some(Arc::clone(&memory) as Arc<dyn SharedMemory>);
    let runtime = Runtime::new(&sandbox)?;
    let set = match plugins {
        PluginsFrom::Folder(folder) => PluginSet::load_folder(&runtime, folder)
            .await
            .map_err(|source| HostError::Plugins { path: folder.to_owned(), source })?,
        PluginsFrom::File(file) => {
            let mut set = PluginSet::default();
            set.add(runtime.load(file).await?);
            set
        }
    };
    let mut rights = BTreeMap::new();
    for plugin in set.plugins() {
        let name = plugin.name();
        rights.insert(name.to_owned(), PluginRights::new(name, config.plugins.grants.of_plugin(name))?);
    }
    let egress = Egress::default();
    let mut pool = PoolOptions::new(data.join(storage::BROWSERS));
    pool.launch = LaunchOptions {
        program: config.browser.path.clone(),
        headless: config.browser.headless,
        // Each run's context has a proxy of its own, with the plugin's grants; what the browser does by itself has none.
        proxy: Some(buddy_browser::NOWHERE),
        ..LaunchOptions::default()
    };
    pool.max_pages = config.resources.max_browsers as usize;
    pool.max_memory = Some(memory.room());
    pool.other_memory = Some(memory.plugins());
    // One download must not take the folder from everybody.
    pool.max_download = pool.max_download.min(allowed / storage::DOWNLOAD);
    let pool = Pool::new(pool).await?;
    memory.count_browsers(pool.memory());
    let artifacts = ArtifactStore::open(data.join(storage::ARTIFACTS), allowed).await?;
    let storage = Storage::new(data.clone(), allowed, buffer.clone(), artifacts.clone());
    // Before anything begins: the folder may be full from the last time.
    storage.look(&runtime, &set).await?;
    Ok(Parts {
        runtime,
        plugins: set,
        rights,
        pool,
        proxy: Proxy::new(egress.clone(), ProxyOptions::default()),
        fetcher: Fetcher::new(egress, FetchOptions::default())?,
        buffer,
        artifacts,
        limits,
        browsers: config.resources.max_browsers > 0,
        memory,
        storage,
        changed: Arc::new(Notify::new()),
    })
}

/// Where plugins come from.
pub(crate) enum PluginsFrom<'a> {
    Folder(&'a Path),
    File(&'a Path),
}

/// Opens the buffer of the data folder and says what was found.
async fn open_buffer(config: &Config) -> Result<Buffer, HostError> {
    let mut options = Options::new(config.storage.path.join(storage::BUFFER));
    let pages = gigabytes(config.resources.temp_storage_gb) / storage::PAGE_CACHE;
    options.limits.page_cache_bytes = options.limits.page_cache_bytes.min(pages);
    let opened = tokio::task::spawn_blocking(move || Buffer::open(&options)).await;
    let (buffer, report) = opened.map_err(|_| BufferError::Closed)??;
    if let Some(aside) = &report.set_aside {
        tracing::warn!(
            folder = %aside.path.display(),
            reason = aside.reason,
            "the buffer could not be read: it was set aside under this name, and the host begins with an empty one"
        );
    }
    Ok(buffer)
}

/// Runs the host until it is stopped.
pub async fn run(config: Config, _options: RunOptions) -> Result<(), HostError> {
    let mut host = Host::start(config).await?;
    match host.until_asked_to_stop().await {
        Ok(displaced) => host.stop(displaced).await,
        Err(broken) => {
            // Why it ends is what counts; what fails on the way down is for the log.
            if let Err(error) = host.stop(None).await {
                tracing::error!(%error, "the host could not be taken down in order");
            }
            Err(broken)
        }
    }
}

/// A running host.
pub struct Host {
    agent: Agent,
    api: Arc<Api>,
    asked: tokio::sync::watch::Receiver<Stop>,
    ended: CancellationToken,
    loops: Loops,
    control: ControlHandle,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("agent", &self.agent).finish_non_exhaustive()
    }
}

impl Host {
    /// Builds the parts and begins to work. Ready for commands when this returns.
    pub async fn start(config: Config) -> Result<Self, HostError> {
        if let Some(refusal) = checks::refusals(&config).into_iter().next() {
            return Err(refusal);
        }
        let name = AgentName::try_from(config.agent.name.clone())?;
        if let Some(project) = &config.firebase.project_id {
            tracing::warn!(project, "Firebase is configured, and this version queues tasks on this computer only");
        }
        let data = config.storage.path.clone();
        // What it keeps (pages, payloads, results) is its owner's alone.
        crate::platform::private_folder(&data).map_err(|source| HostError::Folder { path: data.clone(), source })?;
        make(&config.plugins.folder).await?;
        // First, so that a second host on this folder is told so before it touches anything.
        let control = ControlServer::bind(&data, config.control.port).await?;
        let buffer = open_buffer(&config).await?;
        // A try that a kill interrupted is over; it stays counted.
        let interrupted = buffer.interrupt_all().await?;
        if !interrupted.is_empty() {
            tracing::info!(tasks = interrupted.len(), "tasks that were interrupted go on");
        }
        let parts = Arc::new(parts(&config, buffer.clone(), PluginsFrom::Folder(&config.plugins.folder)).await?);
        for failure in parts.plugins.failures() {
            // Names of files are anybody's, and a line break in one must not look like a line of the host's.
            tracing::warn!("{}", one_line(&failure.to_string()));
        }
        for warning in parts.plugins.warnings() {
            tracing::warn!("{}", one_line(warning));
        }
        for warning in checks::unknown_names(&config, &parts.plugins) {
            tracing::warn!("{warning}");
        }
        if let Some(warning) = checks::missing_browser(&config) {
            tracing::warn!("{warning}");
        }
        let embedded = Embedded::open(buffer.clone())?;
        let coordinator: Arc<dyn Coordinator> = Arc::new(embedded.clone());
        let versions = Versions::default();
        let policy = BatchPolicy {
            max_items: config.sync.batch_size as usize,
            max_bytes: usize::try_from(config.sync.batch_max_bytes).unwrap_or(usize::MAX),
            max_wait: Duration::from_secs(config.sync.interval_seconds.into()),
        };
        let pusher =
            Pusher::new(buffer.clone(), Arc::clone(&coordinator), policy, config.sync.retry_failed, versions.clone())
                .telling(Arc::clone(&parts.changed));
        let identity = Identity { name, session: buffer.session().clone(), boot: BootId(rand::random()) };
        let options = AgentOptions {
            max_tasks: config.resources.max_tasks as usize,
            max_pages: config.resources.max_browsers,
            capabilities: config.agent.capabilities.clone(),
            heartbeat: Duration::from_secs(config.sync.heartbeat_seconds.into()),
            cloud_fallback: config.cloud.fallback_enabled,
        };
        let agent = Agent::new(identity, options, Arc::clone(&parts), coordinator, pusher, versions);
        let beat = agent.first_beat().await?;
        let (api, asked) = Api::new(agent.clone(), config.plugins.grants.clone(), Meter::new(&config));
        let ended = CancellationToken::new();
        let loops = Loops::start(&agent, &ended, beat, embedded, buffer);
        let control = control.start(Arc::clone(&api) as Arc<dyn HostApi>, ended.clone())?;
        tracing::info!(
            agent = %agent.identity().name,
            plugins = parts.plugins.plugins().len(),
            task_types = parts.plugins.task_types().collect::<Vec<_>>().join(", "),
            "ready"
        );
        Ok(Self { agent, api, asked, ended, loops, control })
    }

    /// What commands ask of it, without the way over the socket.
    pub fn api(&self) -> Arc<dyn HostApi> {
        Arc::clone(&self.api) as Arc<dyn HostApi>
    }

    /// What its runs share.
    pub fn parts(&self) -> &Arc<Parts> {
        self.agent.parts()
    }

    /// Until somebody wants it to stop and its runs had their time, or another process has its place.
    pub async fn until_asked_to_stop(&mut self) -> Result<Option<Displaced>, HostError> {
        self.loops.until_stopped(&self.agent, self.asked.clone()).await
    }

    /// Interrupts what still runs and takes everything down. What is not finished goes on at the next start.
    pub async fn stop(self, displaced: Option<Displaced>) -> Result<(), HostError> {
        let Self { agent, api, asked: _, ended, loops, control } = self;
        agent.interrupt();
        // Runs end by themselves within their grace; what does not is left to the next start.
        let _ = tokio::time::timeout(INTERRUPT, agent.idle()).await;
        ended.cancel();
        // Everything is taken down, whatever fails on the way; the first failure is the one to tell.
        let ended = loops.end().await;
        // A start that was under way when the loops were told to end.
        let _ = tokio::time::timeout(INTERRUPT, agent.idle()).await;
        let retired = match displaced {
            None => agent.coordinator().retire(&agent.identity().name, agent.identity().boot).await,
            Some(_) => Ok(()),
        };
        agent.parts().pool.close().await;
        control.finish().await;
        drop(api);
        agent.parts().buffer.close().await;
        ended?;
        retired?;
        tracing::info!("stopped");
        displaced.map_or(Ok(()), |displaced| Err(displaced.into()))
    }
}

/// Removes what has expired, at the start and from time to time.
async fn sweep(buffer: &Buffer, embedded: &Embedded, artifacts: &ArtifactStore) {
    loop {
        sweep_once(buffer, embedded, artifacts).await;
        tokio::time::sleep(SWEEP).await;
    }
}

/// Buffer entries, tasks that ended long ago, and the artifacts of tasks that are gone.
async fn sweep_once(buffer: &Buffer, embedded: &Embedded, artifacts: &ArtifactStore) {
    if let Err(error) = buffer.sweep().await {
        tracing::warn!(%error, "what has expired could not be removed");
    }
    match embedded.forget_before(buffer.now().saturating_sub(KEEP_MS)).await {
        Ok(tasks) if tasks.is_empty() => {}
        Ok(tasks) => tracing::info!(tasks = tasks.len(), "tasks that ended long ago were forgotten"),
        Err(error) => tracing::warn!(%error, "old tasks could not be forgotten"),
    }
    if let Err(error) = sweep_artifacts(buffer, embedded, artifacts).await {
        tracing::warn!(%error, "artifacts of tasks that are gone could not be removed");
    }
}

/// By what is there and not by what was just forgotten: a kill between the two leaves nothing behind for good.
async fn sweep_artifacts(buffer: &Buffer, embedded: &Embedded, artifacts: &ArtifactStore) -> Result<(), HostError> {
    for task in artifacts.tasks().await? {
        if embedded.task(&task).await?.is_none() && !buffer.has_task(&task)? {
            let bytes = artifacts.remove_of(&task).await?;
            tracing::info!(task = task.short(), bytes, "the artifacts of a task that is gone were removed");
        }
    }
    Ok(())
}

/// Runs one task of one plugin file, in a data folder of its own that is removed afterwards; its output as JSON.
pub async fn exec(mut config: Config, request: ExecRequest) -> Result<Box<RawValue>, HostError> {
    let folder = tempfile::tempdir().map_err(|source| HostError::Folder { path: std::env::temp_dir(), source })?;
    folder.path().clone_into(&mut config.storage.path);
    let buffer = open_buffer(&config).await?;
    let parts = parts(&config, buffer.clone(), PluginsFrom::File(&request.component)).await?;
    let new = NewTask {
        task_type: request.task_type.clone(),
        payload: request.input.get().to_owned(),
        client: "exec".to_owned(),
        idempotency_key: None,
        max_attempts: Some(1),
        priority: 0,
        not_before: None,
        mission: None,
        digest: None,
        urgent: true,
    };
    let mut task = prepare(new, buffer.now(), rand::random()).map_err(|error| HostError::Json(error.to_string()))?;
    task.tries = 1;
    let cancel = CancellationToken::new();
    let interrupted = cancel.clone();
    let signals = tokio::spawn(async move {
        if crate::platform::asked_to_end().await.is_ok() {
            interrupted.cancel();
        }
    });
    let outcome = match parts.plugins.plugins().first() {
        Some(plugin) => {
            let run = PluginRun {
                task: &task,
                task_type: &request.task_type,
                of_digest: false,
                input: task.payload.clone(),
                named: std::collections::BTreeSet::new(),
                cancel,
                shutdown: CancellationToken::new(),
            };
            parts.run(plugin, run).await
        }
        // A file that is no plugin was refused by `load`.
        None => return Err(HostError::Json("the file holds no plugin".to_owned())),
    };
    signals.abort();
    for (_, line) in buffer.log(&task.id, 0, 1_000)?.lines {
        tracing::info!(target: "plugin", level = ?line.level, "{}", line.message);
    }
    parts.pool.close().await;
    buffer.close().await;
    // What it returned after it was told to stop may be a part of the result.
    let whole = |text| if outcome.told_to_stop { Err(Failure::Cancelled) } else { Ok(text) };
    let text = outcome.result.and_then(whole).map_err(|failure| HostError::Run(failure, outcome.output))?;
    RawValue::from_string(text).map_err(|error| HostError::Json(format!("the plugin's output is no JSON: {error}")))
}

#[cfg(test)]
mod tests;
