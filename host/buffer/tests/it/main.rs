//! The buffer from outside: what it promises, each promise a test.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod crash;
mod disk;
mod kit;
mod model;
mod open;
mod records;
mod tasks;
mod transactions;
