//! Task type `data_processing`: many records in, a small result out.
//!
//! `pipeline` checks an input and runs it, `sources` read the records, `needed` spares them the fields that no step looks
//! at, `ops` are the steps, one file each. All of it is plain Rust over a [`host::Host`] and knows nothing of the sandbox;
//! `glue` is the only module that does.

pub mod error;
pub mod host;
pub mod input;
pub mod number;
pub mod output;
pub mod value;

mod glue;
mod needed;
mod ops;
mod path;
mod pipeline;
mod sources;

pub use glue::{BuddyPlugin, DataProcessing};
pub use pipeline::{digest, estimate};
