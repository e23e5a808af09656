//! `checkpoint` and `store`: durable state in the host's buffer.

use std::time::Duration;

use async_trait::async_trait;
use buddy_buffer::Buffer;
use buddy_router::TaskId;
use buddy_runtime::HostError;
use buddy_runtime::capabilities::checkpoint::Checkpoint;
use buddy_runtime::capabilities::store::Store;

use super::buffer_error;

/// The checkpoints of one task.
#[derive(Debug)]
pub struct RunCheckpoint {
    /// Where they are kept.
    pub buffer: Buffer,
    /// Whose.
    pub task: TaskId,
}

fn text(bytes: Vec<u8>) -> String {
    // What was saved was text; a damaged record shows as such instead of failing the whole read.
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[async_trait]
impl Checkpoint for RunCheckpoint {
    async fn save(&self, key: String, value: String) -> Result<(), HostError> {
        let saved = self.buffer.save_checkpoint(&self.task, &key, value.into_bytes()).await;
        saved.map_err(|error| buffer_error(&error))
    }

    async fn load(&self, key: String) -> Result<Option<String>, HostError> {
        let found = self.buffer.checkpoint(&self.task, &key).map_err(|error| buffer_error(&error))?;
        Ok(found.map(text))
    }

    async fn entries(&self, prefix: String) -> Result<Vec<(String, String)>, HostError> {
        let found = self.buffer.checkpoints(&self.task, &prefix).map_err(|error| buffer_error(&error))?;
        Ok(found.into_iter().map(|(key, value)| (key, text(value))).collect())
    }
}

/// The key-values of one plugin.
#[derive(Debug)]
pub struct RunStore {
    /// Where they are kept.
    pub buffer: Buffer,
    /// Whose.
    pub plugin: String,
}

#[async_trait]
impl Store for RunStore {
    async fn get(&self, key: String) -> Result<Option<Vec<u8>>, HostError> {
        self.buffer.kv_get(&self.plugin, &key).map_err(|error| buffer_error(&error))
    }

    async fn set(&self, key: String, value: Vec<u8>, ttl: Option<Duration>) -> Result<(), HostError> {
        let ttl = ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        self.buffer.kv_set(&self.plugin, &key, value, ttl).await.map_err(|error| buffer_error(&error))
    }

    async fn remove(&self, key: String) -> Result<(), HostError> {
        self.buffer.kv_remove(&self.plugin, &key).await.map_err(|error| buffer_error(&error))?;
        Ok(())
    }

    async fn keys(&self, prefix: String, limit: u32) -> Result<Vec<String>, HostError> {
        self.buffer.kv_keys(&self.plugin, &prefix, limit as usize).map_err(|error| buffer_error(&error))
    }

    async fn compare_and_set(&self, key: String, expected: Option<Vec<u8>>, value: Vec<u8>) -> Result<bool, HostError> {
        let set = self.buffer.kv_compare_and_set(&self.plugin, &key, expected, value).await;
        set.map_err(|error| buffer_error(&error))
    }
}
