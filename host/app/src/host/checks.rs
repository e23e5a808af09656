//! What a start looks at before it begins, and what it warns of: `doctor` asks the same.

use buddy_router::{AgentName, capability};
use buddy_runtime::{PluginSet, RuntimeConfig};

use super::HostError;
use crate::agent::PluginRights;
use crate::config::{Config, Mode};
use crate::storage;

/// Why no host starts with this configuration; empty: nothing in it stands against it.
pub fn refusals(config: &Config) -> Vec<HostError> {
    let mut found = Vec::new();
    if config.agent.mode == Mode::Cloud {
        found.push(HostError::NoCloud);
    }
    if let Err(error) = AgentName::try_from(config.agent.name.clone()) {
        found.push(error.into());
    }
    let folder = &config.plugins.folder;
    if folder.exists() && !folder.is_dir() {
        found.push(HostError::PluginsNoFolder(folder.clone()));
    }
    // Of plugins that are not here as well: they may come with the next start.
    let grants = &config.plugins.grants;
    let problems = grants.0.keys().filter_map(|plugin| PluginRights::new(plugin, grants.of_plugin(plugin)).err());
    found.extend(problems.map(HostError::from));
    found
}

/// Names in the configuration that mean nothing with these plugins, one sentence each.
pub fn unknown_names(config: &Config, plugins: &PluginSet) -> Vec<String> {
    let with_nearest = |sentence: String, nearest: Option<String>| match nearest {
        Some(nearest) => format!("{sentence}; did you mean `{nearest}`?"),
        None => sentence,
    };
    let names: Vec<&str> = plugins.plugins().iter().map(|plugin| plugin.name()).collect();
    // A file that is no plugin today has a warning of its own.
    let broken = |name: &str| plugins.failures().iter().any(|failure| failure.path.file_stem() == Some(name.as_ref()));
    let granted = config.plugins.grants.0.keys().filter(|name| !names.contains(&name.as_str()) && !broken(name));
    let mut found: Vec<String> = granted
        .map(|name| {
            let sentence =
                format!("plugins.grants: there is no plugin `{name}` in {}", config.plugins.folder.display());
            with_nearest(sentence, buddy_runtime::nearest(name, names.iter().copied()))
        })
        .collect();
    let known: Vec<&str> = capability::ALL.into_iter().chain(plugins.task_types()).collect();
    let words = config.agent.capabilities.iter().filter(|word| *word != "*" && !known.contains(&word.as_str()));
    found.extend(words.map(|word| {
        let sentence = format!("agent.capabilities: `{word}` is no kind of work and no task type of a plugin here");
        with_nearest(sentence, buddy_runtime::nearest(word, known.iter().copied()))
    }));
    found
}

/// Why no page can be opened, where pages are allowed and there is no browser to open them in.
pub fn missing_browser(config: &Config) -> Option<String> {
    if config.resources.max_browsers == 0 {
        return None;
    }
    let error = buddy_browser::find_chromium(config.browser.path.as_deref()).err()?;
    Some(format!("no page can be opened, so tasks that need one fail: {error}"))
}

/// How the sandbox is set up, but for what only a running host has.
pub fn sandbox(config: &Config) -> RuntimeConfig {
    let mut sandbox = RuntimeConfig::with_cache(config.storage.path.join(storage::COMPILED));
    // What the owner allows one plugin is what it can have.
    sandbox.engine.max_memory = sandbox.engine.max_memory.max(super::limits(config).memory);
    sandbox
}
