//! Text for people: pure functions from the types of the control API to tables and sentences.
//!
//! Nothing here reads a clock or asks the terminal for its width; both are arguments, so that every text is tested as
//! it is shown.

pub mod doctor;
pub mod json;
pub mod plugins;
pub mod status;
mod table;
pub mod tasks;
#[cfg(test)]
mod tests;
pub mod units;
