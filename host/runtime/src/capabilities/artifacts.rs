//! `artifacts`: large bodies, kept outside of results.

use super::{Host, session};
use crate::error::{HostError, code};
use crate::grants::Capability;
use crate::state::HostState;
use crate::wit::artifacts;
use std::sync::Arc;
use tokio::sync::Mutex;
use wasmtime::component::{Accessor, Resource};

pub use artifacts::Info;

/// Where artifacts live. The provider knows the run and checks that an id is this plugin's to read.
#[async_trait::async_trait]
pub trait Artifacts: Send + Sync {
    /// Begins an artifact.
    async fn create(&self, name: String, media_type: String) -> Result<Box<dyn ArtifactWriter>, HostError>;
    /// What is known of `id`.
    async fn stat(&self, id: String) -> Result<Info, HostError>;
    /// At most `len` bytes from `offset`; empty at the end.
    async fn read(&self, id: String, offset: u64, len: u32) -> Result<Vec<u8>, HostError>;
}

/// An artifact being written. Dropped unfinished, it leaves nothing behind.
#[async_trait::async_trait]
pub trait ArtifactWriter: Send {
    /// Appends.
    async fn write(&mut self, bytes: Vec<u8>) -> Result<(), HostError>;
    /// Makes it durable; its id.
    async fn finish(self: Box<Self>) -> Result<String, HostError>;
}

/// A plugin's handle to a writer. Empty once finished.
#[derive(Clone)]
pub struct WriterHandle(Arc<Mutex<Option<Box<dyn ArtifactWriter>>>>);

/// Bytes of one read: the host holds them until the plugin takes them.
const MAX_READ: u32 = 16 << 20;

/// Length of a name, a media type and an id.
const MAX_NAME: usize = 256;

fn check_name(what: &str, name: &str) -> Result<(), HostError> {
    if name.len() <= MAX_NAME {
        return Ok(());
    }
    Err(HostError::new(code::INVALID, format!("{what} has at most {MAX_NAME} bytes; this one has {}.", name.len())))
}

fn finished() -> HostError {
    HostError::new(code::INVALID, "This artifact is finished; create another one to write more.")
}

impl artifacts::Host for HostState {}

impl artifacts::HostWriter for HostState {
    fn drop(&mut self, writer: Resource<WriterHandle>) -> wasmtime::Result<()> {
        self.table.delete(writer)?;
        Ok(())
    }
}

impl artifacts::HostWriterWithStore<HostState> for Host {
    async fn write(
        host: &Accessor<HostState, Self>,
        writer: Resource<WriterHandle>,
        bytes: Vec<u8>,
    ) -> Result<(), HostError> {
        let session = session(host);
        let WriterHandle(writer) = host.with(|mut access| access.get().table.get(&writer).cloned())?;
        let _call = session.calls.enter(bytes.len()).await?;
        writer.lock().await.as_mut().ok_or_else(finished)?.write(bytes).await
    }

    async fn finish(host: &Accessor<HostState, Self>, writer: Resource<WriterHandle>) -> Result<String, HostError> {
        let session = session(host);
        let WriterHandle(writer) = host.with(|mut access| access.get().table.get(&writer).cloned())?;
        let _call = session.calls.enter(0).await?;
        let writer = writer.lock().await.take().ok_or_else(finished)?;
        writer.finish().await
    }
}

impl artifacts::HostWithStore<HostState> for Host {
    async fn create(
        host: &Accessor<HostState, Self>,
        name: String,
        media_type: String,
    ) -> Result<Resource<WriterHandle>, HostError> {
        let session = session(host);
        let artifacts = session.granted(Capability::Artifacts, session.providers.artifacts.as_ref())?;
        check_name("An artifact's name", &name)?;
        check_name("A media type", &media_type)?;
        let _call = session.calls.enter(name.len() + media_type.len()).await?;
        let writer = artifacts.create(name, media_type).await?;
        let handle = WriterHandle(Arc::new(Mutex::new(Some(writer))));
        Ok(host.with(|mut access| access.get().table.push(handle))?)
    }

    async fn stat(host: &Accessor<HostState, Self>, id: String) -> Result<Info, HostError> {
        let session = session(host);
        let artifacts = session.granted(Capability::Artifacts, session.providers.artifacts.as_ref())?;
        check_name("An artifact's id", &id)?;
        let _call = session.calls.enter(id.len()).await?;
        artifacts.stat(id).await
    }

    async fn read(host: &Accessor<HostState, Self>, id: String, offset: u64, len: u32) -> Result<Vec<u8>, HostError> {
        let session = session(host);
        let artifacts = session.granted(Capability::Artifacts, session.providers.artifacts.as_ref())?;
        check_name("An artifact's id", &id)?;
        let len = len.min(MAX_READ);
        // What comes back is the host's memory too, until the plugin has copied it.
        let _call = session.calls.enter(usize::try_from(len).unwrap_or(usize::MAX)).await?;
        artifacts.read(id, offset, len).await
    }
}
