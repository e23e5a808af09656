//! Options of browser calls, as builders that start from what is usual.

use std::time::Duration;

use crate::bindings::buddy::plugin::browser as raw;

use super::{Button, ResourceKind, WaitUntil};

/// How a context is set up. The default: clean, scripts on, nothing blocked.
#[derive(Clone, Debug)]
#[must_use]
pub struct ContextOptions(raw::ContextOptions);

impl Default for ContextOptions {
    fn default() -> Self {
        Self(raw::ContextOptions {
            profile: None,
            viewport: None,
            user_agent: None,
            locale: None,
            time_zone: None,
            headers: Vec::new(),
            proxy: None,
            javascript: true,
            block: Vec::new(),
            more: Vec::new(),
        })
    }
}

impl ContextOptions {
    /// Clean, scripts on, nothing blocked.
    pub fn new() -> Self {
        Self::default()
    }

    /// A named, persistent profile (cookies, storage) in place of a clean one.
    pub fn profile(mut self, name: impl Into<String>) -> Self {
        self.0.profile = Some(name.into());
        self
    }

    /// The window's inner size in CSS pixels.
    pub fn viewport(mut self, width: u32, height: u32) -> Self {
        self.0.viewport = Some((width, height));
        self
    }

    /// The user agent that pages and servers see.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.0.user_agent = Some(user_agent.into());
        self
    }

    /// For example `de-DE`.
    pub fn locale(mut self, locale: impl Into<String>) -> Self {
        self.0.locale = Some(locale.into());
        self
    }

    /// For example `Europe/Berlin`.
    pub fn time_zone(mut self, time_zone: impl Into<String>) -> Self {
        self.0.time_zone = Some(time_zone.into());
        self
    }

    /// Adds a header to every request of the context.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.headers.push((name.to_owned(), value.into()));
        self
    }

    /// A proxy for this context.
    pub fn proxy(mut self, proxy: impl Into<String>) -> Self {
        self.0.proxy = Some(proxy.into());
        self
    }

    /// Whether the pages' own scripts run. The host's calls work either way.
    pub fn javascript(mut self, on: bool) -> Self {
        self.0.javascript = on;
        self
    }

    /// Kinds of resources that are not loaded.
    pub fn block(mut self, kinds: impl IntoIterator<Item = ResourceKind>) -> Self {
        self.0.block = kinds.into_iter().collect();
        self
    }

    pub(super) fn into_raw(self) -> raw::ContextOptions {
        self.0
    }
}

/// How a page is gone to. The default: wait for `load`, 30 s, never from the page cache.
#[derive(Clone, Debug)]
#[must_use]
pub struct GotoOptions(raw::GotoOptions);

impl Default for GotoOptions {
    fn default() -> Self {
        Self(raw::GotoOptions {
            wait_until: WaitUntil::Load,
            timeout_ms: None,
            referer: None,
            max_age_ms: None,
            more: Vec::new(),
        })
    }
}

impl GotoOptions {
    /// Wait for `load`, 30 s, never from the page cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the navigation waits for.
    pub fn wait_until(mut self, wait_until: WaitUntil) -> Self {
        self.0.wait_until = wait_until;
        self
    }

    /// How long it waits. A document that is there by then is an answer with `timed_out`, not an error.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout_ms = Some(crate::millis(timeout));
        self
    }

    /// The address that the request says it comes from.
    pub fn referer(mut self, referer: impl Into<String>) -> Self {
        self.0.referer = Some(referer.into());
        self
    }

    /// Takes the page from the page cache when it is at most this old: the document as it was kept, without scripts.
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.0.max_age_ms = Some(crate::millis(max_age));
        self
    }

    pub(super) fn into_raw(self) -> raw::GotoOptions {
        self.0
    }
}

/// How an element is clicked. The default: once, with the left button, in its centre.
#[derive(Clone, Debug)]
#[must_use]
pub struct ClickOptions(raw::ClickOptions);

impl Default for ClickOptions {
    fn default() -> Self {
        Self(raw::ClickOptions { button: Button::Left, count: 1, at: None, timeout_ms: None })
    }
}

impl ClickOptions {
    /// Once, with the left button, in its centre.
    pub fn new() -> Self {
        Self::default()
    }

    /// Which button.
    pub fn button(mut self, button: Button) -> Self {
        self.0.button = button;
        self
    }

    /// 2 for a double click.
    pub fn count(mut self, count: u32) -> Self {
        self.0.count = count;
        self
    }

    /// Where, in CSS pixels from the element's top left.
    pub fn at(mut self, x: f64, y: f64) -> Self {
        self.0.at = Some((x, y));
        self
    }

    /// How long to wait for the element.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout_ms = Some(crate::millis(timeout));
        self
    }

    pub(super) fn into_raw(self) -> raw::ClickOptions {
        self.0
    }
}

/// One field of [`Page::extract`](super::Page::extract).
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Field(raw::Field);

impl Field {
    /// The text of the first match, as a person reads it.
    pub fn text(name: impl Into<String>, selector: impl Into<String>) -> Self {
        Self(raw::Field { name: name.into(), selector: selector.into(), take: None, many: false })
    }

    /// An attribute of the first match; one that holds an address (`href`, `src` and the like) as an absolute one.
    pub fn attribute(name: impl Into<String>, selector: impl Into<String>, attribute: &str) -> Self {
        Self::text(name, selector).take(format!("@{attribute}"))
    }

    /// The first match's HTML, without its own tag.
    pub fn html(name: impl Into<String>, selector: impl Into<String>) -> Self {
        Self::text(name, selector).take("html")
    }

    /// What to take, in the contract's words: `@attribute`, `html`, `outer-html`, `value`.
    pub fn take(mut self, take: impl Into<String>) -> Self {
        self.0.take = Some(take.into());
        self
    }

    /// All matches, as a list.
    pub fn many(mut self) -> Self {
        self.0.many = true;
        self
    }

    pub(super) fn into_raw(self) -> raw::Field {
        self.0
    }
}
