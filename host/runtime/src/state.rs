//! What belongs to one instance: its data in the store, and what its host calls share.

use crate::capabilities::Providers;
use crate::error::HostError;
use crate::grants::{Capability, Grants};
use crate::limits::{Calls, CpuMeter, MemoryLimiter, RunLimits, SharedMemory};
use crate::output_tail::OutputTail;
use crate::wit::context;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// Scopes that the manifest asks for, by capability name.
pub(crate) type Asked = BTreeMap<String, Vec<String>>;

/// Which export is being called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// `describe` or `estimate`: no capability.
    Asking,
    /// `run`.
    Running,
}

/// What all host calls of one instance share. Calls hold it across their waits, where the store is out of reach.
pub(crate) struct Session {
    pub(crate) phase: Phase,
    pub(crate) info: context::Info,
    pub(crate) grants: Arc<Grants>,
    pub(crate) asked: Arc<Asked>,
    pub(crate) providers: Providers,
    pub(crate) calls: Calls,
    pub(crate) pages: Arc<Semaphore>,
    pub(crate) cpu: CpuMeter,
    pub(crate) log_bytes_left: AtomicUsize,
    pub(crate) log_lines_dropped: AtomicU64,
    pub(crate) cancel: CancellationToken,
    pub(crate) shutdown: CancellationToken,
    /// The plugin has seen that it is to stop.
    pub(crate) told: AtomicBool,
}

impl Session {
    /// A session for `describe` or `estimate`.
    pub(crate) fn asking(limits: &RunLimits) -> Self {
        let info = context::Info {
            task_id: String::new(),
            mission: None,
            attempt: 0,
            deadline_ms: u64::try_from(limits.wall.as_millis()).unwrap_or(u64::MAX),
            more: Vec::new(),
        };
        Self {
            phase: Phase::Asking,
            info,
            grants: Arc::default(),
            asked: Arc::default(),
            providers: Providers::default(),
            calls: Calls::new(limits),
            pages: Arc::new(Semaphore::new(0)),
            cpu: CpuMeter::new(limits.cpu),
            log_bytes_left: AtomicUsize::new(0),
            log_lines_dropped: AtomicU64::new(0),
            cancel: CancellationToken::new(),
            shutdown: CancellationToken::new(),
            told: AtomicBool::new(false),
        }
    }

    /// What stands behind `capability`, if it is granted and there.
    ///
    /// # Errors
    /// `denied` with the lines to add, `unavailable` where the host has no provider.
    pub(crate) fn granted<'s, P: ?Sized>(
        &'s self,
        capability: Capability,
        provider: Option<&'s Arc<P>>,
    ) -> Result<&'s P, HostError> {
        if self.phase == Phase::Asking {
            return Err(HostError::new(
                crate::error::code::UNAVAILABLE,
                "No capability is there while a plugin describes itself or estimates; use it in `run`.",
            ));
        }
        let asked = self.asked.get(capability.name()).map(Vec::as_slice).unwrap_or_default();
        self.grants.allow(capability, asked)?;
        provider.map(Arc::as_ref).ok_or_else(|| HostError::unavailable(&format!("`{}`", capability.name())))
    }

    /// Ends when the run is to end.
    pub(crate) async fn stopping(&self) {
        tokio::select! {
            () = self.cancel.cancelled() => {}
            () = self.shutdown.cancelled() => {}
        }
    }

    /// Whether the run is to end.
    pub(crate) fn is_stopping(&self) -> bool {
        self.cancel.is_cancelled() || self.shutdown.is_cancelled()
    }

    /// The plugin sees that it is to stop: from here on what it returns may be less than its task.
    pub(crate) fn tell(&self) {
        self.told.store(true, Ordering::Relaxed);
    }
}

/// The data of a store.
pub(crate) struct HostState {
    pub(crate) session: Arc<Session>,
    /// Handles of the contract's own resources.
    pub(crate) table: ResourceTable,
    pub(crate) memory: MemoryLimiter,
    /// Made when the plugin first asks anything of WASI: a plugin that does not pays nothing.
    wasi: Option<Box<Wasi>>,
    output_tail: usize,
}

struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
    output: OutputTail,
}

/// WASI handles at once: streams, pollables, the three standard ones.
const WASI_HANDLES: usize = 1_000;

/// Random bytes in one call; `HashMap` asks for 16.
const RANDOM_BYTES: u64 = 1 << 20;

impl HostState {
    pub(crate) fn new(session: Arc<Session>, limits: &RunLimits, shared: Option<Arc<dyn SharedMemory>>) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles);
        let memory = MemoryLimiter::new(limits.memory, shared);
        Self { session, table, memory, wasi: None, output_tail: limits.output_tail }
    }

    /// The end of what the plugin wrote to standard output and error.
    pub(crate) fn output(&self) -> String {
        self.wasi.as_ref().map(|wasi| wasi.output.text()).unwrap_or_default()
    }
}

impl Wasi {
    /// Clocks, random and standard output; no environment, no arguments, no files, no sockets, no name look-up.
    fn new(output_tail: usize) -> Self {
        let output = OutputTail::new(output_tail);
        let mut table = ResourceTable::new();
        table.set_max_capacity(WASI_HANDLES);
        let ctx = WasiCtx::builder()
            .stdout(output.clone())
            .stderr(output.clone())
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .allow_blocking_current_thread(false)
            .max_random_size(RANDOM_BYTES)
            .build();
        Self { ctx, table, output }
    }
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi.get_or_insert_with(|| Box::new(Wasi::new(self.output_tail)));
        WasiCtxView { ctx: &mut wasi.ctx, table: &mut wasi.table }
    }
}
