//! What 1,000 plugin instances at once cost in memory: `cargo bench -p buddy-runtime --bench footprint` after
//! `scripts/build-plugins`.
//!
//! Not a matter of time, so it is no criterion bench: it starts the runs, waits until all of them wait for their host,
//! and compares the process's resident memory with what it was before. Linux only, where `/proc` has that figure.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use buddy_runtime::{RunRequest, Runtime, RuntimeConfig};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Instances at once: the target of the design.
const INSTANCES: usize = 1_000;

/// How long each run waits inside: long enough for the last to start while the first still waits.
const WAIT_MS: u64 = 10_000;

fn wasm() -> PathBuf {
    let folder = std::env::var_os("BUDDY_PLUGINS_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins"), PathBuf::from);
    let path = folder.join("testing.wasm");
    assert!(path.exists(), "{} is missing: run scripts/build-plugins", path.display());
    path
}

/// Resident memory of this process, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is there: this bench is for Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("the kernel tells VmRSS");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("VmRSS is a number of kB")
}

fn main() {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::new(&RuntimeConfig::with_cache(folder.path())).unwrap();
    let plugin = tokio.block_on(runtime.load(&wasm())).unwrap();
    tokio.block_on(async {
        let input = format!(r#"{{"count":1,"ms":{WAIT_MS}}}"#);
        // One before the measure: what the process needs once is not an instance's.
        runtime.run(&plugin, RunRequest::new("noop", "null")).await.result.expect("the no-op succeeds");
        let before = resident();
        let runs: Vec<_> = (0..INSTANCES)
            .map(|_| {
                let (runtime, plugin, input) = (runtime.clone(), plugin.clone(), input.clone());
                tokio::spawn(async move { runtime.run(&plugin, RunRequest::new("sleep_at_once", input)).await })
            })
            .collect();
        // The peak of the wait: sampled while all of them are inside.
        let mut most = before;
        for _ in 0..80 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            most = most.max(resident());
        }
        let mut own = 0;
        for run in runs {
            let outcome = run.await.unwrap();
            outcome.result.expect("every run succeeds");
            own = own.max(outcome.usage.peak_memory);
        }
        let each = (most - before) / INSTANCES as u64;
        println!("{INSTANCES} instances at once: {each} KiB each of resident memory, all counted");
        println!("linear memory of each, of which only touched pages are resident: {} KiB", own / 1024);
    });
}
