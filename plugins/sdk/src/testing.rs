//! Checks of a plugin that need no host.

use std::collections::BTreeSet;

use crate::export::Plugin;

/// What every plugin's own tests should assert: task types have well-formed names, each once, and each example is an
/// input that the plugin itself accepts.
///
/// # Errors
/// The first fault, as a sentence.
pub fn check<P: Plugin>() -> Result<(), String> {
    let manifest = P::describe();
    let mut names = BTreeSet::new();
    for task in &manifest.task_types {
        let name = &task.name;
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || name.len() > 64 || !name.chars().all(allowed) {
            return Err(format!("`{name}` is no name for a task type: letters, digits, `_`, `-`, `.`, at most 64"));
        }
        if !names.insert(name) {
            return Err(format!("two task types are called `{name}`"));
        }
        P::estimate(name, &task.example).map_err(|error| format!("the example of `{name}` is refused: {error}"))?;
    }
    for request in &manifest.capabilities {
        if request.reason.trim().is_empty() {
            return Err(format!(
                "no reason is given for `{}`; the owner would not know what to grant",
                request.capability
            ));
        }
    }
    Ok(())
}
