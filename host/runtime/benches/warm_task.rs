//! What the host adds to a task: `cargo bench -p buddy-runtime` after `scripts/build-plugins`.
//!
//! The figures to reach are in `docs/performance.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use buddy_runtime::{Plugin, RunRequest, Runtime, RuntimeConfig};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

fn wasm() -> PathBuf {
    let folder = std::env::var_os("BUDDY_PLUGINS_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins"), PathBuf::from);
    let path = folder.join("testing.wasm");
    assert!(path.exists(), "{} is missing: run scripts/build-plugins", path.display());
    path
}

async fn run(runtime: &Runtime, plugin: &Arc<Plugin>, task_type: &str, input: &str) {
    let outcome = runtime.run(plugin, RunRequest::new(task_type, input)).await;
    black_box(outcome.result.expect("the task succeeds"));
}

fn benches(criterion: &mut Criterion) {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let cached = Runtime::new(&RuntimeConfig::with_cache(folder.path())).unwrap();
    let plugin = tokio.block_on(cached.load(&wasm())).unwrap();

    criterion.bench_function("warm no-op", |bencher| {
        bencher.to_async(&tokio).iter(|| run(&cached, &plugin, "noop", "null"));
    });
    criterion.bench_function("estimate", |bencher| {
        bencher.to_async(&tokio).iter(|| async { black_box(cached.estimate(&plugin, "noop", "null").await.unwrap()) });
    });
    criterion.bench_function("100 waits of 100 ms at once", |bencher| {
        bencher.to_async(&tokio).iter(|| run(&cached, &plugin, "sleep_at_once", r#"{"count":100,"ms":100}"#));
    });
    criterion.bench_function("load, compiled before", |bencher| {
        bencher.to_async(&tokio).iter(|| async { black_box(cached.load(&wasm()).await.unwrap()) });
    });
    let uncached = Runtime::new(&RuntimeConfig::default()).unwrap();
    criterion.bench_function("load, compiled now", |bencher| {
        bencher.to_async(&tokio).iter(|| async { black_box(uncached.load(&wasm()).await.unwrap()) });
    });
}

criterion_group! {
    name = warm_task;
    // Long enough for the slow ones to be sampled ten times, short enough to run them all in two minutes.
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(5));
    targets = benches
}
criterion_main!(warm_task);
