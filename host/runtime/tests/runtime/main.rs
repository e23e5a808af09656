//! The runtime with a real component in it: `plugins/testing`, built by `scripts/build-plugins`.
//!
//! The capabilities are structs in memory, except where a test is about the network: there a server on loopback answers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

mod bounds;
mod capabilities;
mod loading;
mod running;
mod stops;
mod support;
