//! Plain HTTP through the proxy: one request to the site, its answer streamed back.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Waking, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode, Uri, Version};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

use super::serve::{Body, Context, Place};
use crate::error::{EgressError, root_cause};
use crate::policy::Target;
use crate::pool::{IdlePool, Reusable};

/// Connections to sites kept for the next request: in all, and for one site as many as a browser opens to it.
const IDLE_MOST: usize = 64;
const IDLE_EACH: usize = 6;
/// As for the `http` capability: shorter than servers keep theirs.
const IDLE_FOR: Duration = Duration::from_secs(15);
/// Longest head of an answer: Chromium's own bound.
const MAX_HEAD: usize = 256 * 1024;

/// Headers that are about one connection only (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
    header::PROXY_AUTHENTICATE,
    header::EXPECT,
];

type Sender = SendRequest<Body>;

impl Reusable for Sender {
    fn is_open(&self) -> bool {
        !self.is_closed()
    }

    fn share(&self) -> Option<Self> {
        None
    }
}

/// Sends plain requests for one lease; its kept connections are of that lease's grant.
pub(super) struct Forwarder {
    idle: IdlePool<Target, Sender>,
}

impl Forwarder {
    pub(super) fn new() -> Self {
        Self { idle: IdlePool::new(IDLE_MOST, IDLE_EACH, IDLE_FOR) }
    }

    pub(super) async fn run(
        &self,
        context: &Arc<Context>,
        target: &Target,
        mut request: Request<Incoming>,
        place: Place,
    ) -> Result<Response<Body>, EgressError> {
        let near = hyper::upgrade::on(&mut request);
        let protocol = upgrade_of(request.headers());
        let (mut parts, body) = request.into_parts();
        strip(&mut parts.headers);
        if let Some(protocol) = &protocol {
            parts.headers.insert(header::UPGRADE, protocol.clone());
            parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        }
        // RFC 9112, 3.2.2: the host in the address counts, whatever the header says. Else a request could be
        // checked for one host and be answered by another.
        if let Some(host) = parts.uri.authority().and_then(|a| HeaderValue::from_str(a.as_str()).ok()) {
            parts.headers.insert(header::HOST, host);
        }
        let path = parts.uri.path_and_query().cloned();
        parts.uri = path.map_or_else(|| Uri::from_static("/"), Uri::from);
        parts.version = Version::HTTP_11;

        // A request without a body can be sent a second time when a kept connection turns out to be dead.
        let again = (body.is_end_stream() && parts.method.is_idempotent()).then(|| parts.clone());
        let mut message = Request::from_parts(parts, body.boxed_unsync());
        let (response, sender) = loop {
            let Some(mut sender) = self.idle.take(target) else {
                let mut sender = open(context, target).await?;
                let response = sender.send_request(message).await.map_err(|error| fault(&error, target))?;
                break (response, sender);
            };
            if sender.ready().await.is_err() {
                continue;
            }
            match sender.try_send_request(message).await {
                Ok(response) => break (response, sender),
                Err(mut error) => match (error.take_message(), &again) {
                    (Some(unsent), _) => message = unsent,
                    (None, Some(parts)) if !error.error().is_parse() => {
                        message = Request::from_parts(
                            parts.clone(),
                            Empty::new().map_err(|never| match never {}).boxed_unsync(),
                        );
                    }
                    (None, _) => return Err(fault(&error.into_error(), target)),
                },
            }
        };
        Ok(self.answer(context, target, response, sender, protocol.is_some().then_some((near, place))))
    }

    fn answer(
        &self,
        context: &Arc<Context>,
        target: &Target,
        mut response: Response<Incoming>,
        sender: Sender,
        upgrade: Option<(hyper::upgrade::OnUpgrade, Place)>,
    ) -> Response<Body> {
        let switched = upgrade_of(response.headers()).filter(|_| response.status() == StatusCode::SWITCHING_PROTOCOLS);
        let far = hyper::upgrade::on(&mut response);
        let (mut parts, body) = response.into_parts();
        strip(&mut parts.headers);
        parts.version = Version::HTTP_11;
        if let (Some(protocol), Some((near, place))) = (switched, upgrade) {
            parts.headers.insert(header::UPGRADE, protocol);
            parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            let context = Arc::clone(context);
            tokio::spawn(async move {
                match far.await {
                    Ok(far) => context.tunnel(near, TokioIo::new(far), place),
                    Err(error) => {
                        tracing::debug!(%error, "a site announced another protocol and did not switch");
                    }
                }
            });
            return Response::from_parts(parts, Empty::new().map_err(|never| match never {}).boxed_unsync());
        }
        let body = KeptBody { body, back: Some((self.idle.clone(), target.clone(), sender)) };
        Response::from_parts(parts, body.boxed_unsync())
    }
}

/// A fresh connection that speaks HTTP/1.1.
async fn open(context: &Arc<Context>, target: &Target) -> Result<Sender, EgressError> {
    let stream = context.connect(target).await?;
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .preserve_header_case(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| fault(&error, target))?;
    // Ends with its sender and its body, or with the upgraded stream.
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::trace!(%error, "a connection to a site ended with an error");
        }
    });
    Ok(sender)
}

fn fault(error: &hyper::Error, target: &Target) -> EgressError {
    EgressError::Failed { target: target.to_string(), problem: root_cause(error), retryable: !error.is_parse() }
}

/// The protocol that a message wants to switch to.
fn upgrade_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let named = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .any(|token| token.trim().eq_ignore_ascii_case("upgrade"));
    headers.get(header::UPGRADE).filter(|_| named).cloned()
}

/// Takes out what is about one connection only, what `Connection` names included.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .filter_map(|token| HeaderName::from_bytes(token.trim().as_bytes()).ok())
        // Framing is not the sender's to take away: without its length a body would become the next message.
        .filter(|name| *name != header::CONTENT_LENGTH && *name != header::HOST)
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    for name in ["keep-alive", "proxy-connection"] {
        headers.remove(name);
    }
}

/// A body that gives its connection back once it was read to its end. Dropped before, it closes the connection.
struct KeptBody {
    body: Incoming,
    back: Option<(IdlePool<Target, Sender>, Target, Sender)>,
}

impl KeptBody {
    fn give_back(&mut self) {
        if let Some((pool, target, sender)) = self.back.take() {
            pool.put(target, sender);
        }
    }
}

impl HttpBody for KeptBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Waking<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(_)) if !self.body.is_end_stream() => {}
            Some(Err(_)) => self.back = None,
            Some(Ok(_)) | None => self.give_back(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for KeptBody {
    fn drop(&mut self) {
        // hyper does not poll a body that says it is empty.
        if self.body.is_end_stream() {
            self.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn what_is_about_one_connection_stays_there_and_framing_cannot_be_named_away() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Private, content-length, Host"),
            ("x-private", "1"),
            ("keep-alive", "5"),
            ("proxy-authorization", "x"),
            ("te", "trailers"),
            ("content-length", "3"),
            ("host", "a"),
            ("accept", "*/*"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        strip(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "content-length", "host"]);
    }
}
