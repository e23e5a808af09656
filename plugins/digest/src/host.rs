//! What the engine needs of its host: stored files in pieces, and a way to tell how far it is. A trait, so that the
//! engine is tested without a sandbox.

use crate::error::Fault;

/// A stored file.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// In bytes.
    pub size: u64,
    /// As it was stored, for example `text/csv`; may be empty.
    pub media_type: String,
    /// A file name; may be empty.
    pub name: String,
}

/// The host's side.
#[allow(async_fn_in_trait)] // one thread, and no caller outside this crate needs more bounds
pub trait Host {
    /// What is known of the artifact `id`.
    async fn stat(&self, id: &str) -> Result<Stored, Fault>;

    /// At most `len` bytes of the artifact from `offset`; empty at the end.
    async fn read(&self, id: &str, offset: u64, len: u32) -> Result<Vec<u8>, Fault>;

    /// Tells how many bytes of how many are read.
    fn progress(&self, done: u64, total: u64, message: &str);

    /// Whether nobody waits for the result any more.
    fn is_cancelled(&self) -> bool;
}
