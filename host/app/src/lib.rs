//! `buddy-host`: a task runtime for your own computer. Every task type is a sandboxed WebAssembly plugin.
//!
//! This crate is the outside of it: [`config`], the command line ([`cli`]), the loopback control API ([`control`]),
//! the texts for people ([`render`]), and [`host`], which puts the parts of the other crates together. Those parts
//! know nothing of this crate.

pub mod adapters;
pub mod agent;
pub mod api;
pub mod artifacts;
pub mod cli;
pub mod config;
pub mod control;
pub mod failure;
pub mod host;
pub mod memory;
pub mod platform;
pub mod render;
pub mod sample_site;
pub mod storage;
pub mod usage;
