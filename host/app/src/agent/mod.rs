//! The agent: takes the tasks that are assigned to it into its buffer, runs them when a slot is free, and leaves their
//! results in the outbox.
//!
//! ```text
//! coordinator ──assignments──► listen ──take──► buffer ──► schedule ──► one try ──► outbox ──► pusher
//!      ▲                                                                                         │
//!      └────────────────── heartbeat, router ◄───────────────────────────────────────────────────┘
//! ```
//!
//! Everything that must survive a kill is in the buffer before the next step begins: a task before it is scheduled, a
//! try before it starts, a result before it is pushed. What is in memory here can be lost at any moment.

mod attempt;
mod copies;
mod hand_back;
mod heartbeat;
mod listen;
mod parts;
mod references;
mod router;
mod schedule;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use buddy_buffer::BufferError;
use buddy_router::route::Given;
use buddy_router::{AgentName, BootId, Lease, SessionId, TaskId};
use buddy_sync::Coordinator;
use buddy_sync::push::{Pusher, Versions};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

pub use heartbeat::Displaced;
pub use parts::{GrantProblem, Parts, PluginRights, PluginRun};
pub use references::{Kind, Reference, find as find_references};

use hand_back::HandBacks;

/// A run that is under way.
#[derive(Debug, Clone)]
struct Running {
    lease: Lease,
    cancel: CancellationToken,
}

/// Who this agent is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its name.
    pub name: AgentName,
    /// Its buffer folder.
    pub session: SessionId,
    /// This process.
    pub boot: BootId,
}

/// What an agent may do at once and how it retries.
#[derive(Debug, Clone)]
pub struct AgentOptions {
    /// Tasks at once.
    pub max_tasks: usize,
    /// Pages at once; 0: no browser.
    pub max_pages: u32,
    /// What the owner lets it do.
    pub capabilities: Vec<String>,
    /// Time between two heartbeats.
    pub heartbeat: Duration,
    /// Whether a cloud host may take what no desktop can.
    pub cloud_fallback: bool,
}

/// One agent. Cheap to clone.
#[derive(Clone)]
pub struct Agent {
    inner: Arc<Inner>,
}

struct Inner {
    identity: Identity,
    options: AgentOptions,
    parts: Arc<Parts>,
    coordinator: Arc<dyn Coordinator>,
    pusher: Pusher,
    versions: Versions,
    running: Mutex<HashMap<TaskId, Running>>,
    /// Tasks on their way back.
    hand_backs: HandBacks,
    /// What it gave to whom since they last beat.
    given: Mutex<Given>,
    /// Whether tasks may start: the coordinator has said what this agent holds, or cannot be heard.
    leases: watch::Sender<bool>,
    /// Something may be there to start, or a slot became free.
    ready: Notify,
    /// Something may be there to route.
    unrouted: Notify,
    /// The buffer takes nothing new: why.
    paused: Mutex<Option<BufferError>>,
    /// No new tries from here on.
    drain: CancellationToken,
    /// What runs is interrupted.
    shutdown: CancellationToken,
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent").field("identity", &self.inner.identity).finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

impl Agent {
    /// An agent that does nothing yet.
    pub fn new(
        identity: Identity,
        options: AgentOptions,
        parts: Arc<Parts>,
        coordinator: Arc<dyn Coordinator>,
        pusher: Pusher,
        versions: Versions,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                identity,
                options,
                parts,
                coordinator,
                pusher,
                versions,
                running: Mutex::default(),
                hand_backs: HandBacks::default(),
                given: Mutex::default(),
                leases: watch::Sender::new(false),
                ready: Notify::new(),
                unrouted: Notify::new(),
                paused: Mutex::default(),
                drain: CancellationToken::new(),
                shutdown: CancellationToken::new(),
            }),
        }
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    /// What its runs share.
    pub fn parts(&self) -> &Arc<Parts> {
        &self.inner.parts
    }

    /// Where it meets others.
    pub fn coordinator(&self) -> &Arc<dyn Coordinator> {
        &self.inner.coordinator
    }

    /// Its pusher.
    pub fn pusher(&self) -> &Pusher {
        &self.inner.pusher
    }

    /// What it may do.
    pub fn options(&self) -> &AgentOptions {
        &self.inner.options
    }

    /// Why it takes nothing new, if so.
    pub fn paused(&self) -> Option<BufferError> {
        locked(&self.inner.paused).clone()
    }

    /// Whether it is about to end.
    pub fn is_draining(&self) -> bool {
        self.inner.drain.is_cancelled()
    }

    /// Something was submitted or changed: the router looks at it now.
    pub fn wake_router(&self) {
        self.inner.unrouted.notify_one();
    }

    /// Begins no more tries.
    pub fn drain(&self) {
        self.inner.drain.cancel();
        self.inner.ready.notify_one();
    }

    /// Interrupts what runs.
    pub fn interrupt(&self) {
        self.drain();
        self.inner.shutdown.cancel();
    }

    /// Runs under way.
    pub fn running(&self) -> usize {
        locked(&self.inner.running).len()
    }

    /// Ends when nothing runs any more.
    pub async fn idle(&self) {
        while self.running() > 0 {
            // A run that ends tells `changed`; the short wait covers one that ended between the two looks.
            let changed = self.inner.parts.changed.notified();
            let _ = tokio::time::timeout(Duration::from_millis(50), changed).await;
        }
    }
}
