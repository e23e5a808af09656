//! What every page and frame of a context is told before it runs.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::error::BrowserError;
use crate::types::{ContextOptions, ResourceKind};

/// Size of the page when its context names none: a common laptop's, so that sites show their desktop layout.
const DEFAULT_VIEWPORT: (u32, u32) = (1280, 800);

/// Largest side of a viewport, in pixels: the largest surface Chromium paints.
const VIEWPORT_MAX: u32 = 16_384;

/// Bytes of answers' bodies that a renderer keeps for whoever asks for one later: all together, and each.
const BODIES_KEPT: u64 = 32 << 20;
const BODY_KEPT: u64 = 8 << 20;

/// Headers that a context may add, and the length of each.
const HEADERS_MAX: usize = 64;
const HEADER_BYTES_MAX: usize = 8_192;

/// A command of the protocol, ready to be sent.
pub(crate) type Prepared = (Cow<'static, str>, Value);

/// The commands that turn a plain page into one of its context.
#[derive(Debug)]
pub(crate) struct Setup {
    page: Vec<Prepared>,
    overrides: Vec<Prepared>,
    frame: Vec<Prepared>,
}

impl Setup {
    /// Checks a context's options and prepares its commands. `agent` is Chromium's own `User-Agent`.
    pub(crate) fn new(options: &ContextOptions, agent: &str) -> Result<Self, BrowserError> {
        let overrides = overrides(options, agent)?;
        let attach = json!({
            "autoAttach": true, "waitForDebuggerOnStart": true, "flatten": true, "filter": [{"type": "iframe"}],
        });
        let network = json!({"maxTotalBufferSize": BODIES_KEPT, "maxResourceBufferSize": BODY_KEPT});
        let page = vec![
            ("Page.enable".into(), json!({})),
            ("Page.setLifecycleEventsEnabled".into(), json!({"enabled": true})),
            ("Network.enable".into(), network.clone()),
            ("Target.setAutoAttach".into(), attach.clone()),
            // A page that thinks itself in the background stops painting and slows its timers.
            ("Emulation.setFocusEmulationEnabled".into(), json!({"enabled": true})),
        ];
        let mut frame = vec![("Page.enable".into(), json!({})), ("Target.setAutoAttach".into(), attach)];
        if !options.headers.is_empty() {
            frame.push(("Network.enable".into(), network));
        }
        // The size belongs to the page; a frame has its parent's to live in.
        frame.extend(overrides.iter().filter(|(name, _)| name != "Emulation.setDeviceMetricsOverride").cloned());
        Ok(Self { page, overrides, frame })
    }

    /// For a new page; none of them can fail.
    pub(crate) fn page_commands(&self) -> impl Iterator<Item = Prepared> {
        self.page.iter().cloned()
    }

    /// For a new page; these fail when Chromium does not know a locale or time zone.
    pub(crate) fn override_commands(&self) -> impl Iterator<Item = Prepared> {
        self.overrides.iter().cloned()
    }

    /// For a frame in a renderer of its own.
    pub(crate) fn frame_commands(&self) -> impl Iterator<Item = Prepared> {
        self.frame.iter().cloned()
    }
}

fn overrides(options: &ContextOptions, own_agent: &str) -> Result<Vec<Prepared>, BrowserError> {
    let (width, height) = options.viewport.unwrap_or(DEFAULT_VIEWPORT);
    if !(1..=VIEWPORT_MAX).contains(&width) || !(1..=VIEWPORT_MAX).contains(&height) {
        return Err(BrowserError::Invalid(format!(
            "a viewport of {width} × {height} is out of range; each side is 1 to {VIEWPORT_MAX} pixels"
        )));
    }
    let mut list: Vec<Prepared> = vec![(
        "Emulation.setDeviceMetricsOverride".into(),
        json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}),
    )];
    if options.user_agent.is_some() || options.locale.is_some() {
        // One command sets both: the language of `navigator` and of the header comes with the agent.
        let agent = options.user_agent.as_deref().unwrap_or(own_agent);
        header_fits("user-agent", agent)?;
        let mut params = json!({"userAgent": agent});
        if let Some(locale) = &options.locale {
            header_fits("accept-language", locale)?;
            params["acceptLanguage"] = json!(locale);
        }
        list.push(("Emulation.setUserAgentOverride".into(), params));
    }
    if let Some(locale) = &options.locale {
        // This one formats dates and numbers; it wants ICU's spelling.
        list.push(("Emulation.setLocaleOverride".into(), json!({"locale": locale.replace('-', "_")})));
    }
    if let Some(zone) = &options.time_zone {
        list.push(("Emulation.setTimezoneOverride".into(), json!({"timezoneId": zone})));
    }
    let mut headers = serde_json::Map::new();
    if options.headers.len() > HEADERS_MAX {
        return Err(BrowserError::Invalid(format!(
            "{} headers are too many; a context adds at most {HEADERS_MAX}",
            options.headers.len()
        )));
    }
    for (name, value) in &options.headers {
        header_fits(name, value)?;
        headers.insert(name.clone(), json!(value));
    }
    if !headers.is_empty() {
        list.push(("Network.setExtraHTTPHeaders".into(), json!({"headers": headers})));
    }
    if !options.javascript {
        list.push(("Emulation.setScriptExecutionDisabled".into(), json!({"value": true})));
    }
    let patterns: Vec<Value> = options
        .block
        .iter()
        .flat_map(|kind| resource_types(*kind))
        .map(|kind| json!({"urlPattern": "*", "resourceType": kind, "requestStage": "Request"}))
        .collect();
    if !patterns.is_empty() {
        list.push(("Fetch.enable".into(), json!({"patterns": patterns})));
    }
    Ok(list)
}

/// Refuses what would end a header early and start another.
fn header_fits(name: &str, value: &str) -> Result<(), BrowserError> {
    let name_fits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
    let value_fits = !value.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
    if name_fits && value_fits && name.len() + value.len() <= HEADER_BYTES_MAX {
        return Ok(());
    }
    Err(BrowserError::Invalid(format!(
        "the header {:?} is malformed: a name is visible ASCII without a colon, a value is one line, both together \
         are at most {HEADER_BYTES_MAX} bytes",
        crate::eval::first_chars(name, 64)
    )))
}

/// Chromium's names for the kinds of requests.
fn resource_types(kind: ResourceKind) -> &'static [&'static str] {
    match kind {
        ResourceKind::Image => &["Image"],
        ResourceKind::Media => &["Media", "TextTrack"],
        ResourceKind::Font => &["Font"],
        ResourceKind::Stylesheet => &["Stylesheet"],
        ResourceKind::Script => &["Script"],
        ResourceKind::Other => &["EventSource", "Manifest", "SignedExchange", "Ping", "CSPViolationReport", "Other"],
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn a_header_with_a_line_feed_is_refused() {
        let options = ContextOptions { headers: vec![("x".into(), "a\r\nb: c".into())], ..ContextOptions::default() };
        assert_eq!(Setup::new(&options, "agent").unwrap_err().code(), "invalid");
    }

    #[test]
    fn a_viewport_out_of_range_is_refused() {
        for viewport in [(0, 10), (10, 0), (20_000, 10)] {
            let options = ContextOptions { viewport: Some(viewport), ..ContextOptions::default() };
            assert_eq!(Setup::new(&options, "agent").unwrap_err().code(), "invalid");
        }
    }

    #[test]
    fn requests_are_only_paused_when_a_kind_is_blocked() {
        let names = |options: &ContextOptions| -> Vec<String> {
            Setup::new(options, "agent").unwrap().override_commands().map(|(name, _)| name.into_owned()).collect()
        };
        assert!(!names(&ContextOptions::default()).contains(&"Fetch.enable".to_owned()));
        let blocking = ContextOptions { block: vec![ResourceKind::Image], ..ContextOptions::default() };
        assert!(names(&blocking).contains(&"Fetch.enable".to_owned()));
    }
}
