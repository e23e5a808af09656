//! The plugin: the engine on the host's artifacts.

use std::time::Duration;

use buddy_plugin::prelude::*;

use crate::error::Fault;
use crate::host::{Host, Stored};
use crate::input::Input;
use crate::output::Output;

/// The task type `data_processing`.
#[derive(Debug)]
pub struct DataProcessing;

impl TaskType for DataProcessing {
    const NAME: &'static str = "data_processing";
    const SUMMARY: &'static str = "Turns many records into a small table: filter, group, join, sort, select and more.";
    type Input = Input;
    type Output = Output;

    fn example() -> Value {
        json!({
            "from": { "records": [
                { "shop": "north", "item": "tea", "price": 4.5 },
                { "shop": "north", "item": "jam", "price": 3 },
                { "shop": "south", "item": "tea", "price": 5 },
            ] },
            "steps": [
                { "filter": { "field": "price", "op": "ge", "value": 3 } },
                { "group_by": { "by": ["item"], "aggregates": [
                    { "op": "count", "as": "offers" },
                    { "op": "min", "field": "price", "as": "cheapest" },
                ] } },
                { "sort": [{ "field": "offers", "order": "desc" }, "item"] },
            ],
        })
    }

    fn estimate(input: &Input) -> Result<Demand, Failure> {
        let (bytes, seconds) = crate::estimate(input)?;
        Ok(Demand { bytes, seconds, ..Demand::default() })
    }

    async fn run(input: Input) -> Result<Output, Failure> {
        Ok(crate::digest(input, &Sandbox).await?)
    }
}

buddy_plugin::export! {
    name: "digest",
    summary: "Makes small results of many records.",
    tasks: [DataProcessing],
    capabilities: [artifacts because "it reads the results and files that a task refers to"],
    limits: { memory_mib: 256 },
}

/// The host behind the sandbox.
struct Sandbox;

impl Host for Sandbox {
    async fn stat(&self, id: &str) -> Result<Stored, Fault> {
        let info = artifacts::stat(id).await?;
        Ok(Stored { size: info.size, media_type: info.media_type, name: info.name })
    }

    async fn read(&self, id: &str, offset: u64, len: u32) -> Result<Vec<u8>, Fault> {
        Ok(artifacts::read(id, offset, len).await?)
    }

    fn progress(&self, done: u64, total: u64, message: &str) {
        progress::report(done, Some(total), message);
    }

    fn is_cancelled(&self) -> bool {
        progress::is_cancelled()
    }
}

impl From<HostError> for Fault {
    fn from(error: HostError) -> Self {
        Self::Host {
            message: error.message,
            retryable: error.retryable,
            after_ms: error.after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Invalid(list) => Self::InvalidInput(
                list.into_iter().map(|one| Invalid { path: one.path, message: one.message }).collect(),
            ),
            Fault::Host { message, retryable: true, after_ms } => {
                Self::Retryable { message, after: after_ms.map(Duration::from_millis) }
            }
            Fault::Data(message) | Fault::Host { message, .. } => Self::permanent(message),
        }
    }
}
