//! What a Buddy plugin in Rust is written with.
//!
//! A plugin is a WebAssembly component: it does one or more *task types*, and reaches the world only through what the
//! host grants it. This crate turns a trait with typed input and output into such a component, and wraps the host's
//! calls in types and builders.
//!
//! ```
//! use buddy_plugin::prelude::*;
//!
//! /// A text to count.
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! pub struct Input {
//!     /// Words are what white space separates.
//!     text: String,
//! }
//!
//! #[derive(Serialize, JsonSchema)]
//! pub struct Output {
//!     words: usize,
//! }
//!
//! pub struct WordCount;
//!
//! impl TaskType for WordCount {
//!     const NAME: &'static str = "word_count";
//!     const SUMMARY: &'static str = "Counts the words of a text.";
//!     type Input = Input;
//!     type Output = Output;
//!
//!     fn example() -> Value {
//!         json!({ "text": "to be or not to be" })
//!     }
//!
//!     async fn run(input: Input) -> Result<Output, Failure> {
//!         log::info("counting");
//!         Ok(Output { words: input.text.split_whitespace().count() })
//!     }
//! }
//!
//! buddy_plugin::export! {
//!     summary: "Counts things in texts.",
//!     tasks: [WordCount],
//! }
//! # fn main() {
//! #     let output = futures::executor::block_on(BuddyPlugin::run("word_count", r#"{"text": "a b"}"#));
//! #     assert_eq!(output.unwrap(), r#"{"words":2}"#);
//! #     buddy_plugin::testing::check::<BuddyPlugin>().unwrap();
//! # }
//! ```
//!
//! With `crate-type = ["cdylib"]` in its manifest, `cargo build --target wasm32-wasip2` makes the component.
//!
//! # Waiting
//!
//! Every call that waits is an `async fn`, and many may wait at once in one instance: a hundred pages are one task with
//! a `buffer_unordered(10)`, not a hundred tasks. Wait with [`context::sleep`]; a blocking `std::thread::sleep` stops
//! everything else in the instance.
//!
//! # Without a host
//!
//! Plugins compile natively too, for `cargo test`. There every capability answers with an `unavailable` [`HostError`],
//! [`context::get`] with a task named `no-host`, [`context::sleep`] returns at once, and the log goes to standard error.

mod error;
mod export;
mod failure;
mod task;

pub mod artifacts;
pub mod bindings;
pub mod browser;
pub mod checkpoint;
pub mod context;
pub mod firestore;
pub mod http;
pub mod human;
pub mod log;
pub mod progress;
pub mod secrets;
pub mod store;
pub mod testing;

pub use error::{ErrorCode, HostError};
#[doc(hidden)]
pub use export::__private;
pub use export::{CapabilityRequest, Limits, Manifest, Plugin};
pub use failure::{Failure, Invalid};
pub use task::{Demand, TaskType};

// Re-exported so that a plugin's types are derived with the versions that this crate was built with.
pub use {schemars, serde, serde_json};

/// All that a plugin's source usually names.
pub mod prelude {
    pub use crate::{Demand, ErrorCode, Failure, HostError, Invalid, Plugin, TaskType};
    pub use crate::{artifacts, browser, checkpoint, context, firestore, http, human, log, progress, secrets, store};
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};
    pub use serde_json::{Value, json};
}

/// Names a stored blob; opaque to plugins.
pub type ArtifactId = String;

/// Awaits a call to the host; where there is no host, answers for it.
macro_rules! host {
    ($name:literal, $call:expr) => {
        if cfg!(target_arch = "wasm32") {
            $call.await.map_err($crate::HostError::from)
        } else {
            Err($crate::HostError::no_host($name))
        }
    };
}
pub(crate) use host;

/// Whole milliseconds, as the contract counts time; more than 500 million years are cut to that.
pub(crate) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
