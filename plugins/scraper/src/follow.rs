//! Which links are followed.

use std::collections::BTreeSet;

use url::Url;

use crate::input::Follow;
use crate::{address, glob};

/// The follow rules of one crawl, with the hosts that it may be on.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    follow: Follow,
    hosts: BTreeSet<String>,
}

impl Rules {
    pub(crate) fn new<'a>(follow: Follow, starts: impl Iterator<Item = &'a str>) -> Self {
        let hosts = starts.filter_map(|start| Url::parse(start).ok()).map(|url| address::host(&url)).collect();
        Self { follow, hosts }
    }

    /// Where on a page links are looked for; empty: everywhere.
    pub(crate) fn selector(&self) -> &str {
        self.follow.selector.as_deref().unwrap_or_default()
    }

    /// A start page ended at this address: its host belongs to the site too.
    pub(crate) fn start_ended_at(&mut self, url: &str) {
        if let Ok(url) = Url::parse(url) {
            self.hosts.insert(address::host(&url));
        }
    }

    /// Whether a page that was followed to ended outside of the site.
    pub(crate) fn left_the_site(&self, url: &str) -> bool {
        self.follow.same_host && !Url::parse(url).is_ok_and(|url| self.hosts.contains(&address::host(&url)))
    }

    /// Whether a link to this address, in its one spelling, is followed.
    pub(crate) fn allows(&self, url: &Url) -> bool {
        (!self.follow.same_host || self.hosts.contains(&address::host(url))) && self.fits(url)
    }

    /// Whether `pattern` and `exclude` let an address through.
    pub(crate) fn fits(&self, url: &Url) -> bool {
        let text = url.as_str().as_bytes();
        let fits = |pattern: &String| glob::matches(pattern.as_bytes(), text);
        self.follow.pattern.as_ref().is_none_or(fits) && !self.follow.exclude.iter().any(fits)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn rules(follow: Follow) -> Rules {
        Rules::new(follow, ["https://example.com/start"].into_iter())
    }

    fn allows(rules: &Rules, url: &str) -> bool {
        rules.allows(&address::normalise(url).unwrap())
    }

    #[test]
    fn a_crawl_stays_on_the_hosts_of_its_start_pages_and_of_where_they_redirect_to() {
        let mut rules = rules(Follow::default());
        assert!(allows(&rules, "https://example.com/a"));
        assert!(allows(&rules, "http://example.com/a"), "the scheme does not make another host");
        assert!(!allows(&rules, "https://example.com:8443/a"));
        assert!(!allows(&rules, "https://www.example.com/a"));
        rules.start_ended_at("https://www.example.com/");
        assert!(allows(&rules, "https://www.example.com/a"));
        assert!(rules.left_the_site("https://elsewhere.example/"));
    }

    #[test]
    fn pattern_and_exclude_judge_the_whole_address() {
        let rules = rules(Follow {
            same_host: false,
            pattern: Some("https://*/docs/*".into()),
            exclude: vec!["*?print=*".into()],
            ..Follow::default()
        });
        assert!(allows(&rules, "https://elsewhere.example/docs/a"));
        assert!(!allows(&rules, "https://elsewhere.example/blog/a"));
        assert!(!allows(&rules, "https://elsewhere.example/docs/a?print=1"));
        assert!(!rules.left_the_site("https://anywhere.example/"));
    }
}
