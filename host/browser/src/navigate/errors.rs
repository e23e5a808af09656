//! Chromium's network errors in the words of the contract.

use url::Url;

use crate::error::BrowserError;

/// The host of an address as it is named in messages.
fn host(url: &str) -> String {
    Url::parse(url).ok().and_then(|url| url.host_str().map(ToOwned::to_owned)).unwrap_or_else(|| "the page".to_owned())
}

/// Maps `net::ERR_…` of a navigation to `url`.
pub(crate) fn net_error(url: &str, text: &str) -> BrowserError {
    let host = host(url);
    let name = text.trim_start_matches("net::");
    match name {
        "ERR_NAME_NOT_RESOLVED" | "ERR_NAME_RESOLUTION_FAILED" | "ERR_ICANN_NAME_COLLISION" => {
            BrowserError::Dns(format!("the host name {host} could not be resolved; check its spelling and the network"))
        }
        "ERR_TOO_MANY_REDIRECTS" => {
            BrowserError::Redirects(format!("{host} redirects in a loop; the last address tried was {url}"))
        }
        _ if name.starts_with("ERR_DNS_") => {
            BrowserError::Dns(format!("the host name {host} could not be resolved ({name})"))
        }
        _ if name.starts_with("ERR_CERT_")
            || name.starts_with("ERR_SSL_")
            || name == "ERR_BAD_SSL_CLIENT_AUTH_CERT" =>
        {
            BrowserError::Tls(format!("the encrypted connection to {host} failed ({name})"))
        }
        _ if name.starts_with("ERR_BLOCKED_BY_")
            || name == "ERR_UNSAFE_PORT"
            || name == "ERR_DISALLOWED_URL_SCHEME" =>
        {
            BrowserError::Policy(format!("the browser refused to open {url} ({name})"))
        }
        "ERR_PROXY_AUTH_UNSUPPORTED" | "ERR_PROXY_AUTH_REQUESTED" => {
            BrowserError::Policy(format!("the proxy refused to connect to {host} ({name})"))
        }
        "ERR_TUNNEL_CONNECTION_FAILED" => BrowserError::Policy(format!(
            "the proxy did not connect to {host}: its rules refuse the host, or it cannot be reached"
        )),
        "ERR_INVALID_URL" => BrowserError::Invalid(format!("{url:?} is no address that a browser can open")),
        _ if name.starts_with("ERR_CONNECTION_")
            || name.starts_with("ERR_ADDRESS_")
            || name.starts_with("ERR_PROXY_")
            || name.starts_with("ERR_NETWORK_")
            || name.starts_with("ERR_INTERNET_")
            || name.starts_with("ERR_SOCKET_")
            || matches!(name, "ERR_TIMED_OUT" | "ERR_EMPTY_RESPONSE" | "ERR_SOCKS_CONNECTION_FAILED") =>
        {
            BrowserError::Connect(format!("no connection to {host} came about ({name})"))
        }
        _ => BrowserError::Failed(format!("{url} could not be opened ({name})")),
    }
}

/// An address that a page may be sent to. Files and the browser's own pages are not the web: no proxy sees them.
pub(crate) fn check_url(url: &str) -> Result<Url, BrowserError> {
    let parsed = Url::parse(url)
        .map_err(|error| BrowserError::Invalid(format!("{url:?} is no address: {error}; write it with its scheme")))?;
    match parsed.scheme() {
        "http" | "https" | "data" => Ok(parsed),
        "about" if parsed.path() == "blank" => Ok(parsed),
        scheme => Err(BrowserError::Invalid(format!(
            "addresses of the kind {scheme}: are not opened; use http, https, data or about:blank"
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn network_errors_name_the_host_and_keep_their_kind() {
        for (text, code) in [
            ("net::ERR_NAME_NOT_RESOLVED", "dns"),
            ("net::ERR_CONNECTION_REFUSED", "connect"),
            ("net::ERR_EMPTY_RESPONSE", "connect"),
            ("net::ERR_CERT_AUTHORITY_INVALID", "tls"),
            ("net::ERR_SSL_PROTOCOL_ERROR", "tls"),
            ("net::ERR_TOO_MANY_REDIRECTS", "redirects"),
            ("net::ERR_BLOCKED_BY_CLIENT", "policy"),
            ("net::ERR_UNSAFE_PORT", "policy"),
            ("net::ERR_TUNNEL_CONNECTION_FAILED", "policy"),
            ("net::ERR_FAILED", "failed"),
        ] {
            let error = net_error("http://shop.example/a", text);
            assert_eq!(error.code(), code, "{text}");
            assert!(error.to_string().contains("shop.example"), "{error}");
        }
    }

    #[test]
    fn only_the_web_is_opened() {
        for url in ["http://a/", "https://a/", "about:blank", "data:text/html,x"] {
            assert!(check_url(url).is_ok(), "{url}");
        }
        for url in ["file:///etc/passwd", "chrome://crash", "javascript:1", "view-source:http://a/", "a", ""] {
            assert_eq!(check_url(url).unwrap_err().code(), "invalid", "{url}");
        }
    }
}
