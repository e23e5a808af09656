//! From a file to a plugin that can run.
//!
//! The steps, each with its own refusals: read (bounded) → what is it ([`sniff`]) → which contract was it built for
//! ([`contract`], read from the component's imports and exports before anything is compiled) → compile, or take it from
//! the cache → link → `describe` in an instance without any capability and with little time → is the manifest sound
//! ([`manifest`]). Whatever is refused is refused with one sentence: what it is, what was expected, what to do.

mod contract;
mod manifest;
mod sniff;

pub use manifest::{Manifest, TaskType};

use crate::limits::RunLimits;
use crate::plugin::{LoadTimes, Plugin};
use crate::run::Failure;
use crate::runtime::Runtime;
use crate::state::HostState;
use crate::wit;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::Instant;
use wasmtime::component::Component;

/// The largest plugin file. A Python plugin has 21 MiB.
pub const MAX_FILE: u64 = 128 << 20;

/// Why a file is no plugin. The message is one sentence that names the file.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// What it is, what was expected, and what to do.
    pub reason: String,
}

/// Loads the plugin in `path`.
pub(crate) async fn load(runtime: &Runtime, path: &Path) -> Result<Plugin, LoadError> {
    let fail = |reason: String| LoadError { path: path.to_owned(), reason };
    let bytes = read(path).await.map_err(fail)?;
    load_bytes(runtime, path, bytes).await.map_err(fail)
}

async fn read(path: &Path) -> Result<Vec<u8>, String> {
    let describe = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file; check the path".to_owned(),
        std::io::ErrorKind::IsADirectory => "this is a folder; name a component (.wasm) in it".to_owned(),
        _ => format!("it cannot be read ({error}); check its permissions"),
    };
    let meta = tokio::fs::metadata(path).await.map_err(describe)?;
    if meta.is_dir() {
        return Err("this is a folder; name a component (.wasm) in it".into());
    }
    // Opening a pipe waits for its other end, perhaps for ever.
    if !meta.is_file() {
        return Err(
            "this is no regular file (a pipe, a socket or a device); remove it or put a component (.wasm) there".into(),
        );
    }
    if meta.len() > MAX_FILE {
        return Err(format!(
            "it has {} MiB, and a plugin at most {}; build it in release mode and strip it",
            meta.len() >> 20,
            MAX_FILE >> 20
        ));
    }
    tokio::fs::read(path).await.map_err(describe)
}

/// Everything but reading. `path` is for the plugin's own record.
pub(crate) async fn load_bytes(runtime: &Runtime, path: &Path, bytes: Vec<u8>) -> Result<Plugin, String> {
    let start = Instant::now();
    sniff::component(&bytes)?;
    contract::check(&bytes)?;
    let (component, sha256, from_cache) = {
        let runtime = runtime.clone();
        // Compiling takes seconds for a large plugin; a worker of the async runtime must not.
        tokio::task::spawn_blocking(move || compile(&runtime, &bytes))
            .await
            .map_err(|error| format!("compiling it failed inside the host ({error}); please report this"))??
    };
    let compiled = start.elapsed();
    let pre = runtime
        .linker()
        .instantiate_pre(&component)
        .and_then(wit::PluginPre::new)
        .map_err(|error| contract::mismatch(&error))?;
    let described = describe(runtime, &pre).await?;
    let manifest = Manifest::check(described)?;
    let times = LoadTimes { compiled, total: start.elapsed(), from_cache };
    Ok(Plugin::new(path.to_owned(), sha256, manifest, pre, times))
}

fn compile(runtime: &Runtime, bytes: &[u8]) -> Result<(Component, String, bool), String> {
    let sha256 = hex::encode(Sha256::digest(bytes));
    if let Some(component) = runtime.cache().and_then(|cache| cache.get(runtime.engine(), &sha256)) {
        return Ok((component, sha256, true));
    }
    let component = Component::from_binary(runtime.engine(), bytes).map_err(|error| {
        format!("this component does not compile ({}); rebuild it with a current toolchain", root(&error))
    })?;
    if let Some(cache) = runtime.cache() {
        cache.put(&sha256, &component);
    }
    Ok((component, sha256, false))
}

async fn describe(runtime: &Runtime, pre: &wit::PluginPre<HostState>) -> Result<wit::task::Manifest, String> {
    runtime
        .ask(pre, RunLimits::quick(), async |task, store| task.call_describe(store).await)
        .await
        .map_err(|failure: Failure| format!("asked to describe itself, the plugin failed: {failure}"))
}

/// The innermost message of an error, on one line.
fn root(error: &wasmtime::Error) -> String {
    let text = error.chain().last().map_or_else(|| error.to_string(), ToString::to_string);
    crate::text::shorten(text.lines().next().unwrap_or_default(), 300)
}
