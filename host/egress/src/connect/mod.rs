//! The one place that opens sockets to the outside.
//!
//! [`Egress::connect`] takes a [`Grant`] and a [`Target`] and goes through four steps, each bounded:
//!
//! 1. the host as named is checked; a refusal ends here, with no look-up;
//! 2. the name is resolved, once;
//! 3. every address of the answer is checked; one that is refused refuses the whole;
//! 4. one of the checked addresses is connected to: in order, the next one started when the last failed or has
//!    been silent for [`ConnectOptions::stagger`], the first to answer wins.
//!
//! There is no way to connect to an address that was not checked, since nobody resolves a second time: a name
//! server that gives another answer the next time (DNS rebinding) has its next answer checked too.
//!
//! What comes back is a [`Connection`], which counts for the grant until it is dropped.

mod stream;
mod upstream;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

pub use stream::Connection;
pub use upstream::{Upstream, UpstreamNames, UpstreamTrust};

use crate::counters::{Counters, Traffic};
use crate::error::{EgressError, root_cause};
use crate::policy::{AddressKind, Denied, Host, HostRules, Target, classify};
use crate::resolve::{Resolver, SystemResolver};

/// The right of one holder (a plugin) to connect to some hosts, with what it has used of it.
#[derive(Debug)]
pub struct Grant {
    id: u64,
    holder: String,
    rules: Arc<HostRules>,
    counters: Arc<Counters>,
}

impl Grant {
    /// A grant of `rules` to `holder`, whose name is for messages and logs.
    pub fn new(holder: impl Into<String>, rules: HostRules) -> Arc<Self> {
        Arc::new(Self { id: next_id(), holder: holder.into(), rules: Arc::new(rules), counters: Arc::default() })
    }

    /// The same right, counted apart as well: one task's, or one browser context's. What it uses counts for the
    /// whole too.
    #[must_use]
    pub fn part(&self, label: &str) -> Arc<Self> {
        let counters = Arc::new(Counters::part_of(&self.counters));
        Arc::new(Self {
            id: next_id(),
            holder: format!("{}/{label}", self.holder),
            rules: Arc::clone(&self.rules),
            counters,
        })
    }

    /// Whose grant it is.
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// The granted hosts.
    pub fn rules(&self) -> &HostRules {
        &self.rules
    }

    /// What was used so far.
    pub fn traffic(&self) -> Traffic {
        self.counters.read()
    }

    /// Unique in this process. Idle connections are kept apart by it: a connection that one grant allowed says
    /// nothing about another.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn refuse(&self, denied: Denied) -> EgressError {
        self.counters.refuse();
        tracing::info!(holder = %self.holder, host = %denied.host, port = denied.port, address = ?denied.address, "refused a connection");
        denied.into()
    }
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Bounds of [`Egress`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// Longest look-up of a name. The system's resolver asks two servers for 5 s each before it gives up.
    pub resolve_timeout: Duration,
    /// Most addresses taken of an answer; more than a handful is no use.
    pub max_addresses: usize,
    /// Longest wait for all addresses of a host together.
    pub connect_timeout: Duration,
    /// How long one address may be silent before the next is tried beside it (RFC 8305 advises 250 ms).
    pub stagger: Duration,
    /// Most connections open at once, of all grants together: below the 1,024 open files that Linux gives a
    /// process by default, with room for the rest of the host.
    pub max_open: usize,
    /// A proxy of the operator's, behind which all connections to public addresses go.
    pub upstream: Option<Upstream>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            resolve_timeout: Duration::from_secs(10),
            max_addresses: 16,
            connect_timeout: Duration::from_secs(15),
            stagger: Duration::from_millis(250),
            max_open: 640,
            upstream: None,
        }
    }
}

/// Opens connections. Cheap to clone; clones share their bounds.
#[derive(Clone)]
pub struct Egress {
    inner: Arc<Inner>,
}

struct Inner {
    resolver: Arc<dyn Resolver>,
    options: ConnectOptions,
    open: Arc<Semaphore>,
}

impl std::fmt::Debug for Egress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Egress").field("options", &self.inner.options).finish_non_exhaustive()
    }
}

impl Default for Egress {
    fn default() -> Self {
        Self::new(ConnectOptions::default(), Arc::new(SystemResolver::new()))
    }
}

impl Egress {
    /// Opens connections within `options`, asking `resolver` for names.
    pub fn new(options: ConnectOptions, resolver: Arc<dyn Resolver>) -> Self {
        let open = Arc::new(Semaphore::new(options.max_open.clamp(1, Semaphore::MAX_PERMITS)));
        Self { inner: Arc::new(Inner { resolver, options, open }) }
    }

    /// Connects to `target` for the holder of `grant`, through the operator's proxy when there is one.
    ///
    /// # Errors
    /// `denied` before anything is sent; `dns`, `connect`, `timed-out`; `busy` when all connections are in use.
    pub async fn connect(&self, grant: &Grant, target: &Target) -> Result<Connection, EgressError> {
        self.connect_via(grant, target, None).await
    }

    /// As [`connect`](Self::connect), with a proxy for this connection in the place of the operator's.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); `denied` too when a proxy that a plugin named is not granted itself.
    pub async fn connect_via(
        &self,
        grant: &Grant,
        target: &Target,
        via: Option<&Upstream>,
    ) -> Result<Connection, EgressError> {
        grant.rules.check_host(target).map_err(|denied| grant.refuse(denied))?;
        let upstream = via.or(self.inner.options.upstream.as_ref());
        if let (Some(upstream), Host::Name(_), None) = (upstream, target.host(), target.known_addresses())
            && upstream.names == UpstreamNames::Remote
        {
            let stream = self.open_upstream(grant, upstream).await?;
            return upstream.tunnel(stream, &target.to_string(), target, self.inner.options.connect_timeout).await;
        }
        let addresses = self.checked_addresses(grant, target).await?;
        match upstream {
            Some(upstream) if addresses.iter().all(|a| classify(*a) == AddressKind::Public) => {
                // To the address, not the name: what was checked is what is connected to, also beyond the proxy.
                let Some(address) = addresses.first() else {
                    return Err(no_address(target));
                };
                let stream = self.open_upstream(grant, upstream).await?;
                let authority = SocketAddr::new(*address, target.port()).to_string();
                upstream.tunnel(stream, &authority, target, self.inner.options.connect_timeout).await
            }
            _ => self.open(grant, target, &addresses).await,
        }
    }

    /// Steps 2 and 3: the addresses of the host, all of them granted.
    async fn checked_addresses(&self, grant: &Grant, target: &Target) -> Result<Vec<IpAddr>, EgressError> {
        let addresses = self.addresses(target).await?;
        for address in &addresses {
            grant.rules.check_address(target, *address).map_err(|denied| grant.refuse(denied))?;
        }
        Ok(addresses)
    }

    async fn addresses(&self, target: &Target) -> Result<Vec<IpAddr>, EgressError> {
        if let Some(known) = target.known_addresses() {
            return Ok(known);
        }
        let name = target.host().to_string();
        let limit = self.inner.options.resolve_timeout;
        let answer = timeout(limit, self.inner.resolver.resolve(&name))
            .await
            .map_err(|_| EgressError::TimedOut { what: format!("The look-up of {name}"), limit })?
            .map_err(|error| EgressError::Dns { host: name.clone(), problem: root_cause(&error) })?;
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in answer {
            let address = address.to_canonical();
            if addresses.len() < self.inner.options.max_addresses && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() { Err(no_address(target)) } else { Ok(addresses) }
    }

    /// A connection to a proxy. One that a plugin named is a host like any other; one from the operator's
    /// configuration is where the operator says, on loopback as often as not.
    async fn open_upstream(&self, grant: &Grant, upstream: &Upstream) -> Result<Connection, EgressError> {
        let target = &upstream.target;
        let addresses = match upstream.trust {
            UpstreamTrust::Operator => self.addresses(target).await?,
            UpstreamTrust::Granted => {
                grant.rules.check_host(target).map_err(|denied| grant.refuse(denied))?;
                self.checked_addresses(grant, target).await?
            }
        };
        self.open(grant, target, &addresses).await
    }

    /// Step 4: a socket to one of `addresses`, which were checked.
    async fn open(&self, grant: &Grant, target: &Target, addresses: &[IpAddr]) -> Result<Connection, EgressError> {
        let limit = self.inner.options.connect_timeout;
        let slot =
            timeout(limit, Arc::clone(&self.inner.open).acquire_owned()).await.ok().and_then(Result::ok).ok_or_else(
                || EgressError::Busy {
                    target: target.to_string(),
                    problem: format!("all {} connections of this host are in use", self.inner.options.max_open),
                    after: limit,
                },
            )?;
        let stream = timeout(limit, self.race(target, addresses))
            .await
            .map_err(|_| EgressError::TimedOut { what: format!("Connecting to {target}"), limit })??;
        // Requests are written whole; waiting to fill a packet only delays them. A socket that cannot is still a socket.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%target, %error, "no TCP_NODELAY");
        }
        Ok(Connection::new(stream, Arc::clone(&grant.counters), slot))
    }

    /// Happy eyeballs, the simple way: the addresses by turns of family, each given a head start.
    async fn race(&self, target: &Target, addresses: &[IpAddr]) -> Result<TcpStream, EgressError> {
        let mut waiting = by_turns(addresses).into_iter().map(|address| SocketAddr::new(address, target.port()));
        let mut trying = FuturesUnordered::new();
        let mut problem = "it has no address".to_owned();
        loop {
            let next = waiting.next();
            let last = next.is_none();
            if let Some(address) = next {
                trying.push(async move {
                    TcpStream::connect(address).await.map_err(|error| format!("{} ({address})", root_cause(&error)))
                });
            }
            if trying.is_empty() {
                return Err(EgressError::Connect { target: target.to_string(), problem });
            }
            tokio::select! {
                Some(result) = trying.next() => match result {
                    Ok(stream) => return Ok(stream),
                    Err(text) => problem = text,
                },
                () = sleep(self.inner.options.stagger), if !last => {}
            }
        }
    }
}

fn no_address(target: &Target) -> EgressError {
    EgressError::Dns { host: target.host().to_string(), problem: "the name has no address".to_owned() }
}

/// IPv6 and IPv4 by turns, beginning with the family that the resolver put first.
fn by_turns(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let first_is_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (mut a, mut b): (Vec<IpAddr>, Vec<IpAddr>) =
        addresses.iter().copied().partition(|address| address.is_ipv6() == first_is_v6);
    a.reverse();
    b.reverse();
    let mut out = Vec::with_capacity(addresses.len());
    while !(a.is_empty() && b.is_empty()) {
        out.extend(a.pop());
        out.extend(b.pop());
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_families_take_turns_and_keep_their_order() {
        let addresses: Vec<IpAddr> =
            ["::1", "::2", "::3", "1.1.1.1", "1.1.1.2"].iter().map(|a| a.parse().unwrap()).collect();
        let order: Vec<String> = by_turns(&addresses).iter().map(ToString::to_string).collect();
        assert_eq!(order, ["::1", "1.1.1.1", "::2", "1.1.1.2", "::3"]);
        assert!(by_turns(&[]).is_empty());
    }
}
