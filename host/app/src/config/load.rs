//! Finding the file and laying the sources over each other.
//!
//! In order, the first that has a value wins: options of the command line, the environment, the `.env` beside
//! `buddy.yaml`, `buddy.yaml`, the default. Within one source the systematic name (`BUDDY_AGENT_MODE`) wins over an
//! older one (`BUDDY_MODE`). An empty variable counts as not set. The process's own environment is never changed.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::check::{check, from_text};
use super::error::nearest;
use super::keys::{self, Key, SECTIONS};
use super::value::{Value, Values};
use super::yaml::{self, Node, Raw};
use super::{Config, ConfigError, Effective, Loaded, Place, together};

/// The name of the file that is looked for.
pub const FILE_NAME: &str = "buddy.yaml";

/// Bytes of `buddy.yaml` and of `.env` that are read; the file that `init` writes has under 8 KiB.
const MAX_FILE: u64 = 1 << 20;

/// How the systematic names of variables begin.
const PREFIX: &str = "BUDDY_";

/// Variables that begin like ours and are no settings.
const OTHER_VARIABLES: &[&str] = &["BUDDY_CONFIG"];

/// What the process gives: its variables and folders. Tests bring their own.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// The environment variables.
    pub variables: BTreeMap<OsString, OsString>,
    /// Where relative paths of the command line start.
    pub current_dir: PathBuf,
    /// The user's folder for settings of programs, where there is one.
    pub config_dir: Option<PathBuf>,
}

impl Environment {
    /// That of this process.
    pub fn of_process() -> io::Result<Self> {
        Ok(Self {
            variables: std::env::vars_os().collect(),
            current_dir: std::env::current_dir()?,
            config_dir: crate::platform::config_dir(|name| std::env::var_os(name)),
        })
    }
}

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--config FILE`.
    pub file: Option<PathBuf>,
    /// `--mode MODE`.
    pub mode: Option<String>,
    /// `--set SECTION.KEY=VALUE`, the last of a key wins.
    pub set: Vec<String>,
}

/// Finds, reads and checks the configuration.
pub fn load(environment: &Environment, overrides: &Overrides) -> Result<Loaded, ConfigError> {
    let file = locate(environment, overrides)?;
    let folder = match &file {
        Some(file) => file.parent().unwrap_or(Path::new(".")).to_owned(),
        None => home(environment),
    };
    let mut values: Values = keys::all().map(|key| (key.path, (Value::preset(key, &folder), Place::Default))).collect();
    if let Some(file) = &file {
        let text = read(file)?
            .ok_or_else(|| ConfigError::Read { path: file.clone(), source: io::ErrorKind::NotFound.into() })?;
        apply_yaml(file, &text, &folder, &mut values)?;
    }
    let dot_env = folder.join(".env");
    if let Some(text) = read(&dot_env)? {
        apply_dot_env(&dot_env, &text, &folder, &mut values)?;
    }
    let mut warnings = apply_environment(environment, &folder, &mut values)?;
    apply_options(overrides, &folder, &mut values)?;

    let config = Config::from_values(&values)?;
    warnings.extend(together::check(&config, &values)?);
    let effective = keys::all()
        .filter_map(|key| values.remove(key.path).map(|(value, source)| Effective { key: key.path, value, source }))
        .collect();
    Ok(Loaded { config, effective, file, folder, warnings })
}

/// The folder that relative paths start from when there is no file: the user's settings, else the current folder.
pub(super) fn home(environment: &Environment) -> PathBuf {
    environment.config_dir.as_ref().map_or_else(|| environment.current_dir.clone(), |dir| dir.join("buddy"))
}

pub(super) fn locate(environment: &Environment, overrides: &Overrides) -> Result<Option<PathBuf>, ConfigError> {
    let variable = environment.variables.get(OsStr::new("BUDDY_CONFIG")).filter(|value| !value.is_empty());
    let asked = match (&overrides.file, variable) {
        (Some(file), _) => Some(("--config", file.clone())),
        (None, Some(file)) => Some(("BUDDY_CONFIG", PathBuf::from(file))),
        (None, None) => None,
    };
    if let Some((asked_by, file)) = asked {
        let path: PathBuf = environment.current_dir.join(file).components().collect();
        return if path.is_file() {
            Ok(Some(path))
        } else if path.exists() {
            Err(ConfigError::NotAFile { asked_by, folder: path.is_dir(), path })
        } else {
            Err(ConfigError::NotFound { asked_by, path })
        };
    }
    Ok([environment.current_dir.join(FILE_NAME), home(environment).join(FILE_NAME)]
        .into_iter()
        .find(|path| path.is_file()))
}

/// A file's text without a byte order mark; `None` when there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<String>, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut text = String::new();
    file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_FILE {
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB")));
    }
    Ok(Some(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)))
}

fn apply_yaml(file: &Path, text: &str, folder: &Path, values: &mut Values) -> Result<(), ConfigError> {
    let place = |line| Place::File { path: file.to_owned(), line };
    let syntax = |line, reason: &str| ConfigError::Syntax { path: file.to_owned(), line, reason: reason.to_owned() };
    let document = yaml::parse(text).map_err(|malformed| syntax(malformed.line, &malformed.reason))?;
    let sections = match document.raw {
        Raw::Null => return Ok(()),
        Raw::Map(sections) => sections,
        _ => {
            return Err(syntax(document.line, "the file must be made of sections such as `agent:`"));
        }
    };
    for (name, content) in sections {
        let Some(section) = SECTIONS.iter().find(|section| section.name == name.text) else {
            return Err(ConfigError::Unknown {
                place: place(name.line),
                what: "the section",
                nearest: nearest(&name.text, SECTIONS.iter().map(|section| section.name)),
                name: name.text,
            });
        };
        let entries = match content.raw {
            Raw::Null => continue,
            Raw::Map(entries) => entries,
            other => {
                let reason = format!("`{}` must be a group of keys, not {}", section.name, other.describe());
                return Err(syntax(content.line, &reason));
            }
        };
        for (name, node) in entries {
            let Some(key) = section.keys.iter().find(|key| key.name == name.text) else {
                return Err(ConfigError::Unknown {
                    place: place(name.line),
                    what: "the key",
                    // A key that exists in another section is the likelier slip than a similar one here.
                    nearest: keys::all()
                        .find(|key| key.name == name.text)
                        .map(|key| key.path.to_owned())
                        .or_else(|| nearest(&name.text, section.keys.iter().map(|key| key.name))),
                    name: format!("{}.{}", section.name, name.text),
                });
            };
            let value = check(key, &node, folder, &place)?;
            // The key's line, not the value's: that is where a person looks.
            values.insert(key.path, (value, place(name.line)));
        }
    }
    Ok(())
}

/// A variable as one of the two environments gave it.
struct Variable {
    value: String,
    place: Place,
}

fn apply_variables(
    variables: &BTreeMap<String, Variable>,
    folder: &Path,
    values: &mut Values,
) -> Result<(), ConfigError> {
    for key in keys::all() {
        let systematic = key.env_name();
        let names = std::iter::once(systematic.as_str()).chain(key.aliases.iter().copied());
        let set = names.filter_map(|name| variables.get(name)).find(|variable| !variable.value.is_empty());
        if let Some(Variable { value, place }) = set {
            set_text(key, value, place, folder, values)?;
        }
    }
    Ok(())
}

fn set_text(
    key: &'static Key,
    text: &str,
    place: &Place,
    folder: &Path,
    values: &mut Values,
) -> Result<(), ConfigError> {
    let node = Node { line: 1, raw: from_text(key, text) };
    let value = check(key, &node, folder, &|_| place.clone())?;
    values.insert(key.path, (value, place.clone()));
    Ok(())
}

/// What is to be said of a variable that begins like a setting's and is none: the nearest that is one.
struct Stray {
    nearest: Option<String>,
}

fn stray(name: &str) -> Option<Stray> {
    if !name.starts_with(PREFIX) || OTHER_VARIABLES.contains(&name) {
        return None;
    }
    let known: Vec<String> = keys::all()
        .flat_map(|key| key.aliases.iter().map(|alias| (*alias).to_owned()).chain([key.env_name()]))
        .collect();
    if known.iter().any(|other| other == name) {
        return None;
    }
    // What all share says nothing about how near two names are.
    let own = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).to_owned();
    let owns: Vec<String> = known.iter().map(|name| own(name)).collect();
    let near = nearest(&own(name), owns.iter().map(String::as_str));
    let nearest = near.and_then(|near| known.into_iter().find(|name| own(name) == near));
    Some(Stray { nearest })
}

fn apply_dot_env(path: &Path, text: &str, folder: &Path, values: &mut Values) -> Result<(), ConfigError> {
    let mut variables = BTreeMap::new();
    for entry in dotenvy::Iter::new(text.as_bytes()) {
        let (name, value) = entry.map_err(|error| match error {
            dotenvy::Error::LineParse(line, _) => {
                let before = text.find(line.as_str()).map_or(text, |at| &text[..at]);
                ConfigError::DotEnvLine { path: path.to_owned(), line: before.matches('\n').count() + 1 }
            }
            dotenvy::Error::Io(source) => ConfigError::Read { path: path.to_owned(), source },
            other => ConfigError::Read { path: path.to_owned(), source: io::Error::other(other.to_string()) },
        })?;
        let place = Place::DotEnv { path: path.to_owned(), line: line_of(text, &name), name: name.clone() };
        // In a file written for this host an unknown name is a slip, as it is in `buddy.yaml`.
        if let Some(Stray { nearest }) = stray(&name) {
            return Err(ConfigError::Unknown { place, what: "the variable", name, nearest });
        }
        variables.insert(name, Variable { value, place });
    }
    apply_variables(&variables, folder, values)
}

/// The last line that sets this name, as the last one wins.
fn line_of(text: &str, name: &str) -> usize {
    let sets = |line: &str| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line);
        line.split_once('=').is_some_and(|(left, _)| left.trim() == name)
    };
    let last = text.lines().enumerate().filter(|(_, line)| sets(line)).last();
    last.map_or(1, |(index, _)| index + 1)
}

fn apply_environment(
    environment: &Environment,
    folder: &Path,
    values: &mut Values,
) -> Result<Vec<String>, ConfigError> {
    let mut variables = BTreeMap::new();
    let mut warnings = Vec::new();
    for (name, value) in &environment.variables {
        // Every name of ours is ASCII, so one that is not text is somebody else's.
        let Some(name) = name.to_str() else { continue };
        let place = Place::Env { name: name.to_owned() };
        let ours = name.starts_with(PREFIX) || keys::all().any(|key| key.aliases.contains(&name));
        if !ours {
            continue;
        }
        // A program that starts this one may set names of its own (a cluster sets `BUDDY_SERVICE_HOST`).
        if let Some(Stray { nearest }) = stray(name) {
            let near = nearest.map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default();
            warnings.push(format!("the environment variable {name} is no setting and has no effect{near}"));
            continue;
        }
        let Some(value) = value.to_str() else {
            return Err(ConfigError::Value {
                place,
                key: name.to_owned(),
                message: "must be text in UTF-8".to_owned(),
            });
        };
        variables.insert(name.to_owned(), Variable { value: value.to_owned(), place });
    }
    apply_variables(&variables, folder, values)?;
    Ok(warnings)
}

fn apply_options(overrides: &Overrides, folder: &Path, values: &mut Values) -> Result<(), ConfigError> {
    for option in &overrides.set {
        let (path, text) = option.split_once('=').ok_or_else(|| ConfigError::Set(option.clone()))?;
        let place = Place::Flag { name: format!("--set {path}") };
        let Some(key) = keys::find(path.trim()) else {
            return Err(ConfigError::Unknown {
                place: Place::Flag { name: "--set".to_owned() },
                what: "the key",
                name: path.trim().to_owned(),
                nearest: nearest(path.trim(), keys::all().map(|key| key.path)),
            });
        };
        // An empty value unsets a key that may be left unset.
        if text.is_empty() && key.optional() {
            values.insert(key.path, (Value::Unset, place));
        } else {
            set_text(key, text, &place, folder, values)?;
        }
    }
    if let (Some(mode), Some(key)) = (&overrides.mode, keys::find("agent.mode")) {
        set_text(key, mode, &Place::Flag { name: "--mode".to_owned() }, folder, values)?;
    }
    Ok(())
}
