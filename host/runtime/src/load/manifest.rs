//! A plugin's description of itself, checked.
//!
//! It comes from code that nobody trusts, and is shown, stored and compiled into validators: everything in it has a
//! bound, names have an alphabet, and a schema can neither reach outside of itself nor run for ever.

use crate::schema::Schema;
use crate::text::shorten;
use crate::wit::task;
use semver::Version;
use std::collections::BTreeMap;

/// Who a plugin is and what it offers.
#[derive(Debug)]
#[non_exhaustive]
pub struct Manifest {
    /// Lower-case letters, digits, `-`; at most 64 bytes.
    pub name: String,
    /// Semantic version.
    pub version: Version,
    /// One line.
    pub summary: String,
    /// By name.
    pub task_types: BTreeMap<String, TaskType>,
    /// What it would like to be granted.
    pub capabilities: Vec<task::CapabilityRequest>,
    /// What one run wishes for.
    pub limits: task::Limits,
}

/// One task type.
#[derive(Debug)]
#[non_exhaustive]
pub struct TaskType {
    /// Letters, digits, `_`, `-`, `.`; at most 64 bytes.
    pub name: String,
    /// One line.
    pub summary: String,
    /// What an input must look like.
    pub input: Schema,
    /// What a result looks like.
    pub output: Schema,
    /// An input that works as it stands, as JSON.
    pub example: String,
}

const MAX_NAME: usize = 64;
const MAX_SUMMARY: usize = 1_000;
const MAX_TASK_TYPES: usize = 64;
const MAX_REQUESTS: usize = 32;
const MAX_SCOPES: usize = 256;
const MAX_SCOPE: usize = 256;
/// Bytes of a schema or an example.
const MAX_JSON: usize = 256 << 10;

impl Manifest {
    /// Checks what `describe` returned.
    ///
    /// # Errors
    /// One sentence.
    pub(crate) fn check(described: task::Manifest) -> Result<Self, String> {
        let task::Manifest { name, version, summary, task_types, capabilities, limits, more: _ } = described;
        if !is_plugin_name(&name) {
            return Err(format!(
                "the plugin's name {:?} is not one: use up to {MAX_NAME} lower-case letters, digits and `-`, starting with a letter",
                shorten(&name, MAX_NAME)
            ));
        }
        let version = Version::parse(&version).map_err(|error| {
            format!(
                "the plugin's version {:?} is no semantic version ({error}): use for example 1.0.0",
                shorten(&version, 40)
            )
        })?;
        check_summary("the plugin", &summary)?;
        if !(1..=MAX_TASK_TYPES).contains(&task_types.len()) {
            return Err(format!("the plugin has {} task types: it needs 1 to {MAX_TASK_TYPES}", task_types.len()));
        }
        check_requests(&capabilities)?;
        let mut by_name = BTreeMap::new();
        for task_type in task_types {
            let task_type = TaskType::check(task_type)?;
            if let Some(twice) = by_name.insert(task_type.name.clone(), task_type) {
                return Err(format!("the plugin describes task type {:?} twice: keep one", twice.name));
            }
        }
        Ok(Self { name, version, summary, task_types: by_name, capabilities, limits })
    }
}

impl TaskType {
    fn check(described: task::TaskType) -> Result<Self, String> {
        let task::TaskType { name, summary, input_schema, output_schema, example, more: _ } = described;
        if !is_type_name(&name) {
            return Err(format!(
                "the task type's name {:?} is not one: use up to {MAX_NAME} letters, digits, `_`, `-` and `.`",
                shorten(&name, MAX_NAME)
            ));
        }
        let whose = format!("task type {name:?}");
        check_summary(&whose, &summary)?;
        for (what, text) in [("input schema", &input_schema), ("output schema", &output_schema), ("example", &example)]
        {
            if text.len() > MAX_JSON {
                return Err(format!("the {what} of {whose} has {} bytes: it may have {MAX_JSON}", text.len()));
            }
        }
        let input =
            Schema::compile(&input_schema).map_err(|e| format!("the input schema of {whose} is of no use: {e}"))?;
        let output =
            Schema::compile(&output_schema).map_err(|e| format!("the output schema of {whose} is of no use: {e}"))?;
        if let Err(faults) = input.check(&example) {
            let fault = faults.first().map(|f| format!("{:?}: {}", f.path, f.message)).unwrap_or_default();
            return Err(format!("the example of {whose} does not pass its own input schema, at {fault}"));
        }
        Ok(Self { name, summary, input, output, example })
    }
}

fn check_summary(whose: &str, summary: &str) -> Result<(), String> {
    if summary.len() <= MAX_SUMMARY {
        return Ok(());
    }
    Err(format!("the summary of {whose} has {} bytes: it may have {MAX_SUMMARY}", summary.len()))
}

fn check_requests(requests: &[task::CapabilityRequest]) -> Result<(), String> {
    let fits = requests.len() <= MAX_REQUESTS
        && requests.iter().all(|r| {
            r.capability.len() <= MAX_NAME
                && r.reason.len() <= MAX_SUMMARY
                && r.scope.len() <= MAX_SCOPES
                && r.scope.iter().all(|s| s.len() <= MAX_SCOPE)
        });
    if fits {
        return Ok(());
    }
    Err(format!(
        "the plugin's capability requests are too large: at most {MAX_REQUESTS}, each with {MAX_SCOPES} scopes of \
         {MAX_SCOPE} bytes and a reason of {MAX_SUMMARY}"
    ))
}

fn is_plugin_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_type_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
