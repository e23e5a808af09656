//! Running functions of ours in a page's documents.
//!
//! They run in an isolated world, which shares the DOM but none of the page's variables: a page cannot change what
//! they see. That needs no `Runtime` domain, whose console traffic pages can provoke without bound.
//!
//! A function whose document was navigated away is run again in the new document, until the deadline.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chromiumoxide::cdp::browser_protocol::page::{CreateIsolatedWorldParams, FrameId};
use chromiumoxide::cdp::js_protocol::runtime::{
    CallArgument, CallFunctionOnParams, ExceptionDetails, ExecutionContextId, RemoteObject,
};
use serde_json::Value;
use tokio::time::Instant;

use crate::cdp::Session;
use crate::error::BrowserError;
use crate::page::Page;

/// Name of our isolated world, as a person sees it in the developer tools.
const WORLD_NAME: &str = "buddy";

/// Pause before a function is run again after its document went away: the new one needs a moment to exist.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// The isolated worlds known so far, by frame. An entry that has gone stale is found out by its use.
#[derive(Debug, Default)]
pub(crate) struct Worlds(Mutex<HashMap<String, ExecutionContextId>>);

impl Worlds {
    fn get(&self, frame: &str) -> Option<ExecutionContextId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(frame).copied()
    }

    fn put(&self, frame: &str, context: ExecutionContextId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(frame.to_owned(), context);
    }

    /// Forgets a frame's world: the frame navigated or went away.
    pub(crate) fn forget(&self, frame: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(frame);
    }
}

impl Page {
    /// Calls `function` (a JavaScript function expression, may be async) with `arguments` in a frame (absent: the
    /// main one) and returns its value as JSON. Run again when a navigation took its document away.
    ///
    /// An exception is `failed` with the exception's text.
    pub(crate) async fn call_function(
        &self,
        frame: Option<&FrameId>,
        function: &str,
        arguments: &[Value],
        deadline: Instant,
    ) -> Result<Value, BrowserError> {
        let object = self.call_function_raw(frame, function, arguments, true, deadline).await?;
        Ok(object.value.unwrap_or(Value::Null))
    }

    /// Like [`call_function`](Self::call_function), but returns a handle to the value, for example of an element,
    /// which lives as long as its document.
    pub(crate) async fn call_function_handle(
        &self,
        frame: Option<&FrameId>,
        function: &str,
        arguments: &[Value],
        deadline: Instant,
    ) -> Result<RemoteObject, BrowserError> {
        self.call_function_raw(frame, function, arguments, false, deadline).await
    }

    async fn call_function_raw(
        &self,
        frame: Option<&FrameId>,
        function: &str,
        arguments: &[Value],
        by_value: bool,
        deadline: Instant,
    ) -> Result<RemoteObject, BrowserError> {
        loop {
            let result = self.call_function_once(frame, function, arguments, by_value, deadline).await;
            match result {
                Err(BrowserError::ContextLost(why)) => {
                    let frame = frame.unwrap_or(self.main_frame());
                    self.worlds().forget(frame.as_ref());
                    if Instant::now() + RETRY_PAUSE >= deadline {
                        return Err(BrowserError::ContextLost(why));
                    }
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                other => return other,
            }
        }
    }

    /// One try, without the retry: [`BrowserError::ContextLost`] when the document went away.
    pub(crate) async fn call_function_once(
        &self,
        frame: Option<&FrameId>,
        function: &str,
        arguments: &[Value],
        by_value: bool,
        deadline: Instant,
    ) -> Result<RemoteObject, BrowserError> {
        let session = match frame {
            None => self.session().clone(),
            Some(frame) => self.frame_session(frame)?,
        };
        let frame = frame.unwrap_or(self.main_frame());
        let context = self.isolated_world(&session, frame, deadline).await?;
        let command = CallFunctionOnParams {
            execution_context_id: Some(context),
            arguments: Some(
                arguments
                    .iter()
                    .map(|value| CallArgument {
                        value: Some(value.clone()),
                        unserializable_value: None,
                        object_id: None,
                    })
                    .collect(),
            ),
            return_by_value: Some(by_value),
            await_promise: Some(true),
            ..CallFunctionOnParams::new(function)
        };
        let answer = session.call_until(command, deadline).await?;
        unwrap_exception(answer.result, answer.exception_details)
    }

    /// Our isolated world in a frame; made on first use.
    pub(crate) async fn isolated_world(
        &self,
        session: &Session,
        frame: &FrameId,
        deadline: Instant,
    ) -> Result<ExecutionContextId, BrowserError> {
        if let Some(context) = self.worlds().get(frame.as_ref()) {
            return Ok(context);
        }
        let command = CreateIsolatedWorldParams {
            world_name: Some(WORLD_NAME.to_owned()),
            ..CreateIsolatedWorldParams::new(frame.clone())
        };
        let context = match session.call_until(command, deadline).await {
            Ok(answer) => answer.execution_context_id,
            // The frame moved to another renderer, or is being swapped: the next try finds its new session.
            Err(BrowserError::Failed(words)) if words.contains("No frame for given id found") => {
                return Err(BrowserError::ContextLost("the frame navigated away while it was being read".to_owned()));
            }
            Err(error) => return Err(error),
        };
        self.worlds().put(frame.as_ref(), context);
        Ok(context)
    }
}

fn unwrap_exception(result: RemoteObject, exception: Option<ExceptionDetails>) -> Result<RemoteObject, BrowserError> {
    let Some(exception) = exception else { return Ok(result) };
    let text = exception
        .exception
        .as_ref()
        .and_then(|object| object.description.clone().or_else(|| object.value.as_ref().map(ToString::to_string)))
        .unwrap_or(exception.text);
    Err(BrowserError::Failed(format!("the script threw: {}", first_chars(&text, 2_000))))
}

/// At most `count` characters, so that a page cannot make an error message large.
pub(crate) fn first_chars(text: &str, count: usize) -> &str {
    text.char_indices().nth(count).map_or(text, |(at, _)| &text[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_exception_texts_are_cut_at_a_character() {
        assert_eq!(first_chars("häß", 2), "hä");
        assert_eq!(first_chars("hä", 2), "hä");
    }
}
