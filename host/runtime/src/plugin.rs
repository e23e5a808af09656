//! A loaded plugin, and the set of them that a host serves.

use crate::load::{LoadError, Manifest, TaskType};
use crate::runtime::Runtime;
use crate::state::{Asked, HostState};
use crate::wit;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long loading took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadTimes {
    /// Until there was machine code.
    pub compiled: Duration,
    /// In all.
    pub total: Duration,
    /// The machine code came from the cache.
    pub from_cache: bool,
}

/// A plugin that can run. A run holds it, so that one that is replaced meanwhile lives on until its last run ends.
pub struct Plugin {
    path: PathBuf,
    sha256: String,
    manifest: Manifest,
    times: LoadTimes,
    pub(crate) pre: wit::PluginPre<HostState>,
    pub(crate) asked: Arc<Asked>,
}

impl Plugin {
    pub(crate) fn new(
        path: PathBuf,
        sha256: String,
        manifest: Manifest,
        pre: wit::PluginPre<HostState>,
        times: LoadTimes,
    ) -> Self {
        let asked = manifest.capabilities.iter().map(|r| (r.capability.clone(), r.scope.clone())).collect();
        Self { path, sha256, manifest, times, pre, asked: Arc::new(asked) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// Its version.
    pub fn version(&self) -> &semver::Version {
        &self.manifest.version
    }

    /// Of its file, in hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The file that it was loaded from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// How long loading took.
    pub fn load_times(&self) -> LoadTimes {
        self.times
    }

    /// One of its task types.
    pub fn task_type(&self, name: &str) -> Option<&TaskType> {
        self.manifest.task_types.get(name)
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("name", &self.name()).field("path", &self.path).finish_non_exhaustive()
    }
}

/// The plugins of a folder.
#[derive(Debug, Default)]
pub struct PluginSet {
    plugins: Vec<Arc<Plugin>>,
    by_task_type: BTreeMap<String, Arc<Plugin>>,
    failures: Vec<LoadError>,
    refused: Vec<(Arc<Plugin>, String)>,
    warnings: Vec<String>,
}

/// Files of one folder that are loaded.
const MAX_PLUGINS: usize = 200;

impl PluginSet {
    /// Loads every `*.wasm` of `folder`, in the order of their names. A file that fails is kept with its reason and
    /// harms no other.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub async fn load_folder(runtime: &Runtime, folder: &Path) -> std::io::Result<Self> {
        let mut paths = Vec::new();
        let mut entries = tokio::fs::read_dir(folder).await?;
        while let Some(entry) = entries.next_entry().await? {
            let path = entry.path();
            if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("wasm")) {
                paths.push(path);
            }
        }
        paths.sort();
        let mut set = Self::default();
        if paths.len() > MAX_PLUGINS {
            set.warnings.push(format!(
                "{} holds {} plugins, of which the first {MAX_PLUGINS} by name are loaded; remove what is not needed.",
                folder.display(),
                paths.len()
            ));
            paths.truncate(MAX_PLUGINS);
        }
        for path in paths {
            match runtime.load(&path).await {
                Ok(plugin) => set.add(plugin),
                Err(error) => set.failures.push(error),
            }
        }
        Ok(set)
    }

    /// Adds a plugin. A name or task type that is taken stays with the one that has it, and a warning says so.
    pub fn add(&mut self, plugin: Arc<Plugin>) {
        if let Some(other) = self.get(plugin.name()) {
            let why = format!(
                "{} and {} are both named {}, and the second is left out; remove one of them.",
                other.path().display(),
                plugin.path().display(),
                plugin.name()
            );
            self.warnings.push(why.clone());
            self.refused.push((plugin, why));
            return;
        }
        for task_type in plugin.manifest().task_types.keys() {
            if let Some(other) = self.by_task_type.get(task_type) {
                self.warnings.push(format!(
                    "Task type {task_type} is claimed by {} and by {}; the first keeps it.",
                    other.path().display(),
                    plugin.path().display()
                ));
            } else {
                self.by_task_type.insert(task_type.clone(), Arc::clone(&plugin));
            }
        }
        self.plugins.push(plugin);
    }

    /// The plugin that does tasks of this type.
    pub fn for_task_type(&self, task_type: &str) -> Option<&Arc<Plugin>> {
        self.by_task_type.get(task_type)
    }

    /// The plugin of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Plugin>> {
        self.plugins.iter().find(|p| p.name() == name)
    }

    /// All plugins, in the order of their files' names.
    pub fn plugins(&self) -> &[Arc<Plugin>] {
        &self.plugins
    }

    /// All task types that a plugin of this set does.
    pub fn task_types(&self) -> impl Iterator<Item = &str> {
        self.by_task_type.keys().map(String::as_str)
    }

    /// Files that are no plugins, each with its reason.
    pub fn failures(&self) -> &[LoadError] {
        &self.failures
    }

    /// Plugins that are left out because their name is taken, each with that reason.
    pub fn refused(&self) -> &[(Arc<Plugin>, String)] {
        &self.refused
    }

    /// What the owner should know, as sentences.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}
