//! The contract's imports, one file an interface.
//!
//! Every file has the same shape: the trait that the application implements, and the glue that admits a call (is it
//! granted, is something behind it, are its arguments within bounds, is there room) before it hands it on. The traits
//! are object-safe and speak the generated types of [`crate::wit`], so an adapter maps once. Providers belong to one run
//! and are dropped with it.
//!
//! A provider must not block its thread, and must clean up when its future is dropped: a run that is stopped drops the
//! calls that it has under way wherever they are.

pub mod artifacts;
pub mod browser;
pub mod checkpoint;
pub mod context;
pub mod firestore;
pub mod http;
pub mod human;
pub mod log;
pub mod progress;
pub mod secrets;
pub mod store;

use crate::error::{HostError, code};
use crate::state::{HostState, Session};
use crate::wit;
use std::sync::Arc;
use wasmtime::component::{Accessor, HasSelf, Linker};

/// What stands behind the capabilities of one run. What is `None` answers `unavailable`, except that log lines and
/// progress reports then go nowhere.
#[derive(Clone, Default)]
#[allow(missing_docs)] // the names are those of the contract's interfaces
pub struct Providers {
    pub log: Option<Arc<dyn log::Log>>,
    pub progress: Option<Arc<dyn progress::Progress>>,
    pub checkpoint: Option<Arc<dyn checkpoint::Checkpoint>>,
    pub store: Option<Arc<dyn store::Store>>,
    pub artifacts: Option<Arc<dyn artifacts::Artifacts>>,
    pub http: Option<Arc<dyn http::Http>>,
    pub browser: Option<Arc<dyn browser::Browser>>,
    pub firestore: Option<Arc<dyn firestore::Firestore>>,
    pub human: Option<Arc<dyn human::Human>>,
}

impl std::fmt::Debug for Providers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Providers").finish_non_exhaustive()
    }
}

/// How the generated code reaches the host's data.
pub(crate) type Host = HasSelf<HostState>;

/// Adds every interface of the contract.
pub(crate) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    wit::Plugin::add_to_linker::<HostState, Host>(linker, |state| state)
}

impl wit::types::Host for HostState {
    fn convert_error(&mut self, error: HostError) -> wasmtime::Result<wit::types::Error> {
        Ok(error.into())
    }
}

/// The session of the calling instance.
fn session(host: &Accessor<HostState, Host>) -> Arc<Session> {
    host.with(|mut access| Arc::clone(&access.get().session))
}

/// Length of a key in `checkpoint` and `store`: fits the buffer's keys with room for their prefix.
const MAX_KEY: usize = 512;

fn check_key(key: &str) -> Result<(), HostError> {
    if (1..=MAX_KEY).contains(&key.len()) {
        return Ok(());
    }
    Err(HostError::new(code::INVALID, format!("A key has 1 to {MAX_KEY} bytes; this one has {}.", key.len())))
}
