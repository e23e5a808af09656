//! The one table of settings.
//!
//! [`settings!`](self) declares every key once: its section, type, range, default, environment names and text. From
//! that come the typed [`Config`], the checks, `doctor`'s listing, the `buddy.yaml` that `init` writes, and the names
//! of the environment variables. A key that is not here does not exist: `buddy.yaml` refuses it by name and line.

use std::path::PathBuf;

use super::ConfigError;
use super::value::{FromValue, Grants, LogFormat, LogLevel, Mode, Values};

/// What values a key takes. The checks live in [`super::check`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A name for people and for document ids: 1 to 64 letters, digits, `-`, `_` or `.`.
    Name,
    /// One line of text, 1 to 256 characters.
    Text,
    /// One of a few words: (accepted word, what it means).
    Choice(&'static [(&'static str, &'static str)]),
    /// A whole number within these bounds, both included.
    Whole(i64, i64),
    /// A number within these bounds, both included.
    Number(f64, f64),
    /// `true` or `false`.
    Switch,
    /// A list of words; in the environment separated by commas.
    Words,
    /// A file or folder; relative to the folder of `buddy.yaml`.
    Path,
    /// A slash-separated path in Firestore.
    Collection,
    /// Plugin, capability, scopes.
    Grants,
}

/// A default, in a form that fits a `static`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Preset {
    /// Not set.
    Unset,
    /// A switch.
    Switch(bool),
    /// A whole number.
    Whole(i64),
    /// A number.
    Number(f64),
    /// Text, a word of a choice, or a path.
    Text(&'static str),
    /// A list of words.
    Words(&'static [&'static str]),
    /// No grants at all.
    NoGrants,
}

/// One setting.
#[derive(Debug)]
pub struct Key {
    /// Section and name, for example `sync.batch_size`.
    pub path: &'static str,
    /// The section alone.
    pub section: &'static str,
    /// The name alone.
    pub name: &'static str,
    /// The lines of its description.
    pub doc: &'static [&'static str],
    /// What values it takes.
    pub kind: Kind,
    /// Its value when nothing else sets it.
    pub preset: Preset,
    /// Environment names besides the systematic one, older first.
    pub aliases: &'static [&'static str],
}

impl Key {
    /// The systematic environment name, for example `BUDDY_SYNC_BATCH_SIZE`.
    pub fn env_name(&self) -> String {
        format!("BUDDY_{}_{}", self.section.to_uppercase(), self.name.to_uppercase())
    }

    /// Whether the key may be left without a value.
    pub fn optional(&self) -> bool {
        self.preset == Preset::Unset
    }
}

/// A group of settings.
#[derive(Debug)]
pub struct Section {
    /// Its name in `buddy.yaml`.
    pub name: &'static str,
    /// The lines of its description.
    pub doc: &'static [&'static str],
    /// Its keys, in the order of the file that `init` writes.
    pub keys: &'static [Key],
}

/// Every key, in the order of the table.
pub fn all() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().flat_map(|section| section.keys)
}

/// The key of this path, if there is one.
pub fn find(path: &str) -> Option<&'static Key> {
    all().find(|key| key.path == path)
}

macro_rules! settings {
    ($(
        $(#[doc = $section_doc:literal])+
        $section:ident: $Struct:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $type:ty = $kind:expr, $preset:expr $(, $alias:literal)*;
            )+
        }
    )+) => {
        $(
            $(#[doc = $section_doc])+
            #[derive(Debug, Clone, PartialEq)]
            pub struct $Struct {
                $(
                    $(#[doc = $doc])+
                    pub $field: $type,
                )+
            }
        )+

        /// Everything that can be set, checked and with its defaults filled in. Paths are absolute.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Config {
            $(
                $(#[doc = $section_doc])+
                pub $section: $Struct,
            )+
        }

        /// The table itself.
        pub static SECTIONS: &[Section] = &[
            $(Section {
                name: stringify!($section),
                doc: &[$($section_doc),+],
                keys: &[
                    $(Key {
                        path: concat!(stringify!($section), ".", stringify!($field)),
                        section: stringify!($section),
                        name: stringify!($field),
                        doc: &[$($doc),+],
                        kind: $kind,
                        preset: $preset,
                        aliases: &[$($alias),*],
                    }),+
                ],
            }),+
        ];

        impl Config {
            pub(super) fn from_values(values: &Values) -> Result<Self, ConfigError> {
                Ok(Self {
                    $(
                        $section: $Struct {
                            $(
                                $field: <$type as FromValue>::read(
                                    values,
                                    concat!(stringify!($section), ".", stringify!($field)),
                                )?,
                            )+
                        },
                    )+
                })
            }
        }
    };
}

const MODES: &[(&str, &str)] = &[
    ("desktop", "desktop"),
    ("cloud", "cloud"),
    // Older names of the desktop role, kept so that existing files and `.env` files load.
    ("worker", "desktop"),
    ("local_agent", "desktop"),
    ("local", "desktop"),
];
const FORMATS: &[(&str, &str)] = &[("text", "text"), ("json", "json")];
const LEVELS: &[(&str, &str)] =
    &[("error", "error"), ("warn", "warn"), ("info", "info"), ("debug", "debug"), ("trace", "trace")];

settings! {
    /// Who this host is and what it takes on.
    agent: AgentConfig {
        /// The name other machines and people see. Two hosts of one project need two names.
        name: String = Kind::Name, Preset::Text("buddy-desktop");
        /// `desktop` runs tasks on this computer; `cloud` takes tasks in, routes them and falls back.
        /// `worker` and `local_agent` are older words for `desktop`.
        mode: Mode = Kind::Choice(MODES), Preset::Text("desktop"), "BUDDY_MODE";
        /// The kinds of work this host takes: `web_navigation`, `data_processing`, `file_operations`,
        /// `local_storage`, or the name of a task type. `*` is everything its plugins can do.
        capabilities: Vec<String> = Kind::Words, Preset::Words(&["*"]);
    }

    /// What this host may use of the computer.
    resources: ResourcesConfig {
        /// Browser pages open at the same time. A task whose page has no place waits for one.
        /// At least 1 on a desktop; 0, no browser at all, is for the cloud role only.
        max_browsers: u32 = Kind::Whole(0, 256), Preset::Whole(10), "MAX_CONCURRENT_BROWSERS";
        /// Memory for the host, its plugins and its browsers together, in GB. The host itself counts as 192 MiB of it.
        /// A task begins when `tasks.memory_mib` of it is free; above it no page is opened and no plugin gets more.
        max_memory_gb: f64 = Kind::Number(0.25, 4096.0), Preset::Number(8.0);
        /// Disk for the whole data folder, in GB: buffer, artifacts, page cache, browser profiles and downloads, compiled
        /// plugins. From nine tenths on no task begins until there is room; the page cache takes at most a quarter.
        temp_storage_gb: f64 = Kind::Number(0.1, 100_000.0), Preset::Number(50.0);
        /// Tasks running at the same time; fewer while `max_memory_gb` has no room for more.
        max_tasks: u32 = Kind::Whole(1, 4096), Preset::Whole(16);
    }

    /// How results travel to the coordinator.
    sync: SyncConfig {
        /// A batch of results is pushed at least this often, in seconds. Without Firebase it has no effect: the queue is
        /// on this computer, a push costs nothing, and results are pushed at once.
        interval_seconds: u32 = Kind::Whole(1, 3600), Preset::Whole(60), "SYNC_INTERVAL_SECONDS";
        /// Results in one batch. A commit takes 500 writes and a result needs two, hence at most 250. Without Firebase no
        /// batch waits to be filled; what is there at once goes together, up to this number.
        batch_size: u32 = Kind::Whole(1, 250), Preset::Whole(50);
        /// Bytes in one batch, encoded. A request of 10 MiB is refused, hence at most 9 MiB.
        batch_max_bytes: u64 = Kind::Whole(65_536, 9_437_184), Preset::Whole(8_388_608);
        /// Push again after a failed push. Without it a failed batch waits for the next start.
        retry_failed: bool = Kind::Switch, Preset::Switch(true);
        /// A sign of life is written this often, in seconds; silent for three of them, a host counts as gone.
        heartbeat_seconds: u32 = Kind::Whole(5, 600), Preset::Whole(30);
    }

    /// The shared queue. Without a project the queue lives on this computer.
    firebase: FirebaseConfig {
        /// The Firebase project.
        project_id: Option<String> = Kind::Text, Preset::Unset;
        /// The service account's key file.
        credentials_path: Option<PathBuf> = Kind::Path, Preset::Unset, "FIREBASE_CREDENTIALS_PATH";
        /// The collection of tasks. A path with an even number of parts gets `/items` appended.
        task_queue: String = Kind::Collection, Preset::Text("tasks");
        /// The collection of results, by the same rule.
        results_path: String = Kind::Collection, Preset::Text("results");
    }

    /// Where this host keeps its data.
    storage: StorageConfig {
        /// The data folder: queue, results not yet pushed, page cache, logs.
        path: PathBuf = Kind::Path, Preset::Text("buddy-data"), "LOCAL_DB_PATH";
    }

    /// The plugins and what each may do.
    plugins: PluginsConfig {
        /// The folder of `.wasm` files.
        folder: PathBuf = Kind::Path, Preset::Text("plugins");
        /// What each plugin may use; whatever is not listed is denied.
        /// `true` grants a capability as a whole, a list grants these scopes only.
        /// For example:
        /// ```yaml
        /// grants:
        ///   scraper:
        ///     browser: ["example.com", "*.example.org"]
        ///     checkpoint: true
        /// ```
        grants: Grants = Kind::Grants, Preset::NoGrants;
    }

    /// Chromium.
    browser: BrowserConfig {
        /// The browser's program; found by itself when not set.
        path: Option<PathBuf> = Kind::Path, Preset::Unset;
        /// `false` shows the windows on this computer's screen.
        headless: bool = Kind::Switch, Preset::Switch(true);
    }

    /// How commands such as `status` and `submit` reach the running host, on this computer only.
    control: ControlConfig {
        /// The loopback port; 0 takes a free one.
        port: u16 = Kind::Whole(0, 65_535), Preset::Whole(0);
    }

    /// What happens when no desktop is there.
    cloud: CloudConfig {
        /// Let a cloud host run what a desktop would, at cost, while no desktop is online.
        fallback_enabled: bool = Kind::Switch, Preset::Switch(true), "CLOUD_FALLBACK_ENABLED";
    }

    /// The host's own log, on standard error.
    log: LogConfig {
        /// `text` for people, `json` for programs: one object a line.
        format: LogFormat = Kind::Choice(FORMATS), Preset::Text("text");
        /// The least important lines to show: `error`, `warn`, `info`, `debug` or `trace`.
        level: LogLevel = Kind::Choice(LEVELS), Preset::Text("info");
    }

    /// Bounds of one task; a plugin may wish for less, not for more.
    tasks: TasksConfig {
        /// Tries before a task is given up.
        max_attempts: u32 = Kind::Whole(1, 100), Preset::Whole(3);
        /// Time for one try, in seconds.
        wall_seconds: u64 = Kind::Whole(1, 604_800), Preset::Whole(3600);
        /// Processor time of the plugin for one try, in seconds; waiting for pages does not count.
        cpu_seconds: u64 = Kind::Whole(1, 86_400), Preset::Whole(600);
        /// Memory of one plugin instance, in MiB. WebAssembly's own limit is 4096.
        memory_mib: u32 = Kind::Whole(1, 4096), Preset::Whole(256);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn no_two_keys_share_a_path_or_an_environment_name() {
        let mut names: Vec<String> = all().map(|key| key.path.to_owned()).collect();
        names.extend(all().map(Key::env_name));
        names.extend(all().flat_map(|key| key.aliases).map(|name| (*name).to_owned()));
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn every_key_says_what_it_is_for() {
        for key in all() {
            assert!(!key.doc.is_empty() && key.doc.iter().all(|line| !line.trim().is_empty()), "{}", key.path);
        }
    }
}
