//! `artifacts`: a run writes its own, and reads its own and those that its input names.

use std::collections::BTreeSet;

use async_trait::async_trait;
use buddy_router::TaskId;
use buddy_runtime::capabilities::artifacts::{ArtifactWriter, Artifacts, Info};
use buddy_runtime::{HostError, code};

use super::artifact_error;
use crate::artifacts::{ArtifactFile, ArtifactStore, Description};

/// One run's view of the artifact folder.
#[derive(Debug)]
pub struct RunArtifacts {
    store: ArtifactStore,
    task: TaskId,
    /// Ids that the input refers to; the host checked the right to them.
    named: BTreeSet<String>,
}

impl RunArtifacts {
    /// For a task whose input names these artifacts.
    pub fn new(store: ArtifactStore, task: TaskId, named: BTreeSet<String>) -> Self {
        Self { store, task, named }
    }

    /// The description, if this run may read it. What it may not read is not there: ids tell nothing.
    async fn readable(&self, id: &str) -> Result<Description, HostError> {
        let description = self.store.describe(id).await.map_err(|error| artifact_error(&error))?;
        if description.task == self.task || self.named.contains(id) {
            Ok(description)
        } else {
            Err(HostError::new(code::NOT_FOUND, format!("there is no artifact `{id}` that this task may read")))
        }
    }
}

#[async_trait]
impl Artifacts for RunArtifacts {
    async fn create(&self, name: String, media_type: String) -> Result<Box<dyn ArtifactWriter>, HostError> {
        let file = self.store.create(self.task.clone(), &name, &media_type).await;
        Ok(Box::new(Writer(file.map_err(|error| artifact_error(&error))?)))
    }

    async fn stat(&self, id: String) -> Result<Info, HostError> {
        let known = self.readable(&id).await?;
        Ok(Info { size: known.size, media_type: known.media_type, sha256: known.sha256, name: known.name })
    }

    async fn read(&self, id: String, offset: u64, len: u32) -> Result<Vec<u8>, HostError> {
        self.readable(&id).await?;
        self.store.read(&id, offset, len as usize).await.map_err(|error| artifact_error(&error))
    }
}

struct Writer(ArtifactFile);

#[async_trait]
impl ArtifactWriter for Writer {
    async fn write(&mut self, bytes: Vec<u8>) -> Result<(), HostError> {
        self.0.write(&bytes).await.map_err(|error| artifact_error(&error))
    }

    async fn finish(self: Box<Self>) -> Result<String, HostError> {
        let description = self.0.finish().await.map_err(|error| artifact_error(&error))?;
        Ok(description.id)
    }
}
