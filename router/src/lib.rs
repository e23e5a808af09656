//! The pure core of buddy-host: what a task is, the states it goes through, and every decision that is taken about
//! it. No I/O, no clock, no async and no randomness of its own: time and random numbers are arguments, so that the
//! code that ships is the code that runs under a simulator.
//!
//! Nothing in here knows of browsers, stores, networks or plugins.

pub mod agent;
pub mod batch;
pub mod capability;
pub mod demand;
pub mod heartbeat;
pub mod id;
pub mod lease;
pub mod outcome;
pub mod reap;
pub mod reconcile;
pub mod retry;
pub mod route;
pub mod state;
pub mod submit;
pub mod task;

pub use agent::{Agent, RunningTask};
pub use demand::Demand;
pub use id::{AgentName, BootId, IdError, PrefixError, SessionId, TaskId, resolve_prefix};
pub use lease::{Assignment, Lease};
pub use outcome::{Body, Outcome, TaskResult};
pub use state::{Event, IllegalTransition, State};
pub use submit::{NewTask, Submission, SubmitConflict};
pub use task::{DigestSpec, Task};

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type UnixMs = u64;
