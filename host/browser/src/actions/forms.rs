//! The keyboard and form fields.
//!
//! Text goes in as input, the way an input method commits it, so that a page's own listeners and controlled
//! components see what they see from a person; what a field holds afterwards is read back. Error messages never
//! contain the value: it may be a secret.
//!
//! A page has one focus, so actions on it take turns ([`Page::input_turn`]): each look at the element and what follows
//! from it is one turn, the pauses between two looks are nobody's.

use std::time::Duration;

use chromiumoxide::cdp::browser_protocol::input::InsertTextParams;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Button;
use super::engine::{Action, Attempt, ready, until_done};
use super::keys::{Chord, Key};
use super::pointer::{READY, press_at};
use crate::error::BrowserError;
use crate::page::Page;
use crate::types::DEFAULT_TIMEOUT;

/// How long a page may take to settle on what was entered: controlled components render once more after an event.
const SETTLE: Duration = Duration::from_millis(500);

/// A field must hold its value twice, this far apart: a component that puts the old value back does so with its next
/// rendering.
const SETTLE_PAUSE: Duration = Duration::from_millis(40);

impl Page {
    /// Replaces what a field or editor holds, and reads it back: an error if the page made something else of it.
    ///
    /// Fields without a keyboard (date, colour, range) are set as their pickers do. In an editor (`contenteditable`)
    /// a line break is typed as Shift+Enter, which breaks the line where Enter alone may send the message.
    pub async fn fill(&self, selector: &str, value: &str, timeout: Duration) -> Result<(), BrowserError> {
        let mut action = Action::new(self, "fill", selector, timeout)?;
        until_done!(action, {
            let turn = self.input_turn(action.deadline).await?;
            ready!(action.look(&["visible", "enabled", "editable", "stable"], None).await?);
            let start = ready!(action.step("startFill", json!({ "value": value })).await?);
            let flag = |name: &str| start.get(name).and_then(Value::as_bool).unwrap_or_default();
            if flag("set") {
                return Ok(Attempt::Done(()));
            }
            if !flag("empty") && (value.is_empty() || flag("editor")) {
                press(action, &Chord::parse("Delete")?).await?;
            }
            if flag("editor") {
                insert_lines(action, value).await?;
            } else if !value.is_empty() {
                insert(action, value).await?;
            }
            drop(turn);
            confirm(action, value).await
        })
    }

    /// Types at the end of what is there, key by key where a US keyboard has the character.
    pub async fn type_text(&self, selector: &str, value: &str, timeout: Duration) -> Result<(), BrowserError> {
        let mut action = Action::new(self, "type-text", selector, timeout)?;
        let (_turn, start) = until_done!(action, {
            let turn = self.input_turn(action.deadline).await?;
            ready!(action.look(&["visible", "enabled", "editable", "stable"], None).await?);
            let start = ready!(action.step("startTyping", json!({ "value": value })).await?);
            Ok(Attempt::Done((turn, start)))
        })?;
        if start.get("end").and_then(Value::as_bool).unwrap_or_default() {
            press(&action, &Chord::parse("End")?).await?;
        }
        for unit in start.get("units").and_then(Value::as_array).into_iter().flatten() {
            type_unit(&action, unit.as_str().unwrap_or_default()).await?;
        }
        Ok(())
    }

    /// Presses a key or chord, for example `Enter` or `Control+a`, after giving an element the focus if one is named.
    pub async fn press(&self, selector: Option<&str>, keys: &str) -> Result<(), BrowserError> {
        let chord = Chord::parse(keys)?;
        let mut action = Action::new(self, "press", selector.unwrap_or(":scope"), DEFAULT_TIMEOUT)?;
        let _turn = if selector.is_some() {
            until_done!(action, {
                let turn = self.input_turn(action.deadline).await?;
                ready!(action.look(&["visible", "enabled"], None).await?);
                ready!(action.step("focus", Value::Null).await?);
                Ok(Attempt::Done(turn))
            })?
        } else {
            self.input_turn(action.deadline).await?
        };
        press(&action, &chord).await
    }

    /// Selects options of a `<select>` by value or label, and no others; the values then selected. Waits for options
    /// that are not there yet.
    pub async fn select_option(&self, selector: &str, values: &[String]) -> Result<Vec<String>, BrowserError> {
        let mut action = Action::new(self, "select-option", selector, DEFAULT_TIMEOUT)?;
        let answer = until_done!(action, {
            let _turn = self.input_turn(action.deadline).await?;
            ready!(action.look(&["visible", "enabled"], None).await?);
            action.step("select", json!({ "values": values })).await
        })?;
        let selected = answer.get("selected").and_then(Value::as_array);
        Ok(selected.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// Makes a checkbox, radio button or switch be on or off, by a click if it is not; then looks whether it is.
    pub async fn set_checked(&self, selector: &str, checked: bool) -> Result<(), BrowserError> {
        let mut action = Action::new(self, "set-checked", selector, DEFAULT_TIMEOUT)?;
        let shown = action.selector.shown().to_owned();
        until_done!(action, {
            let turn = self.input_turn(action.deadline).await?;
            let wants = [&READY[..], &["label"]].concat();
            let look = ready!(action.look(&wants, None).await?);
            let state = ready!(action.step("checked", Value::Null).await?);
            if is(&state, "checked") == checked {
                return Ok(Attempt::Done(()));
            }
            if is(&state, "radio") && !checked {
                return Err(BrowserError::Invalid(format!(
                    "set-checked `{shown}`: a radio button is switched off by switching another one on"
                )));
            }
            ready!(press_at(action, look, Button::Left, 1).await?);
            drop(turn);
            let give_up = (Instant::now() + SETTLE).min(action.deadline);
            loop {
                match action.step("checked", Value::Null).await? {
                    Attempt::Done(state) if is(&state, "checked") == checked => return Ok(Attempt::Done(())),
                    // Rendered anew: the next look finds out what the new one says.
                    Attempt::Waiting(why) => return Ok(Attempt::Waiting(why)),
                    Attempt::Done(_) if Instant::now() >= give_up => {
                        return Err(BrowserError::Failed(format!(
                            "set-checked `{shown}`: it was clicked, but the page did not change it"
                        )));
                    }
                    Attempt::Done(_) => tokio::time::sleep(SETTLE_PAUSE).await,
                }
            }
        })
    }
}

fn is(state: &Value, name: &str) -> bool {
    state.get(name).and_then(Value::as_bool).unwrap_or_default()
}

/// Whether the field holds the value and goes on holding it.
async fn confirm(action: &Action<'_>, value: &str) -> Result<Attempt<()>, BrowserError> {
    let give_up = (Instant::now() + SETTLE).min(action.deadline);
    let mut held = false;
    loop {
        // Asked of the kept element: a field that was replaced is filled again.
        match action.call("holds", json!({ "value": value })).await? {
            answer if is(&answer, "ok") && held => return Ok(Attempt::Done(())),
            answer if is(&answer, "ok") => held = true,
            answer if is(&answer, "replaced") => return Ok(Attempt::Waiting("it was replaced".to_owned())),
            answer if Instant::now() >= give_up => {
                let length = answer.get("length").and_then(Value::as_u64).unwrap_or_default();
                return Err(BrowserError::Failed(format!(
                    "fill `{}`: the page changed what was entered: {} characters went in, the field holds {length} and \
                     they differ",
                    action.selector.shown(),
                    value.encode_utf16().count()
                )));
            }
            _ => held = false,
        }
        tokio::time::sleep(SETTLE_PAUSE).await;
    }
}

async fn insert(action: &Action<'_>, text: &str) -> Result<(), BrowserError> {
    action.page.session().call_until(InsertTextParams::new(text), action.deadline).await?;
    Ok(())
}

async fn insert_lines(action: &Action<'_>, text: &str) -> Result<(), BrowserError> {
    for (index, line) in text.lines().enumerate() {
        if index > 0 {
            press(action, &Chord::parse("Shift+Enter")?).await?;
        }
        if !line.is_empty() {
            insert(action, line).await?;
        }
    }
    Ok(())
}

/// One grapheme, as a person types it.
async fn type_unit(action: &Action<'_>, unit: &str) -> Result<(), BrowserError> {
    let mut characters = unit.chars();
    match (characters.next(), characters.as_str()) {
        (None, _) => Ok(()),
        (Some('\n'), "") | (Some('\r'), "\n" | "") => press(action, &Chord::parse("Enter")?).await,
        (Some(character), "") => match Key::typing(character) {
            Some(key) => press(action, &Chord::plain(key)).await,
            None => insert(action, unit).await,
        },
        _ => insert(action, unit).await,
    }
}

async fn press(action: &Action<'_>, chord: &Chord) -> Result<(), BrowserError> {
    for event in chord.events() {
        action.page.session().call_until(event, action.deadline).await?;
    }
    Ok(())
}
