//! The coordinator's contract, held against the embedded one, and the pusher on top of it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod contract;
mod machine;
mod pusher;
mod support;
