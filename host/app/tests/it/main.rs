//! `buddy-host` from outside: the real program, and the control API over real loopback sockets.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cli;
mod cli_with_host;
mod cli_with_own_host;
mod control;
mod memory_host;
mod program;
