//! The pointer: click, hover, scroll, and where an element is.
//!
//! A press is aimed by a look, then watched: the engine listens for the very events in the capture phase and says
//! whether they reached what the selector means at that moment. A press that hit something else, because the page
//! replaced or covered the element in between, is aimed again until the deadline. So a click is at least once
//! observed on its element; it is repeated only when no click event reached it.

use std::time::Duration;

use chromiumoxide::cdp::browser_protocol::input::{DispatchMouseEventParams, DispatchMouseEventType, MouseButton};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::engine::{Action, Attempt, Look, Point, number, ready, until_done};
use super::read::in_frame;
use super::{Button, ClickOptions};
use crate::error::BrowserError;
use crate::page::Page;
use crate::types::{DEFAULT_TIMEOUT, Rect};

/// What must hold before the pointer is used.
pub(super) const READY: [&str; 4] = ["visible", "enabled", "stable", "hit"];

/// The most clicks in a row that a page can tell apart (select a paragraph).
const MOST_CLICKS: u32 = 3;

/// How long the end of a page is watched for growth before it counts as its end. Slower than this, and a person
/// would think so too.
const GROWTH_WAIT: Duration = Duration::from_secs(1);

/// Pause after each step of scrolling: a page hears of it with its next frame.
const SCROLL_PAUSE: Duration = Duration::from_millis(50);

/// The most steps of one call: a thousand screens take over a minute, and a feed has no end.
const MOST_SCROLLS: u32 = 1_000;

impl Page {
    /// Clicks the element, once it is ready.
    pub async fn click(&self, selector: &str, options: &ClickOptions) -> Result<(), BrowserError> {
        if options.count == 0 || options.count > MOST_CLICKS {
            return Err(BrowserError::Invalid(format!(
                "click `{selector}`: a count of {} is not possible, only 1 to {MOST_CLICKS}",
                options.count
            )));
        }
        let mut action = Action::new(self, "click", selector, options.timeout)?;
        until_done!(action, {
            let _turn = self.input_turn(action.deadline).await?;
            let look = ready!(action.look(&READY, options.at).await?);
            press_at(action, look, options.button, options.count).await
        })
    }

    /// Moves the pointer onto the element, once it is ready.
    pub async fn hover(&self, selector: &str, timeout: Duration) -> Result<(), BrowserError> {
        let mut action = Action::new(self, "hover", selector, timeout)?;
        until_done!(action, {
            let _turn = self.input_turn(action.deadline).await?;
            let look = ready!(action.look(&READY, None).await?);
            mouse(action, DispatchMouseEventType::MouseMoved, look.point, None, 0).await?;
            Ok(Attempt::Done(()))
        })
    }

    /// Scrolls down by screens until `until` is attached, the page stops growing, or `max_steps` (at most 1,000);
    /// the steps that moved it.
    pub async fn scroll(&self, until: Option<&str>, max_steps: u32) -> Result<u32, BrowserError> {
        let mut page = in_frame(self, "scroll", None)?;
        let most = max_steps.min(MOST_SCROLLS);
        let allowed = DEFAULT_TIMEOUT + (SCROLL_PAUSE + GROWTH_WAIT) * most;
        page.deadline = Instant::now() + allowed;
        let mut steps = 0;
        while steps < most && !self.is_there(until).await? {
            let step = page.call("scrollStep", Value::Null).await?;
            if step.get("moved").and_then(Value::as_bool).unwrap_or_default() {
                steps += 1;
                tokio::time::sleep(SCROLL_PAUSE).await;
            } else if !self.grows(&page, number(&step, "/height"), until).await? {
                break;
            }
        }
        Ok(steps)
    }

    async fn is_there(&self, selector: Option<&str>) -> Result<bool, BrowserError> {
        match selector {
            None => Ok(false),
            Some(selector) => Ok(self.count(selector).await? > 0),
        }
    }

    /// Whether the page grows beyond `height`, or `until` appears, within a moment.
    async fn grows(&self, page: &Action<'_>, height: f64, until: Option<&str>) -> Result<bool, BrowserError> {
        let give_up = Instant::now() + GROWTH_WAIT;
        while Instant::now() < give_up {
            tokio::time::sleep(SCROLL_PAUSE).await;
            let now = page.call("scrollHeight", Value::Null).await?;
            if now.as_f64().unwrap_or_default() > height || self.is_there(until).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Where the element is in the document, in CSS pixels, once it is visible and still; it is scrolled into view.
    /// For a picture of the element.
    pub async fn element_box(&self, selector: &str, timeout: Duration) -> Result<Rect, BrowserError> {
        let mut action = Action::new(self, "screenshot", selector, timeout)?;
        until_done!(action, {
            ready!(action.look(&["visible", "stable"], None).await?);
            let found = ready!(action.step("box", Value::Null).await?);
            let corner = |name: &str, size: &str| number(&found, name) + number(&found, size);
            let (x, y) = (number(&found, "/box/x"), number(&found, "/box/y"));
            if action.frame().is_none() {
                let (width, height) = (number(&found, "/box/width"), number(&found, "/box/height"));
                return Ok(Attempt::Done(Rect {
                    x: x + number(&found, "/scrollX"),
                    y: y + number(&found, "/scrollY"),
                    width,
                    height,
                }));
            }
            let first = ready!(action.to_page(Point { x, y }, false).await?);
            let end = Point { x: corner("/box/x", "/box/width"), y: corner("/box/y", "/box/height") };
            let last = ready!(action.to_page(end, false).await?);
            let scrolled = in_frame(action.page, "screenshot", None)?.call("scrolled", Value::Null).await?;
            Ok(Attempt::Done(Rect {
                x: first.x + number(&scrolled, "/x"),
                y: first.y + number(&scrolled, "/y"),
                width: last.x - first.x,
                height: last.y - first.y,
            }))
        })
    }
}

/// Presses at the element that was just looked at, and finds out whether it arrived.
pub(super) async fn press_at(
    action: &mut Action<'_>,
    look: Look,
    button: Button,
    count: u32,
) -> Result<Attempt<()>, BrowserError> {
    let done = match button {
        Button::Left => "click",
        Button::Middle | Button::Right => "auxclick",
    };
    mouse(action, DispatchMouseEventType::MouseMoved, look.point, None, 0).await?;
    let request = json!({ "step": action.selector.step, "done": done });
    ready!(action.step("watch", request).await?);
    for click in 1..=i64::from(count) {
        mouse(action, DispatchMouseEventType::MousePressed, look.point, Some(button), click).await?;
        mouse(action, DispatchMouseEventType::MouseReleased, look.point, Some(button), click).await?;
    }
    // A press that led away took its frame or document with it, and the watch too: it has arrived.
    match action.step("arrived", Value::Null).await {
        Ok(Attempt::Waiting(why)) => Ok(Attempt::Waiting(why)),
        Ok(Attempt::Done(_)) | Err(BrowserError::NotFound(_) | BrowserError::ContextLost(_)) => Ok(Attempt::Done(())),
        Err(error) => Err(error),
    }
}

async fn mouse(
    action: &Action<'_>,
    kind: DispatchMouseEventType,
    point: Point,
    button: Option<Button>,
    click: i64,
) -> Result<(), BrowserError> {
    let (name, bit) = match button {
        None => (MouseButton::None, 0),
        Some(Button::Left) => (MouseButton::Left, 1),
        Some(Button::Right) => (MouseButton::Right, 2),
        Some(Button::Middle) => (MouseButton::Middle, 4),
    };
    let mut event = DispatchMouseEventParams::new(kind.clone(), point.x, point.y);
    event.button = Some(name);
    // What is held after the event: nothing once the button is up again.
    event.buttons = Some(if kind == DispatchMouseEventType::MousePressed { bit } else { 0 });
    event.click_count = Some(click);
    action.page.session().call_until(event, action.deadline).await?;
    Ok(())
}
