//! The HTTP client of the `http` capability.
//!
//! [`Fetcher::fetch`] sends one request for the holder of a [`Grant`] and follows its redirects; each hop is a new
//! request that is checked, paced and connected like the first. [`Fetcher::fetch_to`] writes the body to a sink
//! instead of handing it over.
//!
//! * **Time**: one limit for the whole: waiting for the host's turn, look-up, connection, every hop, the body.
//! * **Size**: of the *decompressed* body; beyond it the body is cut and flagged, or the request fails, as asked.
//! * **Redirects**: at most 10 unless said otherwise (0: the redirect itself is the answer); the same request twice
//!   is a loop and fails at once; credentials, cookies and headers that hold secrets stay with the origin they were
//!   meant for.
//! * **Pace**: [`PacingOptions`], for each host, over all callers. A 429 or 503 with `Retry-After` is handed to the
//!   caller like any answer; the next requests to that host wait for its moment.
//! * **Connections** are kept and reused for 15 s, never across grants.
//!
//! When it fails, [`EgressError`] says why. A request that failed may have reached its server all the same, as with
//! any client; whoever sends what must not happen twice gives it an idempotency key.

mod body;
mod charset;
mod headers;
mod pacing;
mod redirect;
mod retry_after;
mod transport;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use tokio::io::AsyncWrite;
use tokio::time::{Instant, timeout_at};
use url::Url;

pub use charset::{decode, detect};
pub use pacing::PacingOptions;

use crate::connect::{Egress, Grant};
use crate::error::EgressError;
use crate::policy::{Target, clip};
use body::PumpError;
use pacing::Pacing;
use transport::{Answer, Prepared, Transport};

/// Longest address; the longest that common servers take is 8 KiB.
const MAX_URL: usize = 16 * 1024;
/// Most redirects that a request may ask for; the Fetch standard's own bound.
const MAX_REDIRECTS: u32 = 20;

/// Bounds and habits of a [`Fetcher`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FetchOptions {
    /// Limit of a request that names none.
    pub timeout: Duration,
    /// Longest limit that a request may name: large downloads take minutes, not hours.
    pub max_timeout: Duration,
    /// Bound on a body, in decompressed bytes, of a request that names none.
    pub max_bytes: u64,
    /// Highest bound that a request may name when the body is handed over: it is held in memory.
    pub max_bytes_in_memory: u64,
    /// Highest bound that a request may name when the body goes to a sink.
    pub max_bytes_to_sink: u64,
    /// Largest body of a request.
    pub max_request_body: u64,
    /// Redirects followed by a request that does not say.
    pub max_redirects: u32,
    /// `User-Agent` of a request that has none.
    pub user_agent: HeaderValue,
    /// How each host is treated.
    pub pacing: PacingOptions,
    /// Certificates trusted beside Mozilla's list: a company's own, or a test's.
    pub extra_roots: Vec<CertificateDer<'static>>,
}

impl Default for FetchOptions {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            timeout: Duration::from_secs(30),
            max_timeout: Duration::from_mins(15),
            max_bytes: 16 * MIB,
            max_bytes_in_memory: 64 * MIB,
            max_bytes_to_sink: 4 * 1024 * MIB,
            max_request_body: 32 * MIB,
            max_redirects: 10,
            user_agent: HeaderValue::from_static(concat!("buddy-host/", env!("CARGO_PKG_VERSION"))),
            pacing: PacingOptions::default(),
            extra_roots: Vec::new(),
        }
    }
}

/// What happens to a body above its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OverBound {
    /// It is cut there and [`FetchResponse::truncated`] is set.
    #[default]
    Truncate,
    /// The request fails with `limit`.
    Fail,
}

/// A request, as a plugin writes it. Secrets are filled in already.
#[derive(Debug, Clone, Default)]
pub struct FetchRequest {
    /// `GET`, `POST`, …; empty means `GET`.
    pub method: String,
    /// An absolute `http` or `https` address without credentials.
    pub url: String,
    /// Headers in their order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Bytes>,
    /// Limit for the whole; [`FetchOptions::timeout`] when absent.
    pub timeout: Option<Duration>,
    /// Most redirects; 0 hands over the redirect itself.
    pub max_redirects: Option<u32>,
    /// Bound on the decompressed body.
    pub max_bytes: Option<u64>,
    /// What happens above the bound.
    pub over_bound: OverBound,
    /// Names of headers that hold a secret, beside `Authorization` and `Cookie`: dropped when a redirect leads to
    /// another origin.
    pub secret_headers: Vec<String>,
    /// The body holds a secret: a redirect that would carry it to another origin is refused.
    pub secret_body: bool,
}

/// An answer, of whatever status.
#[derive(Debug, Clone)]
pub struct FetchResponse {
    /// The status code.
    pub status: u16,
    /// The address that answered, after redirects.
    pub url: String,
    /// Headers in their order, names in lower case. Those of a compression that was undone are left out.
    pub headers: Vec<(String, String)>,
    /// The decompressed body; empty when it went to a sink.
    pub body: Bytes,
    /// Decompressed bytes of the body, wherever they went.
    pub bytes: u64,
    /// The body was longer than its bound.
    pub truncated: bool,
    /// The character set of a text, by the name that the Encoding standard gives it.
    pub charset: Option<String>,
    /// How many redirects were followed.
    pub redirects: u32,
    /// How long the server of a 429 or 503 wants to be left alone.
    pub retry_after: Option<Duration>,
}

/// The client. Cheap to clone; clones share connections and pace.
#[derive(Clone)]
pub struct Fetcher {
    transport: Transport,
    pacing: Arc<Pacing>,
    options: Arc<FetchOptions>,
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Fetcher {
    /// A client that connects through `egress`.
    ///
    /// # Errors
    /// [`EgressError::Invalid`] when one of [`FetchOptions::extra_roots`] is no certificate.
    pub fn new(egress: Egress, options: FetchOptions) -> Result<Self, EgressError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for certificate in &options.extra_roots {
            roots.add(certificate.clone()).map_err(|error| {
                EgressError::Invalid(format!("An additional root certificate cannot be used: {error}."))
            })?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| EgressError::Invalid(format!("TLS cannot be set up: {error}.")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let pacing = Arc::new(Pacing::new(options.pacing.clone()));
        Ok(Self { transport: Transport::new(egress, tls), pacing, options: Arc::new(options) })
    }

    /// Sends a request and hands over its answer with the body.
    ///
    /// # Errors
    /// See [`EgressError`]. An answer of status 400 and above is an answer.
    pub async fn fetch(&self, grant: &Grant, request: FetchRequest) -> Result<FetchResponse, EgressError> {
        let most = request.max_bytes.unwrap_or(self.options.max_bytes).min(self.options.max_bytes_in_memory);
        let mut body = Vec::new();
        let mut response = self.run(grant, request, most, &mut body).await?;
        response.body = body.into();
        Ok(response)
    }

    /// Sends a request and writes the body of its answer to `sink`, which is flushed. After an error the sink may
    /// hold the beginning of the body.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch); `failed` when the sink does not take the body.
    pub async fn fetch_to(
        &self,
        grant: &Grant,
        request: FetchRequest,
        sink: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<FetchResponse, EgressError> {
        let most = request.max_bytes.unwrap_or(self.options.max_bytes).min(self.options.max_bytes_to_sink);
        self.run(grant, request, most, sink).await
    }

    async fn run(
        &self,
        grant: &Grant,
        request: FetchRequest,
        most: u64,
        sink: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<FetchResponse, EgressError> {
        let limit = request.timeout.unwrap_or(self.options.timeout).min(self.options.max_timeout);
        let deadline = Instant::now() + limit;
        let prepared = self.prepare(&request)?;
        let what = format!("{} {}", prepared.method, clip(&prepared.url[..url::Position::AfterPath]));
        match timeout_at(deadline, self.follow(grant, request, prepared, deadline, most, sink)).await {
            Ok(result) => result,
            Err(_) => Err(EgressError::TimedOut { what, limit }),
        }
    }

    /// Checks a request before anything is done for it.
    fn prepare(&self, request: &FetchRequest) -> Result<Prepared, EgressError> {
        let method = match request.method.as_str() {
            "" => Method::GET,
            text => Method::from_bytes(text.to_ascii_uppercase().as_bytes())
                .map_err(|_| EgressError::Invalid(format!("`{}` is not an HTTP method.", clip(text))))?,
        };
        if matches!(method.as_str(), "CONNECT" | "TRACE" | "TRACK") {
            return Err(EgressError::Policy(format!(
                "The method {method} is not sent by this host; use GET, POST or another one that addresses a resource."
            )));
        }
        if request.url.len() > MAX_URL {
            return Err(EgressError::Limit { what: "The address of the request".to_owned(), limit: MAX_URL as u64 });
        }
        let url = Url::parse(&request.url)
            .map_err(|error| EgressError::Invalid(format!("`{}` is not an address: {error}.", clip(&request.url))))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(EgressError::Invalid(format!(
                "The scheme `{}:` is not supported; use an http or https address.",
                clip(url.scheme())
            )));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EgressError::Invalid(
                "The address holds credentials; send them in an `Authorization` header.".to_owned(),
            ));
        }
        if request.body.as_ref().is_some_and(|body| body.len() as u64 > self.options.max_request_body) {
            return Err(EgressError::Limit {
                what: "The body of the request".to_owned(),
                limit: self.options.max_request_body,
            });
        }
        if request.body.is_some() && matches!(method, Method::GET | Method::HEAD) {
            return Err(EgressError::Invalid(format!(
                "A {method} request carries no body; use POST, or put the values into the address."
            )));
        }
        let headers = headers::build(&request.headers, &self.options.user_agent)?;
        Ok(Prepared { method, url, headers, body: request.body.clone() })
    }

    async fn follow(
        &self,
        grant: &Grant,
        request: FetchRequest,
        mut current: Prepared,
        deadline: Instant,
        most: u64,
        sink: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<FetchResponse, EgressError> {
        let first = current.url.clone();
        let given_up = |problem: String| EgressError::Redirects { url: clip(first.as_str()), problem };
        let most_hops = request.max_redirects.unwrap_or(self.options.max_redirects).min(MAX_REDIRECTS);
        let mut visited = vec![(current.method.clone(), current.url.clone())];
        let mut hops = 0;
        loop {
            let target = Target::of(&current.url)?;
            // Before the wait for the host's turn: a refusal is known at once.
            grant.rules().check_host(&target).map_err(|denied| grant.refuse(denied))?;
            let place = self.pacing.enter(&target, deadline).await?;
            let Answer { response, lease } = self.transport.send(grant, &target, &current).await?;
            let (head, incoming) = response.into_parts();
            let retry_after = retry_after::delay(head.status, &head.headers, SystemTime::now());
            if let Some(delay) = retry_after {
                self.pacing.hold(&target, delay);
            }
            let hop = if most_hops == 0 {
                None
            } else {
                redirect::next(&current.method, &current.url, head.status, &head.headers).map_err(given_up)?
            };
            let Some(hop) = hop else {
                return self
                    .finish(
                        Finish {
                            request: &request,
                            current: &current,
                            target: &target,
                            status: head.status,
                            headers: head.headers,
                            hops,
                            retry_after,
                            most,
                        },
                        incoming,
                        lease,
                        sink,
                    )
                    .await;
            };
            if body::drain(incoming).await {
                self.transport.keep(lease);
            }
            drop(place);

            if hops == most_hops {
                return Err(given_up(format!("there are more than {most_hops}")));
            }
            if hop.crosses && hop.keeps_body && request.secret_body && current.body.is_some() {
                return Err(given_up(format!(
                    "{} would receive a body that holds a secret",
                    hop.url.origin().ascii_serialization()
                )));
            }
            redirect::strip(&mut current.headers, &hop, &request.secret_headers);
            if !hop.keeps_body {
                current.body = None;
            }
            current.method = hop.method;
            current.url = hop.url;
            // This client keeps no cookies, so the same request gets the same answer.
            let step = (current.method.clone(), current.url.clone());
            if visited.contains(&step) {
                return Err(given_up(format!("they come back to {}", clip(step.1.as_str()))));
            }
            visited.push(step);
            hops += 1;
        }
    }

    async fn finish(
        &self,
        end: Finish<'_>,
        incoming: hyper::body::Incoming,
        lease: transport::Lease,
        sink: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<FetchResponse, EgressError> {
        let Finish { request, current, target, status, mut headers, hops, retry_after, most } = end;
        let bodiless =
            current.method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let codings = if bodiless { Vec::new() } else { body::codings(&headers, target)?.unwrap_or_default() };
        let fail = |error: PumpError| body::failure(&error, target);
        let mut reader = body::reader(incoming, &codings).await.map_err(PumpError::Read).map_err(fail)?;
        let taken = body::pump(&mut *reader, sink, most).await.map_err(fail)?;
        drop(reader);
        if taken.truncated {
            if request.over_bound == OverBound::Fail {
                return Err(EgressError::Limit {
                    what: format!("The body of {}", clip(current.url.as_str())),
                    limit: most,
                });
            }
        } else {
            self.transport.keep(lease);
        }
        let content_type = headers.get(header::CONTENT_TYPE).map(headers::text);
        let charset = if bodiless {
            None
        } else {
            charset::detect(
                content_type.as_deref(),
                &taken.start,
                taken.bytes == taken.start.len() as u64 && !taken.truncated,
            )
        };
        if !codings.is_empty() {
            headers.remove(header::CONTENT_ENCODING);
            headers.remove(header::CONTENT_LENGTH);
        }
        Ok(FetchResponse {
            status: status.as_u16(),
            url: current.url.to_string(),
            headers: headers::as_text(&headers),
            body: Bytes::new(),
            bytes: taken.bytes,
            truncated: taken.truncated,
            charset: charset.map(|encoding| encoding.name().to_owned()),
            redirects: hops,
            retry_after,
        })
    }
}

/// What is known when the last answer's body is about to be read.
struct Finish<'a> {
    request: &'a FetchRequest,
    current: &'a Prepared,
    target: &'a Target,
    status: StatusCode,
    headers: HeaderMap,
    hops: u32,
    retry_after: Option<Duration>,
    most: u64,
}
