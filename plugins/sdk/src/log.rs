//! Structured log lines of this run. The host bounds them; what exceeds its bound is counted, not kept.
//!
//! ```
//! use buddy_plugin::log;
//! log::info("started");
//! log::line(log::Level::Warn, "slow answer").field("url", "https://example.com/").field("ms", 2150).write();
//! ```

use crate::bindings::buddy::plugin::log as raw;

pub use raw::Level;

/// A log line in the making; nothing happens before [`write`](Line::write).
#[derive(Clone, Debug)]
#[must_use = "call `write`"]
pub struct Line {
    level: Level,
    message: String,
    fields: Vec<(String, String)>,
}

/// Begins a line.
pub fn line(level: Level, message: impl Into<String>) -> Line {
    Line { level, message: message.into(), fields: Vec::new() }
}

impl Line {
    /// Adds a named value.
    #[allow(clippy::needless_pass_by_value)] // `field("ms", 12)` reads better than `field("ms", &12)`
    pub fn field(mut self, name: &str, value: impl ToString) -> Self {
        self.fields.push((name.to_owned(), value.to_string()));
        self
    }

    /// Writes the line.
    pub fn write(self) {
        if cfg!(target_arch = "wasm32") {
            raw::write(self.level, &self.message, &self.fields);
        } else {
            eprintln!("{:?}: {} {:?}", self.level, self.message, self.fields);
        }
    }
}

/// For the author only.
pub fn debug(message: impl Into<String>) {
    line(Level::Debug, message).write();
}

/// What a reader of the run wants to know.
pub fn info(message: impl Into<String>) {
    line(Level::Info, message).write();
}

/// Something went otherwise than it should; the run goes on.
pub fn warn(message: impl Into<String>) {
    line(Level::Warn, message).write();
}

/// Something failed.
pub fn error(message: impl Into<String>) {
    line(Level::Error, message).write();
}
