//! How fast lines of JSON become a small table: the engine alone, native, without the sandbox.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fmt::Write as _;
use std::hint::black_box;

use buddy_digest::error::Fault;
use buddy_digest::host::{Host, Stored};
use buddy_digest::input::Input;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::executor::block_on;

/// One artifact.
struct File(Vec<u8>);

impl Host for File {
    async fn stat(&self, _: &str) -> Result<Stored, Fault> {
        Ok(Stored { size: self.0.len() as u64, media_type: "application/x-ndjson".into(), name: String::new() })
    }

    async fn read(&self, _: &str, offset: u64, len: u32) -> Result<Vec<u8>, Fault> {
        let from = usize::try_from(offset).unwrap().min(self.0.len());
        let to = (from + len as usize).min(self.0.len());
        Ok(self.0[from..to].to_vec())
    }

    fn progress(&self, _: u64, _: u64, _: &str) {}

    fn is_cancelled(&self) -> bool {
        false
    }
}

/// 10 MB of lines as a scrape of shops makes them.
fn lines() -> Vec<u8> {
    let mut text = String::new();
    let mut n = 0_u64;
    while text.len() < 10_000_000 {
        let shop = n % 17;
        let brand = n * 31 % 211;
        let price = n * 7919 % 10_000;
        writeln!(
            text,
            r#"{{"id":{n},"url":"https://shop{shop}.example/item/{n}","brand":"brand {brand}","price":{price}.5,"stock":{shop},"tags":["a","b"],"note":null}}"#
        )
        .unwrap();
        n += 1;
    }
    text.into_bytes()
}

fn group(c: &mut Criterion) {
    let input: Input = serde_json::from_value(serde_json::json!({
        "from": { "artifact": "lines" },
        "steps": [
            { "filter": { "field": "price", "op": "gt", "value": 100 } },
            { "group_by": { "by": ["brand"], "aggregates": [
                { "op": "count" },
                { "op": "mean", "field": "price" },
                { "op": "quantiles", "field": "price", "at": [0.5, 0.9] },
            ] } },
            { "top_k": { "k": 20, "by": ["mean_price"] } },
        ],
    }))
    .unwrap();
    let file = File(lines());
    let mut group = c.benchmark_group("digest");
    group.throughput(Throughput::Bytes(file.0.len() as u64)).sample_size(10);
    group.bench_function("group 10 MB of NDJSON", |b| {
        b.iter(|| block_on(buddy_digest::digest(black_box(input.clone()), &file)).unwrap());
    });
    group.finish();
}

criterion_group!(benches, group);
criterion_main!(benches);
