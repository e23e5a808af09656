//! The control API: how commands reach the host that runs on this computer.
//!
//! The host listens on loopback only. A caller must hold the token from `control.json` in the data folder, which only
//! the owner can read, and must name a loopback host: a web page that rebinds its name to 127.0.0.1 is refused.
//! [`api`] is the seam: the server serves any [`HostApi`], the client speaks the same types.

pub mod api;
pub mod client;
pub mod file;
pub mod server;
pub mod views;

pub use api::{ApiError, ErrorCode, HostApi};
pub use client::{Client, ClientError};
pub use server::{ControlError, ControlHandle, ControlServer};
