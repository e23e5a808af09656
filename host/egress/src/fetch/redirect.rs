//! What to do with an answer that points elsewhere: a pure decision.

use http::header::{self, HeaderMap};
use http::{Method, StatusCode};
use url::Url;

use super::headers::text;
use crate::policy::clip;

/// The next request of a chain.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) url: Url,
    pub(super) method: Method,
    /// The body goes along (307, 308).
    pub(super) keeps_body: bool,
    /// Another scheme, host or port: what was meant for the first must not reach the second.
    pub(super) crosses: bool,
}

/// Where an answer leads; `None` when it is final. The error is the rest of "… were given up: ".
pub(super) fn next(method: &Method, url: &Url, status: StatusCode, headers: &HeaderMap) -> Result<Option<Hop>, String> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = headers.get(header::LOCATION) else {
        return Ok(None);
    };
    // Browsers read the bytes as UTF-8 where they can, servers often send them so.
    let location = std::str::from_utf8(location.as_bytes()).map_or_else(|_| text(location), str::to_owned);
    let mut next = url.join(&location).map_err(|_| format!("`{}` is no address", clip(&location)))?;
    if !matches!(next.scheme(), "http" | "https") {
        return Err(format!("`{}` is not an http or https address", clip(&location)));
    }
    // Credentials in an address would be sent to whoever the redirecting site likes.
    if next.set_username("").is_err() || next.set_password(None).is_err() {
        return Err(format!("`{}` has no host", clip(&location)));
    }
    if next.fragment().is_none() {
        next.set_fragment(url.fragment());
    }
    let (method, keeps_body) = match (status.as_u16(), method) {
        (303, m) if *m != Method::HEAD => (Method::GET, false),
        // Against the letter of RFC 9110 and with every browser (Fetch standard, HTTP-redirect fetch).
        (301 | 302, m) if *m == Method::POST => (Method::GET, false),
        (_, m) => (m.clone(), true),
    };
    let crosses = next.origin() != url.origin();
    Ok(Some(Hop { url: next, method, keeps_body, crosses }))
}

/// Takes out what must not go along to the next hop. `secret` names further headers that hold secrets.
pub(super) fn strip(headers: &mut HeaderMap, hop: &Hop, secret: &[String]) {
    if hop.crosses {
        for name in [header::AUTHORIZATION, header::COOKIE] {
            headers.remove(name);
        }
        for name in secret {
            headers.remove(name.as_str());
        }
    }
    if !hop.keeps_body {
        for name in [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::CONTENT_LANGUAGE, header::CONTENT_LOCATION]
        {
            headers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn hop(method: &Method, status: u16, location: &str) -> Result<Option<Hop>, String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, location.parse().unwrap());
        next(
            method,
            &Url::parse("https://a.example/dir/page#part").unwrap(),
            StatusCode::from_u16(status).unwrap(),
            &headers,
        )
    }

    #[test]
    fn the_method_follows_the_status_as_in_browsers() {
        for (method, status, then, body) in [
            (Method::POST, 301, Method::GET, false),
            (Method::POST, 302, Method::GET, false),
            (Method::POST, 303, Method::GET, false),
            (Method::PUT, 303, Method::GET, false),
            (Method::PUT, 302, Method::PUT, true),
            (Method::HEAD, 303, Method::HEAD, true),
            (Method::GET, 301, Method::GET, true),
            (Method::POST, 307, Method::POST, true),
            (Method::POST, 308, Method::POST, true),
        ] {
            let hop = hop(&method, status, "/x").unwrap().unwrap();
            assert_eq!((&hop.method, hop.keeps_body), (&then, body), "{method} {status}");
        }
        assert_eq!(hop(&Method::GET, 304, "/x"), Ok(None));
        assert_eq!(hop(&Method::GET, 300, "/x"), Ok(None));
        assert_eq!(
            next(&Method::GET, &Url::parse("http://a/").unwrap(), StatusCode::FOUND, &HeaderMap::new()),
            Ok(None)
        );
    }

    #[test]
    fn the_location_is_resolved_cleaned_and_compared_by_origin() {
        for (location, url, crosses) in [
            ("other", "https://a.example/dir/other#part", false),
            ("?q=1#new", "https://a.example/dir/page?q=1#new", false),
            ("//b.example/", "https://b.example/#part", true),
            ("http://a.example/", "http://a.example/#part", true),
            ("https://a.example:444/", "https://a.example:444/#part", true),
            ("https://A.example:443/", "https://a.example/#part", false),
            ("https://u:p@a.example/", "https://a.example/#part", false),
            ("/ünï", "https://a.example/%C3%BCn%C3%AF#part", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::LOCATION, http::HeaderValue::from_bytes(location.as_bytes()).unwrap());
            let from = Url::parse("https://a.example/dir/page#part").unwrap();
            let hop = next(&Method::GET, &from, StatusCode::FOUND, &headers).unwrap().unwrap();
            assert_eq!((hop.url.as_str(), hop.crosses), (url, crosses), "{location}");
        }
        for location in
            ["file:///etc/passwd", "javascript:alert(1)", "data:text/html,x", "http://", "gopher://127.0.0.1/"]
        {
            assert!(hop(&Method::GET, 302, location).is_err(), "{location}");
        }
    }

    #[test]
    fn secrets_stay_with_the_host_they_were_meant_for() {
        let mut headers = HeaderMap::new();
        for name in ["authorization", "cookie", "x-api-key", "accept", "content-type"] {
            headers.insert(http::HeaderName::from_static(name), "v".parse().unwrap());
        }
        let cross = hop(&Method::POST, 302, "https://b.example/").unwrap().unwrap();
        strip(&mut headers, &cross, &["X-Api-Key".to_ascii_lowercase()]);
        assert_eq!(headers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
    }
}
