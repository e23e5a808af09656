//! The loopback forward proxy that carries all traffic of a browser.
//!
//! Chromium is started with `--proxy-server` at a listener of this module (and
//! `--proxy-bypass-list=<-loopback>`, so that loopback goes through it as well) and each browser context is created
//! with a listener of its own, by `Target.createBrowserContext { proxyServer }`. A listener is a [`ProxyLease`]: it
//! stands for one [`Grant`], so the port by itself says whose hosts apply, and no credentials are needed (Chromium
//! takes none in `--proxy-server`). It also gives every context its own 32 sockets, Chromium's bound for one proxy.
//!
//! The proxy speaks HTTP/1.1: `CONNECT` for TLS and WebSockets, absolute-form requests for plain HTTP, with
//! keep-alive, streamed bodies and `Upgrade`. TLS is not opened: what is checked is where a connection goes.
//! Every request passes [`Egress::connect`], so workers, sockets, prefetches and redirects are covered alike.
//!
//! # When something is refused or fails
//!
//! The answer is a short text with a header `x-buddy-egress: CODE` and status 403 (`denied`), 400, 502, 503 or 504.
//! For a tunnel Chromium hides that answer behind `ERR_TUNNEL_CONNECTION_FAILED`; so the lease keeps what went
//! wrong ([`ProxyLease::failure_for`]), and whoever drives the browser turns a failed navigation into that error,
//! the line to grant included.
//!
//! # The boundary
//!
//! * Only loopback is listened on, and a connection from anywhere else is dropped.
//! * A process of **another user** of this computer is turned away (by the kernel's socket table, on Linux; on other
//!   systems it is not told apart). A process of the **same user** can use a lease while it is open and its port is
//!   known: it gains the lease's granted hosts, which it could have reached by itself, with this user's rights and
//!   this computer's network. It must be kept in its own sandbox if it is not to be trusted with that.
//! * A web page in some other browser cannot use it: browsers send origin-form requests to a server, which are
//!   answered 400, and a page cannot send `CONNECT`.
//! * A lease that is dropped closes its listener and all its connections at once.

mod forward;
mod idle;
mod lease;
mod serve;

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

pub use lease::{Failure, ProxyLease};

use crate::connect::{Egress, Grant, Upstream};

/// Bounds of a [`Proxy`], for each lease.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProxyOptions {
    /// Most connections from the browser at once; more wait to be accepted. Chromium opens up to 32 for HTTP and as
    /// many for WebSockets.
    pub max_connections: usize,
    /// Longest time to send the head of a request, the wait for the next one on a kept connection included.
    pub header_timeout: Duration,
    /// Largest head of a request, in bytes.
    pub max_header: usize,
    /// A connection over which nothing has moved in either direction for so long is closed. Long polls and idle
    /// WebSockets rarely pause for more than a minute or two.
    pub idle_timeout: Duration,
    /// Turn away processes of other users (Linux).
    pub same_user_only: bool,
}

impl Default for ProxyOptions {
    fn default() -> Self {
        Self {
            max_connections: 256,
            header_timeout: Duration::from_mins(1),
            max_header: 64 * 1024,
            idle_timeout: Duration::from_mins(5),
            same_user_only: true,
        }
    }
}

/// What is special about one lease.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct LeaseOptions {
    /// A proxy behind this one, in the place of the operator's.
    pub upstream: Option<Upstream>,
}

impl LeaseOptions {
    /// Goes through `upstream`.
    #[must_use]
    pub fn through(mut self, upstream: Upstream) -> Self {
        self.upstream = Some(upstream);
        self
    }
}

/// Gives out listeners. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Proxy {
    egress: Egress,
    options: Arc<ProxyOptions>,
}

impl Proxy {
    /// A proxy that connects through `egress`.
    pub fn new(egress: Egress, options: ProxyOptions) -> Self {
        Self { egress, options: Arc::new(options) }
    }

    /// Opens a listener on a free port of `127.0.0.1` for the holder of `grant`. `label` names it in the log, and
    /// its use is counted apart and in the grant.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn lease(&self, grant: &Grant, label: &str, options: LeaseOptions) -> io::Result<ProxyLease> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let lease = ProxyLease::new(addr, grant.part(label));
        let context = serve::Context::new(self.egress.clone(), Arc::clone(&self.options), options.upstream, &lease);
        tokio::spawn(serve::accept(listener, context));
        tracing::debug!(%addr, holder = lease.grant().holder(), "opened a proxy lease");
        Ok(lease)
    }
}
