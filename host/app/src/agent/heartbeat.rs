//! The heartbeat: one document keeps all of this agent's leases alive, and says who lives under its name.

use std::collections::BTreeMap;

use buddy_router::agent::{Capacity, MAX_RUNNING, Role};
use buddy_router::heartbeat::{BeatDecision, Standing, StartDecision, on_read_back, on_start};
use buddy_router::{Agent as Document, RunningTask, State};
use buddy_sync::{BeatError, CoordinatorError, Seen, Version};

use super::{Agent, locked};

/// Why this process must not be an agent.
#[derive(Debug, thiserror::Error)]
pub enum Displaced {
    /// Another session lives under the name.
    #[error("another host is running as `{name}` (seen {} s ago): stop it, or give this one another agent.name", seen.as_secs())]
    NameTaken {
        /// The name.
        name: String,
        /// How long ago it was seen.
        seen: std::time::Duration,
    },
    /// A younger process runs on the same buffer.
    #[error("a younger process runs as `{0}` on the same data folder, so this one stops")]
    Younger(String),
    /// The coordinator cannot be reached.
    #[error(transparent)]
    Coordinator(#[from] CoordinatorError),
}

fn standing(seen: &Seen) -> Standing {
    Standing { session: seen.agent.session.clone(), boot: seen.agent.boot, age: seen.silent() }
}

impl Agent {
    /// The first beat: takes the name, or says who has it. Nothing when the coordinator cannot be reached: a computer
    /// without a network works on what it holds, and [`beat`](Self::beat) takes the name as soon as it can.
    ///
    /// # Errors
    /// The name is another's, or the coordinator refuses.
    pub async fn first_beat(&self) -> Result<Option<Version>, Displaced> {
        match self.take_name(0).await {
            Ok(version) => Ok(Some(version)),
            Err(Displaced::Coordinator(error @ CoordinatorError::Unreachable(_))) => {
                tracing::warn!(%error, "nobody can be told that this host is here; it begins with the work that it holds");
                Ok(None)
            }
            Err(displaced) => Err(displaced),
        }
    }

    async fn take_name(&self, seq: u64) -> Result<Version, Displaced> {
        let inner = &self.inner;
        let name = &inner.identity.name;
        // Another process may write between the read and the beat; then its document decides.
        for _ in 0..3 {
            let seen = inner.coordinator.agent(name).await?;
            let there = seen.as_ref().map(standing);
            if let StartDecision::Refuse { seen } =
                on_start(&inner.identity.session, there.as_ref(), inner.options.heartbeat)
            {
                return Err(Displaced::NameTaken { name: name.to_string(), seen });
            }
            match inner.coordinator.beat(self.document(seq), seen.map(|seen| seen.version)).await {
                Ok(version) => return Ok(version),
                Err(BeatError::Changed) => {}
                Err(BeatError::Other(error)) => return Err(error.into()),
            }
        }
        Err(Displaced::Younger(name.to_string()))
    }

    /// Beats until the agent ends. Gives back only when another process has its place.
    pub async fn beat(&self, mut version: Option<Version>) -> Displaced {
        let mut seq = 0u64;
        loop {
            tokio::time::sleep(self.inner.options.heartbeat).await;
            seq += 1;
            let beaten = match version {
                Some(version) => self.next_beat(version, seq).await,
                None => self.take_name(seq).await.map(Some),
            };
            match beaten {
                Ok(next) => version = next,
                Err(Displaced::Coordinator(error)) => tracing::warn!(%error, "a heartbeat failed"),
                Err(displaced) => return displaced,
            }
        }
    }

    /// One beat after another; the version that the next one is conditional on, or nothing when there is no document.
    async fn next_beat(&self, version: Version, seq: u64) -> Result<Option<Version>, Displaced> {
        let inner = &self.inner;
        let identity = &inner.identity;
        let error = match inner.coordinator.beat(self.document(seq), Some(version)).await {
            Ok(next) => return Ok(Some(next)),
            Err(error) => error,
        };
        // The answer may be lost, or somebody else wrote: what stands there decides.
        let seen = inner.coordinator.agent(&identity.name).await?;
        let there = seen.as_ref().map(standing);
        match (on_read_back(&identity.session, identity.boot, there.as_ref()), seen) {
            (BeatDecision::GoOn, Some(seen)) => {
                tracing::warn!(%error, "a heartbeat failed, and this host's last one stands");
                Ok(Some(seen.version))
            }
            (BeatDecision::GoOn | BeatDecision::WriteAnew, _) => self.take_name(seq).await.map(Some),
            (BeatDecision::StopOlder | BeatDecision::StopReplaced, _) => {
                Err(Displaced::Younger(identity.name.to_string()))
            }
        }
    }

    /// This agent's document.
    fn document(&self, seq: u64) -> Document {
        let inner = &self.inner;
        let parts = &inner.parts;
        let held = [State::Assigned, State::Running, State::BackingOff, State::WaitingForHuman];
        let held = held.into_iter().map(|state| parts.buffer.count_tasks(state)).sum::<u64>();
        let running = locked(&inner.running).clone();
        let running = running.into_iter().take(MAX_RUNNING).map(|(task, running)| {
            let progress = parts.buffer.progress(&task).ok().flatten();
            let tries = parts.buffer.task(&task).ok().flatten().map_or(0, |local| local.task.tries);
            let (done, total, message) =
                progress.map_or((0, None, String::new()), |report| (report.done, report.total, report.message));
            RunningTask { task, lease: running.lease, tries, done, total, message }
        });
        let task_types = parts.plugins.task_types().filter(|task_type| self.may_run(task_type).is_ok());
        let version = |task_type: &str| {
            parts.plugins.for_task_type(task_type).map(|plugin| plugin.version().to_string()).unwrap_or_default()
        };
        let task_types: BTreeMap<String, String> =
            task_types.map(|task_type| (task_type.to_owned(), version(task_type))).collect();
        Document {
            name: inner.identity.name.clone(),
            role: Role::Desktop,
            session: inner.identity.session.clone(),
            boot: inner.identity.boot,
            seq,
            draining: inner.drain.is_cancelled(),
            capabilities: inner.options.capabilities.clone(),
            task_types,
            capacity: Capacity {
                tasks: u32::try_from(inner.options.max_tasks).unwrap_or(u32::MAX),
                pages: inner.options.max_pages,
            },
            held: u32::try_from(held).unwrap_or(u32::MAX),
            running: running.collect(),
            status: BTreeMap::new(),
        }
    }

    /// Whether a task type can run here, or why not.
    pub fn may_run(&self, task_type: &str) -> Result<(), String> {
        let inner = &self.inner;
        let Some(plugin) = inner.parts.plugins.for_task_type(task_type) else {
            let mut known: Vec<&str> = inner.parts.plugins.task_types().collect();
            known.sort_unstable();
            let known = if known.is_empty() { "none".to_owned() } else { buddy_runtime::listed(known) };
            return Err(format!("no plugin here runs the task type `{task_type}`; known: {known}"));
        };
        let asked = plugin.manifest().capabilities.iter().map(|request| request.capability.as_str());
        match buddy_router::capability::missing(task_type, asked, &inner.options.capabilities) {
            None => Ok(()),
            Some(missing) => Err(format!(
                "this host does not take `{task_type}`: it needs `{missing}`, which agent.capabilities does not list"
            )),
        }
    }
}
