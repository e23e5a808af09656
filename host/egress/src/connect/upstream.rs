//! A user's own HTTP proxy between this host and the world.
//!
//! Connections to public addresses go through it by `CONNECT`, plain HTTP as well; loopback and private addresses
//! (granted ones, that is) are reached directly. By default the name is resolved and checked *here* and the proxy is
//! given the checked address, so that the policy holds beyond it. A network whose outside names only the proxy can
//! resolve needs [`UpstreamNames::Remote`]: then only the name is checked, and keeping it from leading to a private
//! address is the proxy's own business.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use url::Url;

use super::Connection;
use crate::error::{EgressError, root_cause};
use crate::policy::{Target, clip};

/// Longest head of a proxy's answer to `CONNECT`; real ones have a few hundred bytes.
const MAX_HEAD: usize = 16 * 1024;

/// Who resolves names when a proxy lies between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UpstreamNames {
    /// This host, which then gives the proxy the checked address.
    #[default]
    Local,
    /// The proxy; the connected address is not checked.
    Remote,
}

/// Whose word the proxy's address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamTrust {
    /// The operator's configuration: connected to wherever it lies.
    Operator,
    /// A plugin's: it must be among the granted hosts itself.
    Granted,
}

/// A proxy to go through. Its credentials are in no message and no debug output.
#[derive(Clone)]
pub struct Upstream {
    pub(super) target: Target,
    pub(super) names: UpstreamNames,
    pub(super) trust: UpstreamTrust,
    authorization: Option<String>,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("target", &self.target.to_string())
            .field("names", &self.names)
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}

impl Upstream {
    /// Reads `http://[user:password@]host:port`.
    ///
    /// # Errors
    /// [`EgressError::Invalid`] for any other form; the message does not repeat the credentials.
    pub fn parse(url: &str, trust: UpstreamTrust) -> Result<Self, EgressError> {
        let invalid = || {
            EgressError::Invalid("The proxy is not an address of the form `http://host:port` (user and password may stand before the host, as `user:password@`).".to_owned())
        };
        let url = Url::parse(url).map_err(|_| invalid())?;
        if url.scheme() != "http" || !matches!(url.path(), "" | "/") || url.query().is_some() {
            return Err(invalid());
        }
        let target = Target::of(&url).map_err(|_| invalid())?;
        let authorization = (!url.username().is_empty()).then(|| {
            let decoded = |text: &str| percent_decode(text);
            let pair = [decoded(url.username()), b":".to_vec(), decoded(url.password().unwrap_or(""))].concat();
            format!("Basic {}", STANDARD.encode(pair))
        });
        Ok(Self { target, names: UpstreamNames::Local, trust, authorization })
    }

    /// Who resolves names.
    #[must_use]
    pub fn names(mut self, names: UpstreamNames) -> Self {
        self.names = names;
        self
    }

    /// Asks the proxy at the other end of `stream` for a tunnel to `authority`, within `limit`.
    pub(super) async fn tunnel(
        &self,
        mut stream: Connection,
        authority: &str,
        target: &Target,
        limit: Duration,
    ) -> Result<Connection, EgressError> {
        let proxy = &self.target;
        let talk = async {
            let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
            if let Some(value) = &self.authorization {
                request.push_str("Proxy-Authorization: ");
                request.push_str(value);
                request.push_str("\r\n");
            }
            request.push_str("\r\n");
            stream.write_all(request.as_bytes()).await.map_err(|e| root_cause(&e))?;
            // Byte by byte: what follows the head already belongs to the tunnel. It is one short line in practice.
            let mut head = Vec::with_capacity(256);
            while !head.ends_with(b"\r\n\r\n") {
                if head.len() == MAX_HEAD {
                    return Err("its answer has no end".to_owned());
                }
                head.push(stream.read_u8().await.map_err(|e| root_cause(&e))?);
            }
            let line = head.split(|b| *b == b'\r').next().unwrap_or_default();
            let line = String::from_utf8_lossy(line);
            match line.split(' ').nth(1).and_then(|code| code.parse::<u16>().ok()) {
                Some(200..=299) if line.starts_with("HTTP/1.") => Ok(()),
                _ => Err(format!("it answered `{}`", clip(&line))),
            }
        };
        match timeout(limit, talk).await {
            Ok(Ok(())) => Ok(stream),
            Ok(Err(problem)) => Err(EgressError::Connect {
                target: target.to_string(),
                problem: format!("the proxy {proxy} gives no way through, {problem}"),
            }),
            Err(_) => Err(EgressError::TimedOut { what: format!("The proxy {proxy}, asked for {target},"), limit }),
        }
    }
}

fn percent_decode(text: &str) -> Vec<u8> {
    url::form_urlencoded::parse(format!("x={}", text.replace('+', "%2B")).as_bytes())
        .next()
        .map(|(_, value)| value.into_owned().into_bytes())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_proxy_is_read_from_its_url_and_hides_its_password() {
        let upstream = Upstream::parse("http://us%40er:p+ss%3Aw@proxy.lan:3128", UpstreamTrust::Operator).unwrap();
        assert_eq!(upstream.target.to_string(), "proxy.lan:3128");
        assert_eq!(
            upstream.authorization.as_deref(),
            Some(format!("Basic {}", STANDARD.encode("us@er:p+ss:w")).as_str())
        );
        assert!(!format!("{upstream:?}").contains("Basic"));
        for wrong in [
            "proxy.lan:3128",
            "https://proxy.lan",
            "socks5://proxy.lan:1",
            "http://proxy.lan/path",
            "http://secret:word@",
            "http://h:0",
        ] {
            let error = Upstream::parse(wrong, UpstreamTrust::Operator).unwrap_err();
            assert_eq!(error.code(), "invalid", "{wrong}");
            assert!(!error.to_string().contains("secret"));
        }
    }
}
