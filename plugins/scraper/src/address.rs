//! Addresses: one spelling for each page, so that no page is fetched twice.

use url::Url;

/// The longest address that is looked at. Search engines and many servers stop at about this length; what is longer
/// comes from traps that grow their own links.
pub(crate) const MAX_BYTES: usize = 2048;

/// One spelling for an address: scheme and host in lower case, default port and fragment dropped, `..` resolved.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub(crate) fn normalise(text: &str) -> Result<Url, String> {
    let text = text.trim();
    if text.len() > MAX_BYTES {
        return Err(format!("is longer than {MAX_BYTES} bytes"));
    }
    let mut url =
        Url::parse(text).map_err(|error| format!("is not a full address such as https://example.com/ ({error})"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("starts with `{}:`; only http and https are scraped", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("carries a user name or password; a secret does not belong into an address".to_owned());
    }
    url.set_fragment(None);
    Ok(url)
}

/// What counts as one host, for pacing and for staying on a site: name and port.
pub(crate) fn host(url: &Url) -> String {
    let name = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{name}:{port}"),
        None => name.to_owned(),
    }
}

/// Scheme, name and port: what one robots.txt speaks for.
pub(crate) fn origin(url: &Url) -> String {
    format!("{}://{}", url.scheme(), host(url))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_page_become_one() {
        for spelling in [
            "HTTP://Example.COM:80/a/../b?x=1#top",
            "http://example.com/b?x=1",
            " http://example.com/b?x=1#other ",
            "http://example.com:80/./b?x=1",
        ] {
            assert_eq!(normalise(spelling).unwrap().as_str(), "http://example.com/b?x=1", "{spelling}");
        }
    }

    #[test]
    fn another_query_or_port_is_another_page() {
        let plain = normalise("https://example.com/").unwrap();
        assert_ne!(plain, normalise("https://example.com/?").unwrap());
        assert_ne!(plain, normalise("https://example.com:8443/").unwrap());
        assert_eq!(host(&normalise("https://example.com:8443/a").unwrap()), "example.com:8443");
        assert_eq!(origin(&normalise("https://example.com:443/a").unwrap()), "https://example.com");
    }

    #[test]
    fn what_cannot_be_scraped_is_refused_with_the_reason() {
        assert!(normalise("/relative").unwrap_err().contains("full address"));
        assert!(normalise("file:///etc/passwd").unwrap_err().contains("only http and https"));
        assert!(normalise("mailto:a@example.com").unwrap_err().contains("only http and https"));
        assert!(normalise("https://me:word@example.com/").unwrap_err().contains("user name or password"));
        assert!(normalise(&format!("https://example.com/{}", "a".repeat(5000))).unwrap_err().contains("longer"));
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in "https?://[a-zA-Z0-9.-]{1,20}(:[0-9]{1,4})?/[ -~]{0,40}") {
            if let Ok(once) = normalise(&text) {
                prop_assert_eq!(normalise(once.as_str()).unwrap(), once);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = normalise(&text);
        }
    }
}
