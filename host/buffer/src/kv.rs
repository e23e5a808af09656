//! Plugins' key-values: each plugin's own, within a quota, with an optional time to live.

use buddy_router::UnixMs;

use crate::{
    Buffer,
    error::{BufferError, Result},
    key::{self, MAX_PLUGIN, Space},
    read::Read,
    tx::Tx,
    value::{self, corrupt},
};

const WHAT: &str = "key-value";

/// Kept until it is removed.
const FOR_EVER: UnixMs = UnixMs::MAX;

/// The record is the moment at which it expires, then the value.
fn split(record: &[u8]) -> Result<(UnixMs, &[u8])> {
    let (at, value) = record.split_first_chunk::<8>().ok_or_else(|| corrupt(WHAT, "it has no expiry"))?;
    Ok((UnixMs::from_be_bytes(*at), value))
}

pub(crate) fn expires_at(from: &dyn Read, key: &[u8]) -> Result<Option<UnixMs>> {
    from.value(key)?.map(|record| split(&record).map(|(at, _)| at)).transpose()
}

fn get(from: &dyn Read, key: &[u8], now: UnixMs) -> Result<Option<Vec<u8>>> {
    let Some(record) = from.value(key)? else { return Ok(None) };
    let (at, value) = split(&record)?;
    Ok((at > now).then(|| value.to_vec()))
}

fn use_key(plugin: &[u8]) -> Vec<u8> {
    key::of(Space::KvUse, &[plugin])
}

fn used(from: &dyn Read, plugin: &[u8]) -> Result<u64> {
    from.value(&use_key(plugin))?.map_or(Ok(0), |bytes| value::from_json(WHAT, &bytes))
}

impl Tx<'_> {
    /// The value under a key, unless its time is over.
    pub fn kv_get(&self, plugin: &str, name: &str) -> Result<Option<Vec<u8>>> {
        get(self, &key::of_plugin(plugin, name)?, self.now())
    }

    /// Sets a value, for `ttl_ms` milliseconds or until it is removed.
    pub fn kv_set(&mut self, plugin: &str, name: &str, bytes: &[u8], ttl_ms: Option<u64>) -> Result<()> {
        let key = key::of_plugin(plugin, name)?;
        self.drop_kv(&key)?;
        let quota = self.limits.kv_bytes_per_plugin;
        let size = (name.len() + bytes.len()) as u64;
        let mut wanted = used(self, plugin.as_bytes())?.saturating_add(size);
        if wanted > quota {
            self.drop_expired_of(plugin)?;
            wanted = used(self, plugin.as_bytes())?.saturating_add(size);
        }
        if wanted > quota {
            let owner = format!("plugin {plugin}").into();
            return Err(BufferError::Quota { owner, unit: "bytes", wanted, quota });
        }
        let at = ttl_ms.map_or(FOR_EVER, |ttl| self.now().saturating_add(ttl));
        if at != FOR_EVER {
            self.mark(key::expiry(&key, at))?;
        }
        let record = [&at.to_be_bytes()[..], bytes].concat();
        self.put(WHAT, key, &record)?;
        self.set_used(plugin.as_bytes(), wanted)
    }

    /// Removes a value; says whether it was there.
    pub fn kv_remove(&mut self, plugin: &str, name: &str) -> Result<bool> {
        let key = key::of_plugin(plugin, name)?;
        let there = get(self, &key, self.now())?.is_some();
        self.drop_kv(&key)?;
        Ok(there)
    }

    /// Sets only if the present value is `expected` (`None`: no value); says whether it did.
    pub fn kv_compare_and_set(
        &mut self,
        plugin: &str,
        name: &str,
        expected: Option<&[u8]>,
        bytes: &[u8],
    ) -> Result<bool> {
        if self.kv_get(plugin, name)?.as_deref() != expected {
            return Ok(false);
        }
        self.kv_set(plugin, name, bytes, None)?;
        Ok(true)
    }

    /// Removes every key-value of a plugin.
    pub fn kv_clear(&mut self, plugin: &str) -> Result<usize> {
        key::check("plugin name", plugin, MAX_PLUGIN)?;
        let keys = self.kv_all(plugin)?;
        for key in &keys {
            self.drop_kv(key)?;
        }
        Ok(keys.len())
    }

    fn kv_all(&self, plugin: &str) -> Result<Vec<Vec<u8>>> {
        let prefix = key::of(Space::Kv, &[plugin.as_bytes(), &[0]]);
        self.keys(&prefix, key::after_prefix(&prefix).as_deref(), usize::MAX)
    }

    fn drop_expired_of(&mut self, plugin: &str) -> Result<()> {
        let now = self.now();
        for key in self.kv_all(plugin)? {
            if expires_at(self, &key)?.is_some_and(|at| at <= now) {
                self.drop_kv(&key)?;
            }
        }
        Ok(())
    }

    fn set_used(&mut self, plugin: &[u8], bytes: u64) -> Result<()> {
        if bytes == 0 {
            return self.remove(&use_key(plugin)).map(drop);
        }
        let record = value::to_json(WHAT, &bytes)?;
        self.put(WHAT, use_key(plugin), &record)
    }

    /// Removes a key-value with its expiry, and gives its bytes back to the plugin.
    pub(crate) fn drop_kv(&mut self, key: &[u8]) -> Result<bool> {
        let Some(record) = self.value(key)? else { return Ok(false) };
        let (at, bytes) = split(&record)?;
        let owner_and_name = key.get(1..).unwrap_or_default();
        let end = owner_and_name
            .iter()
            .position(|byte| *byte == 0)
            .ok_or_else(|| corrupt(WHAT, "its key names no plugin"))?;
        let plugin = &owner_and_name[..end];
        let size = owner_and_name.len() - end - 1 + bytes.len();
        if at != FOR_EVER {
            self.remove(&key::expiry(key, at))?;
        }
        self.remove(key)?;
        let left = used(self, plugin)?.saturating_sub(size as u64);
        self.set_used(plugin, left)?;
        Ok(true)
    }
}

impl Buffer {
    /// The value under a key of a plugin, unless its time is over.
    pub fn kv_get(&self, plugin: &str, name: &str) -> Result<Option<Vec<u8>>> {
        get(self.store(), &key::of_plugin(plugin, name)?, self.now())
    }

    /// Keys of a plugin with this prefix, in byte order, at most `limit`.
    pub fn kv_keys(&self, plugin: &str, prefix: &str, limit: usize) -> Result<Vec<String>> {
        key::check("plugin name", plugin, MAX_PLUGIN)?;
        let own = key::of(Space::Kv, &[plugin.as_bytes(), &[0]]);
        let from = [&own[..], prefix.as_bytes()].concat();
        let end = key::after_prefix(&from);
        let now = self.now();
        let mut names = Vec::new();
        // Expired ones are passed over, so that the limit counts what the plugin can get.
        let mut start = from;
        while names.len() < limit {
            let keys = self.store().keys(&start, end.as_deref(), limit - names.len())?;
            let Some(last) = keys.last() else { break };
            start = [&last[..], &[0]].concat();
            for key in keys {
                if expires_at(self.store(), &key)?.is_some_and(|at| at > now) {
                    let name = String::from_utf8(key[own.len()..].to_vec()).map_err(|error| corrupt(WHAT, error))?;
                    names.push(name);
                }
            }
        }
        Ok(names)
    }

    /// Bytes of keys and values that a plugin keeps, expired ones included until they are swept.
    pub fn kv_used(&self, plugin: &str) -> Result<u64> {
        used(self.store(), plugin.as_bytes())
    }

    /// See [`Tx::kv_set`].
    pub async fn kv_set(&self, plugin: &str, name: &str, bytes: Vec<u8>, ttl_ms: Option<u64>) -> Result<()> {
        let (plugin, name) = (plugin.to_owned(), name.to_owned());
        self.transact(move |tx| tx.kv_set(&plugin, &name, &bytes, ttl_ms)).await
    }

    /// See [`Tx::kv_remove`].
    pub async fn kv_remove(&self, plugin: &str, name: &str) -> Result<bool> {
        let (plugin, name) = (plugin.to_owned(), name.to_owned());
        self.transact(move |tx| tx.kv_remove(&plugin, &name)).await
    }

    /// See [`Tx::kv_compare_and_set`].
    pub async fn kv_compare_and_set(
        &self,
        plugin: &str,
        name: &str,
        expected: Option<Vec<u8>>,
        bytes: Vec<u8>,
    ) -> Result<bool> {
        let (plugin, name) = (plugin.to_owned(), name.to_owned());
        self.transact(move |tx| tx.kv_compare_and_set(&plugin, &name, expected.as_deref(), &bytes)).await
    }

    /// See [`Tx::kv_clear`].
    pub async fn kv_clear(&self, plugin: &str) -> Result<usize> {
        let plugin = plugin.to_owned();
        self.transact(move |tx| tx.kv_clear(&plugin)).await
    }
}
