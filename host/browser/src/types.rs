//! The records of the browser interface of the plugin contract, as plain Rust.
//!
//! They carry the same fields as their namesakes there, so that the capability that serves a plugin only copies.
//! Artifact ids are paths here: whoever keeps artifacts moves the file.

use std::path::PathBuf;
use std::time::Duration;

/// Time a call may take when its caller names none.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// When a navigation counts as finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WaitUntil {
    /// The answer's first bytes became the page's document.
    Commit,
    /// The document is parsed.
    DomContentLoaded,
    /// The document and what it embeds are loaded.
    #[default]
    Load,
    /// Loaded, and no request open for half a second.
    NetworkIdle,
}

/// What a request fetches, for blocking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceKind {
    /// Pictures.
    Image,
    /// Audio and video.
    Media,
    /// Web fonts.
    Font,
    /// Style sheets.
    Stylesheet,
    /// Scripts.
    Script,
    /// Anything else that is not a document, for example pings, manifests and event streams.
    Other,
}

/// How a context differs from a plain one. [`Default`] is a clean context with scripts on.
#[derive(Debug, Clone, PartialEq)]
pub struct ContextOptions {
    /// A named, persistent profile; absent: a clean one that is gone with the context.
    pub profile: Option<String>,
    /// Width and height of the page in CSS pixels; absent: 1280 × 800.
    pub viewport: Option<(u32, u32)>,
    /// The `User-Agent` header and `navigator.userAgent`; absent: Chromium's own.
    pub user_agent: Option<String>,
    /// For example `de-DE`: `navigator.language`, formats and `Accept-Language`.
    pub locale: Option<String>,
    /// IANA name, for example `Europe/Berlin`.
    pub time_zone: Option<String>,
    /// Headers added to every request of the context's pages.
    pub headers: Vec<(String, String)>,
    /// The proxy all of the context's traffic takes, as `http://127.0.0.1:PORT`. Chromium has no credentials for a
    /// context's proxy, so a proxy that tells contexts apart does so by port. Absent: the pool's own proxy, if any.
    pub proxy: Option<String>,
    /// Whether pages run their scripts.
    pub javascript: bool,
    /// Kinds of requests that are refused inside the browser.
    pub block: Vec<ResourceKind>,
}

impl Default for ContextOptions {
    fn default() -> Self {
        Self {
            profile: None,
            viewport: None,
            user_agent: None,
            locale: None,
            time_zone: None,
            headers: Vec::new(),
            proxy: None,
            javascript: true,
            block: Vec::new(),
        }
    }
}

/// How to navigate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GotoOptions {
    /// When the call returns.
    pub wait_until: WaitUntil,
    /// Time for the whole call, client-side redirects included.
    pub timeout: Duration,
    /// The `Referer` header; absent: none.
    pub referer: Option<String>,
}

impl Default for GotoOptions {
    fn default() -> Self {
        Self { wait_until: WaitUntil::default(), timeout: DEFAULT_TIMEOUT, referer: None }
    }
}

/// Where a navigation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Navigation {
    /// The page's address after redirects by server and by script.
    pub url: String,
    /// Status of the document's answer; absent for addresses without one, such as `about:blank`.
    pub status: Option<u16>,
    /// `wait_until` was not reached in time, but there is a document to work with.
    pub timed_out: bool,
    /// The navigation turned into a download. The page still shows its former document.
    pub download: Option<Download>,
    /// Headers of the document's answer, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Redirects by script or meta refresh that were followed.
    pub client_redirects: u32,
}

/// A file the browser kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// Where it lies, until the page closes or goes to `about:blank`: move it before.
    pub path: PathBuf,
    /// The name the site suggests. Never a path, but chosen by the site: do not use it as one unchecked.
    pub suggested_name: String,
    /// Its address.
    pub url: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A cookie of a context.
#[derive(Debug, Clone, PartialEq)]
pub struct Cookie {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The host it belongs to, with a leading dot when subdomains see it too.
    pub domain: String,
    /// The path it belongs to.
    pub path: String,
    /// Seconds since 1970; absent: with the session.
    pub expires: Option<f64>,
    /// Not to be seen by scripts.
    pub http_only: bool,
    /// Only over encrypted connections.
    pub secure: bool,
    /// `Strict`, `Lax` or `None`.
    pub same_site: Option<String>,
}

/// A dialog that a page opened, and how policy answered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialog {
    /// `alert`, `confirm`, `prompt` or `beforeunload`.
    pub kind: String,
    /// Its text, cut at 4 KiB.
    pub message: String,
    /// `accepted` or `dismissed`.
    pub answered: String,
}

/// A rectangle in CSS pixels from the top left of the document.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rect {
    /// Left edge.
    pub x: f64,
    /// Top edge.
    pub y: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
}

/// What a screenshot shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Picture {
    /// What is in the viewport.
    Viewport,
    /// The whole document, at most 16,384 pixels high: the largest surface Chromium paints.
    FullPage,
    /// A part of the document.
    Clip(Rect),
}

/// A document as HTML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Html {
    /// The text, its document type first.
    pub text: String,
    /// Whether the bound cut it.
    pub truncated: bool,
}

/// A request's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// Its address, the last one after redirects.
    pub url: String,
    /// Its status.
    pub status: u16,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body, decoded.
    pub body: bytes::Bytes,
}
