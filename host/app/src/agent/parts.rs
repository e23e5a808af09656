//! What all runs of a host share: plugins with their rights, browser, network, buffer, artifacts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use buddy_browser::Pool;
use buddy_buffer::{Buffer, LogLevel};
use buddy_egress::{Fetcher, Grant, HostRules, Proxy, RuleError};
use buddy_router::{Task, TaskId};
use buddy_runtime::capabilities::browser::Browser;
use buddy_runtime::{
    Capability, Grants, Plugin, PluginSet, Providers, RunLimits, RunOutcome, RunRequest, Runtime, TaskInfo,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::adapters::{RunArtifacts, RunBrowser, RunCheckpoint, RunHttp, RunLog, RunProgress, RunStore};
use crate::artifacts::ArtifactStore;
use crate::memory::{MemoryBudget, Promise};
use crate::storage::Storage;

/// A grant in the configuration that cannot be one.
#[derive(Debug, thiserror::Error)]
#[error("plugins.grants.{plugin}.{capability}: {source}")]
pub struct GrantProblem {
    /// Whose.
    plugin: String,
    /// Of what.
    capability: &'static str,
    /// What is wrong with it.
    source: RuleError,
}

/// What the owner lets one plugin do.
#[derive(Debug, Clone)]
pub struct PluginRights {
    /// All of it.
    pub grants: Arc<Grants>,
    http: Arc<Grant>,
    browser: Arc<Grant>,
}

impl PluginRights {
    /// Reads what the configuration grants a plugin.
    pub fn new(plugin: &str, scopes: BTreeMap<String, Vec<String>>) -> Result<Self, GrantProblem> {
        let grants = Grants::new(plugin, scopes);
        let rules = |capability: Capability| {
            let texts = grants.scopes(capability).unwrap_or_default();
            HostRules::parse(texts).map_err(|source| GrantProblem {
                plugin: plugin.to_owned(),
                capability: capability.name(),
                source,
            })
        };
        let http = Grant::new(plugin, rules(Capability::Http)?);
        let browser = Grant::new(plugin, rules(Capability::Browser)?);
        Ok(Self { grants: Arc::new(grants), http, browser })
    }
}

/// The shared parts.
pub struct Parts {
    /// The sandbox.
    pub runtime: Runtime,
    /// The plugins that were found.
    pub plugins: PluginSet,
    /// Their rights, by name.
    pub rights: BTreeMap<String, PluginRights>,
    /// The browsers.
    pub pool: Pool,
    /// The browsers' way out.
    pub proxy: Proxy,
    /// The plugins' way out.
    pub fetcher: Fetcher,
    /// What must not be lost.
    pub buffer: Buffer,
    /// What is large.
    pub artifacts: ArtifactStore,
    /// The owner's bounds.
    pub limits: RunLimits,
    /// Whether there are any browsers: `resources.max_browsers` is not 0.
    pub browsers: bool,
    /// What runs and browsers may take of the computer's memory together.
    pub memory: Arc<MemoryBudget>,
    /// What the data folder holds and may hold.
    pub storage: Storage,
    /// Told of every change that somebody may be looking at.
    pub changed: Arc<Notify>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("plugins", &self.plugins.plugins().len()).finish_non_exhaustive()
    }
}

/// One run of a plugin.
pub struct PluginRun<'a> {
    /// For which task.
    pub task: &'a Task,
    /// Which of the plugin's types: the task's own, or its digest's.
    pub task_type: &'a str,
    /// Whether it is the run of the digest.
    pub of_digest: bool,
    /// The input, its references resolved.
    pub input: String,
    /// Artifacts that the input names.
    pub named: BTreeSet<String>,
    /// Somebody stops the task.
    pub cancel: CancellationToken,
    /// The host stops.
    pub shutdown: CancellationToken,
}

impl Parts {
    /// The log of a task, for lines of the host's own.
    pub fn log_of(&self, task: &TaskId) -> RunLog {
        RunLog::new(self.buffer.clone(), task.clone(), Arc::clone(&self.changed))
    }

    /// The bounds of a plugin's runs.
    fn limits_of(&self, plugin: &Plugin) -> RunLimits {
        // Where a plugin has no wish it gets what the owner allows, but for pages: those are for all runs together.
        RunLimits { pages: RunLimits::default().pages, ..self.limits.clone() }
            .wished(&plugin.manifest().limits)
            .capped(&self.limits)
    }

    /// Waits for the memory that a try of the task may take, its digest included: the two run one after the other. To be
    /// had before the try is counted and held until it is over.
    pub async fn share_of_memory(&self, task: &Task) -> Promise {
        let types = std::iter::once(&task.task_type).chain(task.digest.as_ref().map(|digest| &digest.task_type));
        let plugins = types.filter_map(|task_type| self.plugins.for_task_type(task_type));
        let bytes = plugins.map(|plugin| self.limits_of(plugin).memory).max().unwrap_or_default();
        let waits = |why: String| self.log_of(&task.id).host(LogLevel::Info, why);
        self.memory.admit(bytes as u64, waits).await
    }

    /// Runs a plugin once.
    pub async fn run(&self, plugin: &Arc<Plugin>, run: PluginRun<'_>) -> RunOutcome {
        let limits = self.limits_of(plugin);
        let (id, buffer) = (run.task.id.clone(), &self.buffer);
        let mut providers = Providers {
            log: Some(Arc::new(self.log_of(&id))),
            progress: Some(Arc::new(RunProgress::new(
                buffer.clone(),
                id.clone(),
                Arc::clone(&self.changed),
                run.of_digest,
            ))),
            checkpoint: Some(Arc::new(RunCheckpoint { buffer: buffer.clone(), task: id.clone() })),
            store: Some(Arc::new(RunStore { buffer: buffer.clone(), plugin: plugin.name().to_owned() })),
            artifacts: Some(Arc::new(RunArtifacts::new(self.artifacts.clone(), id.clone(), run.named))),
            ..Providers::default()
        };
        let mut grants = Arc::default();
        if let Some(rights) = self.rights.get(plugin.name()) {
            grants = Arc::clone(&rights.grants);
            providers.http = Some(Arc::new(RunHttp {
                fetcher: self.fetcher.clone(),
                grant: Arc::clone(&rights.http),
                grants: Arc::clone(&grants),
                artifacts: self.artifacts.clone(),
                task: id.clone(),
            }));
            let browser = Arc::new(RunBrowser::new(
                self.pool.clone(),
                self.proxy.clone(),
                Arc::clone(&rights.browser),
                Arc::clone(&grants),
                self.artifacts.clone(),
                buffer.clone(),
                id.clone(),
            ));
            providers.browser = self.browsers.then_some(browser as Arc<dyn Browser>);
        }
        let request = RunRequest {
            task_type: run.task_type.to_owned(),
            input: run.input,
            task: TaskInfo { task_id: id.to_string(), mission: run.task.mission.clone(), attempt: run.task.tries },
            grants,
            providers,
            limits,
            cancel: run.cancel,
            shutdown: run.shutdown,
        };
        self.runtime.run(plugin, request).await
    }
}
