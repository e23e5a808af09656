//! Configuration: `buddy.yaml`, a `.env` beside it, the environment, and options of the command line.
//!
//! One table ([`keys`]) declares every setting. [`load`](load::load) lays the sources over each other and either gives
//! a [`Loaded`], in which every value is checked, or one [`ConfigError`] that names file, line and key. Nothing is
//! guessed and nothing unknown is passed over. Secrets are not part of it: a credentials *path* is, its content is
//! never read here.

use std::path::PathBuf;

use serde::Serialize;

mod check;
mod error;
pub mod keys;
mod load;
mod storage;
mod template;
#[cfg(test)]
mod tests;
mod together;
mod value;
mod yaml;

pub use check::CAPABILITIES;
pub use error::{ConfigError, Place};
pub use keys::{
    AgentConfig, BrowserConfig, CloudConfig, Config, ControlConfig, FirebaseConfig, LogConfig, PluginsConfig,
    ResourcesConfig, StorageConfig, SyncConfig, TasksConfig,
};
pub use load::{Environment, FILE_NAME, Overrides, load};
pub use storage::{Found, find_storage};
pub use template::template;
pub use value::{Grant, Grants, LogFormat, LogLevel, Mode, Value};

/// One setting as it is in effect.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Effective {
    /// Its path, for example `sync.batch_size`.
    pub key: &'static str,
    /// Its value.
    pub value: Value,
    /// Who set it.
    pub source: Place,
}

/// A checked configuration and how it came about.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Every setting with its source, in the order of the table.
    pub effective: Vec<Effective>,
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    /// The folder that relative paths start from.
    pub folder: PathBuf,
    /// What is odd but no error, one sentence each.
    pub warnings: Vec<String>,
}
