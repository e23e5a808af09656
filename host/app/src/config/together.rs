//! Rules about several keys at once.
//!
//! Each value fits by itself, and together they cannot work: refused where the host could do no work at all, or would
//! break a bound by doing it; a warning where a part of the configuration has no effect. Defaults never warn: who has
//! set nothing has nothing to correct.

use super::value::{Mode, Values};
use super::{Config, ConfigError, Place};
use crate::memory::{BROWSER_MEMORY, HOST_MEMORY};
use crate::usage::gigabytes;

/// Below this, in gigabytes, a browser's profile and one download take the whole data folder.
const SMALL_STORAGE: f64 = 0.25;

/// What in `agent.capabilities` lets tasks use a browser. A task type's own name may as well: of those this one is known.
const BROWSING: [&str; 3] = ["*", "web_navigation", "web_navigate"];

/// Refuses what cannot work; otherwise what is odd, one sentence each.
pub(super) fn check(config: &Config, values: &Values) -> Result<Vec<String>, ConfigError> {
    let place = |key: &str| values.get(key).map_or(Place::Default, |(_, place)| place.clone());
    let refuse = |key: &'static str, message: String| {
        Err(ConfigError::Value { place: place(key), key: key.to_owned(), message })
    };
    let resources = &config.resources;
    let browses = config.agent.capabilities.iter().find(|word| BROWSING.contains(&word.as_str()));

    if config.agent.mode == Mode::Desktop && resources.max_browsers == 0 {
        let message = "must be at least 1 on a desktop; only `mode: cloud` can do without";
        return refuse("resources.max_browsers", message.to_owned());
    }
    if resources.max_browsers == 0
        && let Some(word) = browses.filter(|word| *word != "*")
    {
        let message =
            format!("is 0, and `agent.capabilities` lists `{word}`, which needs a browser: allow one or take it out");
        return refuse("resources.max_browsers", message);
    }
    if config.firebase.task_queue == config.firebase.results_path {
        return refuse("firebase.results_path", "must differ from `firebase.task_queue`".to_owned());
    }
    let allowed = gigabytes(resources.max_memory_gb);
    let plugin = u64::from(config.tasks.memory_mib) << 20;
    let browser = if browses.is_some() && resources.max_browsers > 0 { BROWSER_MEMORY } else { 0 };
    let needed = HOST_MEMORY + plugin + browser;
    if allowed < needed {
        let browser = match browser {
            0 => String::new(),
            browser => format!(", one browser ({} MiB)", browser >> 20),
        };
        let message = format!(
            "is too small for the host ({} MiB){browser} and one plugin (`tasks.memory_mib`, {} MiB) together: at least {} \
             is needed, or a smaller `tasks.memory_mib`",
            HOST_MEMORY >> 20,
            config.tasks.memory_mib,
            needed_gb(needed),
        );
        return refuse("resources.max_memory_gb", message);
    }

    let mut odd = Vec::new();
    // Told of by the place of the first of these keys that was set at all.
    let mut warn = |keys: &[&str], sentence: String| {
        odd.extend(
            keys.iter()
                .map(|key| place(key))
                .find(|place| *place != Place::Default)
                .map(|place| format!("{place}: {sentence}")),
        );
    };
    if config.agent.capabilities.is_empty() {
        warn(&["agent.capabilities"], "`agent.capabilities` is empty, so this host takes no task".to_owned());
    }
    let at_once = (allowed - HOST_MEMORY - browser) / plugin.max(1);
    if u64::from(resources.max_tasks) > at_once {
        let sentence = format!(
            "of the {} tasks of `resources.max_tasks` at most {at_once} run at once, because each may take \
             `tasks.memory_mib` ({} MiB) of `resources.max_memory_gb` ({}); the others wait for memory",
            resources.max_tasks, config.tasks.memory_mib, resources.max_memory_gb,
        );
        warn(&["resources.max_tasks", "tasks.memory_mib", "resources.max_memory_gb"], sentence);
    }
    if resources.temp_storage_gb < SMALL_STORAGE {
        let sentence = format!(
            "`resources.temp_storage_gb` is under {SMALL_STORAGE} GB, which one browser's profile and a download can take: \
             the host will often pause"
        );
        warn(&["resources.temp_storage_gb"], sentence);
    }
    if config.tasks.cpu_seconds > config.tasks.wall_seconds {
        let sentence = format!(
            "`tasks.cpu_seconds` has no effect: a try ends after `tasks.wall_seconds` ({}), before it has computed so long",
            config.tasks.wall_seconds
        );
        warn(&["tasks.cpu_seconds"], sentence);
    }
    if config.firebase.credentials_path.is_some() && config.firebase.project_id.is_none() {
        let sentence = "`firebase.credentials_path` has no effect without `firebase.project_id`";
        warn(&["firebase.credentials_path"], sentence.to_owned());
    }
    Ok(odd)
}

/// Gigabytes, rounded up to hundredths so that what is said is enough.
fn needed_gb(bytes: u64) -> String {
    let hundredths = (u128::from(bytes) * 100).div_ceil(1 << 30);
    format!("{}.{:02} GB", hundredths / 100, hundredths % 100)
}
