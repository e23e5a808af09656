//! The agent over a real buffer, real plugins and a coordinator that fails when a test says so.
//!
//! The plugins are those that `scripts/build-plugins` makes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod coordinator;
mod copies;
mod digests;
mod hand_back;
mod leases;
mod routing;
mod runs;
mod steering;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use buddy_buffer::{Buffer, Options};
use buddy_router::batch::BatchPolicy;
use buddy_router::submit::prepare;
use buddy_router::{BootId, DigestSpec, NewTask, SessionId, State, Task};
use buddy_sync::push::{Pusher, Versions};
use buddy_sync::{Coordinator, Versioned, change};

use super::{Agent, AgentOptions, Identity, Parts};
use crate::api::Api;
use crate::config::{Environment, Overrides, load};
use crate::host::PluginsFrom;
use crate::usage::Meter;
use coordinator::Scripted;

/// Long enough for a crowded machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Rig {
    agent: Agent,
    coordinator: Arc<Scripted>,
    buffer: Buffer,
    /// What commands reach.
    api: Arc<Api>,
    _folder: tempfile::TempDir,
}

/// A built plugin.
fn plugin(name: &str) -> PathBuf {
    let folder = std::env::var_os("BUDDY_PLUGINS_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins"), PathBuf::from);
    let path = folder.join(format!("{name}.wasm"));
    assert!(path.is_file(), "{} is missing: run `scripts/build-plugins {name}`", path.display());
    path
}

/// An agent named `desk` with one slot, which does nothing by itself.
async fn rig(plugins: &[&str]) -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("buddy.yaml");
    std::fs::write(&file, "plugins:\n  grants:\n    digest:\n      artifacts: []\n").unwrap();
    let of_plugins = folder.path().join("plugins");
    std::fs::create_dir(&of_plugins).unwrap();
    for name in plugins {
        // `FILE=PLUGIN` puts it there under another name.
        let (file, name) = name.split_once('=').unwrap_or((name, name));
        std::fs::copy(plugin(name), of_plugins.join(format!("{file}.wasm"))).unwrap();
    }
    let environment = Environment { current_dir: folder.path().to_owned(), ..Environment::default() };
    let overrides = Overrides { file: Some(file), ..Overrides::default() };
    let config = load(&environment, &overrides).unwrap().config;
    std::fs::create_dir_all(&config.storage.path).unwrap();
    let options = Options { free_floor: 0, ..Options::new(config.storage.path.join("buffer")) };
    let (buffer, _) = Buffer::open(&options).unwrap();
    let parts = crate::host::parts(&config, buffer.clone(), PluginsFrom::Folder(&of_plugins)).await.unwrap();
    assert!(parts.plugins.failures().is_empty(), "{:?}", parts.plugins.failures());
    let coordinator = Arc::new(Scripted::new(buffer.clone()));
    let agent = agent(Arc::new(parts), &coordinator);
    let (api, _) = Api::new(agent.clone(), config.plugins.grants.clone(), Meter::new(&config));
    Rig { agent, coordinator, buffer, api, _folder: folder }
}

/// One more process on the same parts.
fn agent(parts: Arc<Parts>, coordinator: &Arc<Scripted>) -> Agent {
    let buffer = parts.buffer.clone();
    let shared = Arc::clone(coordinator) as Arc<dyn Coordinator>;
    let policy = BatchPolicy { max_items: 50, max_bytes: 1 << 20, max_wait: Duration::ZERO };
    let versions = Versions::default();
    let pusher = Pusher::new(buffer.clone(), Arc::clone(&shared), policy, true, versions.clone());
    let identity =
        Identity { name: "desk".parse().unwrap(), session: buffer.session().clone(), boot: BootId(rand::random()) };
    let options = AgentOptions {
        max_tasks: 1,
        max_pages: 0,
        capabilities: Vec::new(),
        heartbeat: Duration::from_secs(30),
        cloud_fallback: false,
    };
    Agent::new(identity, options, parts, shared, pusher, versions)
}

fn task(number: u128, task_type: &str, payload: &str, digest: Option<DigestSpec>) -> Task {
    let new = NewTask {
        task_type: task_type.into(),
        payload: payload.into(),
        client: "test".into(),
        idempotency_key: None,
        max_attempts: None,
        priority: 0,
        not_before: None,
        mission: None,
        digest,
        urgent: false,
    };
    prepare(new, 1, number).unwrap()
}

impl Rig {
    /// The task as it is when it is assigned to this agent.
    fn assigned(&self, task: &Task) -> Task {
        let identity = self.agent.identity();
        change::assign(task, identity.name.clone(), identity.session.clone(), "test".into()).unwrap()
    }

    /// Creates a task that is assigned to this agent.
    async fn give(&self, task: &Task) -> Versioned<Task> {
        self.coordinator.create(self.assigned(task), None).await.unwrap();
        self.read(task).await
    }

    async fn read(&self, task: &Task) -> Versioned<Task> {
        self.coordinator.task(&task.id).await.unwrap().unwrap()
    }

    /// One fenced write of the coordinator's document.
    async fn alter(&self, task: &Task, next: impl FnOnce(&Task) -> Task) -> Versioned<Task> {
        let present = self.read(task).await;
        self.coordinator.write(next(&present.value), present.version, None).await.unwrap();
        self.read(task).await
    }

    /// Gives the task to another agent.
    async fn give_away(&self, task: &Task) {
        let other = SessionId::from_random(9);
        self.alter(task, |task| change::assign(task, "other".parse().unwrap(), other, "silent".into()).unwrap()).await;
    }

    /// Listens and starts tasks, as a host does.
    fn work(&self) {
        work(&self.agent);
    }

    fn state(&self, task: &Task) -> Option<State> {
        self.buffer.task(&task.id).unwrap().map(|local| local.task.state)
    }

    /// Waits until the buffer has the task in this state.
    async fn reaches(&self, task: &Task, state: State) {
        let what = format!("the task becomes {state}");
        until(&what, || self.state(task) == Some(state)).await;
    }

    /// Waits until the task is over so, and pushes its result.
    async fn ends(&self, task: &Task, state: State) {
        self.reaches(task, state).await;
        // Its result counts as waiting when the write is synced, on which its run waits.
        until("nothing runs", || self.agent.running() == 0).await;
        self.agent.pusher().flush().await.unwrap();
    }
}

fn work(agent: &Agent) {
    let (listens, schedules) = (agent.clone(), agent.clone());
    tokio::spawn(async move { listens.listen().await });
    tokio::spawn(async move { schedules.schedule().await });
}

/// Polls until the condition holds. By the machine's clock, as some tests stop the one of the async runtime.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "still not so: {what}");
        tokio::task::yield_now().await;
    }
}
