//! How fast the digest plugin is inside the sandbox, and what memory it needs: 50 MB of JSON lines to a table of 20
//! rows. `cargo bench -p buddy-runtime --bench digest` after `scripts/build-plugins`.
//!
//! The same work native is `cargo bench -p buddy-digest`; the difference is the price of the sandbox.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use buddy_runtime::capabilities::artifacts::{ArtifactWriter, Artifacts, Info};
use buddy_runtime::{Grants, HostError, Providers, RunRequest, Runtime, RuntimeConfig, code};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of input: the design's target.
const BYTES: usize = 50_000_000;

/// One artifact, in memory.
struct Lines(Vec<u8>);

#[async_trait::async_trait]
impl Artifacts for Lines {
    async fn create(&self, _: String, _: String) -> Result<Box<dyn ArtifactWriter>, HostError> {
        Err(HostError::new(code::UNAVAILABLE, "this bench only reads"))
    }
    async fn stat(&self, _: String) -> Result<Info, HostError> {
        Ok(Info {
            size: self.0.len() as u64,
            media_type: "application/x-ndjson".into(),
            sha256: String::new(),
            name: "lines.ndjson".into(),
        })
    }
    async fn read(&self, _: String, offset: u64, len: u32) -> Result<Vec<u8>, HostError> {
        let from = usize::try_from(offset).unwrap().min(self.0.len());
        let to = (from + len as usize).min(self.0.len());
        Ok(self.0[from..to].to_vec())
    }
}

/// Lines as a scrape of shops makes them.
fn lines() -> Vec<u8> {
    let mut text = String::with_capacity(BYTES + 256);
    let mut n = 0_u64;
    while text.len() < BYTES {
        let (shop, brand, price) = (n % 17, n * 31 % 211, n * 7919 % 10_000);
        writeln!(
            text,
            r#"{{"id":{n},"url":"https://shop{shop}.example/item/{n}","brand":"brand {brand}","price":{price}.5,"stock":{shop},"tags":["a","b"],"note":null}}"#
        )
        .unwrap();
        n += 1;
    }
    text.into_bytes()
}

const INPUT: &str = r#"{
  "from": { "artifact": "lines" },
  "steps": [
    { "filter": { "field": "price", "op": "gt", "value": 100 } },
    { "group_by": { "by": ["brand"], "aggregates": [
      { "op": "count" }, { "op": "mean", "field": "price" }, { "op": "quantiles", "field": "price", "at": [0.5, 0.9] } ] } },
    { "top_k": { "k": 20, "by": ["mean_price"] } }
  ]
}"#;

fn wasm() -> PathBuf {
    let folder = std::env::var_os("BUDDY_PLUGINS_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins"), PathBuf::from);
    let path = folder.join("digest.wasm");
    assert!(path.exists(), "{} is missing: run scripts/build-plugins", path.display());
    path
}

fn benches(criterion: &mut Criterion) {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::new(&RuntimeConfig::with_cache(folder.path())).unwrap();
    let plugin = tokio.block_on(runtime.load(&wasm())).unwrap();
    let file = Arc::new(Lines(lines()));
    let size = file.0.len() as u64;
    let scopes = BTreeMap::from([("artifacts".to_owned(), Vec::new())]);
    let grants = Arc::new(Grants::new(plugin.name(), scopes));
    let run = || async {
        let mut request = RunRequest::new("data_processing", INPUT);
        request.grants = Arc::clone(&grants);
        request.providers =
            Providers { artifacts: Some(Arc::clone(&file) as Arc<dyn Artifacts>), ..Providers::default() };
        let outcome = runtime.run(&plugin, request).await;
        outcome.result.expect("the digest succeeds");
        outcome.usage
    };

    let mut group = criterion.benchmark_group("digest in the sandbox");
    group.throughput(Throughput::Bytes(size)).sample_size(10);
    group.bench_function("50 MB of JSON lines, filter, group, top 20", |bencher| bencher.to_async(&tokio).iter(run));
    group.finish();
    let usage = tokio.block_on(run());
    println!("peak of the plugin's memory: {} MiB; CPU {} ms", usage.peak_memory >> 20, usage.cpu.as_millis());
}

criterion_group!(digest, benches);
criterion_main!(digest);
