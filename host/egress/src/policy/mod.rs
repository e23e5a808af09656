//! What a plugin may connect to.
//!
//! A grant is a list of rules; a connection is allowed when *one* rule allows it, and nothing is allowed by an empty
//! list. A rule speaks of the host **as the caller names it** and of the **address that is connected to**; both must
//! fit.
//!
//! | rule | hosts, as named | addresses |
//! | --- | --- | --- |
//! | `*` | every name except `localhost` and the clouds' metadata names; every public address | public |
//! | `example.com` | that name | public |
//! | `*.example.com` | every name below it, not itself | public |
//! | `nas.lan@192.168.1.0/24` | that name (or `*.lan@…`: every name below) | those of the range, public or not |
//! | `localhost` | `localhost`, every name below it, every loopback address | loopback |
//! | `127.0.0.1`, `[::1]`, `10.1.2.3` | that address, in whatever notation | that address |
//! | `192.168.0.0/16`, `[fd12::/16]` | every address of the range, written as an address | those of the range |
//!
//! Each may end in a **port**: `example.com:443`, `[::1]:8080`, `10.0.0.0/8:80`, `nas.lan:5000@192.168.1.0/24`.
//! Without one, or with `:*`, every port is allowed: who trusts a host trusts its services, and test servers live
//! on changing ports.
//!
//! Names are compared in lower case, ASCII (`xn--`) form, without a trailing dot; addresses as numbers, whatever
//! their notation ([`Target`]). An IPv4-mapped IPv6 address *is* its IPv4 address.
//!
//! **Public** means none of: loopback, unspecified, private, unique-local, link-local, carrier NAT, multicast,
//! reserved, documentation, benchmark, cloud metadata, nor an IPv6 form that wraps such an address or can tunnel to
//! one ([`classify`]).
//!
//! **A metadata service** (`169.254.169.254`, `metadata.google.internal`, …) is covered by no pattern and no range:
//! only by a rule of exactly that name or address, so by nobody's oversight.
//!
//! **DNS rebinding.** A rule for a name never covers a private address: `example.com` that resolves to `10.0.0.1`
//! is refused, though `10.0.0.0/8` be granted as well, until a rule says `example.com@10.0.0.1`. Otherwise any site
//! could place itself, by its own DNS, on the origin of a service of the private network. When one address of an
//! answer is refused the whole name is: a mixed answer is an attack or a mistake. A name that no rule speaks of is
//! never looked up, since a look-up by itself carries data out.

mod address;
mod rule;
mod target;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;

pub use address::{AddressKind, classify};
pub use rule::RuleError;
pub(crate) use target::clip;
pub use target::{Host, Target};

use rule::Rule;

/// Most rules of one grant: far more than a person writes, few enough to look through for each connection.
const MAX_RULES: usize = 1024;

/// The hosts that a plugin was granted: see the [module's table](self).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct HostRules {
    rules: Vec<Rule>,
    texts: Vec<String>,
}

impl HostRules {
    /// Reads the rules of a grant; an empty list allows nothing.
    ///
    /// # Errors
    /// The first rule that cannot be read, with what would be right.
    pub fn parse(rules: &[String]) -> Result<Self, RuleError> {
        if rules.len() > MAX_RULES {
            return Err(RuleError {
                rule: format!("{} rules", rules.len()),
                problem: format!("one grant holds at most {MAX_RULES}; use `*.domain` or a range"),
            });
        }
        let parsed = rules.iter().map(|text| Rule::parse(text)).collect::<Result<_, _>>()?;
        Ok(Self { rules: parsed, texts: rules.to_vec() })
    }

    /// Allows nothing.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// The rules as they were written.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Whether the host, as it is named, is granted: asked before any look-up. For an address this is the whole
    /// answer.
    ///
    /// # Errors
    /// [`Denied`] with the rule that would allow it.
    pub fn check_host(&self, target: &Target) -> Result<(), Denied> {
        if let Host::Address(address) = target.host() {
            return self.check_address(target, *address);
        }
        if self.rules.iter().any(|rule| rule.names(target)) { Ok(()) } else { Err(Denied::host(target)) }
    }

    /// Whether a connection to `target` may go to `address`, one of the addresses that its host resolved to.
    ///
    /// # Errors
    /// [`Denied`] with the rule that would allow it.
    pub fn check_address(&self, target: &Target, address: IpAddr) -> Result<(), Denied> {
        if self.rules.iter().any(|rule| rule.allows(target, address)) {
            Ok(())
        } else if self.rules.iter().any(|rule| rule.names(target)) || matches!(target.host(), Host::Address(_)) {
            Err(Denied::address(target, address))
        } else {
            Err(Denied::host(target))
        }
    }
}

impl fmt::Debug for HostRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HostRules").field(&self.texts).finish()
    }
}

/// Why a connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// No rule speaks of this host and port.
    NotGranted,
    /// The host was named as this address, or a granted name resolved to it, and no rule covers it.
    Address(AddressKind),
}

/// A connection that the granted hosts do not cover. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Denied {
    /// The host as named, in its one spelling.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The address it resolved to, when that is what was refused.
    pub address: Option<IpAddr>,
    /// Why.
    pub reason: Reason,
    /// The rule that would allow exactly this connection's host, in the syntax of [`HostRules::parse`].
    pub grant: String,
}

impl Denied {
    fn host(target: &Target) -> Self {
        let host = match target.host() {
            host if host.is_localhost() => "localhost".to_owned(),
            host => host.to_string(),
        };
        Self {
            grant: with_port(&host, target.port()),
            host: target.host().to_string(),
            port: target.port(),
            address: None,
            reason: Reason::NotGranted,
        }
    }

    fn address(target: &Target, address: IpAddr) -> Self {
        let kind = classify(address);
        let reason = match (kind, target.host()) {
            (AddressKind::Public, Host::Address(_)) => Reason::NotGranted,
            _ => Reason::Address(kind),
        };
        let host = with_port(&target.host().to_string(), target.port());
        let grant = match target.host() {
            Host::Address(_) => host,
            Host::Name(_) if target.host().is_localhost() => with_port("localhost", target.port()),
            Host::Name(_) => format!("{host}@{}", address::canonical(address)),
        };
        Self { host: target.host().to_string(), port: target.port(), address: Some(address), reason, grant }
    }
}

/// The rule for a host at a port; the ports of the web go without saying.
fn with_port(host: &str, port: u16) -> String {
    if matches!(port, 80 | 443) { host.to_owned() } else { format!("{host}:{port}") }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, grant, .. } = self;
        match (self.reason, self.address) {
            (Reason::Address(kind), Some(address)) if address.to_string() != host.trim_matches(['[', ']']) => {
                write!(f, "{host}:{port} leads to {address}, {}, which its grant does not cover", kind.phrase())?;
            }
            (Reason::Address(kind), _) => {
                write!(f, "{host}:{port} is {}, which is not among the granted hosts", kind.phrase())?;
            }
            (Reason::NotGranted, _) => write!(f, "{host}:{port} is not among the granted hosts")?,
        }
        write!(f, "; to allow it, add `{grant}` to them.")
    }
}
