//! Which character set a body is written in, by the rules of the WHATWG (Encoding and HTML standards).
//!
//! In this order: a byte order mark; the `charset` of the content type; for HTML a `<meta>` within the first 1024
//! bytes, found by the standard's own prescan (not by a search for the word: comments, scripts' attributes and other
//! attributes do not count); for XML its declaration. When nothing says it: UTF-8 if the beginning is valid UTF-8,
//! else windows-1252, as browsers in western languages do. JSON is always UTF-8.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252, X_USER_DEFINED};

/// How far the standard has a `<meta>` searched.
const PRESCAN: usize = 1024;

/// The character set of a text, and `None` for what is no text. `start` is the beginning of the decoded body;
/// `whole`: it is all of it.
pub fn detect(content_type: Option<&str>, start: &[u8], whole: bool) -> Option<&'static Encoding> {
    if let Some((encoding, _)) = Encoding::for_bom(start) {
        return Some(encoding);
    }
    let kind = Kind::of(content_type, start)?;
    if kind == Kind::Json {
        return Some(UTF_8);
    }
    if let Some(encoding) = content_type.and_then(parameter).and_then(|label| Encoding::for_label(label.as_bytes())) {
        return Some(encoding);
    }
    let start_of = |most: usize| start.get(..most).unwrap_or(start);
    let declared = match kind {
        Kind::Html => prescan(start_of(PRESCAN)),
        Kind::Xml => Some(declaration(start_of(PRESCAN)).unwrap_or(UTF_8)),
        Kind::Text | Kind::Json => None,
    };
    declared.or_else(|| {
        let valid = Encoding::utf8_valid_up_to(start);
        // The beginning may end within a character of up to four bytes.
        let complete = valid == start.len() || (!whole && start.len() - valid < 4);
        Some(if complete { UTF_8 } else { WINDOWS_1252 })
    })
}

/// The text of a body in the character set that [`detect`] named (or any label of the Encoding standard); what
/// cannot be decoded becomes U+FFFD. A byte order mark is not part of the text.
pub fn decode(body: &[u8], charset: Option<&str>) -> String {
    let encoding = charset.and_then(|label| Encoding::for_label(label.as_bytes())).unwrap_or(UTF_8);
    encoding.decode(body).0.into_owned()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Html,
    Xml,
    Json,
    Text,
}

impl Kind {
    fn of(content_type: Option<&str>, start: &[u8]) -> Option<Self> {
        let essence = content_type
            .map(|t| t.split(';').next().unwrap_or("").trim().to_ascii_lowercase())
            .filter(|t| t.contains('/'));
        let Some(essence) = essence else {
            // No type at all: markup shows itself, anything else may be bytes.
            let text = start.trim_ascii_start();
            return match text {
                [b'<', b'?', b'x', b'm', b'l', ..] => Some(Self::Xml),
                [b'<', ..] => Some(Self::Html),
                _ => None,
            };
        };
        match essence.as_str() {
            "text/html" | "application/xhtml+xml" => Some(Self::Html),
            "text/xml" | "application/xml" => Some(Self::Xml),
            "application/json" | "text/json" | "application/x-ndjson" => Some(Self::Json),
            "application/javascript"
            | "application/x-javascript"
            | "application/ecmascript"
            | "application/x-www-form-urlencoded"
            | "application/yaml"
            | "application/csv" => Some(Self::Text),
            t if t.ends_with("+json") => Some(Self::Json),
            t if t.ends_with("+xml") => Some(Self::Xml),
            t if t.starts_with("text/") => Some(Self::Text),
            _ => None,
        }
    }
}

/// The value of `charset` in a content type, quoted or not.
fn parameter(content_type: &str) -> Option<&str> {
    content_type.split(';').skip(1).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    })
}

/// `<?xml … encoding="…"?>`
fn declaration(start: &[u8]) -> Option<&'static Encoding> {
    let rest = start.strip_prefix(b"<?xml")?;
    let end = rest.iter().position(|b| *b == b'>')?;
    let text = std::str::from_utf8(rest.get(..end)?).ok()?;
    let value = text.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let label = value.get(1..)?.split(quote).next()?;
    Encoding::for_label(label.as_bytes()).map(ascii_written)
}

/// A document whose declaration could be read in ASCII is not in UTF-16, whatever it says.
fn ascii_written(encoding: &'static Encoding) -> &'static Encoding {
    if encoding == UTF_16BE || encoding == UTF_16LE {
        UTF_8
    } else if encoding == X_USER_DEFINED {
        WINDOWS_1252
    } else {
        encoding
    }
}

/// "Prescan a byte stream to determine its encoding" of the HTML standard.
fn prescan(bytes: &[u8]) -> Option<&'static Encoding> {
    let mut scan = Scan { bytes, at: 0 };
    while scan.at < bytes.len() {
        let rest = scan.rest();
        if rest.starts_with(b"<!--") {
            // The comment's end may use the dashes of its beginning: `<!-->`.
            let from = scan.at + 2;
            let end = bytes.get(from..)?.windows(3).position(|w| w == b"-->")?;
            scan.at = from + end + 3;
        } else if starts_with_tag(rest, b"meta") {
            scan.at += 5;
            if let Some(encoding) = scan.meta() {
                return Some(encoding);
            }
            scan.at += 1;
        } else if matches!(rest, [b'<', b'/', c, ..] | [b'<', c, ..] if c.is_ascii_alphabetic()) {
            while scan.peek().is_some_and(|b| !is_space(b) && b != b'>') {
                scan.at += 1;
            }
            while scan.attribute().is_some() {}
            scan.at += 1;
        } else if matches!(rest, [b'<', b'!' | b'/' | b'?', ..]) {
            scan.at += rest.iter().position(|b| *b == b'>')? + 1;
        } else {
            scan.at += 1;
        }
    }
    None
}

fn starts_with_tag(rest: &[u8], name: &[u8]) -> bool {
    rest.first() == Some(&b'<')
        && rest.get(1..=name.len()).is_some_and(|tag| tag.eq_ignore_ascii_case(name))
        && rest.get(name.len() + 1).is_some_and(|b| is_space(*b) || *b == b'/')
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\x0c' | b'\r' | b' ')
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The attributes of a `<meta`, and what they say.
    fn meta(&mut self) -> Option<&'static Encoding> {
        let mut seen: Vec<Vec<u8>> = Vec::new();
        let (mut pragma, mut needs_pragma, mut charset) = (false, None, None);
        while let Some((name, value)) = self.attribute() {
            if seen.contains(&name) {
                continue;
            }
            match name.as_slice() {
                b"http-equiv" => pragma |= value == b"content-type",
                b"content" if charset.is_none() => {
                    if let Some(encoding) = label_in_content(&value).and_then(Encoding::for_label) {
                        charset = Some(encoding);
                        needs_pragma = Some(true);
                    }
                }
                b"charset" => {
                    charset = Encoding::for_label(&value);
                    needs_pragma = Some(false);
                }
                _ => {}
            }
            seen.push(name);
        }
        let usable = !needs_pragma? || pragma;
        charset.filter(|_| usable).map(ascii_written)
    }

    /// "Get an attribute" of the standard: name and value in lower case.
    fn attribute(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        while self.peek().is_some_and(|b| is_space(b) || b == b'/') {
            self.at += 1;
        }
        let (mut name, mut value) = (Vec::new(), Vec::new());
        if self.peek()? == b'>' {
            return None;
        }
        loop {
            match self.peek()? {
                b'=' if !name.is_empty() => {
                    self.at += 1;
                    break;
                }
                b if is_space(b) => {
                    while is_space(self.peek()?) {
                        self.at += 1;
                    }
                    if self.peek()? != b'=' {
                        return Some((name, value));
                    }
                    self.at += 1;
                    break;
                }
                b'/' | b'>' => return Some((name, value)),
                b => name.push(b.to_ascii_lowercase()),
            }
            self.at += 1;
        }
        while is_space(self.peek()?) {
            self.at += 1;
        }
        match self.peek()? {
            quote @ (b'"' | b'\'') => loop {
                self.at += 1;
                match self.peek()? {
                    b if b == quote => {
                        self.at += 1;
                        return Some((name, value));
                    }
                    b => value.push(b.to_ascii_lowercase()),
                }
            },
            _ => loop {
                match self.peek()? {
                    b if is_space(b) || b == b'>' => return Some((name, value)),
                    b => value.push(b.to_ascii_lowercase()),
                }
                self.at += 1;
            },
        }
    }
}

/// "Extracting a character encoding from a meta element": the label in `text/html; charset=label`.
fn label_in_content(content: &[u8]) -> Option<&[u8]> {
    let mut rest = content;
    loop {
        let at = rest.windows(7).position(|w| w.eq_ignore_ascii_case(b"charset"))?;
        rest = rest.get(at + 7..)?.trim_ascii_start();
        if let Some(value) = rest.strip_prefix(b"=") {
            let value = value.trim_ascii_start();
            return match value.first()? {
                quote @ (b'"' | b'\'') => {
                    let value = value.get(1..)?;
                    value.get(..value.iter().position(|b| b == quote)?)
                }
                _ => value.split(|b| is_space(*b) || *b == b';').next(),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;

    use super::*;

    fn name(content_type: Option<&str>, body: &[u8]) -> Option<&'static str> {
        detect(content_type, body, true).map(Encoding::name)
    }

    #[test]
    fn b12_the_character_set_is_found_where_the_standard_looks() {
        let html = Some("text/html");
        let table: &[(Option<&str>, &[u8], Option<&str>)] = &[
            (Some("text/html; charset=iso-8859-2"), b"<meta charset=utf-8>", Some("ISO-8859-2")),
            (Some("text/html;Charset=\"Shift_JIS\""), b"", Some("Shift_JIS")),
            (Some("text/html; charset=nonsense"), b"<meta charset=koi8-r>", Some("KOI8-R")),
            (Some("text/html; charset=iso-8859-2"), b"\xef\xbb\xbfx", Some("UTF-8")),
            (html, b"\xff\xfex\0", Some("UTF-16LE")),
            (html, b"\xfe\xff\0x", Some("UTF-16BE")),
            (html, b"<meta charset=windows-1251>", Some("windows-1251")),
            (html, b"<!doctype html><html><head><META CHARSET='euc-jp'/>", Some("EUC-JP")),
            (html, b"<meta http-equiv=Content-Type content=\"text/html; charset=gbk\">", Some("GBK")),
            (html, b"<meta content='text/html; charset = gbk' http-equiv='content-type'>", Some("GBK")),
            (html, b"<meta content='text/html; charset=gbk'>", Some("UTF-8")),
            (html, b"<!-- <meta charset=koi8-r> --><meta charset=big5>", Some("Big5")),
            (html, b"<!--><meta charset=big5>", Some("Big5")),
            (html, b"<a title='<meta charset=koi8-r>'><meta charset=big5>", Some("Big5")),
            (html, b"<metadata charset=koi8-r><meta charset=big5>", Some("Big5")),
            (html, b"<meta name=x charset=big5 charset=koi8-r>", Some("Big5")),
            (html, b"<meta charset=utf-16le>", Some("UTF-8")),
            (html, b"<meta charset=x-user-defined>", Some("windows-1252")),
            (html, b"caf\xe9", Some("windows-1252")),
            (html, "café".as_bytes(), Some("UTF-8")),
            (Some("application/xml"), b"<?xml version='1.0' encoding='iso-8859-1'?><a/>", Some("windows-1252")),
            (Some("application/rss+xml"), b"<rss/>", Some("UTF-8")),
            (Some("application/json; charset=latin1"), b"{}", Some("UTF-8")),
            (Some("text/plain"), b"caf\xe9", Some("windows-1252")),
            (Some("image/png"), b"\x89PNG", None),
            (Some("application/octet-stream"), b"text", None),
            (None, b"  <html><meta charset=koi8-r>", Some("KOI8-R")),
            (None, b"\x00\x01", None),
            (None, b"", None),
        ];
        for (content_type, body, expected) in table {
            assert_eq!(name(*content_type, body), *expected, "{content_type:?} {}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn b12_a_meta_beyond_the_first_1024_bytes_does_not_count() {
        let page = |padding: usize| format!("{}<meta charset=koi8-r>", " ".repeat(padding)).into_bytes();
        assert_eq!(name(Some("text/html"), &page(1000)), Some("KOI8-R"));
        assert_eq!(name(Some("text/html"), &page(1020)), Some("UTF-8"));
    }

    #[test]
    fn a_beginning_that_ends_within_a_character_is_still_utf_8() {
        let cut = &"ab…".as_bytes()[..4];
        assert_eq!(detect(Some("text/plain"), cut, false), Some(UTF_8));
        assert_eq!(detect(Some("text/plain"), cut, true), Some(WINDOWS_1252));
        assert_eq!(decode(b"caf\xe9", Some("windows-1252")), "café");
        assert_eq!(decode("\u{feff}café".as_bytes(), None), "café");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_prescan_panic_or_loop(soup in proptest::collection::vec(prop_oneof![
            Just(b"<meta ".to_vec()), Just(b"charset=".to_vec()), Just(b"content='".to_vec()), Just(b"<!--".to_vec()), Just(b"-->".to_vec()),
            Just(b"/>".to_vec()), Just(b"</".to_vec()), Just(b"<?".to_vec()), Just(b"\"".to_vec()), Just(b"=".to_vec()), proptest::collection::vec(any::<u8>(), 0..4),
        ], 0..80)) {
            let _ = detect(Some("text/html"), &soup.concat(), true);
            let _ = detect(Some("text/xml"), &soup.concat(), false);
        }
    }
}
