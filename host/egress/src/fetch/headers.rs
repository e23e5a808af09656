//! The headers of a request: which ones a plugin may write, and which are added.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::error::EgressError;
use crate::policy::clip;

/// Most headers of one request; browsers send about 20.
const MAX_HEADERS: usize = 100;
/// Most bytes of all names and values together. Common servers refuse more than 8 to 32 KiB.
const MAX_BYTES: usize = 32 * 1024;

/// What we can decode.
const ACCEPT_ENCODING: HeaderValue = HeaderValue::from_static("gzip, deflate, br, zstd");

/// Headers about the connection and the framing, which are this host's business: written by a plugin they could
/// split a request in two or speak for another host than the one that was checked.
const FORBIDDEN: [&str; 11] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "keep-alive",
    "expect",
    "http2-settings",
    "proxy-connection",
];

/// Checks the headers of a request and adds what is missing.
pub(super) fn build(headers: &[(String, String)], user_agent: &HeaderValue) -> Result<HeaderMap, EgressError> {
    if headers.len() > MAX_HEADERS {
        return Err(EgressError::Invalid(format!(
            "The request has {} headers; send at most {MAX_HEADERS}.",
            headers.len()
        )));
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > MAX_BYTES {
        return Err(EgressError::Limit { what: "The headers of the request".to_owned(), limit: MAX_BYTES as u64 });
    }
    let mut map = HeaderMap::with_capacity(headers.len() + 3);
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            EgressError::Invalid(format!("`{}` is not the name of a header; use letters, digits and `-`.", clip(name)))
        })?;
        if FORBIDDEN.contains(&name.as_str()) || name.as_str().starts_with("proxy-") {
            return Err(EgressError::Policy(format!(
                "The header `{name}` is set by the host itself and cannot be sent; leave it out."
            )));
        }
        // The value may be a secret: it stands in no message.
        let value =
            HeaderValue::from_str(value).or_else(|_| HeaderValue::from_bytes(value.as_bytes())).map_err(|_| {
                EgressError::Invalid(format!("The value of the header `{name}` holds a control character; remove it."))
            })?;
        map.append(name, value);
    }
    map.entry(header::USER_AGENT).or_insert_with(|| user_agent.clone());
    map.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    map.entry(header::ACCEPT_ENCODING).or_insert(ACCEPT_ENCODING);
    Ok(map)
}

/// Headers as text; bytes outside of ASCII are taken as Latin-1, so that none is lost.
pub(super) fn as_text(headers: &HeaderMap) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

/// One value as text.
pub(super) fn text(value: &HeaderValue) -> String {
    value.as_bytes().iter().map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn pairs(headers: &[(&str, &str)]) -> Result<HeaderMap, EgressError> {
        let headers: Vec<_> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        build(&headers, &HeaderValue::from_static("test"))
    }

    #[test]
    fn what_is_missing_is_added_and_what_is_there_stays() {
        let map = pairs(&[("Accept", "text/html"), ("X-Twice", "1"), ("x-twice", "2"), ("X-Name", "Zoë")]).unwrap();
        assert_eq!(map[header::ACCEPT], "text/html");
        assert_eq!(map[header::USER_AGENT], "test");
        assert_eq!(map[header::ACCEPT_ENCODING], ACCEPT_ENCODING);
        assert_eq!(map.get_all("x-twice").iter().count(), 2);
        assert_eq!(map["x-name"].as_bytes(), "Zoë".as_bytes());
    }

    #[test]
    fn headers_of_the_connection_are_refused_with_one_sentence() {
        for name in [
            "Host",
            "CONNECTION",
            "content-length",
            "Transfer-Encoding",
            "Proxy-Authorization",
            "proxy-anything",
            "Upgrade",
            "TE",
            "Expect",
        ] {
            let error = pairs(&[(name, "x")]).unwrap_err();
            assert_eq!(error.code(), "policy", "{name}");
            assert!(error.to_string().ends_with("leave it out."));
        }
        assert_eq!(pairs(&[("a b", "x")]).unwrap_err().code(), "invalid");
        assert_eq!(pairs(&[("", "x")]).unwrap_err().code(), "invalid");
        let split = pairs(&[("x", "secret\r\nHost: evil")]).unwrap_err();
        assert_eq!(split.code(), "invalid");
        assert!(!split.to_string().contains("secret"));
        assert_eq!(pairs(&vec![("a", "b"); MAX_HEADERS + 1]).unwrap_err().code(), "invalid");
        assert_eq!(pairs(&[("a", &"b".repeat(MAX_BYTES))]).unwrap_err().code(), "limit");
    }

    #[test]
    fn values_outside_of_ascii_are_read_as_latin_1() {
        let mut map = HeaderMap::new();
        map.insert("x", HeaderValue::from_bytes(b"caf\xe9").unwrap());
        assert_eq!(as_text(&map), [("x".to_owned(), "café".to_owned())]);
    }
}
