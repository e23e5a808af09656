//! The plugin runtime: loads WebAssembly components that nobody trusts, and runs them within bounds.
//!
//! ```text
//! Runtime ── load ──► Plugin ── run ──► RunOutcome
//!    │                  │                 ▲
//!  engine, ticker,    manifest,      store + instance per try,
//!  linker, cache      InstancePre    grants, limits, providers
//! ```
//!
//! - [`Runtime`] is set up once for a process. [`Runtime::load`] makes a [`Plugin`] of a file: what it is, which contract
//!   it wants, compiled (cached), linked, described, checked. [`PluginSet`] is a folder of them.
//! - [`Runtime::run`] does one try of a task in a fresh instance; [`Runtime::estimate`] asks what one will need.
//! - [`capabilities`] holds a trait for each interface of the contract in `wit/`. The application implements them;
//!   this crate knows no browser, no database and no network. [`Grants`] say which of them a plugin may use.
//!
//! Invariants: nothing that a plugin does blocks a thread, outlives its run, or is without a bound; what is not granted
//! is denied; no machine code is run that this host did not compile itself.

pub mod capabilities;
mod compile_cache;
mod engine;
mod error;
mod grants;
mod limits;
mod load;
mod output_tail;
mod platform;
mod plugin;
mod run;
mod runtime;
mod schema;
mod state;
mod text;
mod ticker;
pub mod wit;

pub use capabilities::Providers;
pub use engine::{Allocation, EngineConfig};
pub use error::{HostError, code};
pub use grants::{Capability, Grants};
pub use limits::{RunLimits, SharedMemory};
pub use load::{LoadError, MAX_FILE, Manifest, TaskType};
pub use plugin::{LoadTimes, Plugin, PluginSet};
pub use run::{Failure, Fault, RunOutcome, RunRequest, TaskInfo, Usage};
pub use runtime::{Runtime, RuntimeConfig, RuntimeError};
pub use schema::Schema;
pub use text::{listed, nearest};
