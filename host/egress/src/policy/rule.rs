//! One rule of a grant: its syntax and what it covers.

use std::net::IpAddr;

use ipnet::IpNet;

use super::address::{self, AddressKind};
use super::target::{Host, Target, clip};

/// A rule that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{rule}` is not a host rule: {problem}.")]
pub struct RuleError {
    /// The rule as it was written (shortened when very long).
    pub rule: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// A rule in its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pattern: Pattern,
    /// `None`: any port.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    /// `*`
    AnyPublic,
    /// `example.com`, `*.example.com`; with `within`: only on addresses of that range, public or not.
    Name { name: String, below: bool, within: Option<IpNet> },
    /// `localhost`
    Loopback,
    /// `10.1.2.3`, `192.168.0.0/16`
    Range(IpNet),
}

impl Rule {
    pub(super) fn parse(text: &str) -> Result<Self, RuleError> {
        let fault = |problem: &str| RuleError { rule: clip(text), problem: problem.to_owned() };
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(fault("it is empty; write a host such as `example.com`, or `*` for any public host"));
        }
        if trimmed.contains("://") || (trimmed.contains('/') && !trimmed.contains(|c: char| c.is_ascii_digit())) {
            return Err(fault("a rule is a host, not a URL; write only the host, for example `example.com`"));
        }
        let (left, within) = match trimmed.split_once('@') {
            None => (trimmed, None),
            Some((left, range)) => {
                let range = parse_range(range)
                    .ok_or_else(|| fault("what follows `@` is an address or a range such as `192.168.0.0/16`"))?;
                (left, Some(range))
            }
        };
        let (host, port) =
            split_port(left).ok_or_else(|| fault("the port is a number from 1 to 65535, or `*` for any"))?;

        if host == "*" {
            if within.is_some() {
                return Err(fault(
                    "`*@range` would let any name point into that range; write the names, or the range alone for plain addresses",
                ));
            }
            return Ok(Self { pattern: Pattern::AnyPublic, port });
        }
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if let Some(range) = parse_range(bare) {
            if within.is_some() {
                return Err(fault("only a name can be followed by `@range`"));
            }
            return Ok(Self { pattern: Pattern::Range(range), port });
        }
        let (below, name) = match host.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, host),
        };
        if name.contains('*') {
            return Err(fault("`*` stands alone or as the first label, for example `*.example.com`"));
        }
        let host = Host::parse(name).ok_or_else(|| fault("write a host name such as `example.com`, an address such as `127.0.0.1` or `[::1]`, a range such as `10.0.0.0/8`, or `*`"))?;
        match host {
            _ if host.is_localhost() => {
                if within.is_some() || below {
                    return Err(fault(
                        "`localhost` already means this computer, whatever the name below it; write `localhost` alone",
                    ));
                }
                Ok(Self { pattern: Pattern::Loopback, port })
            }
            Host::Name(name) => Ok(Self { pattern: Pattern::Name { name, below, within }, port }),
            Host::Address(_) if below || within.is_some() => Err(fault("an address takes neither `*.` nor `@range`")),
            Host::Address(address) => Ok(Self { pattern: Pattern::Range(IpNet::from(address)), port }),
        }
    }

    /// Whether the rule speaks of this host and port at all, before any look-up.
    pub(super) fn names(&self, target: &Target) -> bool {
        if self.port.is_some_and(|port| port != target.port()) {
            return false;
        }
        match (&self.pattern, target.host()) {
            (Pattern::AnyPublic, Host::Address(address)) => address::classify(*address) == AddressKind::Public,
            (Pattern::AnyPublic, host @ Host::Name(name)) => !host.is_localhost() && !address::is_metadata_name(name),
            (Pattern::Name { name: rule, below: false, .. }, Host::Name(name)) => rule == name,
            (Pattern::Name { name: rule, below: true, .. }, Host::Name(name)) => {
                is_below(name, rule) && !address::is_metadata_name(name)
            }
            (Pattern::Loopback, host @ Host::Name(_)) => host.is_localhost(),
            (Pattern::Loopback, Host::Address(address)) => address::classify(*address) == AddressKind::Loopback,
            (Pattern::Range(range), Host::Address(address)) => covers(range, *address),
            (Pattern::Name { .. }, Host::Address(_)) | (Pattern::Range(_), Host::Name(_)) => false,
        }
    }

    /// Whether a connection to `target` may go to `address`, which is one of the addresses of its host.
    pub(super) fn allows(&self, target: &Target, address: IpAddr) -> bool {
        self.names(target)
            && match &self.pattern {
                Pattern::AnyPublic | Pattern::Name { within: None, .. } => {
                    address::classify(address) == AddressKind::Public
                }
                Pattern::Name { within: Some(range), .. } | Pattern::Range(range) => covers(range, address),
                Pattern::Loopback => address::classify(address) == AddressKind::Loopback,
            }
    }
}

/// Whether the range takes in the address. A metadata service is reached only by a range of that one address: a
/// grant of `169.254.0.0/16` or `0.0.0.0/0` is never meant for it.
fn covers(range: &IpNet, address: IpAddr) -> bool {
    let address = address::canonical(address);
    let single = range.prefix_len() == range.max_prefix_len();
    range.contains(&address) && (single || address::classify(address) != AddressKind::CloudMetadata)
}

fn is_below(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

/// `10.0.0.0/8`, `::1`, `[fd00::/8]` without its brackets. IPv4-mapped addresses become IPv4.
fn parse_range(text: &str) -> Option<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(IpNet::from(address::canonical(address)));
    }
    text.parse::<IpNet>().ok().map(|net| net.trunc())
}

/// Splits `host`, `host:port`, `host:*`, `[v6]:port`, `[v6/len]:port` and a bare IPv6 address or range; `None` when
/// the port is not one.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if let Some(end) = text.rfind(']') {
        match text.get(end + 1..)? {
            "" => (text, None),
            rest => (text.get(..=end)?, Some(rest.strip_prefix(':')?)),
        }
    } else if text.matches(':').count() > 1 {
        (text, None) // a bare IPv6 address or range
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    match port {
        None | Some("*") => Some((host, None)),
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            let port: u16 = digits.parse().ok()?;
            (port != 0).then_some((host, Some(port)))
        }
        Some(_) => None,
    }
}
