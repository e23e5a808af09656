//! What all plugins of a process share: the engine, its clock, the linker, the cache, and the places for instances.

use crate::capabilities;
use crate::compile_cache::CompileCache;
use crate::engine::{self, Allocation, EngineConfig};
use crate::limits::SharedMemory;
use crate::load::{self, LoadError};
use crate::plugin::Plugin;
use crate::state::HostState;
use crate::ticker::Ticker;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Notify, Semaphore};
use wasmtime::Engine;
use wasmtime::component::Linker;

/// How a runtime is set up.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RuntimeConfig {
    /// The engine.
    pub engine: EngineConfig,
    /// Folder for compiled plugins; `None`: compile at every start.
    pub cache: Option<PathBuf>,
    /// What all runs together may hold in memory; `None`: each run's own bound alone. What `describe` and `estimate` hold
    /// for a moment is not in it.
    pub memory: Option<Arc<dyn SharedMemory>>,
}

impl RuntimeConfig {
    /// The defaults with this folder for compiled plugins.
    pub fn with_cache(folder: impl Into<PathBuf>) -> Self {
        Self { cache: Some(folder.into()), ..Self::default() }
    }
}

/// Why there is no runtime.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// wasmtime does not support this machine.
    #[error("The sandbox cannot be set up on this machine: {0:#}.")]
    Engine(wasmtime::Error),
    /// The clock thread was refused.
    #[error(
        "The thread that bounds the plugins' computing time cannot be started: {0}; lower the number of processes."
    )]
    Ticker(std::io::Error),
}

/// The runtime. Clones are the same one.
#[derive(Clone)]
pub struct Runtime(Arc<Inner>);

struct Inner {
    engine: Engine,
    allocation: Allocation,
    linker: Linker<HostState>,
    cache: Option<CompileCache>,
    memory: Option<Arc<dyn SharedMemory>>,
    ticker: Ticker,
    places: Places,
}

/// Questions at once. An answer takes a millisecond and a few MiB; one that takes all that it may does not multiply.
const QUESTIONS: usize = 4;

/// Places for instances. A run beyond them waits, it does not fail.
pub(crate) struct Places {
    pub(crate) instances: Semaphore,
    /// Instances that answer `describe` or `estimate`.
    pub(crate) questions: Semaphore,
    pub(crate) total: u32,
    /// Told whenever an instance is gone.
    pub(crate) freed: Notify,
}

impl Runtime {
    /// Sets up the engine. A cache folder that cannot be used is left out with a warning in the log.
    ///
    /// # Errors
    /// The machine is not supported or out of threads.
    pub fn new(config: &RuntimeConfig) -> Result<Self, RuntimeError> {
        let (engine, allocation) = engine::build(&config.engine).map_err(RuntimeError::Engine)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(RuntimeError::Engine)?;
        capabilities::add_to_linker(&mut linker).map_err(RuntimeError::Engine)?;
        let cache = config.cache.as_deref().and_then(|folder| {
            CompileCache::open(folder, &engine)
                .inspect_err(|error| {
                    tracing::warn!(
                        folder = %folder.display(),
                        %error,
                        "The folder for compiled plugins cannot be used, so plugins are compiled at every start."
                    );
                })
                .ok()
        });
        let ticker = Ticker::start(&engine).map_err(RuntimeError::Ticker)?;
        let total = config.engine.max_instances.max(1);
        let instances = Semaphore::new(usize::try_from(total).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS));
        let places = Places { instances, questions: Semaphore::new(QUESTIONS), total, freed: Notify::new() };
        Ok(Self(Arc::new(Inner { engine, allocation, linker, cache, memory: config.memory.clone(), ticker, places })))
    }

    /// Loads the plugin in `path`.
    ///
    /// # Errors
    /// One sentence: what the file is, what was expected, what to do.
    pub async fn load(&self, path: &Path) -> Result<Arc<Plugin>, LoadError> {
        load::load(self, path).await.map(Arc::new)
    }

    /// How instances get their memory.
    pub fn allocation(&self) -> &Allocation {
        &self.0.allocation
    }

    /// Plugin instances alive now.
    pub fn instances(&self) -> usize {
        let total = usize::try_from(self.0.places.total).unwrap_or(usize::MAX);
        total.saturating_sub(self.0.places.instances.available_permits())
    }

    /// Deletes compiled code that is of none of these plugins, named by their files' SHA-256, because its room is needed;
    /// the bytes that this freed. A plugin that comes back is compiled anew. Blocks for the file system.
    pub fn forget_compiled(&self, but: &[&str]) -> u64 {
        self.0.cache.as_ref().map_or(0, |cache| cache.keep_only(but))
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn linker(&self) -> &Linker<HostState> {
        &self.0.linker
    }

    pub(crate) fn cache(&self) -> Option<&CompileCache> {
        self.0.cache.as_ref()
    }

    pub(crate) fn shared_memory(&self) -> Option<Arc<dyn SharedMemory>> {
        self.0.memory.clone()
    }

    pub(crate) fn ticker(&self) -> &Ticker {
        &self.0.ticker
    }

    pub(crate) fn places(&self) -> &Places {
        &self.0.places
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("allocation", &self.0.allocation).finish_non_exhaustive()
    }
}
