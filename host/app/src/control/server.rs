//! The server side: authentication, bounds, and the routes over a [`HostApi`].
//!
//! Every refusal is JSON: `{"error": {"code", "message", "help"}}`. Progress and logs are server-sent events: `task`
//! and `log` events, then `end` when there is nothing more to come; a stream that breaks off without `end` was cut.
//! All is bounded: bytes of a request, time of an answer, requests and streams at once.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::stream::{self, BoxStream, StreamExt as _};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::api::{ApiError, ErrorBody, ErrorCode, HostApi};
use super::file::{ControlFile, Published};
use super::views::{AnswerRequest, StopRequest, SubmitRequest, TaskFilter};
use crate::failure::{Exit, Explain};
use crate::platform;

/// Bytes of a request; an input beyond this belongs into a file that the task names.
pub const MAX_BODY: usize = 8 << 20;
/// Time for an answer that is not a stream. Nothing that is asked here waits for a task.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// Requests worked on at once: far above what a person's terminals do.
const MAX_REQUESTS: usize = 128;
/// Streams open at once; each holds a connection and a subscription.
const MAX_STREAMS: usize = 64;
/// Time for open answers when the server ends; streams end at once.
const FINISH_TIME: Duration = Duration::from_secs(2);
/// Characters of an id or a name in an address; real ones have at most 64.
const MAX_NAME: usize = 128;
/// Tasks in one list when the caller names no number, and at most.
const LIST: (u32, u32) = (50, 1000);

/// Why there is no control API.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// A host runs on this data folder already.
    #[error("another host (process {pid}) is running on {storage}", storage = storage.display())]
    AnotherHost {
        /// Its process.
        pid: u32,
        /// The data folder.
        storage: PathBuf,
    },
    /// The configured port is taken.
    #[error("port {0} on 127.0.0.1 is in use by another program")]
    PortInUse(u16),
    /// The port cannot be had for another reason.
    #[error("port {port} on 127.0.0.1 cannot be opened: {source}")]
    Bind {
        /// The port.
        port: u16,
        /// The system's reason.
        source: io::Error,
    },
    /// `control.json` cannot be read or written.
    #[error("control.json in {storage} cannot be read or written: {source}", storage = storage.display())]
    File {
        /// The data folder.
        storage: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl Explain for ControlError {
    fn exit(&self) -> Exit {
        match self {
            Self::AnotherHost { .. } | Self::PortInUse(_) => Exit::Conflict,
            Self::Bind { .. } | Self::File { .. } => Exit::Missing,
        }
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Self::AnotherHost { .. } => {
                "stop it with `buddy-host stop`, or give this one its own folder in `storage.path`".to_owned()
            }
            Self::PortInUse(_) | Self::Bind { .. } => {
                "set `control.port` to another port, or to 0 for a free one".to_owned()
            }
            Self::File { .. } => "make the data folder writable, or choose another in `storage.path`".to_owned(),
        })
    }
}

/// A bound port, not serving yet.
#[derive(Debug)]
pub struct ControlServer {
    listener: TcpListener,
    address: SocketAddr,
    storage: PathBuf,
}

impl ControlServer {
    /// Takes the port (0: a free one) and makes sure that no other host runs on this data folder, which must exist.
    /// Early in a start, so that a conflict is told before anything else is touched.
    pub async fn bind(storage: &FsPath, port: u16) -> Result<Self, ControlError> {
        match ControlFile::read(storage) {
            Ok(Some(other)) if other.is_alive() && other.is_same_process() => {
                return Err(ControlError::AnotherHost { pid: other.pid, storage: storage.to_owned() });
            }
            // Left by a killed host: replaced when this one starts to serve.
            Ok(_) => {}
            Err(error) if ControlFile::is_damage(&error) => {
                tracing::warn!(%error, "control.json is broken and will be replaced");
            }
            Err(source) => {
                return Err(ControlError::File { storage: storage.to_owned(), source });
            }
        }
        let failed = |source: io::Error| {
            if source.kind() == io::ErrorKind::AddrInUse {
                ControlError::PortInUse(port)
            } else {
                ControlError::Bind { port, source }
            }
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, storage: storage.to_owned() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves, and writes `control.json`: from now on commands find this host, so call it when the host is ready.
    /// Cancel `shutdown` when the host has drained; until then `status` and the rest go on answering.
    pub fn start(self, api: Arc<dyn HostApi>, shutdown: CancellationToken) -> Result<ControlHandle, ControlError> {
        let pid = std::process::id();
        let file = ControlFile {
            port: self.address.port(),
            token: hex::encode(rand::random::<[u8; 32]>()),
            pid,
            started: platform::started_at(pid).unwrap_or_default(),
        };
        let app = App {
            api,
            token: Sha256::digest(file.token.as_bytes()).into(),
            port: file.port,
            requests: Arc::new(Semaphore::new(MAX_REQUESTS)),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            shutdown: shutdown.clone(),
        };
        let published = file
            .publish(&self.storage)
            .map_err(|source| ControlError::File { storage: self.storage.clone(), source })?;
        let router = router(Arc::new(app));
        let task = tokio::spawn(async move {
            let ended = shutdown.clone();
            let serve = axum::serve(self.listener, router)
                .with_graceful_shutdown(async move { ended.cancelled().await })
                .into_future();
            let too_long = async {
                shutdown.cancelled().await;
                tokio::time::sleep(FINISH_TIME).await;
            };
            tokio::select! {
                result = serve => if let Err(error) = result {
                    tracing::error!(%error, "the control API ended");
                },
                () = too_long => tracing::debug!("answers that were still open were cut"),
            }
        });
        Ok(ControlHandle { task, published })
    }
}

/// A serving control API. Dropped, `control.json` is removed and the serving goes on until `shutdown` is cancelled.
#[derive(Debug)]
pub struct ControlHandle {
    task: JoinHandle<()>,
    published: Published,
}

impl ControlHandle {
    /// Removes `control.json` and waits until the server has ended, at most two seconds after `shutdown`.
    pub async fn finish(self) {
        drop(self.published);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the control API ended badly");
        }
    }
}

struct App {
    api: Arc<dyn HostApi>,
    /// The token's hash: comparing hashes takes the same time wherever two tokens begin to differ.
    token: [u8; 32],
    port: u16,
    requests: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    shutdown: CancellationToken,
}

type Shared = State<Arc<App>>;
type Answer<T> = Result<Json<T>, ApiError>;

fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/tasks", get(tasks).post(submit))
        .route("/v1/tasks/{id}", get(task))
        .route("/v1/tasks/{id}/logs", get(logs))
        .route("/v1/tasks/{id}/result", get(result))
        .route("/v1/tasks/{id}/events", get(events))
        .route("/v1/tasks/{id}/cancel", post(cancel))
        .route("/v1/tasks/{id}/retry", post(retry))
        .route("/v1/tasks/{id}/answer", post(answer))
        .route("/v1/plugins", get(plugins))
        .route("/v1/plugins/{name}", get(plugin))
        .route("/v1/stop", post(stop))
        .fallback(async || ApiError::new(ErrorCode::NotFound, "there is no such address in the control API"))
        .method_not_allowed_fallback(async || {
            ApiError::new(ErrorCode::Invalid, "this address does not take that method")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guard))
        .with_state(app)
}

/// Who may come in: a loopback host name, no web page, the token; and only so many at once.
async fn guard(State(app): Shared, request: Request, next: Next) -> Result<Response, ApiError> {
    admit(&app, request.headers())?;
    let Ok(_permit) = app.requests.try_acquire() else {
        return Err(ApiError::new(ErrorCode::Busy, "too many requests at once").with_help("try again in a moment"));
    };
    match tokio::time::timeout(ANSWER_TIME, next.run(request)).await {
        Ok(response) => Ok(response),
        Err(_) => Err(ApiError::new(ErrorCode::Busy, "the host did not answer within 30 seconds")),
    }
}

fn admit(app: &App, headers: &HeaderMap) -> Result<(), ApiError> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    let port = app.port;
    let ours = [format!("127.0.0.1:{port}"), format!("localhost:{port}")];
    if !ours.iter().any(|name| name.eq_ignore_ascii_case(host)) {
        return Err(ApiError::new(ErrorCode::Forbidden, "the Host header does not name this computer")
            .with_help(format!("address it as 127.0.0.1:{port}")));
    }
    if headers.contains_key(header::ORIGIN) {
        return Err(ApiError::new(ErrorCode::Forbidden, "web pages may not use the control API"));
    }
    let token = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
    if hash != app.token {
        return Err(ApiError::new(ErrorCode::Unauthorized, "the token is missing or wrong")
            .with_help("it stands in control.json in the host's data folder, as `Authorization: Bearer TOKEN`"));
    }
    Ok(())
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = match self.code {
            ErrorCode::Invalid => StatusCode::BAD_REQUEST,
            ErrorCode::Unauthorized => StatusCode::UNAUTHORIZED,
            ErrorCode::Forbidden => StatusCode::FORBIDDEN,
            ErrorCode::NotFound => StatusCode::NOT_FOUND,
            ErrorCode::Ambiguous | ErrorCode::Conflict => StatusCode::CONFLICT,
            ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::Busy | ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(ErrorBody { error: self })).into_response()
    }
}

/// The request's body as `T`; an empty body is `{}`.
fn body<T: DeserializeOwned>(bytes: Result<Bytes, BytesRejection>) -> Result<T, ApiError> {
    let bytes = bytes.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            ApiError::new(ErrorCode::TooLarge, "the request is larger than 8 MiB")
                .with_help("split the input into several tasks, or let the task fetch the data itself")
        } else {
            ApiError::new(ErrorCode::Invalid, "the request broke off")
        }
    })?;
    let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
    serde_json::from_slice(text).map_err(|error| {
        ApiError::new(ErrorCode::Invalid, format!("the request is not what this address takes: {error}"))
    })
}

fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, ApiError> {
    query.map(|Query(value)| value).map_err(|rejection| ApiError::new(ErrorCode::Invalid, rejection.body_text()))
}

fn name(text: &str) -> Result<&str, ApiError> {
    let fits = !text.is_empty() && text.len() <= MAX_NAME && !text.chars().any(char::is_control);
    if fits { Ok(text) } else { Err(ApiError::new(ErrorCode::NotFound, "no id or name has this form")) }
}

async fn status(State(app): Shared) -> Answer<impl Serialize> {
    app.api.status().await.map(Json)
}

async fn submit(State(app): Shared, bytes: Result<Bytes, BytesRejection>) -> Result<Response, ApiError> {
    let reply = app.api.submit(body::<SubmitRequest>(bytes)?).await?;
    let status = if reply.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(reply)).into_response())
}

async fn tasks(State(app): Shared, filter: Result<Query<TaskFilter>, QueryRejection>) -> Answer<impl Serialize> {
    let mut filter = query(filter)?;
    filter.limit = Some(filter.limit.unwrap_or(LIST.0).min(LIST.1));
    app.api.tasks(filter).await.map(Json)
}

async fn task(State(app): Shared, Path(id): Path<String>) -> Answer<impl Serialize> {
    app.api.task(name(&id)?).await.map(Json)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogQuery {
    #[serde(default)]
    from: u64,
    #[serde(default)]
    follow: bool,
}

async fn logs(
    State(app): Shared,
    Path(id): Path<String>,
    asked: Result<Query<LogQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let asked = query(asked)?;
    let id = name(&id)?;
    if !asked.follow {
        return app.api.logs(id, asked.from).await.map(|lines| Json(lines).into_response());
    }
    let permit = stream_permit(&app)?;
    let lines = app.api.follow(id, asked.from).await?;
    Ok(events_of("log", lines, |_| false, permit, &app))
}

async fn result(State(app): Shared, Path(id): Path<String>) -> Answer<impl Serialize> {
    app.api.result(name(&id)?).await.map(Json)
}

async fn events(State(app): Shared, Path(id): Path<String>) -> Result<Response, ApiError> {
    let permit = stream_permit(&app)?;
    let changes = app.api.watch(name(&id)?).await?;
    Ok(events_of("task", changes, |task| task.state.is_final(), permit, &app))
}

async fn cancel(State(app): Shared, Path(id): Path<String>) -> Answer<impl Serialize> {
    app.api.cancel(name(&id)?).await.map(Json)
}

async fn retry(State(app): Shared, Path(id): Path<String>) -> Answer<impl Serialize> {
    app.api.retry(name(&id)?).await.map(Json)
}

async fn answer(
    State(app): Shared,
    Path(id): Path<String>,
    bytes: Result<Bytes, BytesRejection>,
) -> Answer<impl Serialize> {
    app.api.answer(name(&id)?, body::<AnswerRequest>(bytes)?).await.map(Json)
}

async fn plugins(State(app): Shared) -> Answer<impl Serialize> {
    app.api.plugins().await.map(Json)
}

async fn plugin(State(app): Shared, Path(wanted): Path<String>) -> Answer<impl Serialize> {
    app.api.plugin(name(&wanted)?).await.map(Json)
}

async fn stop(State(app): Shared, bytes: Result<Bytes, BytesRejection>) -> Result<Response, ApiError> {
    let request: StopRequest = body(bytes)?;
    app.api.stop(request.now).await?;
    Ok((StatusCode::ACCEPTED, Json(serde_json::json!({ "stopping": true }))).into_response())
}

fn stream_permit(app: &App) -> Result<OwnedSemaphorePermit, ApiError> {
    Arc::clone(&app.streams).try_acquire_owned().map_err(|_| {
        ApiError::new(ErrorCode::Busy, "too many tasks are being watched at once").with_help("close one of the watches")
    })
}

/// A stream of values as events, each `named`; up to and with the `last` one, then `end`. Ends without `end` when the
/// server does.
fn events_of<T: Serialize + Send + 'static>(
    named: &'static str,
    values: BoxStream<'static, T>,
    last: fn(&T) -> bool,
    permit: OwnedSemaphorePermit,
    app: &App,
) -> Response {
    let shutdown = app.shutdown.clone();
    // Ends right after the last value: the source may stay open and silent from then on.
    let values = stream::unfold(Some(values), move |source| async move {
        let mut source = source?;
        let value = source.next().await?;
        let source = (!last(&value)).then_some(source);
        Some((value, source))
    });
    let events = values
        .map(move |value| match Event::default().event(named).json_data(&value) {
            Ok(event) => event,
            // A view type always has a JSON form; were it not so, the watcher is told instead of left waiting.
            Err(error) => {
                let reason = error.to_string().replace(['\n', '\r'], " ");
                Event::default().event("error").data(reason)
            }
        })
        .chain(stream::iter([Event::default().event("end").data("{}")]))
        .map(move |event| {
            // The permit lives as long as the stream.
            let _held = &permit;
            Ok::<_, Infallible>(event)
        })
        .take_until(async move { shutdown.cancelled().await });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}
