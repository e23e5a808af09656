//! Text for people: pure functions from the types of the control API to tables and sentences.
//!
//! Nothing here reads a clock or asks the terminal for its width and styles; these are arguments, so that every text is
//! tested as it is shown.

pub mod configuration;
mod digest;
pub mod doctor;
pub mod failures;
pub mod json;
pub mod plugins;
pub mod status;
mod table;
pub mod tasks;
#[cfg(test)]
mod tests;
pub mod units;

pub use table::{one_line, printable};

/// What a text is shown on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// Columns.
    pub width: u16,
    /// Whether it is a terminal that shows styles, such as dim. Elsewhere a text is nothing but its words.
    pub styled: bool,
}

impl From<u16> for Screen {
    /// So many columns, no styles.
    fn from(width: u16) -> Self {
        Self { width, styled: false }
    }
}

impl Screen {
    /// What matters less than the rest.
    fn dim(self, text: &str) -> String {
        if self.styled { format!("\u{1b}[2m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
