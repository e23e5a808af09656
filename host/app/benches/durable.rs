//! Durable throughput and latency of the embedded queue: submit → a sandboxed no-op → a result on the disk.
//!
//! Measured through the whole host inside one process: a real buffer folder with its fsyncs, the router, the agent, a
//! WebAssembly component for each task, and the push to the coordinator.

#![allow(missing_docs, clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use buddy_host::config::{Environment, Overrides, load};
use buddy_host::control::api::HostApi;
use buddy_host::control::views::SubmitRequest;
use buddy_host::host::Host;
use buddy_router::State;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::StreamExt as _;
use serde_json::value::RawValue;
use tokio::runtime::Runtime;

/// Tasks of one measured round.
const TASKS: u64 = 5_000;

/// Tasks submitted and not yet finished, at most: what the peers are measured with.
const IN_FLIGHT: u64 = 1_000;

fn request() -> SubmitRequest {
    SubmitRequest {
        r#type: "noop".to_owned(),
        input: RawValue::from_string("null".to_owned()).unwrap(),
        digest: None,
        key: None,
        priority: None,
        max_attempts: None,
        waits: true,
    }
}

/// Submits one task and waits until its result is applied.
async fn one(api: &Arc<dyn HostApi>) {
    let id = api.submit(request()).await.unwrap().id;
    let mut views = api.watch(&id).await.unwrap();
    let mut last = None;
    while let Some(view) = views.next().await {
        last = Some(view.state);
    }
    assert!(last.is_some_and(|state| state.as_str() == "succeeded"), "{last:?}");
}

/// Submits many, at most `IN_FLIGHT` ahead of what is finished, and waits until all results are applied. What is
/// finished is read from a counter of the buffer, so that looking costs nothing.
async fn many(host: &Host, count: u64) {
    let (api, buffer) = (host.api(), &host.parts().buffer);
    let finished = || buffer.count_tasks(State::Succeeded);
    let before = finished();
    let submitted = AtomicU64::new(0);
    let submitter = || async {
        loop {
            let number = submitted.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return;
            }
            while number.saturating_sub(finished() - before) >= IN_FLIGHT {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            api.submit(request()).await.unwrap();
        }
    };
    futures::future::join_all((0..IN_FLIGHT).map(|_| submitter())).await;
    while finished() - before < count || buffer.pending() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn start(runtime: &Runtime, folder: &std::path::Path) -> Host {
    let plugins = std::env::var_os("BUDDY_PLUGINS_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins"), PathBuf::from);
    let component = plugins.join("testing.wasm");
    assert!(component.is_file(), "{} is missing: run `scripts/build-plugins testing`", component.display());
    std::fs::create_dir(folder.join("plugins")).unwrap();
    std::fs::copy(component, folder.join("plugins/testing.wasm")).unwrap();
    let file = folder.join("buddy.yaml");
    // The no-op takes a few hundred KiB: with the usual promise of 256 MiB for each task only some thirty run at once, and
    // the rest of the thousand wait for memory.
    let settings = "resources: { max_tasks: 256, max_memory_gb: 8 }\ntasks: { memory_mib: 16 }\n";
    std::fs::write(&file, settings).unwrap();
    let overrides = Overrides { file: Some(file), ..Overrides::default() };
    let loaded = load(&Environment::of_process().unwrap(), &overrides).unwrap();
    runtime.block_on(Host::start(loaded.config)).unwrap()
}

fn durable(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let host = start(&runtime, folder.path());
    let api = host.api();

    let mut group = criterion.benchmark_group("durable");
    group.bench_function("a lone task, submit to applied result", |bencher| {
        bencher.to_async(&runtime).iter(|| one(&api));
    });
    group.sample_size(10).measurement_time(Duration::from_secs(20)).throughput(Throughput::Elements(TASKS));
    group.bench_function("1,000 in flight", |bencher| {
        bencher.to_async(&runtime).iter_custom(|rounds| {
            let host = &host;
            async move {
                let began = Instant::now();
                for _ in 0..rounds {
                    many(host, TASKS).await;
                }
                began.elapsed()
            }
        });
    });
    group.finish();
    runtime.block_on(host.stop(None)).unwrap();
}

criterion_group!(benches, durable);
criterion_main!(benches);
