//! Navigating and knowing when it is over.

mod errors;
mod goto;
pub(crate) mod tracker;
