//! An agent, as its heartbeat document shows it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{AgentName, BootId, Lease, SessionId, TaskId};

/// Most running tasks that a heartbeat carries: bounds the document.
pub const MAX_RUNNING: usize = 50;

/// Whether an agent is a person's computer or an instance in the cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A desktop: its work costs nothing.
    Desktop,
    /// A cloud instance: its work is paid for.
    Cloud,
}

/// A task that an agent works on, as people see it from afar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningTask {
    /// Which.
    pub task: TaskId,
    /// Under which lease.
    pub lease: Lease,
    /// Tries begun.
    pub tries: u32,
    /// Steps done.
    pub done: u64,
    /// Steps in all, when known.
    pub total: Option<u64>,
    /// What it is doing.
    pub message: String,
}

/// What an agent can do at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// Tasks at once; 0: it runs none.
    pub tasks: u32,
    /// Browser pages at once; 0: no browser.
    pub pages: u32,
}

/// One agent. Its heartbeat time is not in here: it is the document's own update time, by the coordinator's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Its name: one name is one live session.
    pub name: AgentName,
    /// Desktop or cloud.
    pub role: Role,
    /// Its buffer folder.
    pub session: SessionId,
    /// Its process.
    pub boot: BootId,
    /// Beats of this boot so far.
    pub seq: u64,
    /// It takes no more tasks.
    pub draining: bool,
    /// What its owner lets it do (`web_navigation`, `data_processing`, …).
    pub capabilities: Vec<String>,
    /// Task type → version of the plugin that runs it.
    pub task_types: BTreeMap<String, String>,
    /// What it can do at once.
    pub capacity: Capacity,
    /// Tasks that it holds and has not finished, those that wait for a slot included.
    #[serde(default)]
    pub held: u32,
    /// What it runs now, at most [`MAX_RUNNING`].
    pub running: Vec<RunningTask>,
    /// The status fields of the dashboard, for people.
    pub status: BTreeMap<String, String>,
}
