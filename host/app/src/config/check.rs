//! From a written value to a checked one: type and range of every [`Kind`].

use std::path::Path;

use super::error::nearest;
use super::keys::{Key, Kind};
use super::value::{Grant, Grants, Value};
use super::yaml::{self, Node, Raw};
use super::{ConfigError, Place};

/// The capabilities that can be granted. `context`, `log` and `progress` need no grant.
pub const CAPABILITIES: &[&str] =
    &["artifacts", "browser", "checkpoint", "files", "firestore", "http", "human", "secrets", "store"];

/// Entries of one list or group; more is a mistake, and it would not fit a listing.
const MAX_ENTRIES: usize = 1000;

/// Checks one value. `place` gives the place of a line within the same source.
pub(super) fn check(
    key: &'static Key,
    node: &Node,
    folder: &Path,
    place: &dyn Fn(usize) -> Place,
) -> Result<Value, ConfigError> {
    let checker = Checker { key: key.path, place };
    if node.raw == Raw::Null {
        return if key.optional() {
            Ok(Value::Unset)
        } else if key.kind == Kind::Grants {
            Ok(Value::Grants(Grants::default()))
        } else {
            checker.wrong(node, "needs a value; delete the line to take the default")
        };
    }
    match key.kind {
        Kind::Name => checker.name(node),
        Kind::Text => checker.text(node).map(Value::Text),
        Kind::Choice(words) => checker.choice(node, words),
        Kind::Whole(least, most) => match node.raw {
            Raw::Int(number) if (least..=most).contains(&number) => Ok(Value::Whole(number)),
            _ => checker.expected(node, &format!("must be a whole number from {least} to {most}")),
        },
        Kind::Number(least, most) => checker.number(node, least, most),
        Kind::Switch => match node.raw {
            Raw::Bool(on) => Ok(Value::Switch(on)),
            _ => checker.expected(node, "must be `true` or `false`"),
        },
        Kind::Words => checker.words(node).map(Value::Words),
        Kind::Path => checker.path(node, folder),
        Kind::Collection => checker.collection(node),
        Kind::Grants => checker.grants(node),
    }
}

/// A value that came as plain text, from the environment or an option, in the form YAML would have given it.
pub(super) fn from_text(key: &Key, text: &str) -> Raw {
    match key.kind {
        Kind::Name | Kind::Text | Kind::Choice(_) | Kind::Path | Kind::Collection => Raw::Text(text.to_owned()),
        Kind::Words if !text.trim_start().starts_with('[') => {
            Raw::List(text.split(',').map(|word| Node { line: 1, raw: Raw::Text(word.trim().to_owned()) }).collect())
        }
        Kind::Switch => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Raw::Bool(true),
            "false" | "0" | "no" | "off" => Raw::Bool(false),
            _ => Raw::Text(text.to_owned()),
        },
        // A text that is no YAML stays text, and is then refused with the key's own sentence.
        Kind::Whole(..) | Kind::Number(..) | Kind::Words | Kind::Grants => {
            yaml::parse(text.trim()).map_or_else(|_| Raw::Text(text.to_owned()), |node| node.raw)
        }
    }
}

struct Checker<'a> {
    key: &'static str,
    place: &'a dyn Fn(usize) -> Place,
}

impl Checker<'_> {
    fn wrong<T>(&self, node: &Node, message: &str) -> Result<T, ConfigError> {
        Err(ConfigError::Value {
            place: (self.place)(node.line),
            key: self.key.to_owned(),
            message: message.to_owned(),
        })
    }

    fn expected<T>(&self, node: &Node, message: &str) -> Result<T, ConfigError> {
        self.wrong(node, &format!("{message}, not {}", node.raw.describe()))
    }

    fn text(&self, node: &Node) -> Result<String, ConfigError> {
        match &node.raw {
            Raw::Text(text) if text.is_empty() || text.chars().count() > 256 || text.chars().any(char::is_control) => {
                self.wrong(node, "must be one line of 1 to 256 characters")
            }
            Raw::Text(text) => Ok(text.clone()),
            Raw::Int(_) | Raw::Float(_) | Raw::Bool(_) => self.expected(node, "must be text (put it in quotes)"),
            _ => self.expected(node, "must be text"),
        }
    }

    fn name(&self, node: &Node) -> Result<Value, ConfigError> {
        let name = self.text(node)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        // Names become ids of Firestore documents, where `.`, `..` and `__x__` are taken.
        let reserved = name.starts_with('.') || name.starts_with("__");
        if name.len() > 64 || reserved || !name.chars().all(fits) {
            return self.expected(
                node,
                "must be 1 to 64 of the letters A-Z, a-z, digits, `-`, `_` and `.`, beginning with a letter or digit",
            );
        }
        Ok(Value::Text(name))
    }

    fn choice(&self, node: &Node, words: &[(&str, &str)]) -> Result<Value, ConfigError> {
        if let Raw::Text(text) = &node.raw {
            let wanted = text.to_ascii_lowercase();
            if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == wanted) {
                return Ok(Value::Text((*meaning).to_owned()));
            }
        }
        // Only the canonical words are offered; the others are for old files.
        let offered: Vec<String> =
            words.iter().filter(|(word, meaning)| word == meaning).map(|(word, _)| format!("`{word}`")).collect();
        self.expected(node, &format!("must be one of {}", offered.join(", ")))
    }

    fn number(&self, node: &Node, least: f64, most: f64) -> Result<Value, ConfigError> {
        let number = match node.raw {
            // Within 2^53, far above every bound of the table, a whole number is exact as f64.
            #[allow(clippy::cast_precision_loss)]
            Raw::Int(number) => number as f64,
            Raw::Float(number) => number,
            _ => f64::NAN,
        };
        if (least..=most).contains(&number) {
            Ok(Value::Number(number))
        } else {
            self.expected(node, &format!("must be a number from {least} to {most}"))
        }
    }

    fn words(&self, node: &Node) -> Result<Vec<String>, ConfigError> {
        let Raw::List(items) = &node.raw else {
            return self.expected(node, "must be a list such as `[one, two]`");
        };
        if items.len() > MAX_ENTRIES {
            return self.wrong(node, &format!("has more than {MAX_ENTRIES} entries"));
        }
        items.iter().map(|item| self.text(item)).collect()
    }

    fn path(&self, node: &Node, folder: &Path) -> Result<Value, ConfigError> {
        match &node.raw {
            // A key file's content in place of its path would be a secret: it is never echoed.
            Raw::Text(text) if text.trim_start().starts_with('{') || text.contains(['\n', '\0']) => {
                self.wrong(node, "must be the path of a file or folder, not the content of a file")
            }
            Raw::Text(text) if !text.is_empty() && text.len() <= 4096 => {
                // Collected from its components, `./x` and `x` are the same path in every listing.
                Ok(Value::Path(folder.join(text).components().collect()))
            }
            _ => self.expected(node, "must be the path of a file or folder"),
        }
    }

    fn collection(&self, node: &Node) -> Result<Value, ConfigError> {
        let path = self.text(node)?;
        let bad = |part: &str| part.is_empty() || part == "." || part == ".." || part.starts_with("__");
        if path.split('/').any(bad) {
            return self.expected(node, "must be names joined by `/`, none empty and none beginning with `__`");
        }
        Ok(Value::Text(path))
    }

    fn grants(&self, node: &Node) -> Result<Value, ConfigError> {
        let Raw::Map(plugins) = &node.raw else {
            return self.expected(node, "must be a group of plugins, each with its capabilities");
        };
        let mut grants = Grants::default();
        for (plugin, capabilities) in plugins {
            let entry = grants.0.entry(plugin.text.clone()).or_default();
            let capabilities = match &capabilities.raw {
                Raw::Null => continue,
                Raw::Map(capabilities) => capabilities,
                _ => {
                    let message = format!("must give capabilities to `{}`, such as `browser: true`", plugin.text);
                    return self.expected(capabilities, &message);
                }
            };
            for (capability, scopes) in capabilities {
                if !CAPABILITIES.contains(&capability.text.as_str()) {
                    return Err(ConfigError::Unknown {
                        place: (self.place)(capability.line),
                        what: "the capability",
                        name: capability.text.clone(),
                        nearest: nearest(&capability.text, CAPABILITIES.iter().copied()),
                    });
                }
                let grant = match &scopes.raw {
                    Raw::Bool(true) => Grant::Whole,
                    // Said outright, a denial is the same as saying nothing.
                    Raw::Bool(false) | Raw::Null => continue,
                    Raw::List(_) => Grant::Scopes(self.words(scopes)?),
                    _ => {
                        let message = format!("must give `{}` either `true` or a list of scopes", capability.text);
                        return self.expected(scopes, &message);
                    }
                };
                entry.insert(capability.text.clone(), grant);
            }
        }
        if grants.0.len() > MAX_ENTRIES {
            return self.wrong(node, &format!("names more than {MAX_ENTRIES} plugins"));
        }
        Ok(Value::Grants(grants))
    }
}
