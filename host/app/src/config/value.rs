//! Checked values: the words of [`Config`](super::Config) and where each came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use super::keys::{Key, Preset};
use super::{ConfigError, Place};

/// The role of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Runs tasks on the owner's computer.
    Desktop,
    /// Takes tasks in, routes them, and runs what is quick or has nobody else.
    Cloud,
}

impl Mode {
    /// The word for it in `buddy.yaml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Desktop => "desktop",
            Self::Cloud => "cloud",
        }
    }
}

/// The shape of the host's log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The least important lines that are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something is not as it should be, and the host goes on.
    Warn,
    /// What the owner wants to know.
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

/// How much of one capability a plugin may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Grant {
    /// All of it; written `true`.
    #[serde(serialize_with = "as_true")]
    Whole,
    /// These scopes only, in the capability's own syntax.
    Scopes(Vec<String>),
}

fn as_true<S: Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(true)
}

/// What each plugin may use: plugin → capability → how much. What is not in it is denied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Grants(pub BTreeMap<String, BTreeMap<String, Grant>>);

impl Grants {
    /// All that this plugin may use, as capability → scopes; `true` in `buddy.yaml` is the scope `*`.
    pub fn of_plugin(&self, plugin: &str) -> BTreeMap<String, Vec<String>> {
        let capabilities = self.0.get(plugin).into_iter().flatten();
        let scopes = |grant: &Grant| match grant {
            Grant::Whole => vec!["*".to_owned()],
            Grant::Scopes(scopes) => scopes.clone(),
        };
        capabilities.map(|(name, grant)| (name.clone(), scopes(grant))).collect()
    }

    /// What this plugin may use of this capability; `None` is denied.
    pub fn get(&self, plugin: &str, capability: &str) -> Option<&Grant> {
        self.0.get(plugin)?.get(capability)
    }
}

/// One checked value.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Not set.
    Unset,
    /// A switch.
    Switch(bool),
    /// A whole number.
    Whole(i64),
    /// A number.
    Number(f64),
    /// Text or a word of a choice, in its canonical form.
    Text(String),
    /// A list of words.
    Words(Vec<String>),
    /// An absolute path.
    Path(PathBuf),
    /// Grants.
    Grants(Grants),
}

impl Value {
    /// The default of a key; a path default is taken from `folder`.
    pub(super) fn preset(key: &Key, folder: &Path) -> Self {
        match key.preset {
            Preset::Unset => Self::Unset,
            Preset::Switch(on) => Self::Switch(on),
            Preset::Whole(number) => Self::Whole(number),
            Preset::Number(number) => Self::Number(number),
            Preset::Text(text) if key.kind == super::keys::Kind::Path => Self::Path(folder.join(text)),
            Preset::Text(text) => Self::Text(text.to_owned()),
            Preset::Words(words) => Self::Words(words.iter().map(|word| (*word).to_owned()).collect()),
            Preset::NoGrants => Self::Grants(Grants::default()),
        }
    }
}

/// As it would stand in `buddy.yaml`; `-` where nothing is set.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset => f.write_str("-"),
            Self::Switch(on) => on.fmt(f),
            Self::Whole(number) => number.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::Words(words) => f.write_str(&words.join(", ")),
            Self::Path(path) => path.display().fmt(f),
            Self::Grants(grants) if grants.0.is_empty() => f.write_str("none"),
            Self::Grants(grants) => {
                let plugins: Vec<String> = grants
                    .0
                    .iter()
                    .map(|(plugin, capabilities)| {
                        let names: Vec<&str> = capabilities.keys().map(String::as_str).collect();
                        format!("{plugin}: {}", names.join(", "))
                    })
                    .collect();
                f.write_str(&plugins.join("; "))
            }
        }
    }
}

/// The checked values by path, each with its place.
pub(super) type Values = BTreeMap<&'static str, (Value, Place)>;

/// How a typed field takes its value. `check` has made sure of type and range, so a mismatch is a fault of the table;
/// it is reported like any other, and a test reads every key.
pub(super) trait FromValue: Sized {
    fn from_value(value: &Value) -> Option<Self>;

    fn read(values: &Values, path: &'static str) -> Result<Self, ConfigError> {
        let (value, place) = values.get(path).unwrap_or(&(Value::Unset, Place::Default));
        Self::from_value(value).ok_or_else(|| ConfigError::Value {
            place: place.clone(),
            key: path.to_owned(),
            message: format!("cannot hold {value}"),
        })
    }
}

macro_rules! from_whole {
    ($($type:ty),+) => {$(
        impl FromValue for $type {
            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    Value::Whole(number) => Self::try_from(*number).ok(),
                    _ => None,
                }
            }
        }
    )+};
}
from_whole!(u16, u32, u64);

impl FromValue for f64 {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Switch(on) => Some(*on),
            _ => None,
        }
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }
}

impl FromValue for PathBuf {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Path(path) => Some(path.clone()),
            _ => None,
        }
    }
}

impl FromValue for Vec<String> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Words(words) => Some(words.clone()),
            _ => None,
        }
    }
}

impl FromValue for Grants {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Grants(grants) => Some(grants.clone()),
            _ => None,
        }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Unset => Some(None),
            set => T::from_value(set).map(Some),
        }
    }
}

macro_rules! from_choice {
    ($($type:ident { $($word:literal => $variant:ident),+ })+) => {$(
        impl FromValue for $type {
            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    Value::Text(word) => match word.as_str() {
                        $($word => Some(Self::$variant),)+
                        _ => None,
                    },
                    _ => None,
                }
            }
        }
    )+};
}
from_choice! {
    Mode { "desktop" => Desktop, "cloud" => Cloud }
    LogFormat { "text" => Text, "json" => Json }
    LogLevel { "error" => Error, "warn" => Warn, "info" => Info, "debug" => Debug, "trace" => Trace }
}
