//! `checkpoint`: durable state of one task on this host.

use super::{Host, check_key, session};
use crate::error::{HostError, code};
use crate::grants::Capability;
use crate::state::HostState;
use crate::wit::checkpoint;
use serde_json::value::RawValue;
use wasmtime::component::Accessor;

/// This task's checkpoints. On disk when a call returns.
#[async_trait::async_trait]
pub trait Checkpoint: Send + Sync {
    /// Keeps `value`, a JSON text, under `key`.
    async fn save(&self, key: String, value: String) -> Result<(), HostError>;
    /// What was kept under `key`.
    async fn load(&self, key: String) -> Result<Option<String>, HostError>;
    /// All entries whose key begins with `prefix`, in byte order.
    async fn entries(&self, prefix: String) -> Result<Vec<(String, String)>, HostError>;
}

impl checkpoint::Host for HostState {}

impl checkpoint::HostWithStore<HostState> for Host {
    async fn save(host: &Accessor<HostState, Self>, key: String, value: String) -> Result<(), HostError> {
        let session = session(host);
        let checkpoint = session.granted(Capability::Checkpoint, session.providers.checkpoint.as_ref())?;
        check_key(&key)?;
        if let Err(error) = serde_json::from_str::<&RawValue>(&value) {
            return Err(HostError::new(
                code::INVALID,
                format!("The value of checkpoint {key:?} is not JSON: {error}."),
            ));
        }
        let _call = session.calls.enter(key.len() + value.len()).await?;
        checkpoint.save(key, value).await
    }

    async fn load(host: &Accessor<HostState, Self>, key: String) -> Result<Option<String>, HostError> {
        let session = session(host);
        let checkpoint = session.granted(Capability::Checkpoint, session.providers.checkpoint.as_ref())?;
        check_key(&key)?;
        let _call = session.calls.enter(key.len()).await?;
        checkpoint.load(key).await
    }

    async fn entries(host: &Accessor<HostState, Self>, prefix: String) -> Result<Vec<(String, String)>, HostError> {
        let session = session(host);
        let checkpoint = session.granted(Capability::Checkpoint, session.providers.checkpoint.as_ref())?;
        let _call = session.calls.enter(prefix.len()).await?;
        checkpoint.entries(prefix).await
    }
}
