//! `store`: the plugin's own durable key-values.

use super::{Host, check_key, session};
use crate::error::HostError;
use crate::grants::Capability;
use crate::state::HostState;
use crate::wit::store;
use std::time::Duration;
use wasmtime::component::Accessor;

/// One plugin's key-values, shared by its tasks.
#[async_trait::async_trait]
pub trait Store: Send + Sync {
    /// The value, unless there is none or its time is over.
    async fn get(&self, key: String) -> Result<Option<Vec<u8>>, HostError>;
    /// Keeps `value`, for `ttl` or until it is removed.
    async fn set(&self, key: String, value: Vec<u8>, ttl: Option<Duration>) -> Result<(), HostError>;
    /// Removes `key` if it is there.
    async fn remove(&self, key: String) -> Result<(), HostError>;
    /// Keys with this prefix in byte order, at most `limit`.
    async fn keys(&self, prefix: String, limit: u32) -> Result<Vec<String>, HostError>;
    /// Sets `value` only if the present one is `expected`; whether it did.
    async fn compare_and_set(&self, key: String, expected: Option<Vec<u8>>, value: Vec<u8>) -> Result<bool, HostError>;
}

/// Keys in one answer; more are fetched with a longer prefix.
const MAX_KEYS: u32 = 10_000;

impl store::Host for HostState {}

impl store::HostWithStore<HostState> for Host {
    async fn get(host: &Accessor<HostState, Self>, key: String) -> Result<Option<Vec<u8>>, HostError> {
        let session = session(host);
        let store = session.granted(Capability::Store, session.providers.store.as_ref())?;
        check_key(&key)?;
        let _call = session.calls.enter(key.len()).await?;
        store.get(key).await
    }

    async fn set(
        host: &Accessor<HostState, Self>,
        key: String,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> Result<(), HostError> {
        let session = session(host);
        let store = session.granted(Capability::Store, session.providers.store.as_ref())?;
        check_key(&key)?;
        let _call = session.calls.enter(key.len() + value.len()).await?;
        store.set(key, value, ttl_ms.map(Duration::from_millis)).await
    }

    async fn remove(host: &Accessor<HostState, Self>, key: String) -> Result<(), HostError> {
        let session = session(host);
        let store = session.granted(Capability::Store, session.providers.store.as_ref())?;
        check_key(&key)?;
        let _call = session.calls.enter(key.len()).await?;
        store.remove(key).await
    }

    async fn keys(host: &Accessor<HostState, Self>, prefix: String, limit: u32) -> Result<Vec<String>, HostError> {
        let session = session(host);
        let store = session.granted(Capability::Store, session.providers.store.as_ref())?;
        let _call = session.calls.enter(prefix.len()).await?;
        store.keys(prefix, limit.min(MAX_KEYS)).await
    }

    async fn compare_and_set(
        host: &Accessor<HostState, Self>,
        key: String,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
    ) -> Result<bool, HostError> {
        let session = session(host);
        let store = session.granted(Capability::Store, session.providers.store.as_ref())?;
        check_key(&key)?;
        let bytes = key.len() + value.len() + expected.as_ref().map_or(0, Vec::len);
        let _call = session.calls.enter(bytes).await?;
        store.compare_and_set(key, expected, value).await
    }
}
