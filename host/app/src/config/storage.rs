//! The data folder alone, for commands that only look for the running host.
//!
//! A fault somewhere else in the configuration must not keep its owner from looking at the host or stopping it.

use std::path::{Path, PathBuf};

use super::check::{check, from_text};
use super::error::nearest;
use super::keys::{self, Key, SECTIONS};
use super::load::{Environment, Overrides, home, load, locate, read};
use super::value::Value;
use super::yaml::{self, Node, Raw};
use super::{ConfigError, Loaded, Place};

/// A configuration, or what could be read of one that has a fault.
#[derive(Debug)]
pub enum Found {
    /// All of it.
    Whole(Box<Loaded>),
    /// The data folder, and the fault.
    Part {
        /// `storage.path`.
        storage: PathBuf,
        /// What is wrong, and has nothing to do with it.
        fault: ConfigError,
    },
}

/// Like [`load`](fn@load), but with a fault that leaves no doubt about `storage.path` there is still the data folder.
pub fn find_storage(environment: &Environment, overrides: &Overrides) -> Result<Found, ConfigError> {
    match load(environment, overrides) {
        Ok(loaded) => Ok(Found::Whole(Box::new(loaded))),
        // Who gives the command has its options at hand.
        Err(fault) if fault.is_in_an_option() => Err(fault),
        Err(fault) => match storage_alone(environment, overrides) {
            Some(storage) => Ok(Found::Part { storage, fault }),
            None => Err(fault),
        },
    }
}

/// `storage.path` by the first source that sets it, or its default; `None` where that cannot be told.
fn storage_alone(environment: &Environment, overrides: &Overrides) -> Option<PathBuf> {
    let key = keys::find("storage.path")?;
    let file = locate(environment, overrides).ok()?;
    let folder = match &file {
        Some(file) => file.parent().unwrap_or(Path::new(".")).to_owned(),
        None => home(environment),
    };
    let path = |raw: Raw| match check(key, &Node { line: 1, raw }, &folder, &|_| Place::Default) {
        Ok(Value::Path(path)) => Some(path),
        _ => None,
    };
    let option = overrides.set.iter().rev().filter_map(|option| option.split_once('='));
    if let Some((_, text)) = option.into_iter().find(|(name, _)| name.trim() == key.path) {
        return path(from_text(key, text));
    }
    let names = || std::iter::once(key.env_name()).chain(key.aliases.iter().map(|name| (*name).to_owned()));
    let variable =
        |name: String| environment.variables.get(std::ffi::OsStr::new(&name)).filter(|text| !text.is_empty());
    if let Some(text) = names().find_map(variable) {
        return path(from_text(key, text.to_str()?));
    }
    // A line that is no `NAME=value` is the fault that was found; those that are still count.
    let dot_env = read(&folder.join(".env")).ok()?.unwrap_or_default();
    let set: Vec<(String, String)> = dotenvy::Iter::new(dot_env.as_bytes()).filter_map(Result::ok).collect();
    let last = |name: String| set.iter().rev().find(|(other, text)| *other == name && !text.is_empty());
    if let Some((_, text)) = names().find_map(last) {
        return path(from_text(key, text));
    }
    let node = match &file {
        Some(file) => written(key, &read(file).ok()??)?,
        None => None,
    };
    match (node, Value::preset(key, &folder)) {
        (Some(node), _) => path(node.raw),
        (None, Value::Path(preset)) => Some(preset),
        _ => None,
    }
}

/// What `buddy.yaml` says of the key; the outer `None` where it may say so under a name with a slip in it.
#[allow(clippy::option_option)] // not to be told is another thing than not to be set
fn written(key: &Key, text: &str) -> Option<Option<Node>> {
    let sections = match yaml::parse(text).ok()?.raw {
        Raw::Null => return Some(None),
        Raw::Map(sections) => sections,
        _ => return None,
    };
    let mut found = None;
    for (name, content) in sections {
        let Some(section) = SECTIONS.iter().find(|section| section.name == name.text) else {
            let near = nearest(&name.text, SECTIONS.iter().map(|section| section.name));
            if near.as_deref() == Some(key.section) {
                return None;
            }
            continue;
        };
        if section.name != key.section {
            continue;
        }
        let entries = match content.raw {
            Raw::Null => continue,
            Raw::Map(entries) => entries,
            _ => return None,
        };
        for (name, node) in entries {
            if name.text != key.name {
                return None;
            }
            found = Some(node);
        }
    }
    Some(found)
}
