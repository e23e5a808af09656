//! Calls into the engine in the page, frames on the way, and the loop that every action waits in.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use chromiumoxide::cdp::browser_protocol::dom::{DescribeNodeParams, Node, ShadowRootType};
use chromiumoxide::cdp::browser_protocol::page::FrameId;
use chromiumoxide::cdp::js_protocol::runtime::{ReleaseObjectParams, RemoteObjectId};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::selector::{Selector, Step};
use crate::error::BrowserError;
use crate::page::Page;

/// Puts the engine into an isolated world, where it stays as long as the document.
const INSTALL: &str = concat!(
    "() => { globalThis.__buddy = (() => {\n'use strict';\n",
    include_str!("../js/dom.js"),
    include_str!("../js/selectors.js"),
    include_str!("../js/roles.js"),
    include_str!("../js/article.js"),
    include_str!("../js/read.js"),
    include_str!("../js/act.js"),
    include_str!("../js/forms.js"),
    include_str!("../js/engine.js"),
    "\n})(); return true; }"
);

/// Serves one call. Only an own property counts: an element with the id `__buddy` would be found on the prototype.
const RUN: &str = "(name, request) => Object.hasOwn(globalThis, '__buddy') \
                   ? globalThis.__buddy.run(name, request) : { missing: null }";

const FRAME_HANDLE: &str = "(token) => Object.hasOwn(globalThis, '__buddy') ? globalThis.__buddy.frame(token) : null";

const CANDIDATE_HANDLE: &str =
    "(token, index) => Object.hasOwn(globalThis, '__buddy') ? globalThis.__buddy.candidate(token, index) : null";

/// How long a reading waits for a document that is still being parsed. Parsing that takes longer hangs on a script
/// that does not come; then what is there is read.
const PARSE_WAIT: Duration = Duration::from_secs(10);

/// Pauses between looks: short at first, as most elements are ready at once; longer for what takes its time.
const PAUSES: [(u32, Duration); 3] =
    [(10, Duration::from_millis(20)), (60, Duration::from_millis(50)), (u32::MAX, Duration::from_millis(100))];

/// Time given to clean-up and to the search for the reason of a failure, after the deadline itself.
const AFTERMATH: Duration = Duration::from_secs(2);

/// Names actions apart within a page; see `slots` in `act.js`.
static NEXT_TOKEN: AtomicU64 = AtomicU64::new(1);

/// The engine's answer, before it is known whether it is one.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Reply {
    Value(Value),
    Missing(()),
    Loading(()),
    Invalid(String),
    Limit(String),
    Failed(String),
}

/// What one look or one step of an action found.
pub(super) enum Attempt<T> {
    /// Done.
    Done(T),
    /// Not yet, and why.
    Waiting(String),
}

/// Goes on with a value, or leaves the function with `Waiting`.
macro_rules! ready {
    ($attempt:expr) => {
        match $attempt {
            Attempt::Done(value) => value,
            Attempt::Waiting(why) => return Ok(Attempt::Waiting(why)),
        }
    };
}
pub(super) use ready;

/// One action on one selector: its deadline, and what it has met so far.
pub(super) struct Action<'a> {
    pub(super) page: &'a Page,
    pub(super) selector: Selector,
    /// What is being done, as the beginning of a sentence: `click`.
    verb: &'static str,
    pub(super) deadline: Instant,
    timeout: Duration,
    token: u64,
    /// Looks so far.
    pub(super) round: u32,
    /// The frames that the last look went through, outermost first, without the innermost.
    path: Vec<Option<FrameId>>,
    /// The frame that the element is in.
    frame: Option<FrameId>,
    /// Whether the engine keeps something for this action; readings in the main frame need nothing.
    kept: AtomicBool,
}

impl<'a> Action<'a> {
    pub(super) fn new(
        page: &'a Page,
        verb: &'static str,
        selector: &str,
        timeout: Duration,
    ) -> Result<Self, BrowserError> {
        Ok(Self {
            page,
            selector: Selector::parse(selector)?,
            verb,
            deadline: Instant::now() + timeout,
            timeout,
            token: NEXT_TOKEN.fetch_add(1, Ordering::Relaxed),
            round: 0,
            path: Vec::new(),
            frame: None,
            kept: AtomicBool::new(false),
        })
    }

    /// Calls an operation of the engine in the element's frame and takes its answer as it is.
    pub(super) async fn call(&self, name: &str, request: Value) -> Result<Value, BrowserError> {
        self.call_in(self.frame.as_ref(), name, request).await
    }

    async fn call_in(&self, frame: Option<&FrameId>, name: &str, request: Value) -> Result<Value, BrowserError> {
        let what = format!("{} `{}`", self.verb, self.selector.shown());
        call_engine(self.page, frame, &what, name, self.with_token(request), self.deadline).await
    }

    fn with_token(&self, request: Value) -> Value {
        let mut request = match request {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        request.insert("token".to_owned(), json!(self.token));
        Value::Object(request)
    }

    /// Calls an operation that answers `ok`, `waiting` or `error`.
    pub(super) async fn step(&self, name: &str, request: Value) -> Result<Attempt<Value>, BrowserError> {
        self.kept.store(true, Ordering::Relaxed);
        self.judge(self.call(name, request).await?)
    }

    fn judge(&self, answer: Value) -> Result<Attempt<Value>, BrowserError> {
        let text = |key: &str| answer.get(key).and_then(Value::as_str).map(str::to_owned);
        if let Some(why) = text("error") {
            return Err(BrowserError::Invalid(format!("{} `{}`: {why}", self.verb, self.selector.shown())));
        }
        Ok(match text("waiting") {
            Some(why) => Attempt::Waiting(why),
            None => Attempt::Done(answer),
        })
    }

    /// Goes through the frames of the selector. To be done anew for each look: frames are replaced as elements are.
    pub(super) async fn enter_frames(&mut self) -> Result<Attempt<()>, BrowserError> {
        self.path.clear();
        self.frame = None;
        for step in self.selector.frames.clone() {
            let here = self.frame.clone();
            match self.frame_below(here.as_ref(), &step).await {
                Ok(Attempt::Done(inner)) => {
                    self.path.push(here);
                    self.frame = Some(inner);
                }
                Ok(Attempt::Waiting(why)) => return Ok(Attempt::Waiting(format!("its frame is not there: {why}"))),
                Err(BrowserError::NotFound(why)) => return Ok(Attempt::Waiting(why)),
                Err(error) => return Err(error),
            }
        }
        Ok(Attempt::Done(()))
    }

    async fn frame_below(&self, frame: Option<&FrameId>, step: &Step) -> Result<Attempt<FrameId>, BrowserError> {
        self.kept.store(true, Ordering::Relaxed);
        ready!(self.judge(self.call_in(frame, "frame", json!({ "step": step })).await?)?);
        let handle = self.page.call_function_handle(frame, FRAME_HANDLE, &[json!(self.token)], self.deadline).await?;
        let Some(object) = handle.object_id else { return Ok(Attempt::Waiting("it was replaced".to_owned())) };
        let node = describe_object(self.page, frame, object, self.deadline).await?;
        let Some(inner) = node.frame_id else {
            return Ok(Attempt::Waiting("the frame has no document yet".to_owned()));
        };
        // The page learns of a frame by an event, which may come after the element was seen.
        Ok(match self.page.frame_session(&inner) {
            Ok(_) => Attempt::Done(inner),
            Err(_) => Attempt::Waiting(
                "the frame's document is not reachable: it is still loading, or it is a kind of document that \
                 cannot be entered"
                    .to_owned(),
            ),
        })
    }

    /// One look at the element: `wants` as in `act.js`. The answer's point is in the page's own viewport.
    pub(super) async fn look(&mut self, wants: &[&str], at: Option<(f64, f64)>) -> Result<Attempt<Look>, BrowserError> {
        ready!(self.enter_frames().await?);
        let request = json!({ "step": self.selector.step, "wants": wants, "at": at, "round": self.round });
        let found = ready!(self.step("look", request).await?);
        let point = Point { x: number(&found, "/x"), y: number(&found, "/y") };
        let point = ready!(self.to_page(point, wants.contains(&"hit")).await?);
        Ok(Attempt::Done(Look { point, width: number(&found, "/box/width"), height: number(&found, "/box/height") }))
    }

    /// A point of the element's frame in the page's own viewport; with `hit`, each frame on the way must receive the
    /// pointer there.
    pub(super) async fn to_page(&self, point: Point, hit: bool) -> Result<Attempt<Point>, BrowserError> {
        let mut point = point;
        for outer in self.path.iter().rev() {
            let request = json!({ "x": point.x, "y": point.y, "hit": hit });
            let answer = ready!(self.judge(self.call_in(outer.as_ref(), "framePoint", request).await?)?);
            point = Point { x: number(&answer, "/x"), y: number(&answer, "/y") };
        }
        Ok(Attempt::Done(point))
    }

    /// The frame that the element is in; absent: the page's own document.
    pub(super) fn frame(&self) -> Option<&FrameId> {
        self.frame.as_ref()
    }

    /// Waits for the next look, or ends with the error that tells why all looks failed.
    pub(super) async fn pause(&mut self, why: &str) -> Result<(), BrowserError> {
        let pause = PAUSES.iter().find(|(rounds, _)| self.round < *rounds).map_or(PAUSES[2].1, |(_, pause)| *pause);
        self.round = self.round.saturating_add(1);
        if Instant::now() + pause < self.deadline {
            tokio::time::sleep(pause).await;
            return Ok(());
        }
        Err(self.timed_out(why).await)
    }

    async fn timed_out(&self, why: &str) -> BrowserError {
        let hint = if why.starts_with("no element") { self.closed_root_hint().await } else { None };
        BrowserError::TimedOut(format!(
            "{} `{}` did not succeed within {} ms: {why}{}",
            self.verb,
            self.selector.shown(),
            self.timeout.as_millis(),
            hint.unwrap_or_default()
        ))
    }

    /// Says so when the document has closed shadow roots, which no selector sees into.
    async fn closed_root_hint(&self) -> Option<String> {
        let deadline = Instant::now() + AFTERMATH;
        let frame = self.frame.as_ref();
        let request = self.with_token(Value::Null);
        let found = call_engine(self.page, frame, "look", "closedCandidates", request, deadline).await.ok()?;
        for (index, name) in found.as_array()?.iter().enumerate() {
            let arguments = [json!(self.token), json!(index)];
            let handle = self.page.call_function_handle(frame, CANDIDATE_HANDLE, &arguments, deadline).await.ok()?;
            let node = describe_object(self.page, frame, handle.object_id?, deadline).await.ok()?;
            let closed = node.shadow_roots.unwrap_or_default();
            if closed.iter().any(|root| root.shadow_root_type == Some(ShadowRootType::Closed)) {
                let name = name.as_str().unwrap_or("an element");
                return Some(format!("; {name} has a closed shadow root, which selectors cannot see into"));
            }
        }
        None
    }

    /// What an attempt means: the end of the action, or a pause and another attempt. The deadline's error tells what
    /// the last attempt waited for. See [`until_done`].
    pub(super) async fn settle<T>(
        &mut self,
        attempt: Result<Attempt<T>, BrowserError>,
        last: &mut Option<String>,
    ) -> Option<Result<T, BrowserError>> {
        let why = match attempt {
            Ok(Attempt::Done(value)) => return Some(Ok(value)),
            // Not found: a frame went away between two steps.
            Ok(Attempt::Waiting(why)) | Err(BrowserError::NotFound(why)) => why,
            // The deadline passed inside a call: what was waited for before says more.
            Err(BrowserError::TimedOut(words)) if Instant::now() >= self.deadline => {
                return Some(Err(self.timed_out(&last.take().unwrap_or(words)).await));
            }
            Err(error) => return Some(Err(error)),
        };
        if let Err(error) = self.pause(&why).await {
            return Some(Err(error));
        }
        *last = Some(why);
        None
    }

    /// Lets the engine drop what it kept for this action. Nobody waits for it, and a page that is gone needs none.
    pub(super) fn forget(&self) {
        if !self.kept.load(Ordering::Relaxed) {
            return;
        }
        let page = self.page.clone();
        let frames: Vec<_> = self.path.iter().cloned().chain([self.frame.clone()]).collect();
        let request = self.with_token(Value::Null);
        tokio::spawn(async move {
            for frame in frames {
                let deadline = Instant::now() + AFTERMATH;
                let arguments = [json!("forget"), request.clone()];
                let gone = page.call_function_once(frame.as_ref(), RUN, &arguments, true, deadline).await;
                if let Err(error) = gone {
                    tracing::trace!(%error, "the page went away before its action was forgotten");
                }
            }
        });
    }
}

/// A point in CSS pixels of a viewport.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// A ready element.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Look {
    /// Where to press, in the page's own viewport.
    pub(super) point: Point,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A number of the engine's answer; 0 when it is not there, which its own functions do not let happen.
pub(super) fn number(answer: &Value, pointer: &str) -> f64 {
    answer.pointer(pointer).and_then(Value::as_f64).unwrap_or_default()
}

/// One call of the engine, installing it first where it is not yet. `what` begins the sentence of an error.
pub(super) async fn call_engine(
    page: &Page,
    frame: Option<&FrameId>,
    what: &str,
    name: &str,
    request: Value,
    deadline: Instant,
) -> Result<Value, BrowserError> {
    let parse_by = (Instant::now() + PARSE_WAIT).min(deadline);
    let mut arguments = [json!(name), request];
    loop {
        let value = page.call_function(frame, RUN, &arguments, deadline).await?;
        let reply = Reply::deserialize(value).map_err(|error| {
            BrowserError::Failed(format!("{what}: the engine in the page answered nonsense ({error})"))
        })?;
        match reply {
            Reply::Value(value) => return Ok(value),
            Reply::Missing(()) => {
                page.call_function(frame, INSTALL, &[], deadline).await?;
            }
            Reply::Loading(()) => {
                if Instant::now() >= parse_by
                    && let Some(request) = arguments[1].as_object_mut()
                {
                    request.remove("parsed");
                } else {
                    tokio::time::sleep(PAUSES[0].1).await;
                }
            }
            Reply::Invalid(why) => return Err(BrowserError::Invalid(format!("{what}: {why}"))),
            Reply::Limit(why) => return Err(BrowserError::Limit(format!("{what}: {why}"))),
            Reply::Failed(why) => return Err(BrowserError::Failed(format!("{what}: {why}"))),
        }
    }
}

/// What the browser knows of an element that a script holds; the hold on it is given up.
pub(super) async fn describe_object(
    page: &Page,
    frame: Option<&FrameId>,
    object: RemoteObjectId,
    deadline: Instant,
) -> Result<Node, BrowserError> {
    let session = match frame {
        None => page.session().clone(),
        Some(frame) => page.frame_session(frame)?,
    };
    let describe = DescribeNodeParams { object_id: Some(object.clone()), ..DescribeNodeParams::default() };
    let node = session.call_until(describe, deadline).await.map(|answer| answer.node);
    session.send(ReleaseObjectParams::new(object));
    match node {
        Ok(node) => Ok(node),
        // Its document went away meanwhile.
        Err(BrowserError::Failed(_) | BrowserError::ContextLost(_)) => {
            Err(BrowserError::NotFound("the frame was replaced while it was being entered".to_owned()))
        }
        Err(error) => Err(error),
    }
}

/// Gives an attempt its type, so that `?` inside of it knows the error.
pub(super) fn attempted<T, F>(attempt: F) -> F
where
    F: Future<Output = Result<Attempt<T>, BrowserError>>,
{
    attempt
}

/// Runs an attempt of an [`Action`] again and again until it is done.
///
/// A macro and not a method with an async closure: the future of such a closure is not `Send` for every lifetime in the
/// compiler's eyes (rust-lang/rust issue 110338), and whoever calls the pool needs it to be.
macro_rules! until_done {
    ($action:ident, $attempt:block) => {{
        let mut last: Option<String> = None;
        let result = loop {
            let attempt = {
                let $action = &mut $action;
                $crate::actions::engine::attempted(async { $attempt }).await
            };
            if let Some(end) = $action.settle(attempt, &mut last).await {
                break end;
            }
        };
        $action.forget();
        result
    }};
}
pub(super) use until_done;
