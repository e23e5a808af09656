//! The plugin's own durable key-values, shared by its tasks on this host.
//!
//! Values are JSON of any serde type; [`get_bytes`] and [`set_bytes`] keep them raw.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::buddy::plugin::store as raw;
use crate::error::HostError;
use crate::host;

/// The value under a key, if there is one.
///
/// # Errors
/// `invalid` for a value of another shape, and the host's own.
pub async fn get<T: DeserializeOwned>(key: &str) -> Result<Option<T>, HostError> {
    match get_bytes(key).await? {
        Some(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| HostError::json(&format!("stored value `{key}` cannot be read"), &error)),
        None => Ok(None),
    }
}

/// Keeps a value until it is removed.
///
/// # Errors
/// `invalid` for a value that is not JSON, and the host's own.
pub async fn set<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<(), HostError> {
    set_bytes(key, encode(key, value)?, None).await
}

/// Keeps a value for so long.
///
/// # Errors
/// Like [`set`].
pub async fn set_for<T: Serialize + ?Sized>(key: &str, value: &T, ttl: Duration) -> Result<(), HostError> {
    set_bytes(key, encode(key, value)?, Some(ttl)).await
}

/// Sets a value only if the present one equals `expected` (absent: there is none); says whether it did.
///
/// Values are compared by their JSON text, so use types whose fields have a fixed order: structs and `BTreeMap`s.
///
/// # Errors
/// Like [`set`].
pub async fn compare_and_set<T: Serialize>(key: &str, expected: Option<&T>, value: &T) -> Result<bool, HostError> {
    let expected = expected.map(|expected| encode(key, expected)).transpose()?;
    let value = encode(key, value)?;
    host!("store.compare-and-set", raw::compare_and_set(key.to_owned(), expected, value))
}

/// The raw value under a key, if there is one.
///
/// # Errors
/// The host's own.
pub async fn get_bytes(key: &str) -> Result<Option<Vec<u8>>, HostError> {
    host!("store.get", raw::get(key.to_owned()))
}

/// Keeps a raw value; for `ttl`, or until it is removed.
///
/// # Errors
/// The host's own.
pub async fn set_bytes(key: &str, value: Vec<u8>, ttl: Option<Duration>) -> Result<(), HostError> {
    host!("store.set", raw::set(key.to_owned(), value, ttl.map(crate::millis)))
}

/// Removes a value; one that is not there is no error.
///
/// # Errors
/// The host's own.
pub async fn remove(key: &str) -> Result<(), HostError> {
    host!("store.remove", raw::remove(key.to_owned()))
}

/// At most `limit` keys with this prefix.
///
/// # Errors
/// The host's own.
pub async fn keys(prefix: &str, limit: u32) -> Result<Vec<String>, HostError> {
    host!("store.keys", raw::keys(prefix.to_owned(), limit))
}

fn encode<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<Vec<u8>, HostError> {
    serde_json::to_vec(value).map_err(|error| HostError::json(&format!("value `{key}` cannot be written"), &error))
}
