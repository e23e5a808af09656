//! Every outgoing connection of the host.
//!
//! A plugin's `http` calls and, through a loopback forward proxy, all traffic of its browser contexts leave by one
//! door: [`Egress::connect`]. It checks the host against the plugin's granted hosts *before* any name is looked up,
//! looks the name up once, checks *every* address of the answer, connects to one of those checked addresses, and
//! counts. Nothing else in this crate opens a socket to the outside.
//!
//! | module | subject |
//! | --- | --- |
//! | [`policy`] | what a granted host is: the rule syntax, public and other addresses, [`Denied`] with the line that would allow it |
//! | [`resolve`] | names to addresses, bounded in time and number |
//! | [`connect`] | the one place that opens sockets; [`Grant`], counters, a user's own proxy behind it |
//! | [`fetch`] | the HTTP client of the `http` capability |
//! | [`proxy`] | the loopback forward proxy, one listener for each browser context |
//!
//! # What a failure means
//!
//! Every failure is an [`EgressError`]: its [`code`](EgressError::code) is a word of the plugin contract, its message
//! one sentence for a person. A refused connection never reached the network: for a host that is not granted not
//! even a name look-up was made.
//!
//! # Bounds
//!
//! Each wait has a limit of time and each collection one of size; the numbers are fields of [`ConnectOptions`],
//! [`FetchOptions`] and [`ProxyOptions`], with their reasons beside them.

pub mod connect;
mod counters;
mod error;
pub mod fetch;
mod platform;
pub mod policy;
mod pool;
pub mod proxy;

pub mod resolve;

pub use connect::{ConnectOptions, Connection, Egress, Grant, Upstream};
pub use counters::Traffic;
pub use error::EgressError;
pub use fetch::{FetchOptions, FetchRequest, FetchResponse, Fetcher};
pub use policy::{Denied, HostRules, RuleError, Target};
pub use proxy::{LeaseOptions, Proxy, ProxyLease, ProxyOptions};

pub use resolve::{Resolver, StaticResolver, SystemResolver};
