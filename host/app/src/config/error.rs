//! What can be wrong with a configuration: one sentence with file, line and key, and what to do next.

use std::fmt;
use std::path::PathBuf;

pub(super) use buddy_runtime::nearest;
use serde::{Serialize, Serializer};

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: the default.
    Default,
    /// In `buddy.yaml`.
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// In the `.env` beside it.
    DotEnv {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The variable.
        name: String,
    },
    /// In the environment of the process.
    Env {
        /// The variable.
        name: String,
    },
    /// On the command line.
    Flag {
        /// The option, for example `--mode`.
        name: String,
    },
}

/// How an error message begins.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default"),
            Self::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Self::DotEnv { path, line, name } => {
                write!(f, "{}, line {line} ({name})", path.display())
            }
            Self::Env { name } => write!(f, "the environment variable {name}"),
            Self::Flag { name } => write!(f, "the option {name}"),
        }
    }
}

impl Place {
    /// A few words for a table: `default`, `buddy.yaml:12`, `.env:3 MAX_CONCURRENT_BROWSERS`, `env BUDDY_MODE`, `--mode`.
    pub fn short(&self) -> String {
        let file = |path: &PathBuf| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        match self {
            Self::Default => "default".to_owned(),
            Self::File { path, line } => format!("{}:{line}", file(path)),
            Self::DotEnv { path, line, name } => format!("{}:{line} {name}", file(path)),
            Self::Env { name } => format!("env {name}"),
            Self::Flag { name } => name.clone(),
        }
    }
}

/// Serialised in its short form.
impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.short())
    }
}

/// Why there is no valid configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file that was asked for is not there.
    #[error("{asked_by} names {path}, which does not exist", path = path.display())]
    NotFound {
        /// `--config` or `BUDDY_CONFIG`.
        asked_by: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// What was asked for is there and is no file.
    #[error("{asked_by} names {path}, which is {what}", path = path.display(), what = if *folder { "a folder" } else { "no file" })]
    NotAFile {
        /// `--config` or `BUDDY_CONFIG`.
        asked_by: &'static str,
        /// The path.
        path: PathBuf,
        /// Whether it is a folder.
        folder: bool,
    },
    /// A file that is there cannot be read.
    #[error("{path} cannot be read: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is no YAML.
    #[error("{path}, line {line}: {reason}", path = path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The parser's reason.
        reason: String,
    },
    /// A line of `.env` is no `NAME=value`. The line itself is not shown: it may hold a secret.
    #[error("{path}, line {line}: this is not `NAME=value`", path = path.display())]
    DotEnvLine {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// A section, key, capability or variable that does not exist.
    #[error("{place}: {what} `{name}` does not exist")]
    Unknown {
        /// Where it stands.
        place: Place,
        /// What kind of name it is.
        what: &'static str,
        /// The name as written.
        name: String,
        /// The nearest name that exists.
        nearest: Option<String>,
    },
    /// A value of the wrong type or out of range.
    #[error("{place}: `{key}` {message}")]
    Value {
        /// Where it stands.
        place: Place,
        /// The key.
        key: String,
        /// What it must be and what it is.
        message: String,
    },
    /// An option of the command line that is no `SECTION.KEY=VALUE`.
    #[error("the option --set takes SECTION.KEY=VALUE, not `{0}`")]
    Set(String),
}

impl ConfigError {
    /// Whether the machine keeps the file from being read, as by its permissions, and not what stands in it.
    pub fn is_of_the_machine(&self) -> bool {
        use std::io::ErrorKind::{FileTooLarge, InvalidData, IsADirectory, NotFound, Other};
        match self {
            Self::Read { source, .. } => {
                !matches!(source.kind(), FileTooLarge | InvalidData | IsADirectory | NotFound | Other)
            }
            _ => false,
        }
    }

    /// Whether it stands on the command line.
    pub(super) fn is_in_an_option(&self) -> bool {
        match self {
            Self::Set(_) => true,
            Self::Unknown { place, .. } | Self::Value { place, .. } => matches!(place, Place::Flag { .. }),
            _ => false,
        }
    }

    /// What to do next.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::NotFound { .. } => Some("write one with `buddy-host init`, or correct the path".to_owned()),
            Self::NotAFile { path, folder: true, .. } => {
                Some(format!("name the file in it, as in {}", path.join(super::FILE_NAME).display()))
            }
            Self::NotAFile { .. } => Some("name a file, as `buddy-host init` writes one".to_owned()),
            Self::Read { .. } if self.is_of_the_machine() => Some("make it readable by this user".to_owned()),
            Self::Read { .. } | Self::Syntax { .. } => None,
            Self::DotEnvLine { .. } => Some("put a value with spaces or `#` in quotes".to_owned()),
            Self::Unknown { nearest: Some(nearest), .. } => Some(format!("did you mean `{nearest}`?")),
            Self::Unknown { .. } => {
                Some("`buddy-host doctor` lists every key; `buddy-host init` writes a file with all of them".to_owned())
            }
            Self::Value { key, .. } => super::keys::find(key).map(|key| {
                let doc: Vec<&str> =
                    key.doc.iter().map(|line| line.trim()).take_while(|line| !line.ends_with(':')).collect();
                format!("{}: {}", key.path, doc.join(" "))
            }),
            Self::Set(_) => Some("for example `--set resources.max_browsers=4`".to_owned()),
        }
    }
}
