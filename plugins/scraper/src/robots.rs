//! robots.txt by RFC 9309.
//!
//! The group of our own product token counts, else the one for `*`; several groups for one token count together. Of the
//! rules that match a path the longest decides, and *allow* wins a tie. `Crawl-delay` and `Sitemap` are no part of the
//! RFC and are passed over: pacing is the task's `per_host_delay_ms`.
//!
//! A file that is not there (status 400 to 499, or redirects without end) allows everything. One that cannot be reached
//! (status 500 to 599, no connection) forbids everything, because nobody knows what it would say.

use std::fmt::Write as _;

use buddy_plugin::serde::{Deserialize, Serialize};

use crate::glob;

/// The product token that robots.txt can address this plugin by.
pub(crate) const TOKEN: &str = "buddy-scraper";
/// The RFC asks for at least 500 KiB; what lies behind is not read.
pub(crate) const MAX_BYTES: usize = 500 * 1024;
/// Rules that are kept. Each is tried on each address, so their number is the price of a page.
const MAX_RULES: usize = 5_000;

/// The rules that a site has for us.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "buddy_plugin::serde")]
pub(crate) struct Robots {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "buddy_plugin::serde")]
struct Rule {
    allow: bool,
    /// In the comparable form, without a closing `$`.
    path: String,
    /// Matches the whole path and not only its beginning.
    whole: bool,
}

impl Robots {
    /// Reads a file for our token. Lines that mean nothing are passed over, as the RFC asks; this never fails.
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (mut ours, mut anyones) = (Vec::new(), Vec::new());
        let mut we_are_named = false;
        // Whom the lines being read are for, and whether a rule has closed the list of names.
        let (mut for_us, mut for_anyone, mut in_rules) = (false, false, false);
        for line in text.split(['\n', '\r']) {
            let line = line.split('#').next().unwrap_or_default();
            let Some((key, value)) = line.split_once(':') else {
                continue;
            };
            let (key, value) = (key.trim(), value.trim());
            if key.eq_ignore_ascii_case("user-agent") {
                if in_rules {
                    (for_us, for_anyone, in_rules) = (false, false, false);
                }
                for_anyone |= value == "*";
                for_us |= is_our_token(value);
                we_are_named |= for_us;
            } else if key.eq_ignore_ascii_case("allow") || key.eq_ignore_ascii_case("disallow") {
                in_rules = true;
                let Some(rule) = Rule::new(key.eq_ignore_ascii_case("allow"), value) else {
                    continue;
                };
                if for_us && ours.len() < MAX_RULES {
                    ours.push(rule.clone());
                }
                if for_anyone && anyones.len() < MAX_RULES {
                    anyones.push(rule);
                }
            }
        }
        Self { rules: if we_are_named { ours } else { anyones } }
    }

    /// Whether a page may be fetched, by its path and query.
    pub(crate) fn allows(&self, path_and_query: &str) -> bool {
        let path = comparable(path_and_query);
        if path == "/robots.txt" {
            return true;
        }
        self.rules
            .iter()
            .filter(|rule| rule.matches(&path))
            .max_by_key(|rule| (rule.path.len() + usize::from(rule.whole), rule.allow))
            .is_none_or(|rule| rule.allow)
    }
}

impl Rule {
    /// `None` for a rule without a path, which says nothing.
    fn new(allow: bool, pattern: &str) -> Option<Self> {
        let (path, whole) = match pattern.strip_suffix('$') {
            Some(path) => (path, true),
            None => (pattern, false),
        };
        (!path.is_empty()).then(|| Self { allow, path: comparable(path), whole })
    }

    fn matches(&self, path: &str) -> bool {
        if self.whole {
            return glob::matches(self.path.as_bytes(), path.as_bytes());
        }
        if !self.path.contains('*') {
            return path.starts_with(&self.path);
        }
        glob::matches(format!("{}*", self.path).as_bytes(), path.as_bytes())
    }
}

/// A name may come with a version behind it, which does not count.
fn is_our_token(value: &str) -> bool {
    let end = value.find(|c: char| !(c.is_ascii_alphabetic() || matches!(c, '-' | '_'))).unwrap_or(value.len());
    value[..end].eq_ignore_ascii_case(TOKEN)
}

/// One spelling for paths, by RFC 9309 §2.2.2: what needs no escape is unescaped, everything beyond ASCII is escaped,
/// escapes are in upper case.
fn comparable(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut out = String::with_capacity(path.len());
    let mut i = 0;
    while i < bytes.len() {
        let escaped = (bytes[i] == b'%')
            .then(|| bytes.get(i + 1..i + 3))
            .flatten()
            .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        let (byte, width) = match escaped {
            Some(byte) => (byte, 3),
            None => (bytes[i], 1),
        };
        let unreserved = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        if unreserved || (escaped.is_none() && byte.is_ascii_graphic()) {
            out.push(char::from(byte));
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        i += width;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn allows(robots: &str, path: &str) -> bool {
        Robots::parse(robots).allows(path)
    }

    #[test]
    fn without_a_rule_everything_is_allowed() {
        assert!(allows("", "/a"));
        assert!(allows("User-agent: *\nDisallow:\n", "/a"));
        assert!(allows("Disallow: /\n", "/a"), "a rule without a group is for nobody");
    }

    #[test]
    fn the_longest_rule_decides_and_allow_wins_a_tie() {
        let robots = "User-agent: *\nDisallow: /a\nAllow: /a/b\nAllow: /t\nDisallow: /t\n";
        assert!(!allows(robots, "/a/c"));
        assert!(allows(robots, "/a/b/c"));
        assert!(allows(robots, "/t"));
    }

    #[test]
    fn our_own_group_counts_alone_and_all_of_its_parts_together() {
        let robots = "User-agent: *\nDisallow: /\n\nUser-Agent: Buddy-Scraper/2.0\nDisallow: /x\n\n\
                      User-agent: other\nDisallow: /o\n\nuser-agent: buddy-scraper\nDisallow: /y\n";
        assert!(allows(robots, "/a"));
        assert!(!allows(robots, "/x"));
        assert!(!allows(robots, "/y"));
        assert!(allows(robots, "/o"));
    }

    #[test]
    fn an_own_group_without_rules_allows_what_the_group_for_all_forbids() {
        assert!(allows("User-agent: *\nDisallow: /\nUser-agent: buddy-scraper\nDisallow:\n", "/a"));
    }

    #[test]
    fn several_names_share_the_rules_below_them() {
        let robots = "User-agent: one\nUser-agent: buddy-scraper\nSitemap: /s.xml\nUser-agent: two\nDisallow: /d\n";
        assert!(!allows(robots, "/d"));
    }

    #[test]
    fn stars_and_the_end_sign_are_understood() {
        let robots = "User-agent: *\nDisallow: /*.gif$\nDisallow: /p*q\nDisallow: /only$\n";
        assert!(!allows(robots, "/pictures/a.gif"));
        assert!(allows(robots, "/pictures/a.gif?x"));
        assert!(!allows(robots, "/pxxq/more"));
        assert!(!allows(robots, "/only"));
        assert!(allows(robots, "/only/not"));
    }

    #[test]
    fn paths_are_compared_whatever_their_escapes() {
        assert!(!allows("User-agent: *\nDisallow: /a/ツ\n", "/a/%E3%83%84"));
        assert!(!allows("User-agent: *\nDisallow: /%7ejoe/\n", "/~joe/index.html"));
        assert!(allows("User-agent: *\nDisallow: /a%2fb\n", "/a/b"), "an escaped slash is no slash");
        assert!(!allows("User-agent: *\nDisallow: /a%2fb\n", "/a%2Fb"));
    }

    #[test]
    fn comments_line_ends_and_a_byte_order_mark_do_no_harm() {
        assert!(!allows("\u{feff}User-agent: * # all\r\nDisallow: /a # not this\rAllow: /a/b", "/a"));
    }

    #[test]
    fn the_file_itself_is_always_allowed() {
        assert!(allows("User-agent: *\nDisallow: /\n", "/robots.txt"));
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(text in any::<String>(), path in any::<String>()) {
            let _ = allows(&text, &path);
        }

        #[test]
        fn forbidding_all_forbids_every_page(path in "/[!-~]{1,30}") {
            prop_assume!(path != "/robots.txt");
            prop_assert!(!allows("User-agent: *\nDisallow: /\n", &path));
        }
    }
}
