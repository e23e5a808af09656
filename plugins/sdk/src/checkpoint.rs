//! Durable state of this task on this host, across tries and restarts.
//!
//! A value is on disk when [`save`] returns. A task that moves to another host starts clean.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::buddy::plugin::checkpoint as raw;
use crate::error::HostError;
use crate::host;

/// Keeps a value under a key.
///
/// # Errors
/// `invalid` for a value that is not JSON (a map whose keys are not strings), and the host's own.
pub async fn save<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<(), HostError> {
    let json = serde_json::to_string(value)
        .map_err(|error| HostError::json(&format!("checkpoint `{key}` cannot be written"), &error))?;
    host!("checkpoint.save", raw::save(key.to_owned(), json))
}

/// The value under a key, if there is one.
///
/// # Errors
/// `invalid` for a value of another shape (one that an older version of the plugin kept), and the host's own.
pub async fn load<T: DeserializeOwned>(key: &str) -> Result<Option<T>, HostError> {
    match host!("checkpoint.load", raw::load(key.to_owned()))? {
        Some(json) => read(key, &json).map(Some),
        None => Ok(None),
    }
}

/// All values whose key has this prefix, in byte order of their keys.
///
/// # Errors
/// Like [`load`].
pub async fn entries<T: DeserializeOwned>(prefix: &str) -> Result<Vec<(String, T)>, HostError> {
    let entries = host!("checkpoint.entries", raw::entries(prefix.to_owned()))?;
    entries.into_iter().map(|(key, json)| read(&key, &json).map(|value| (key, value))).collect()
}

fn read<T: DeserializeOwned>(key: &str, json: &str) -> Result<T, HostError> {
    serde_json::from_str(json).map_err(|error| HostError::json(&format!("checkpoint `{key}` cannot be read"), &error))
}
