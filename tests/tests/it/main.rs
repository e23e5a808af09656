//! End to end: real host processes, real Chromium, all traffic on loopback.
//!
//! One binary, so that the harness is built and linked once; each test has a host in a folder of its own. How many of
//! them run at once is set in `.config/nextest.toml`: each may start a Chromium.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bounds;
mod digest;
mod docs;
mod errors;
mod interrupted;
mod kill;
mod lifecycle;
mod page_cache;
mod rust_docs;
