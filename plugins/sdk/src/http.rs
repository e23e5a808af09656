//! Requests over the network, to the hosts that were granted.
//!
//! ```
//! # use buddy_plugin::{http, HostError};
//! # use std::time::Duration;
//! # async fn send() -> Result<(), HostError> {
//! let response = http::post("https://api.example.com/items")
//!     .header("authorization", "Bearer {{secret:ITEMS_KEY}}")
//!     .json(&serde_json::json!({ "name": "first" }))
//!     .timeout(Duration::from_secs(20))
//!     .send()
//!     .await?;
//! if response.is_success() {
//!     let item: serde_json::Value = response.json()?;
//! }
//! # Ok(()) }
//! ```

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ArtifactId;
use crate::bindings::buddy::plugin::http as raw;
use crate::error::HostError;
use crate::host;

/// A request in the making. Secret placeholders `{{secret:NAME}}` in header values and body are filled in by the host.
#[derive(Clone, Debug)]
#[must_use = "call `send`"]
pub struct Request {
    raw: raw::Request,
    /// A body that could not be written as JSON: said by `send`, so that builders chain.
    fault: Option<HostError>,
}

/// A request with this method.
pub fn request(method: &str, url: impl Into<String>) -> Request {
    Request {
        raw: raw::Request {
            method: method.to_owned(),
            url: url.into(),
            headers: Vec::new(),
            body: None,
            timeout_ms: None,
            max_redirects: None,
            max_bytes: None,
            to_artifact: false,
            more: Vec::new(),
        },
        fault: None,
    }
}

/// A `GET` request.
pub fn get(url: impl Into<String>) -> Request {
    request("GET", url)
}

/// A `POST` request.
pub fn post(url: impl Into<String>) -> Request {
    request("POST", url)
}

impl Request {
    /// Adds a header; the same name may come more than once.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.raw.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.raw.body = Some(body.into());
        self
    }

    /// The body as JSON, with its content type.
    pub fn json<T: Serialize + ?Sized>(mut self, body: &T) -> Self {
        match serde_json::to_vec(body) {
            Ok(bytes) => self.header("content-type", "application/json").body(bytes),
            Err(error) => {
                self.fault = Some(HostError::json("the request's body cannot be written", &error));
                self
            }
        }
    }

    /// Time for the whole exchange; the host's bound when not set.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.raw.timeout_ms = Some(crate::millis(timeout));
        self
    }

    /// How many redirects are followed; 10 when not set.
    pub fn max_redirects(mut self, redirects: u32) -> Self {
        self.raw.max_redirects = Some(redirects);
        self
    }

    /// Cuts the body after so many decompressed bytes ([`Response::truncated`] tells); the plugin's bound when not set.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.raw.max_bytes = Some(bytes);
        self
    }

    /// Keeps the body as an artifact instead of handing it over.
    pub fn to_artifact(mut self) -> Self {
        self.raw.to_artifact = true;
        self
    }

    /// Sends it. Any status is an answer, not an error.
    ///
    /// # Errors
    /// The host's own: `denied`, `policy`, `dns`, `connect`, `tls`, `redirects`, `timed-out` and so on.
    pub async fn send(self) -> Result<Response, HostError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        host!("http.fetch", raw::fetch(self.raw)).map(Response::from)
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The address that answered, after redirects.
    pub url: String,
    /// In the order they came.
    pub headers: Vec<(String, String)>,
    /// Decompressed; empty if it was kept as an artifact.
    pub body: Vec<u8>,
    /// Where the body is, after [`Request::to_artifact`].
    pub artifact: Option<ArtifactId>,
    /// The body was longer than asked for.
    pub truncated: bool,
    /// The body's character set by the WHATWG rules, for text.
    pub charset: Option<String>,
}

impl From<raw::Response> for Response {
    fn from(response: raw::Response) -> Self {
        let raw::Response { status, url, headers, body, artifact, truncated, charset, more: _ } = response;
        Self { status, url, headers, body, artifact, truncated, charset }
    }
}

impl Response {
    /// 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as UTF-8; what is not becomes U+FFFD. For another [`charset`](Response::charset) decode the body.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// `invalid` for a body that is not JSON or of another shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, HostError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| HostError::json(&format!("the answer of {} cannot be read", self.url), &error))
    }
}
