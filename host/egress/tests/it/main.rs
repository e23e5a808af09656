//! The crate from outside: real sockets on loopback, names from a fixed table.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod connect;
mod fetch;
mod fetch_body;
mod proxy;
mod redirects;
mod support;
mod tls;
