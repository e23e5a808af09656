//! The DevTools connection of one Chromium process, and the sessions on it.
//!
//! One task per process, the *dispatcher*, owns the web socket. A [`Session`] is one attached target: the browser
//! itself (the root session), a page, or a frame that lives in a renderer of its own. The contract of a session:
//!
//! - Every call ends: with its answer, at its deadline, or at once when the page crashed, the target went away or
//!   the browser died. Nothing waits on a renderer that is gone.
//! - Events are delivered in two ways. An [`Observer`] sees every event of its session, in order, inside the
//!   dispatcher, and may send commands at once (that is how a dialog is answered while nobody is looking). A
//!   subscription ([`Session::subscribe`]) is a bounded queue beside it: a reader that falls behind loses the oldest
//!   events and never holds up the dispatcher, which drains the socket whatever its readers do.
//! - An answer that nobody waits for any more is dropped.

use std::borrow::Cow;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chromiumoxide::cdp::browser_protocol::target::{EventAttachedToTarget, EventDetachedFromTarget, TargetInfo};
use chromiumoxide::types::{CallId, Command, EventMessage, Message, Method, MethodType};
use futures::StreamExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::error::BrowserError;

/// Events kept for a subscriber that is slow. A page with a few hundred resources emits some thousand events in a
/// burst; only subscribers that filter for a rare one read them, so this many is seconds of backlog.
const EVENT_BACKLOG: usize = 1024;

/// One event as it came off the socket.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RawEvent {
    /// For example `Page.frameNavigated`.
    pub(crate) method: String,
    #[serde(rename = "sessionId")]
    session_id: Option<String>,
    #[serde(default)]
    params: Value,
}

impl RawEvent {
    /// The event's parameters, when it is an `E`.
    pub(crate) fn decode<E: MethodType + DeserializeOwned>(&self) -> Option<E> {
        if self.method != E::method_id() {
            return None;
        }
        match E::deserialize(&self.params) {
            Ok(event) => Some(event),
            Err(error) => {
                // A Chromium newer than the protocol file can say things its types do not know.
                tracing::debug!(method = %self.method, %error, "an event of an unknown shape was left out");
                None
            }
        }
    }

    /// One string of the parameters, by JSON Pointer: for the few fields that are read on every event.
    pub(crate) fn text(&self, pointer: &str) -> Option<&str> {
        self.params.pointer(pointer).and_then(Value::as_str)
    }

    /// One number of the parameters, by JSON Pointer.
    pub(crate) fn number(&self, pointer: &str) -> Option<f64> {
        self.params.pointer(pointer).and_then(Value::as_f64)
    }

    /// Any part of the parameters, by JSON Pointer.
    pub(crate) fn part(&self, pointer: &str) -> Option<&Value> {
        self.params.pointer(pointer)
    }
}

impl Method for RawEvent {
    fn identifier(&self) -> Cow<'static, str> {
        Cow::Owned(self.method.clone())
    }
}

impl EventMessage for RawEvent {
    fn session_id(&self) -> Option<&str> {
        self.session_id.as_deref()
    }
}

/// Why a session is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// The renderer died.
    Crashed,
    /// The target was closed, by us or by the page itself.
    Closed,
    /// The browser process died; the sentence says how.
    BrowserLost(String),
}

impl End {
    /// The error that calls on an ended session get.
    pub(crate) fn error(&self) -> BrowserError {
        match self {
            Self::Crashed => BrowserError::PageCrashed(
                "the page's renderer crashed, most often for want of memory; open a new page and try again".to_owned(),
            ),
            Self::Closed => BrowserError::Cancelled("the page was closed".to_owned()),
            Self::BrowserLost(how) => BrowserError::BrowserLost(format!(
                "the browser process is gone ({how}); open a new context and try again"
            )),
        }
    }
}

/// Sees a session's events inside the dispatcher. Must return at once: no locks that are held over an await.
pub(crate) trait Observer: Send + Sync {
    /// An event of the session. Commands sent on `session` here go out before the next event is read.
    fn event(&self, session: &Session, event: &RawEvent);
    /// A target below this session was attached; `waiting` says that it is paused until
    /// `Runtime.runIfWaitingForDebugger`. The observer of the child is set here, before its first event.
    fn attached(&self, session: &Session, child: &Session, target: &TargetInfo, waiting: bool);
    /// The session is over; called once.
    fn ended(&self, session: &Session, end: &End);
}

enum ToDispatcher {
    Call {
        session: Option<String>,
        method: Cow<'static, str>,
        params: Value,
        answer: Option<oneshot::Sender<Result<Value, BrowserError>>>,
    },
    Lost(String),
}

struct Inner {
    /// `None` for the browser's own session.
    id: Option<String>,
    target_id: String,
    out: mpsc::UnboundedSender<ToDispatcher>,
    end: watch::Sender<Option<End>>,
    events: broadcast::Sender<Arc<RawEvent>>,
    /// Taken out when the session ends, which breaks the cycle observer → session → observer.
    observer: Mutex<Option<Arc<dyn Observer>>>,
}

/// One attached target. Cheap to clone; all clones are the same session.
#[derive(Clone)]
pub(crate) struct Session {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.inner.id)
            .field("target", &self.inner.target_id)
            .finish_non_exhaustive()
    }
}

impl Session {
    fn new(id: Option<String>, target_id: String, out: mpsc::UnboundedSender<ToDispatcher>) -> Self {
        Self {
            inner: Arc::new(Inner {
                id,
                target_id,
                out,
                end: watch::Sender::new(None),
                events: broadcast::Sender::new(EVENT_BACKLOG),
                observer: Mutex::new(None),
            }),
        }
    }

    /// The protocol's id of this session; empty for the root session.
    pub(crate) fn id(&self) -> &str {
        self.inner.id.as_deref().unwrap_or_default()
    }

    /// The target's id. For a frame in its own renderer it equals the frame's id; for a page its main frame's id.
    pub(crate) fn target_id(&self) -> &str {
        &self.inner.target_id
    }

    /// Why the session is over, if it is.
    pub(crate) fn end(&self) -> Option<End> {
        self.inner.end.borrow().clone()
    }

    /// Returns when the session is over.
    pub(crate) async fn ended(&self) -> End {
        let mut end = self.inner.end.subscribe();
        match end.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(End::Closed),
            // The sender lives in `self`.
            Err(_) => End::Closed,
        }
    }

    /// Sends a command and waits for its answer, at most `timeout`.
    pub(crate) async fn call<C: Command>(&self, command: C, timeout: Duration) -> Result<C::Response, BrowserError> {
        let method = command.identifier();
        let name = method.clone();
        let params = serde_json::to_value(command).map_err(|error| {
            BrowserError::Failed(format!("the command {name} could not be written as JSON: {error}"))
        })?;
        let value = self.call_raw(method, params, timeout).await?;
        C::response_from_value(value)
            .map_err(|error| BrowserError::Failed(format!("Chromium's answer to {name} has an unknown shape: {error}")))
    }

    /// [`call`](Self::call) with a point in time instead of a span.
    pub(crate) async fn call_until<C: Command>(
        &self,
        command: C,
        deadline: Instant,
    ) -> Result<C::Response, BrowserError> {
        self.call(command, deadline.saturating_duration_since(Instant::now())).await
    }

    /// A command by name, for the few that the protocol file does not know.
    pub(crate) async fn call_raw(
        &self,
        method: impl Into<Cow<'static, str>>,
        params: Value,
        timeout: Duration,
    ) -> Result<Value, BrowserError> {
        let method = method.into();
        let name = method.clone();
        let (answer, wait) = oneshot::channel();
        self.submit(method, params, Some(answer))?;
        match tokio::time::timeout(timeout, wait).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(self.end_error()),
            Err(_) => Err(BrowserError::timed_out(&format!("the browser's answer to {name}"), timeout)),
        }
    }

    /// Sends a command and does not wait. Order with later calls on the same process is kept.
    pub(crate) fn send<C: Command>(&self, command: C) {
        let method = command.identifier();
        match serde_json::to_value(command) {
            Ok(params) => self.send_raw(method, params),
            Err(error) => tracing::warn!(%method, %error, "a command could not be written as JSON"),
        }
    }

    /// [`send`](Self::send) by name.
    pub(crate) fn send_raw(&self, method: impl Into<Cow<'static, str>>, params: Value) {
        if let Err(error) = self.submit(method.into(), params, None) {
            tracing::debug!(%error, "a command was not sent because its session is over");
        }
    }

    fn submit(
        &self,
        method: Cow<'static, str>,
        params: Value,
        answer: Option<oneshot::Sender<Result<Value, BrowserError>>>,
    ) -> Result<(), BrowserError> {
        if let Some(end) = self.end() {
            return Err(end.error());
        }
        self.inner
            .out
            .send(ToDispatcher::Call { session: self.inner.id.clone(), method, params, answer })
            .map_err(|_| self.end_error())
    }

    fn end_error(&self) -> BrowserError {
        self.end().unwrap_or_else(|| End::BrowserLost("its connection closed".to_owned())).error()
    }

    /// The events of one type from now on.
    pub(crate) fn subscribe<E: MethodType + DeserializeOwned>(&self) -> Events<E> {
        Events { session: self.clone(), receiver: self.inner.events.subscribe(), event: PhantomData }
    }

    /// Sets who sees this session's events. The first one set stays.
    pub(crate) fn observe(&self, observer: Arc<dyn Observer>) {
        let mut slot = self.inner.observer.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() && self.end().is_none() {
            *slot = Some(observer);
        }
    }

    fn observer(&self) -> Option<Arc<dyn Observer>> {
        self.inner.observer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn finish(&self, end: &End) {
        let first = self.inner.end.send_if_modified(|state| {
            let first = state.is_none();
            if first {
                *state = Some(end.clone());
            }
            first
        });
        let observer = self.inner.observer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (true, Some(observer)) = (first, observer) {
            observer.ended(self, end);
        }
    }
}

/// A bounded queue of one kind of event.
pub(crate) struct Events<E> {
    session: Session,
    receiver: broadcast::Receiver<Arc<RawEvent>>,
    event: PhantomData<fn() -> E>,
}

impl<E: MethodType + DeserializeOwned> Events<E> {
    /// The next event; an error when the session is over. Put a deadline around it.
    pub(crate) async fn next(&mut self) -> Result<E, BrowserError> {
        loop {
            tokio::select! {
                biased;
                event = self.receiver.recv() => match event {
                    Ok(event) => {
                        if let Some(event) = event.decode::<E>() {
                            return Ok(event);
                        }
                    }
                    Err(broadcast::error::RecvError::Lagged(lost)) => {
                        tracing::debug!(lost, "a subscriber fell behind and lost the oldest events");
                    }
                    Err(broadcast::error::RecvError::Closed) => return Err(self.session.end_error()),
                },
                end = self.session.ended() => return Err(end.error()),
            }
        }
    }
}

/// Tells the dispatcher from outside that the process is gone, so that no call waits for the socket to notice.
#[derive(Debug, Clone)]
pub(crate) struct LossReporter(mpsc::UnboundedSender<ToDispatcher>);

impl LossReporter {
    /// Ends every session with [`End::BrowserLost`].
    pub(crate) fn lost(&self, how: impl Into<String>) {
        // A closed channel means that the dispatcher has ended everything already.
        let _ = self.0.send(ToDispatcher::Lost(how.into()));
    }
}

/// Connects to the DevTools address of a process and starts its dispatcher on the current runtime.
pub(crate) async fn connect(
    address: &str,
    observer: Arc<dyn Observer>,
    timeout: Duration,
) -> Result<(Session, LossReporter), BrowserError> {
    let connection = tokio::time::timeout(timeout, chromiumoxide::Connection::<RawEvent>::connect(address))
        .await
        .map_err(|_| BrowserError::timed_out("connecting to the browser just started", timeout))?
        .map_err(|error| {
            BrowserError::Unavailable(format!("the browser just started refused the connection: {error}"))
        })?;
    let (out, inbox) = mpsc::unbounded_channel();
    let root = Session::new(None, String::new(), out.clone());
    root.observe(observer);
    let dispatcher = Dispatcher {
        root: root.clone(),
        sessions: HashMap::new(),
        pending: HashMap::new(),
        sweep_at: PENDING_SWEEP,
        out: out.clone(),
    };
    tokio::spawn(dispatcher.run(connection, inbox));
    Ok((root, LossReporter(out)))
}

/// Size of the table of open calls at which calls whose caller has gone are swept out for the first time. More
/// calls than this are never open in honest use: a page has a handful at a time.
const PENDING_SWEEP: usize = 512;

struct Pending {
    session: Option<String>,
    method: Cow<'static, str>,
    answer: oneshot::Sender<Result<Value, BrowserError>>,
}

struct Dispatcher {
    root: Session,
    sessions: HashMap<String, Session>,
    pending: HashMap<CallId, Pending>,
    sweep_at: usize,
    /// For the sessions that are attached later.
    out: mpsc::UnboundedSender<ToDispatcher>,
}

impl Dispatcher {
    async fn run(
        mut self,
        mut connection: chromiumoxide::Connection<RawEvent>,
        mut inbox: mpsc::UnboundedReceiver<ToDispatcher>,
    ) {
        let how = loop {
            tokio::select! {
                biased;
                order = inbox.recv() => match order {
                    Some(ToDispatcher::Call { session, method, params, answer }) => {
                        self.submit(&mut connection, session, method, params, answer);
                    }
                    Some(ToDispatcher::Lost(how)) => break how,
                    // Not reached: the dispatcher holds a sender itself. It ends with its socket or by `Lost`.
                    None => break "its connection is not used any more".to_owned(),
                },
                message = connection.next() => match message {
                    Some(Ok(Message::Response(response))) => self.answer(response),
                    Some(Ok(Message::Event(event))) => self.event(event),
                    Some(Err(chromiumoxide::error::CdpError::InvalidMessage(_, error))) => {
                        tracing::debug!(%error, "a message of an unknown shape was left out");
                    }
                    Some(Err(error)) => break format!("its connection failed: {error}"),
                    None => break "it closed its connection".to_owned(),
                },
            }
        };
        let end = End::BrowserLost(how);
        // Calls that are still queued fail with the rest.
        inbox.close();
        while let Ok(order) = inbox.try_recv() {
            if let ToDispatcher::Call { answer: Some(answer), .. } = order {
                let _ = answer.send(Err(end.error()));
            }
        }
        for (_, pending) in self.pending.drain() {
            let _ = pending.answer.send(Err(end.error()));
        }
        for (_, session) in self.sessions.drain() {
            session.finish(&end);
        }
        self.root.finish(&end);
    }

    fn submit(
        &mut self,
        connection: &mut chromiumoxide::Connection<RawEvent>,
        session: Option<String>,
        method: Cow<'static, str>,
        params: Value,
        answer: Option<oneshot::Sender<Result<Value, BrowserError>>>,
    ) {
        if let Some(id) = &session
            && !self.sessions.contains_key(id)
        {
            // It ended between the caller's check and here.
            if let Some(answer) = answer {
                let _ = answer.send(Err(End::Closed.error()));
            }
            return;
        }
        match connection.submit_command(method.clone(), session.clone().map(Into::into), params) {
            Ok(id) => {
                if let Some(answer) = answer {
                    self.pending.insert(id, Pending { session, method, answer });
                    if self.pending.len() > self.sweep_at {
                        self.pending.retain(|_, pending| !pending.answer.is_closed());
                        self.sweep_at = PENDING_SWEEP.max(self.pending.len() * 2);
                    }
                }
            }
            Err(error) => {
                if let Some(answer) = answer {
                    let _ = answer.send(Err(BrowserError::Failed(format!("{method} could not be sent: {error}"))));
                }
            }
        }
    }

    fn answer(&mut self, response: chromiumoxide::types::Response) {
        let Some(pending) = self.pending.remove(&response.id) else { return };
        let result = match (response.error, response.result) {
            (Some(error), _) => Err(protocol_error(&pending.method, &error.message)),
            (None, result) => Ok(result.unwrap_or(Value::Null)),
        };
        let _ = pending.answer.send(result);
    }

    fn event(&mut self, event: RawEvent) {
        let session = match event.session_id() {
            None => self.root.clone(),
            Some(id) => match self.sessions.get(id) {
                Some(session) => session.clone(),
                // A late event of a session that has ended.
                None => return,
            },
        };
        match event.method.as_str() {
            "Target.attachedToTarget" => self.attached(&session, &event),
            "Target.detachedFromTarget" => {
                if let Some(detached) = event.decode::<EventDetachedFromTarget>() {
                    self.finish(detached.session_id.as_ref(), &End::Closed);
                }
            }
            "Inspector.targetCrashed" => self.finish(session.id(), &End::Crashed),
            "Target.targetCrashed" => {
                let target = event.text("/targetId").unwrap_or_default();
                let crashed: Vec<String> =
                    self.sessions.values().filter(|s| s.target_id() == target).map(|s| s.id().to_owned()).collect();
                for id in crashed {
                    self.finish(&id, &End::Crashed);
                }
            }
            _ => {
                if let Some(observer) = session.observer() {
                    observer.event(&session, &event);
                }
                if session.inner.events.receiver_count() > 0 {
                    // No receiver left in the meantime is no error.
                    let _ = session.inner.events.send(Arc::new(event));
                }
            }
        }
    }

    fn attached(&mut self, parent: &Session, event: &RawEvent) {
        let Some(attached) = event.decode::<EventAttachedToTarget>() else { return };
        let id: String = attached.session_id.into();
        let child =
            Session::new(Some(id.clone()), attached.target_info.target_id.as_ref().to_owned(), self.out.clone());
        self.sessions.insert(id, child.clone());
        if let Some(observer) = parent.observer() {
            observer.attached(parent, &child, &attached.target_info, attached.waiting_for_debugger);
        }
    }

    /// Ends a session: its open calls fail at once.
    fn finish(&mut self, id: &str, end: &End) {
        let Some(session) = self.sessions.remove(id) else { return };
        let open: Vec<CallId> =
            self.pending.iter().filter(|(_, p)| p.session.as_deref() == Some(id)).map(|(call, _)| *call).collect();
        for call in open {
            if let Some(pending) = self.pending.remove(&call) {
                let _ = pending.answer.send(Err(end.error()));
            }
        }
        session.finish(end);
    }
}

/// Chromium's protocol errors have one code for nearly everything; the words are what tells them apart.
fn protocol_error(method: &str, message: &str) -> BrowserError {
    const CONTEXT_LOST: [&str; 6] = [
        "Execution context was destroyed",
        "Cannot find context with specified id",
        "Inspected target navigated or closed",
        "Cannot find default execution context",
        "uniqueContextId not found",
        "Internal error: no execution context",
    ];
    const ENDED: [&str; 3] = ["Session with given id not found", "Target closed", "No target with given id found"];
    if CONTEXT_LOST.iter().any(|words| message.contains(words)) {
        return BrowserError::ContextLost(format!("the page navigated away while it was being read ({method})"));
    }
    if ENDED.iter().any(|words| message.contains(words)) {
        return End::Closed.error();
    }
    BrowserError::Failed(format!("Chromium refused {method}: {message}"))
}
