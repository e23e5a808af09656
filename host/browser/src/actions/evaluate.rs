//! A plugin's own script, in the page's world.
//!
//! The page may have overridden everything there, so the value is carried out by syntax alone (`src/js/evaluate.js`)
//! and decoded here.
//!
//! # When a navigation interrupts
//!
//! A script that was lost before it had a result is run again in the new document, once that is parsed: most losses
//! are redirects by script just after loading, and there the script has not begun or has only read. Chromium does not
//! say whether a lost script had begun, so **a script may run more than once**: one that changes something beyond its
//! document, and then waits, should check first, or be done by an action. It is run again at most
//! [`MOST_RUNS`] times in all, so a script that itself navigates and waits does not go round until the deadline.

use std::fmt::Write as _;

use chromiumoxide::cdp::browser_protocol::dom::ResolveNodeParams;
use chromiumoxide::cdp::browser_protocol::page::FrameId;
use chromiumoxide::cdp::js_protocol::runtime::{
    CallArgument, CallFunctionOnParams, EvaluateParams, ExceptionDetails, ReleaseObjectParams, RemoteObject,
    RemoteObjectId,
};
use serde_json::{Map, Value, json};

use super::MAX_RESULT_CHARS;
use super::engine::{Action, Attempt, describe_object, ready, until_done};
use super::read::in_frame;
use crate::cdp::Session;
use crate::error::BrowserError;
use crate::eval::first_chars;
use crate::page::Page;

const RUN: &str = include_str!("../js/evaluate.js");

/// The name of the script in stack traces, by which its lines are told from the page's.
const SOURCE_NAME: &str = "buddy-evaluate.js";

/// Bytes of the longest script; a library belongs into a page, not into each call.
const MAX_SCRIPT_BYTES: usize = 1024 * 1024;

/// Levels of the deepest value, circles included. `serde_json` reads at most 128, and the protocol's own frame takes
/// a few.
const DEEPEST: u32 = 100;

/// How often a script is run in all when navigations take its document away.
const MOST_RUNS: u32 = 5;

/// Characters of a thrown message that are passed on.
const MESSAGE_CHARS: usize = 1_000;

impl Page {
    /// Runs a script in the page's world: an expression, or the body of an async function that `return`s. It sees
    /// `argument`; promises are awaited. `undefined` becomes `null`, NaN and infinities too; what JSON cannot say is
    /// an error, as is a result of more than [`MAX_RESULT_CHARS`]. See the module's text for navigations.
    pub async fn evaluate(&self, frame: Option<&str>, script: &str, argument: &Value) -> Result<Value, BrowserError> {
        if script.len() > MAX_SCRIPT_BYTES {
            return Err(BrowserError::Limit(format!("evaluate: the script is longer than {MAX_SCRIPT_BYTES} bytes")));
        }
        let mut action = in_frame(self, "evaluate", frame)?;
        let mut runs = 0;
        until_done!(action, {
            ready!(action.enter_frames().await?);
            runs += 1;
            if runs > 1 {
                // After a loss: what the script reads should be there.
                action.call("count", json!({ "step": action.selector.step, "parsed": true })).await?;
            }
            match run(action, script, argument).await {
                Err(BrowserError::ContextLost(why)) if runs < MOST_RUNS => Ok(Attempt::Waiting(why)),
                Err(BrowserError::ContextLost(why)) => Err(BrowserError::ContextLost(format!(
                    "evaluate: {why}, {runs} times; the script may be what navigates"
                ))),
                result => Ok(Attempt::Done(result?)),
            }
        })
    }
}

/// One run. [`BrowserError::ContextLost`] when a navigation took the document before there was a result.
async fn run(action: &Action<'_>, script: &str, argument: &Value) -> Result<Value, BrowserError> {
    let session = match action.frame() {
        None => action.page.session().clone(),
        Some(frame) => action.page.frame_session(frame)?,
    };
    let literal = js_literal(argument);
    let expression = source(&format!("return (\n{script}\n)"), &literal);
    let prepared = if let Ok(object) = prepare(action, &session, expression).await? {
        object
    } else {
        let body = source(&format!("\n{script}\n"), &literal);
        prepare(action, &session, body).await?.map_err(|exception| {
            // A mistake that shows only at the end is told on our own last line: the script's is meant.
            let last = i64::try_from(script.lines().count()).unwrap_or(i64::MAX);
            let line = exception.line_number.clamp(1, last.max(1));
            BrowserError::Invalid(format!(
                "evaluate: the script is not valid: {} (line {line})",
                message_of(&exception).0
            ))
        })?
    };
    let call = CallFunctionOnParams {
        object_id: Some(prepared.clone()),
        arguments: Some(vec![argument_of(json!(MAX_RESULT_CHARS)), argument_of(json!(DEEPEST))]),
        return_by_value: Some(true),
        await_promise: Some(true),
        ..CallFunctionOnParams::new(RUN)
    };
    let answer = session.call_until(call, action.deadline).await.map_err(lost_object)?;
    session.send(ReleaseObjectParams::new(prepared));
    match answer.exception_details {
        None => decode(answer.result.value.unwrap_or_default().get_mut("value").map(Value::take).unwrap_or_default()),
        Some(exception) => Err(thrown(&session, action, &exception).await),
    }
}

/// Compiles the script to an object `{ run, argument }` in the frame's main world, running nothing of it. The inner
/// error is a mistake in its syntax.
async fn prepare(
    action: &Action<'_>,
    session: &Session,
    source: String,
) -> Result<Result<RemoteObjectId, Box<ExceptionDetails>>, BrowserError> {
    let (result, exception) = match action.frame() {
        Some(frame) if frame.as_ref() != session.target_id() => {
            let document = main_world_document(action, session, frame).await?;
            let call = CallFunctionOnParams {
                object_id: Some(document.clone()),
                ..CallFunctionOnParams::new(format!("function() {{ return {source} }}"))
            };
            let answer = session.call_until(call, action.deadline).await.map_err(lost_object)?;
            session.send(ReleaseObjectParams::new(document));
            (answer.result, answer.exception_details)
        }
        _ => {
            let answer = session.call_until(EvaluateParams::new(source), action.deadline).await?;
            (answer.result, answer.exception_details)
        }
    };
    match (exception, result.object_id) {
        (Some(exception), _) => Ok(Err(Box::new(exception))),
        (None, Some(object)) => Ok(Ok(object)),
        (None, None) => Err(BrowserError::Failed("evaluate: Chromium gave no handle to the script".to_owned())),
    }
}

/// The document of a frame that shares its renderer with its parent, as an object of the page's own world: the
/// isolated world's handle, looked up as a node, resolved anew.
async fn main_world_document(
    action: &Action<'_>,
    session: &Session,
    frame: &FrameId,
) -> Result<RemoteObjectId, BrowserError> {
    let page = action.page;
    let gone = || BrowserError::ContextLost("the frame navigated away".to_owned());
    let handle: RemoteObject = page.call_function_handle(Some(frame), "() => document", &[], action.deadline).await?;
    let node = describe_object(page, Some(frame), handle.object_id.ok_or_else(gone)?, action.deadline).await?;
    let resolve = ResolveNodeParams { backend_node_id: Some(node.backend_node_id), ..ResolveNodeParams::default() };
    let object = session.call_until(resolve, action.deadline).await.map_err(lost_object)?.object;
    object.object_id.ok_or_else(gone)
}

/// A handle whose document went away is not found: that is the loss of its context.
fn lost_object(error: BrowserError) -> BrowserError {
    match error {
        BrowserError::Failed(words)
            if [
                "Could not find object",
                "No node with given id",
                "Node with given id does not belong",
                "Invalid remote object id",
            ]
            .iter()
            .any(|known| words.contains(known)) =>
        {
            BrowserError::ContextLost("the page navigated away before the script had run".to_owned())
        }
        other => other,
    }
}

fn argument_of(value: Value) -> CallArgument {
    CallArgument { value: Some(value), unserializable_value: None, object_id: None }
}

/// The script begins on the second line, so that Chromium's lines, counted from 0, are the script's, counted from 1.
fn source(body: &str, argument: &str) -> String {
    format!("({{ run: async function (argument) {{ {body} }}, argument: {argument} }})\n//# sourceURL={SOURCE_NAME}\n")
}

/// A value as a JavaScript literal. Keys are computed ones: a plain key `__proto__` would set the prototype.
fn js_literal(value: &Value) -> String {
    let mut text = String::new();
    write_literal(value, &mut text);
    text
}

fn write_literal(value: &Value, text: &mut String) {
    match value {
        Value::Array(items) => {
            text.push('[');
            for item in items {
                write_literal(item, text);
                text.push(',');
            }
            text.push(']');
        }
        Value::Object(map) => {
            text.push('{');
            for (key, item) in map {
                // Writing to a String cannot fail.
                let _ = write!(text, "[{}]:", Value::String(key.clone()));
                write_literal(item, text);
                text.push(',');
            }
            text.push('}');
        }
        other => {
            let _ = write!(text, "{other}");
        }
    }
}

/// Undoes the encoding of `evaluate.js`.
fn decode(value: Value) -> Result<Value, BrowserError> {
    let Value::Object(map) = value else { return Ok(value) };
    if let Some(length) = map.get("#").and_then(Value::as_u64) {
        let mut map = map;
        let mut items = Vec::new();
        for index in 0..length {
            // Each element was sent, so a length that does not fit them came from a page that plays games.
            let Some(item) = map.remove(&index.to_string()) else { break };
            items.push(decode(item)?);
        }
        return Ok(Value::Array(items));
    }
    let mut out = Map::with_capacity(map.len());
    for (key, item) in map {
        let Some(key) = key.strip_prefix('$') else {
            return Err(BrowserError::Failed("evaluate: the page tampered with the result".to_owned()));
        };
        out.insert(key.to_owned(), decode(item)?);
    }
    Ok(Value::Object(out))
}

/// What was thrown, as one sentence; the errors of `evaluate.js` itself are objects with a `buddy` key.
async fn thrown(session: &Session, action: &Action<'_>, exception: &ExceptionDetails) -> BrowserError {
    let object = exception.exception.as_ref();
    if let Some(id) =
        object.filter(|object| object.description.as_deref() == Some("Object")).and_then(|o| o.object_id.clone())
    {
        let read = CallFunctionOnParams {
            object_id: Some(id),
            return_by_value: Some(true),
            // Bounded by syntax: the page may have made these anything.
            ..CallFunctionOnParams::new(
                "function() { const text = (v) => typeof v === 'string' && v.length < 1000 ? v : null; \
                 return { __proto__: null, buddy: text(this.buddy), place: text(this.place), what: text(this.what), \
                 message: text(this.message) }; }",
            )
        };
        let value = session.call_until(read, action.deadline).await.ok().and_then(|answer| answer.result.value);
        let text = |key: &str| value.as_ref().and_then(|v| v.get(key)).and_then(Value::as_str);
        match (text("buddy"), text("what")) {
            (Some("limit"), _) => {
                return BrowserError::Limit(format!(
                    "evaluate: the result is larger than {MAX_RESULT_CHARS} characters; return less of it"
                ));
            }
            (Some("value"), Some(what)) => {
                let place = text("place").unwrap_or_default();
                let place = if place.is_empty() { "the result".to_owned() } else { format!("the result at {place}") };
                return BrowserError::Failed(format!("evaluate: {place} cannot be given as JSON: it is {what}"));
            }
            _ => {}
        }
        if let Some(message) = text("message") {
            return BrowserError::Failed(format!("evaluate: the script threw an object that says: {message}"));
        }
    }
    BrowserError::Failed(format!("evaluate: the script threw {}", describe(exception)))
}

/// The message of an exception and the script's line, when the stack names it.
fn describe(exception: &ExceptionDetails) -> String {
    let (message, stack) = message_of(exception);
    match stack_line(&stack) {
        Some(line) => format!("{message} (line {line})"),
        None => message,
    }
}

/// The message of an exception on one line, and the text with its stack.
fn message_of(exception: &ExceptionDetails) -> (String, String) {
    let object = exception.exception.as_ref();
    let stack = object
        .and_then(|object| object.description.clone().or_else(|| object.value.as_ref().map(ToString::to_string)))
        .unwrap_or_else(|| exception.text.clone());
    let message = stack.split("\n    at ").next().unwrap_or_default().replace(['\n', '\r'], " ");
    (first_chars(&message, MESSAGE_CHARS).to_owned(), stack)
}

/// The line of the script in a stack trace: the first frame that lies in it.
fn stack_line(stack: &str) -> Option<i64> {
    let after = stack.split_once(SOURCE_NAME)?.1.strip_prefix(':')?;
    let line: i64 = after.split(':').next()?.parse().ok()?;
    // Stacks count from 1, and the first line is ours.
    Some(line - 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;

    use super::*;

    fn encode(value: &Value) -> Value {
        match value {
            Value::Array(items) => {
                let mut out = Map::new();
                out.insert("#".to_owned(), json!(items.len()));
                for (index, item) in items.iter().enumerate() {
                    out.insert(index.to_string(), encode(item));
                }
                Value::Object(out)
            }
            Value::Object(map) => map.iter().map(|(key, item)| (format!("${key}"), encode(item))).collect(),
            other => other.clone(),
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec(("[#$a-c0-2_]{0,3}", inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_comes_out_as_it_went_in(value in any_json()) {
            prop_assert_eq!(decode(encode(&value)).unwrap(), value);
        }
    }

    #[test]
    fn keys_of_the_argument_are_computed() {
        assert_eq!(js_literal(&json!({"__proto__": [1, "a\"b"]})), "{[\"__proto__\"]:[1,\"a\\\"b\",],}");
    }

    #[test]
    fn the_line_is_the_scripts_own() {
        let stack = "Error: x\n    at f (https://page/app.js:9:1)\n    at run (buddy-evaluate.js:4:7)";
        assert_eq!(stack_line(stack), Some(3));
        assert_eq!(stack_line("Error: x"), None);
    }
}
