//! Accepting the browser's connections and answering its requests.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::ProxyOptions;
use super::forward::Forwarder;
use super::idle::IdleStream;
use super::lease::{Failures, ProxyLease};
use crate::connect::{Connection, Egress, Grant, Upstream};
use crate::error::EgressError;
use crate::platform;
use crate::policy::Target;

/// The body of an answer: streamed from the other side, or a text of ours.
pub(super) type Body = UnsyncBoxBody<Bytes, hyper::Error>;

/// Tells an answer of the proxy's own from one of the site's, with the code of the error.
const MARK: &str = "x-buddy-egress";

/// What all connections of a lease share.
pub(super) struct Context {
    egress: Egress,
    options: Arc<ProxyOptions>,
    upstream: Option<Upstream>,
    grant: Arc<Grant>,
    failures: Arc<Failures>,
    closed: CancellationToken,
    forwarder: Forwarder,
}

impl Context {
    pub(super) fn new(
        egress: Egress,
        options: Arc<ProxyOptions>,
        upstream: Option<Upstream>,
        lease: &ProxyLease,
    ) -> Arc<Self> {
        Arc::new(Self {
            egress,
            options,
            upstream,
            grant: Arc::clone(lease.grant()),
            failures: lease.shared_failures(),
            closed: lease.closed(),
            forwarder: Forwarder::new(),
        })
    }

    /// A connection to `target`, its outcome noted for whoever drives the browser.
    pub(super) async fn connect(&self, target: &Target) -> Result<Connection, EgressError> {
        let result = self.egress.connect_via(&self.grant, target, self.upstream.as_ref()).await;
        match &result {
            Ok(_) => self.failures.clear(target),
            Err(error) => self.failures.record(target, error),
        }
        result
    }

    /// Joins the two ends of a tunnel until one closes, nothing moves, or the lease is dropped.
    pub(super) fn tunnel(
        self: &Arc<Self>,
        near: OnUpgrade,
        far: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        place: Place,
    ) {
        let closed = self.closed.clone();
        tokio::spawn(async move {
            let _place = place;
            let mut far = far;
            let join = async {
                let near = near.await.map_err(std::io::Error::other)?;
                copy_bidirectional(&mut TokioIo::new(near), &mut far).await
            };
            tokio::select! {
                result = join => if let Err(error) = result {
                    tracing::trace!(%error, "a tunnel ended with an error");
                },
                () = closed.cancelled() => {}
            }
        });
    }
}

/// A place among the connections of a lease; a tunnel keeps that of the connection it grew from.
pub(super) type Place = Arc<OwnedSemaphorePermit>;

/// Takes connections until the lease is dropped.
pub(super) async fn accept(listener: TcpListener, context: Arc<Context>) {
    let places = Arc::new(Semaphore::new(context.options.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
    loop {
        // First the place, then the connection: what is too much waits in the system's queue.
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            () = context.closed.cancelled() => return,
        };
        let Ok(place) = place else { return };
        match accepted {
            Ok((stream, peer)) => {
                let context = Arc::clone(&context);
                tokio::spawn(async move {
                    let closed = context.closed.clone();
                    tokio::select! {
                        () = serve(stream, peer, context, Arc::new(place)) => {}
                        () = closed.cancelled() => {}
                    }
                });
            }
            Err(error) => {
                // Out of files, most likely: they are given back by others, so go on, but do not spin.
                tracing::warn!(%error, "the proxy could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, context: Arc<Context>, place: Place) {
    if !peer.ip().is_loopback() {
        return;
    }
    if context.options.same_user_only
        && let Ok(local) = stream.local_addr()
        && platform::is_foreign_user(local, peer).await
    {
        tracing::warn!(%peer, "turned away a process of another user from the proxy");
        return;
    }
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let options = Arc::clone(&context.options);
    let io = TokioIo::new(IdleStream::new(stream, options.idle_timeout));
    let service = service_fn(move |request| {
        let (context, place) = (Arc::clone(&context), Arc::clone(&place));
        async move { Ok::<_, Infallible>(handle(&context, request, place).await) }
    });
    let result = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_buf_size(options.max_header)
        .max_header_size(options.max_header)
        .preserve_header_case(true)
        .serve_connection(io, service)
        .with_upgrades()
        .await;
    if let Err(error) = result {
        tracing::trace!(%error, "a connection of the browser ended with an error");
    }
}

async fn handle(context: &Arc<Context>, request: Request<Incoming>, place: Place) -> Response<Body> {
    let result = if request.method() == Method::CONNECT {
        connect(context, request, place).await
    } else {
        forward(context, request, place).await
    };
    result.unwrap_or_else(|error| refusal(&error))
}

/// `CONNECT host:port`: a tunnel to a checked address.
async fn connect(
    context: &Arc<Context>,
    mut request: Request<Incoming>,
    place: Place,
) -> Result<Response<Body>, EgressError> {
    let authority = request.uri().authority().filter(|a| !a.as_str().contains('@'));
    let target = match authority.and_then(|a| Some((a.host(), a.port_u16()?))) {
        Some((host, port)) => Target::new(host, port)?,
        None => {
            return Err(EgressError::Invalid("CONNECT wants `host:port`.".to_owned()));
        }
    };
    let far = context.connect(&target).await?;
    context.tunnel(hyper::upgrade::on(&mut request), far, place);
    Ok(Response::new(text("")))
}

/// `GET http://host/path`: one request of plain HTTP.
async fn forward(
    context: &Arc<Context>,
    request: Request<Incoming>,
    place: Place,
) -> Result<Response<Body>, EgressError> {
    let invalid = |text: &str| EgressError::Invalid(text.to_owned());
    let uri = request.uri();
    match uri.scheme_str() {
        Some("http") => {}
        Some(_) => {
            return Err(invalid("Only http addresses are forwarded; others go through CONNECT."));
        }
        None => {
            return Err(invalid("This is a forward proxy for the browsers of this host, not a web server."));
        }
    }
    let authority = uri
        .authority()
        .filter(|a| !a.as_str().contains('@'))
        .ok_or_else(|| invalid("The address has no host, or holds credentials."))?;
    let target = Target::new(authority.host(), authority.port_u16().unwrap_or(80))?;
    context.forwarder.run(context, &target, request, place).await.inspect_err(|error| {
        // Connecting notes its own failures; these are the ones that come after.
        if matches!(error, EgressError::Failed { .. }) {
            context.failures.record(&target, error);
        }
    })
}

/// The proxy's own answer to what it does not do.
fn refusal(error: &EgressError) -> Response<Body> {
    let status = match error {
        EgressError::Denied(_) | EgressError::Policy(_) => StatusCode::FORBIDDEN,
        EgressError::Invalid(_) => StatusCode::BAD_REQUEST,
        EgressError::TimedOut { .. } => StatusCode::GATEWAY_TIMEOUT,
        EgressError::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_GATEWAY,
    };
    let mut response = Response::new(text(&error.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(MARK, HeaderValue::from_static(error.code()));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn text(text: &str) -> Body {
    Full::new(Bytes::copy_from_slice(text.as_bytes())).map_err(|never| match never {}).boxed_unsync()
}
