//! Where a connection is meant to go, in one spelling.
//!
//! An address can be written in many ways (`0x7f.1`, `2130706433`, `127.1`, `%31%32%37.0.0.1`, `LOCALHOST.`, full
//! width letters). [`Target`] holds the one form that all of them mean, by the WHATWG URL rules that browsers use,
//! so that a rule is compared with what is really connected to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::Url;

use super::address;
use crate::error::EgressError;

/// The longest host name that DNS can carry.
const MAX_NAME: usize = 253;

/// The host of a target: a name in lower-case ASCII without a trailing dot, or an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A name to be resolved; internationalised labels in their `xn--` form.
    Name(String),
    /// An address literal. IPv4-mapped IPv6 literals are held as the IPv4 address.
    Address(IpAddr),
}

/// A host and a port: what a caller asks to be connected with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    host: Host,
    port: u16,
}

impl Target {
    /// Reads a host as it stands in a URL or in `CONNECT host:port` (IPv6 with or without brackets).
    ///
    /// # Errors
    /// [`EgressError::Invalid`] when it is no host, or the port is 0.
    pub fn new(host: &str, port: u16) -> Result<Self, EgressError> {
        let host = Host::parse(host)
            .ok_or_else(|| EgressError::Invalid(format!("`{}` is not a host name or an address.", clip(host))))?;
        Self::with(host, port)
    }

    /// The host and port of an `http`, `https`, `ws` or `wss` URL, with the scheme's own port when none is written.
    ///
    /// # Errors
    /// [`EgressError::Invalid`] for a URL of another scheme or without a host.
    pub fn of(url: &Url) -> Result<Self, EgressError> {
        if !matches!(url.scheme(), "http" | "https" | "ws" | "wss") {
            return Err(EgressError::Invalid(format!(
                "The scheme `{}:` is not supported; use an http or https address.",
                url.scheme()
            )));
        }
        let port = url.port_or_known_default().unwrap_or(0);
        let host = match url.host() {
            Some(url::Host::Domain(name)) => Host::name(name),
            Some(url::Host::Ipv4(v4)) => Some(Host::Address(v4.into())),
            Some(url::Host::Ipv6(v6)) => Some(Host::Address(address::canonical(v6.into()))),
            None => None,
        };
        let host = host.ok_or_else(|| EgressError::Invalid(format!("`{}` has no usable host.", clip(url.as_str()))))?;
        Self::with(host, port)
    }

    fn with(host: Host, port: u16) -> Result<Self, EgressError> {
        if port == 0 {
            return Err(EgressError::Invalid("Port 0 cannot be connected to; name a port from 1 to 65535.".to_owned()));
        }
        Ok(Self { host, port })
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port, 1 to 65535.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The addresses that are known without a look-up: of a literal, and of `localhost` (RFC 6761: never asked of
    /// a name server, so that no server can point it elsewhere).
    pub(crate) fn known_addresses(&self) -> Option<Vec<IpAddr>> {
        match &self.host {
            Host::Address(address) => Some(vec![*address]),
            Host::Name(_) if self.host.is_localhost() => {
                Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])
            }
            Host::Name(_) => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Host {
    /// As in a URL: IPv6 in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V6(v6)) => write!(f, "[{v6}]"),
            Self::Address(IpAddr::V4(v4)) => write!(f, "{v4}"),
        }
    }
}

impl Host {
    /// Reads any notation of a host; `None` when it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Ok(v6) = text.parse::<Ipv6Addr>() {
            return Some(Self::Address(address::canonical(v6.into())));
        }
        match url::Host::parse(text).ok()? {
            url::Host::Domain(name) => Self::name(&name),
            url::Host::Ipv4(v4) => Some(Self::Address(v4.into())),
            url::Host::Ipv6(v6) => Some(Self::Address(address::canonical(v6.into()))),
        }
    }

    /// A name that the `url` crate has already brought into ASCII and lower case.
    fn name(name: &str) -> Option<Self> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let labels_fit = name.split('.').all(|label| !label.is_empty() && label.len() <= 63);
        (!name.is_empty() && name.len() <= MAX_NAME && labels_fit).then(|| Self::Name(name.to_owned()))
    }

    /// `localhost` and every name below it.
    pub(super) fn is_localhost(&self) -> bool {
        matches!(self, Self::Name(name) if name == "localhost" || name.ends_with(".localhost"))
    }
}

/// Foreign text in a message: bounded, and on one line.
pub(crate) fn clip(text: &str) -> String {
    const MOST: usize = 120; // enough to recognise an address, short enough for one line of a log
    let mut out: String = text.chars().take(MOST).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(MOST).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn every_notation_of_an_address_is_read_as_that_address() {
        for text in [
            "127.0.0.1",
            "127.0.0.1.",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0x7F.0x0.0x0.0x1",
            "017700000001",
            "0177.0.0.1",
            "0177.0.0.01",
            "%31%32%37.0.0.1",
            "127.0.0.%31",
            "１２７.０.０.１",
            "127。0。0。1",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "::ffff:127.0.0.1",
            "[0:0:0:0:0:ffff:7f00:0001]",
        ] {
            let target = Target::new(text, 80).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(target.host(), &Host::Address(Ipv4Addr::LOCALHOST.into()), "{text}");
        }
    }

    #[test]
    fn names_lose_case_trailing_dot_and_foreign_letters() {
        for (text, name) in [
            ("EXAMPLE.com", "example.com"),
            ("example.com.", "example.com"),
            ("ex%61mple.com", "example.com"),
            ("ｅｘａｍｐｌｅ.com", "example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("LOCALHOST.", "localhost"),
            ("exa\u{ad}mple.com", "example.com"),
        ] {
            assert_eq!(Target::new(text, 80).unwrap().host(), &Host::Name(name.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused_with_a_sentence() {
        for text in [
            "",
            ".",
            "..",
            "a..b",
            "a b",
            "exa mple",
            "a/b",
            "a@b",
            "a:b",
            "[::1",
            "1.2.3.4.5",
            "256.1.1.1",
            "[fe80::1%25eth0]",
            "a\0b",
            &"a".repeat(64),
            &"a.".repeat(200),
        ] {
            let error = Target::new(text, 80).expect_err(text);
            assert_eq!(error.code(), "invalid", "{text}");
        }
        assert_eq!(Target::new("example.com", 0).unwrap_err().code(), "invalid");
        assert_eq!(Target::of(&Url::parse("file:///etc/passwd").unwrap()).unwrap_err().code(), "invalid");
    }

    #[test]
    fn localhost_is_loopback_without_a_look_up() {
        for name in ["localhost", "LOCALHOST.", "a.localhost"] {
            let addresses = Target::new(name, 80).unwrap().known_addresses().unwrap();
            assert!(addresses.iter().all(IpAddr::is_loopback), "{name}");
        }
        assert_eq!(Target::new("notlocalhost", 80).unwrap().known_addresses(), None);
    }
}
