//! Reading: each call is one round trip, waits until the document is parsed, and is bounded.

use serde_json::{Value, json};

use super::engine::{Action, Attempt, ready, until_done};
use super::selector::{Selector, Step};
use super::{Field, MAX_RESULT_CHARS};
use crate::error::BrowserError;
use crate::page::Page;
use crate::types::{DEFAULT_TIMEOUT, Html};

impl Page {
    /// Reads all fields in one round trip: an object, or with `each` a list of one object for each element that it
    /// selects. Nothing is waited for: a field that is not there is `null`, or an empty list when it is a `many`.
    ///
    /// `each` may lead into a frame; the fields are then read there. A field's own selector cannot.
    pub async fn extract(&self, each: Option<&str>, fields: &[Field]) -> Result<Value, BrowserError> {
        let mut parsed = Vec::with_capacity(fields.len());
        for field in fields {
            parsed.push(json!({
                "name": field.name,
                "step": field_step(field)?,
                "take": checked_take(field)?,
                "many": field.many,
            }));
        }
        let mut action = Action::new(self, "extract", each.unwrap_or(":scope"), DEFAULT_TIMEOUT)?;
        let step = each.map(|_| action.selector.step.clone());
        let request = json!({ "each": step, "fields": parsed, "limit": MAX_RESULT_CHARS, "parsed": true });
        until_done!(action, {
            ready!(action.enter_frames().await?);
            Ok(Attempt::Done(action.call("extract", request.clone()).await?))
        })
    }

    /// The text of the first element, as a person reads it; waits until there is one.
    pub async fn text(&self, selector: &str) -> Result<String, BrowserError> {
        let value = self.first("text", selector, None).await?;
        Ok(value.as_str().unwrap_or_default().to_owned())
    }

    /// An attribute of the first element, as written; waits until there is one. Absent: it has no such attribute.
    pub async fn attribute(&self, selector: &str, name: &str) -> Result<Option<String>, BrowserError> {
        let value = self.first("attribute", selector, Some(format!("={name}"))).await?;
        Ok(value.as_str().map(str::to_owned))
    }

    /// How many elements match now.
    pub async fn count(&self, selector: &str) -> Result<u32, BrowserError> {
        let mut action = Action::new(self, "count", selector, DEFAULT_TIMEOUT)?;
        let request = json!({ "step": action.selector.step, "parsed": true });
        let value = until_done!(action, {
            ready!(action.enter_frames().await?);
            Ok(Attempt::Done(action.call("count", request.clone()).await?))
        })?;
        Ok(value.as_u64().and_then(|count| u32::try_from(count).ok()).unwrap_or(u32::MAX))
    }

    /// The main text of a document, as a reader view would show it: a line a block, `- ` before list items. See
    /// `src/js/article.js` for the heuristic.
    pub async fn article(&self, frame: Option<&str>) -> Result<String, BrowserError> {
        let mut action = in_frame(self, "article", frame)?;
        let request = json!({ "limit": MAX_RESULT_CHARS, "parsed": true });
        let value = until_done!(action, {
            ready!(action.enter_frames().await?);
            Ok(Attempt::Done(action.call("article", request.clone()).await?))
        })?;
        Ok(value.as_str().unwrap_or_default().to_owned())
    }

    /// The document of a frame as HTML, at most `max_bytes` of it; [`Page::html`] is that of the page itself.
    pub async fn frame_html(&self, frame: &str, max_bytes: usize) -> Result<Html, BrowserError> {
        let mut action = in_frame(self, "html", Some(frame))?;
        until_done!(action, {
            ready!(action.enter_frames().await?);
            Ok(Attempt::Done(self.html_in(action.frame(), max_bytes, action.deadline).await?))
        })
    }

    async fn first(&self, verb: &'static str, selector: &str, take: Option<String>) -> Result<Value, BrowserError> {
        let mut action = Action::new(self, verb, selector, DEFAULT_TIMEOUT)?;
        let request = json!({ "step": action.selector.step, "take": take, "limit": MAX_RESULT_CHARS, "parsed": true });
        until_done!(action, {
            ready!(action.enter_frames().await?);
            let mut found = action.call("first", request.clone()).await?;
            if found.get("missing").is_some() {
                return Ok(Attempt::Waiting("no element matches it".to_owned()));
            }
            Ok(Attempt::Done(found.get_mut("value").map(Value::take).unwrap_or_default()))
        })
    }
}

/// An action on the document of a frame (absent: the page's own): the frame's selector with a step that stays there.
pub(super) fn in_frame<'a>(
    page: &'a Page,
    verb: &'static str,
    frame: Option<&str>,
) -> Result<Action<'a>, BrowserError> {
    let selector = match frame {
        None => ":scope".to_owned(),
        Some(frame) => format!("{frame} >>> :scope"),
    };
    Action::new(page, verb, &selector, DEFAULT_TIMEOUT)
}

fn field_step(field: &Field) -> Result<Step, BrowserError> {
    let selector = Selector::parse(&field.selector)?;
    if selector.frames.is_empty() {
        return Ok(selector.step);
    }
    Err(BrowserError::Invalid(format!(
        "the field `{}` leads into a frame: put the frame into `each`, or read it by a call of its own",
        field.name
    )))
}

fn checked_take(field: &Field) -> Result<Option<&str>, BrowserError> {
    match field.take.as_deref() {
        None => Ok(None),
        Some(take @ ("html" | "outer-html" | "value")) => Ok(Some(take)),
        Some(take) if take.len() > 1 && take.starts_with('@') => Ok(Some(take)),
        Some(_) => Err(BrowserError::Invalid(format!(
            "the field `{}` takes something unknown: write `@attribute`, `html`, `outer-html` or `value`, or leave it \
             out for the text",
            field.name
        ))),
    }
}
