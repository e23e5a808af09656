//! The client side: finds the running host by `control.json` and speaks to it over loopback.
//!
//! Every call is bounded in time and bytes. A host that is not there is told apart from one that does not answer.

use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::api::{ApiError, ErrorBody, ErrorCode};
use super::file::ControlFile;
use super::views::{
    AnswerRequest, LogLine, PluginView, ResultView, StatusView, StopRequest, SubmitReply, SubmitRequest, TaskFilter,
    TaskView,
};
use crate::failure::{Exit, Explain};

/// Loopback connects at once or never.
const CONNECT_TIME: Duration = Duration::from_secs(2);
/// A little longer than the server gives itself, so that its own sentence arrives.
const ANSWER_TIME: Duration = Duration::from_secs(35);
/// Silence on a stream; the server sends a sign of life every 15 seconds.
const SILENCE_TIME: Duration = Duration::from_secs(45);
/// Bytes of an answer that are held in memory; a larger result is told by its location.
const MAX_ANSWER: usize = 64 << 20;

/// Why a running host could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is none.
    #[error("no host is running on {storage}", storage = storage.display())]
    NoHost {
        /// The data folder.
        storage: PathBuf,
    },
    /// There is none, and what stands in `control.json` is not what a host writes.
    #[error("no host is running on {storage}, and control.json in it is damaged: {source}", storage = storage.display())]
    Damaged {
        /// The data folder.
        storage: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// A process has the data folder, and `control.json` does not lead to it.
    #[error("{} uses {storage} and cannot be asked anything: control.json in it {why}", holder(*pid), storage = storage.display())]
    Hidden {
        /// The data folder.
        storage: PathBuf,
        /// The process, when its lock says it.
        pid: Option<u32>,
        /// What is wrong with `control.json`.
        why: String,
    },
    /// `control.json` is there and the system does not let it be read.
    #[error("control.json in {storage} cannot be read: {source}", storage = storage.display())]
    File {
        /// The data folder.
        storage: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The process is there and does not answer.
    #[error("the host (process {pid}) does not answer on port {port}: {reason}")]
    Unreachable {
        /// Its process.
        pid: u32,
        /// Its port.
        port: u16,
        /// What went wrong.
        reason: String,
    },
    /// It answered, in a way this program does not understand.
    #[error("the host's answer is not understood: {0}")]
    Answer(String),
    /// It refused.
    #[error("{0}")]
    Refused(ApiError),
}

/// The lock of a data folder, which tells who has it.
pub fn lock_file(storage: &Path) -> PathBuf {
    buddy_buffer::lock_file(&storage.join(crate::storage::BUFFER))
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "a host".to_owned(), |pid| format!("a host (process {pid})"))
}

impl Explain for ClientError {
    fn exit(&self) -> Exit {
        match self {
            Self::NoHost { .. } | Self::Damaged { .. } | Self::Hidden { .. } | Self::Unreachable { .. } => Exit::NoHost,
            Self::File { .. } => Exit::Missing,
            Self::Answer(_) => Exit::Failed,
            Self::Refused(error) => match error.code {
                ErrorCode::Invalid | ErrorCode::TooLarge | ErrorCode::NotFound | ErrorCode::Ambiguous => Exit::Input,
                ErrorCode::Unauthorized | ErrorCode::Forbidden => Exit::NoHost,
                ErrorCode::Unavailable => Exit::Missing,
                ErrorCode::Conflict => Exit::Conflict,
                ErrorCode::Busy | ErrorCode::Failed => Exit::Failed,
            },
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::NoHost { .. } => Some("start one with `buddy-host run` (or `buddy-host start`)".to_owned()),
            Self::Damaged { .. } => Some("the next start replaces it: `buddy-host start`".to_owned()),
            Self::Hidden { pid: Some(pid), .. } => Some(format!(
                "when it was started just now wait a moment; else `buddy-host stop --now` ends process {pid}, and its \
                 tasks go on at the next start"
            )),
            Self::Hidden { pid: None, storage, .. } => Some(format!(
                "when it was started just now wait a moment; else end the process that has {} open",
                lock_file(storage).display()
            )),
            Self::File { .. } => Some("it is readable by the user who runs the host only".to_owned()),
            Self::Unreachable { pid, .. } => {
                Some(format!("look at its log; `buddy-host stop --now` ends process {pid} if it stays silent"))
            }
            Self::Answer(_) => Some("restart the host, so that both are of the same version".to_owned()),
            Self::Refused(error) => error.help.clone(),
        }
    }
}

type Http = hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>;

/// A connection to the host on one data folder.
#[derive(Debug, Clone)]
pub struct Client {
    http: Http,
    file: ControlFile,
}

impl Client {
    /// Finds the host that runs on this data folder. It is not asked yet.
    pub fn find(storage: &Path) -> Result<Self, ClientError> {
        let read = match ControlFile::read(storage) {
            Ok(Some(file)) if file.is_alive() => return Ok(Self::new(file)),
            Err(error) if !ControlFile::is_damage(&error) => {
                return Err(ClientError::File { storage: storage.to_owned(), source: error });
            }
            read => read,
        };
        // Not by the file alone: it may have been removed or overwritten below a host that runs.
        let storage = storage.to_owned();
        let Some(holder) = buddy_buffer::holder(&storage.join(crate::storage::BUFFER)) else {
            return Err(match read {
                Ok(_) => ClientError::NoHost { storage },
                Err(source) => ClientError::Damaged { storage, source },
            });
        };
        let why = match read {
            Ok(None) => "is missing".to_owned(),
            Ok(Some(_)) => "is of a host that has ended".to_owned(),
            Err(error) => format!("is damaged ({error})"),
        };
        Err(ClientError::Hidden { storage, pid: holder.pid, why })
    }

    fn new(file: ControlFile) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIME));
        Self { http: hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector), file }
    }

    /// What `control.json` says of the host.
    pub fn file(&self) -> &ControlFile {
        &self.file
    }

    /// `GET /v1/status`
    pub async fn status(&self) -> Result<StatusView, ClientError> {
        self.ask(Method::GET, &["status"], &[], None::<&()>).await
    }

    /// `POST /v1/tasks`
    pub async fn submit(&self, request: &SubmitRequest) -> Result<SubmitReply, ClientError> {
        self.ask(Method::POST, &["tasks"], &[], Some(request)).await
    }

    /// `GET /v1/tasks`
    pub async fn tasks(&self, filter: &TaskFilter) -> Result<Vec<TaskView>, ClientError> {
        let mut query = Vec::new();
        if let Some(state) = filter.state {
            query.push(("state", state.as_str().to_owned()));
        }
        if let Some(kind) = &filter.r#type {
            query.push(("type", kind.clone()));
        }
        if let Some(limit) = filter.limit {
            query.push(("limit", limit.to_string()));
        }
        self.ask(Method::GET, &["tasks"], &query, None::<&()>).await
    }

    /// `GET /v1/tasks/{id}`
    pub async fn task(&self, id: &str) -> Result<TaskView, ClientError> {
        self.ask(Method::GET, &["tasks", id], &[], None::<&()>).await
    }

    /// `GET /v1/tasks/{id}/logs`
    pub async fn logs(&self, id: &str, from: u64) -> Result<Vec<LogLine>, ClientError> {
        self.ask(Method::GET, &["tasks", id, "logs"], &[("from", from.to_string())], None::<&()>).await
    }

    /// `GET /v1/tasks/{id}/logs?follow=true`
    pub async fn follow(&self, id: &str, from: u64) -> Result<Events<LogLine>, ClientError> {
        let query = [("from", from.to_string()), ("follow", "true".to_owned())];
        self.listen("log", &["tasks", id, "logs"], &query).await
    }

    /// `GET /v1/tasks/{id}/events`
    pub async fn watch(&self, id: &str) -> Result<Events<TaskView>, ClientError> {
        self.listen("task", &["tasks", id, "events"], &[]).await
    }

    /// `GET /v1/tasks/{id}/result`
    pub async fn result(&self, id: &str) -> Result<ResultView, ClientError> {
        self.ask(Method::GET, &["tasks", id, "result"], &[], None::<&()>).await
    }

    /// `POST /v1/tasks/{id}/cancel`
    pub async fn cancel(&self, id: &str) -> Result<TaskView, ClientError> {
        self.ask(Method::POST, &["tasks", id, "cancel"], &[], None::<&()>).await
    }

    /// `POST /v1/tasks/{id}/retry`
    pub async fn retry(&self, id: &str) -> Result<TaskView, ClientError> {
        self.ask(Method::POST, &["tasks", id, "retry"], &[], None::<&()>).await
    }

    /// `POST /v1/tasks/{id}/answer`
    pub async fn answer(&self, id: &str, answer: &AnswerRequest) -> Result<TaskView, ClientError> {
        self.ask(Method::POST, &["tasks", id, "answer"], &[], Some(answer)).await
    }

    /// `GET /v1/plugins`
    pub async fn plugins(&self) -> Result<Vec<PluginView>, ClientError> {
        self.ask(Method::GET, &["plugins"], &[], None::<&()>).await
    }

    /// `GET /v1/plugins/{name}`
    pub async fn plugin(&self, name: &str) -> Result<PluginView, ClientError> {
        self.ask(Method::GET, &["plugins", name], &[], None::<&()>).await
    }

    /// `POST /v1/stop`
    pub async fn stop(&self, now: bool) -> Result<(), ClientError> {
        let _: serde_json::Value = self.ask(Method::POST, &["stop"], &[], Some(&StopRequest { now })).await?;
        Ok(())
    }

    fn unreachable(&self, reason: impl Into<String>) -> ClientError {
        ClientError::Unreachable { pid: self.file.pid, port: self.file.port, reason: reason.into() }
    }

    fn address(&self, path: &[&str], query: &[(&str, String)]) -> Result<String, ClientError> {
        let mut url = Url::parse(&format!("http://127.0.0.1:{}/v1", self.file.port))
            .map_err(|error| ClientError::Answer(error.to_string()))?;
        // Only a URL that cannot have a path, such as `mailto:`, refuses; then the request is refused too.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url.into())
    }

    /// The answer's head, or the host's refusal.
    async fn send<B: Serialize>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&B>,
    ) -> Result<Response<Incoming>, ClientError> {
        // An empty segment would name another address.
        if let Some(segment) = path.iter().find(|segment| matches!(**segment, "" | "." | "..")) {
            let (kind, list) = if path.first() == Some(&"plugins") {
                ("name of a plugin", "plugin")
            } else {
                ("id of a task", "task")
            };
            let message =
                if segment.is_empty() { format!("the {kind} is empty") } else { format!("`{segment}` is no {kind}") };
            let error = ApiError::new(ErrorCode::NotFound, message);
            let error = error.with_help(format!("`buddy-host {list} list` shows what is here"));
            return Err(ClientError::Refused(error));
        }
        let unsendable = |error: &dyn std::error::Error| ClientError::Answer(error.to_string());
        let bytes = match body {
            Some(body) => serde_json::to_vec(body).map_err(|error| unsendable(&error))?,
            None => Vec::new(),
        };
        let request = Request::builder()
            .method(method)
            .uri(self.address(path, query)?)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.file.token))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(bytes))
            .map_err(|error| unsendable(&error))?;
        let response = tokio::time::timeout(ANSWER_TIME, self.http.request(request))
            .await
            .map_err(|_| self.unreachable("no answer within 35 seconds"))?
            .map_err(|error| self.unreachable(root_cause(&error)))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let bytes = self.read(response).await?;
        Err(match serde_json::from_slice::<ErrorBody>(&bytes) {
            Ok(body) => ClientError::Refused(body.error),
            Err(_) => ClientError::Answer(format!("status {status} without a reason")),
        })
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Bytes, ClientError> {
        let body = Limited::new(response.into_body(), MAX_ANSWER);
        match tokio::time::timeout(ANSWER_TIME, body.collect()).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                Err(ClientError::Answer("it is larger than 64 MiB".to_owned()))
            }
            Ok(Err(error)) => Err(self.unreachable(root_cause(error.as_ref()))),
            Err(_) => Err(self.unreachable("the answer stopped half-way")),
        }
    }

    async fn ask<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&B>,
    ) -> Result<T, ClientError> {
        let response = self.send(method, path, query, body).await?;
        let bytes = self.read(response).await?;
        serde_json::from_slice(&bytes).map_err(|error| ClientError::Answer(error.to_string()))
    }

    async fn listen<T>(
        &self,
        named: &'static str,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<Events<T>, ClientError> {
        let response = self.send(Method::GET, path, query, None::<&()>).await?;
        Ok(Events {
            named,
            body: response.into_body(),
            buffer: BytesMut::new(),
            searched: 0,
            over: false,
            client: self.clone(),
            values: PhantomData,
        })
    }
}

/// The innermost reason: "connection refused" says more than "client error".
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// A stream of values from the host.
#[derive(Debug)]
pub struct Events<T> {
    named: &'static str,
    body: Incoming,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no end of an event, so that a long one is not searched twice.
    searched: usize,
    over: bool,
    client: Client,
    values: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Events<T> {
    /// The next value; `None` when the host has said that there are no more. A connection that is cut is
    /// [`ClientError::Unreachable`].
    pub async fn next(&mut self) -> Result<Option<T>, ClientError> {
        while !self.over {
            while let Some(event) = self.take_event() {
                let (name, data) = parse_event(&event)?;
                match name {
                    "end" => {
                        self.over = true;
                        return Ok(None);
                    }
                    "error" => return Err(ClientError::Answer(data)),
                    name if name == self.named => {
                        return serde_json::from_str(&data)
                            .map(Some)
                            .map_err(|error| ClientError::Answer(error.to_string()));
                    }
                    // Signs of life, and events that a later version adds.
                    _ => {}
                }
            }
            self.fill().await?;
        }
        Ok(None)
    }

    async fn fill(&mut self) -> Result<(), ClientError> {
        if self.buffer.len() > MAX_ANSWER {
            return Err(ClientError::Answer("an event is larger than 64 MiB".to_owned()));
        }
        match tokio::time::timeout(SILENCE_TIME, self.body.frame()).await {
            Ok(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    self.buffer.extend_from_slice(data);
                }
                Ok(())
            }
            Ok(Some(Err(error))) => Err(self.client.unreachable(root_cause(&error))),
            Ok(None) => Err(self.client.unreachable("the connection ended")),
            Err(_) => Err(self.client.unreachable("no sign of life for 45 seconds")),
        }
    }

    /// The bytes of the next whole event, without the empty line that ends it.
    fn take_event(&mut self) -> Option<Bytes> {
        let from = self.searched.saturating_sub(1);
        let found = self.buffer.get(from..)?.windows(2).position(|pair| pair == b"\n\n");
        let Some(at) = found else {
            self.searched = self.buffer.len();
            return None;
        };
        self.searched = 0;
        let event = self.buffer.split_to(from + at + 2);
        Some(event.freeze())
    }
}

/// The name and the data of one event.
fn parse_event(event: &[u8]) -> Result<(&str, String), ClientError> {
    let text = std::str::from_utf8(event).map_err(|_| ClientError::Answer("an event is not UTF-8".to_owned()))?;
    let mut name = "";
    let mut data = String::new();
    for line in text.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => name = value,
            "data" => {
                if !data.is_empty() {
                    data.push('\n');
                }
                data.push_str(value);
            }
            _ => {}
        }
    }
    Ok((name, data))
}
