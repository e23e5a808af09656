//! Navigating and knowing when it is over.

mod errors;
mod goto;
mod leave;
pub(crate) mod tracker;
