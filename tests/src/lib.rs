//! What the end-to-end tests share: a real host process in its own folder, and web sites on loopback that count.
//!
//! The binary and the plugins are the ones that `scripts/test` builds first; a missing one fails the test with the
//! command that makes it.

// Tests fail by panicking: that is what these helpers are for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

mod host;
mod poll;
mod process;
pub mod rust_docs;
mod site;

pub use host::{Finished, Host, HostBuilder, binary, plugin};
pub use poll::until;
pub use site::Site;
