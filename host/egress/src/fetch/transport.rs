//! One request over one connection: TLS, HTTP/1.1 or HTTP/2, and the reuse of what is idle.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, Uri, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::connect::{Egress, Grant};
use crate::error::{EgressError, root_cause};
use crate::policy::{Host, Target};
use crate::pool::{IdlePool, Reusable};

/// Longest head of a response. Chromium takes 256 KiB; what is above 64 KiB is an attack or a mistake.
const MAX_HEAD: usize = 64 * 1024;
/// Longest TLS handshake; two round trips, and some servers are slow to sign.
const TLS_TIMEOUT: Duration = Duration::from_secs(15);
/// Idle connections kept in all, and for one host; see [`IDLE_FOR`].
const IDLE_MOST: usize = 128;
const IDLE_EACH: usize = 8;
/// Most servers close after 60 s or more, some after 15: below that, a kept connection is rarely a dead one.
const IDLE_FOR: Duration = Duration::from_secs(15);

/// One request, ready to be sent any number of times.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
}

/// Which connections may stand in for each other. The grant is part of it: what one holder may reach says nothing
/// about another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    grant: u64,
    tls: bool,
    target: Target,
}

pub(super) enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Reusable for Sender {
    fn is_open(&self) -> bool {
        match self {
            Self::Http1(sender) => !sender.is_closed(),
            Self::Http2(sender) => !sender.is_closed(),
        }
    }

    fn share(&self) -> Option<Self> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(sender) => Some(Self::Http2(sender.clone())),
        }
    }
}

/// An answer whose body is still to be read. Once it was read to its end, [`Transport::keep`] the rest.
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    pub(super) lease: Lease,
}

/// The connection that a body comes over.
pub(super) struct Lease(Option<(Key, Sender)>);

#[derive(Clone)]
pub(super) struct Transport {
    egress: Egress,
    tls: Arc<rustls::ClientConfig>,
    idle: IdlePool<Key, Sender>,
}

impl Transport {
    pub(super) fn new(egress: Egress, tls: rustls::ClientConfig) -> Self {
        Self { egress, tls: Arc::new(tls), idle: IdlePool::new(IDLE_MOST, IDLE_EACH, IDLE_FOR) }
    }

    /// Sends one request and waits for the head of its answer.
    pub(super) async fn send(&self, grant: &Grant, target: &Target, request: &Prepared) -> Result<Answer, EgressError> {
        let key = Key { grant: grant.id(), tls: request.url.scheme() == "https", target: target.clone() };
        // A kept connection may have been closed by its server a moment ago. That shows only when it is used, and
        // says nothing about the host, so it is no failure: take the next one, and a fresh one in the end.
        while let Some(mut sender) = self.idle.take(&key) {
            if !sender.is_ready().await {
                continue;
            }
            match sender.send(request).await {
                Ok(response) => {
                    return Ok(Answer { response, lease: Lease(sender.is_http1().then_some((key, sender))) });
                }
                Err(error) if error.message().is_some() || (is_idempotent(&request.method) && broke(error.error())) => {
                }
                Err(error) => return Err(fault(&error.into_error(), target)),
            }
        }
        let mut sender = self.open(grant, &key).await?;
        if let Sender::Http2(shared) = &sender {
            self.idle.put(key.clone(), Sender::Http2(shared.clone()));
        }
        match sender.send(request).await {
            Ok(response) => Ok(Answer { response, lease: Lease(sender.is_http1().then_some((key, sender))) }),
            Err(error) => Err(fault(&error.into_error(), target)),
        }
    }

    /// Keeps a connection whose answer was read to its end.
    pub(super) fn keep(&self, lease: Lease) {
        if let Some((key, sender)) = lease.0 {
            self.idle.put(key, sender);
        }
    }

    async fn open(&self, grant: &Grant, key: &Key) -> Result<Sender, EgressError> {
        let stream = self.egress.connect(grant, &key.target).await?;
        if !key.tls {
            return handshake1(stream, &key.target).await;
        }
        let name = match key.target.host() {
            Host::Name(name) => ServerName::try_from(name.clone())
                .map_err(|error| EgressError::Tls { target: key.target.to_string(), problem: root_cause(&error) })?,
            Host::Address(address) => ServerName::IpAddress((*address).into()),
        };
        let stream = timeout(TLS_TIMEOUT, TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream))
            .await
            .map_err(|_| EgressError::TimedOut {
                what: format!("The TLS handshake with {}", key.target),
                limit: TLS_TIMEOUT,
            })?
            .map_err(|error| tls_fault(&error, &key.target))?;
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            handshake2(stream, &key.target).await
        } else {
            handshake1(stream, &key.target).await
        }
    }
}

async fn handshake1(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    target: &Target,
) -> Result<Sender, EgressError> {
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| fault(&error, target))?;
    // Ends with its sender and its body; what goes wrong reaches both of them.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "an HTTP/1.1 connection ended with an error");
        }
    });
    Ok(Sender::Http1(sender))
}

async fn handshake2(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    target: &Target,
) -> Result<Sender, EgressError> {
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        // A window for each stream that keeps a fast line busy (1 MiB at 50 ms is 160 Mbit/s), and is all that a
        // server can make us hold for a body that nobody reads.
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| fault(&error, target))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "an HTTP/2 connection ended with an error");
        }
    });
    Ok(Sender::Http2(sender))
}

impl Sender {
    /// Waits until it takes a request; `false` when it has been closed instead.
    async fn is_ready(&mut self) -> bool {
        match self {
            Self::Http1(sender) => sender.ready().await.is_ok(),
            Self::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    fn is_http1(&self) -> bool {
        matches!(self, Self::Http1(_))
    }

    async fn send(&mut self, request: &Prepared) -> Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>> {
        let message = request.message(!self.is_http1());
        match self {
            Self::Http1(sender) => sender.try_send_request(message).await,
            Self::Http2(sender) => sender.try_send_request(message).await,
        }
    }
}

impl Prepared {
    /// The request as this version of HTTP writes it.
    fn message(&self, http2: bool) -> Request<Full<Bytes>> {
        let mut message = Request::new(Full::new(self.body.clone().unwrap_or_default()));
        *message.method_mut() = self.method.clone();
        *message.headers_mut() = self.headers.clone();
        let path = &self.url[url::Position::BeforePath..url::Position::AfterQuery];
        let authority = &self.url[url::Position::BeforeHost..url::Position::AfterPort];
        let text = if http2 { format!("{}://{authority}{path}", self.url.scheme()) } else { path.to_owned() };
        // `url` has escaped everything that is not allowed here; were it ever wrong the request goes to `/`.
        *message.uri_mut() = text.parse().unwrap_or(Uri::from_static("/"));
        if http2 {
            *message.version_mut() = Version::HTTP_2;
        } else if let Ok(host) = HeaderValue::from_str(authority) {
            message.headers_mut().insert(header::HOST, host);
        }
        if self.body.is_none() && matches!(self.method, Method::POST | Method::PUT | Method::PATCH) {
            // RFC 9110, 8.6: a method that expects a body says that there is none.
            message.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        message
    }
}

/// Whether sending twice does no more than sending once.
fn is_idempotent(method: &Method) -> bool {
    method.is_idempotent()
}

fn broke(error: &hyper::Error) -> bool {
    error.is_canceled() || error.is_closed() || error.is_incomplete_message() || (!error.is_parse() && !error.is_user())
}

fn fault(error: &hyper::Error, target: &Target) -> EgressError {
    let name = target.to_string();
    if error.is_parse_too_large() {
        EgressError::Limit { what: format!("The head of the answer of {name}"), limit: MAX_HEAD as u64 }
    } else if error.is_parse() {
        EgressError::Failed {
            target: name,
            problem: format!("the answer is not HTTP, {}", root_cause(error)),
            retryable: false,
        }
    } else if error.is_user() {
        EgressError::Failed { target: name, problem: root_cause(error), retryable: false }
    } else {
        EgressError::Connect {
            target: name,
            problem: format!("the connection broke before an answer, {}", root_cause(error)),
        }
    }
}

/// A broken line during the handshake is a matter of the connection; a bad certificate is not.
fn tls_fault(error: &std::io::Error, target: &Target) -> EgressError {
    let is_tls = error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>);
    let (target, problem) = (target.to_string(), root_cause(error));
    if is_tls {
        EgressError::Tls { target, problem }
    } else {
        EgressError::Connect { target, problem: format!("the TLS handshake broke off, {problem}") }
    }
}
