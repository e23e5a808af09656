//! What can be done on a page: reading, waiting, and acting as a person would.
//!
//! Selectors are CSS, `text=`, `role=[name="…"]` or `xpath=`, pierce open shadow roots, and go into frames by
//! `A >>> B`. Each action looks its element up again and again until it is attached, visible, stable, enabled and
//! receives the pointer, or until the deadline; the error then names the selector, the condition that was not met
//! and what was in the way.
//!
//! Our own scripts (the *engine*, `src/js/`) run in an isolated world, where nothing that a page overrides reaches
//! them, and are installed again in each new document. A plugin's own script ([`Page::evaluate`](crate::Page::evaluate)) runs in the page's
//! world, as its author expects. All results are bounded by [`MAX_RESULT_CHARS`].
//!
//! | file | subject |
//! | --- | --- |
//! | `selector`, `keys` | parsing, without a browser |
//! | `engine` | calls into the page, frames, the wait loop |
//! | `read` | extract, text, attribute, count, article, html |
//! | `evaluate` | a plugin's own script |
//! | `pointer` | click, hover, scroll, an element's box |
//! | `forms` | fill, type, press, select, check |
//! | `wait` | states of elements, addresses |

mod engine;
mod evaluate;
mod forms;
mod keys;
mod pointer;
mod read;
mod selector;
pub(crate) mod wait;

use std::time::Duration;

use crate::types::DEFAULT_TIMEOUT;

/// Characters (UTF-16 units, as JavaScript counts them) that one reading may bring back. A page's text is rarely a
/// hundredth of it; what is larger belongs into a download.
pub const MAX_RESULT_CHARS: usize = 16 * 1024 * 1024;

/// One field of an extraction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The key of its value in the result.
    pub name: String,
    /// Looked for below the element of `each`, or in the document; `:scope` is that element itself.
    pub selector: String,
    /// What is taken: absent, the text as a person reads it; else `@attribute` (addresses absolute), `html`,
    /// `outer-html` or `value`.
    pub take: Option<String>,
    /// All that match, as a list, instead of the first.
    pub many: bool,
}

/// What can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// At least one element matches.
    Attached,
    /// None matches.
    Detached,
    /// One that matches can be seen.
    Visible,
    /// None that matches can be seen; none matching is enough.
    Hidden,
}

/// A button of the mouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Button {
    /// The main one.
    #[default]
    Left,
    /// The wheel.
    Middle,
    /// The one for context menus.
    Right,
}

/// How to click.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClickOptions {
    /// Which button.
    pub button: Button,
    /// 1 for a click, 2 for a double click, 3 for a triple click.
    pub count: u32,
    /// From the element's top left, in CSS pixels; absent: its centre.
    pub at: Option<(f64, f64)>,
    /// Time for the whole action.
    pub timeout: Duration,
}

impl Default for ClickOptions {
    fn default() -> Self {
        Self { button: Button::Left, count: 1, at: None, timeout: DEFAULT_TIMEOUT }
    }
}
