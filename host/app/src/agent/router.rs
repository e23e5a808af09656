//! Routing what is not routed yet, and taking tasks from agents that are gone.
//!
//! Every write is fenced, so any number of hosts may do this at once.

use std::time::Duration;

use buddy_router::reap::{FreshRead, ReapDecision, is_dead, on_suspect};
use buddy_router::route::{Candidate, Decision, Policy, route};
use buddy_router::{Assignment, State, Task};
use buddy_sync::{CoordinatorError, Seen, TaskQuery, WriteError, change};

use super::{Agent, locked};

/// Time between two rounds; a wake-up comes sooner.
const ROUND: Duration = Duration::from_secs(5);

/// Tasks looked at in one round.
const MAX_TASKS: usize = 1_000;

fn alive(fleet: &[Seen], heartbeat: Duration) -> Vec<&Seen> {
    let dead = |seen: &&Seen| is_dead(FreshRead { read: seen.read, updated: Some(seen.updated) }, heartbeat);
    fleet.iter().filter(|seen| !dead(seen)).collect()
}

impl Agent {
    fn policy(&self) -> Policy {
        Policy { cloud_fallback: self.inner.options.cloud_fallback }
    }

    /// Gives a task that is not stored yet to whom the rules say, or defers it.
    pub async fn route_new(&self, task: Task) -> Result<Task, CoordinatorError> {
        let fleet = self.inner.coordinator.fleet().await?;
        Ok(self.routed(&task, &alive(&fleet, self.inner.options.heartbeat)))
    }

    fn decide(&self, task: &Task, fleet: &[&Seen]) -> Decision {
        let given = locked(&self.inner.given);
        let candidates: Vec<Candidate<'_>> =
            fleet.iter().map(|seen| Candidate { agent: &seen.agent, held: given.held(&seen.agent) }).collect();
        route(&task.task_type, &task.demand.unwrap_or_default(), &candidates, self.policy())
    }

    /// The task as the rules want it; unchanged when they want what is already so.
    fn routed(&self, task: &Task, fleet: &[&Seen]) -> Task {
        let decision = self.decide(task, fleet);
        let chosen = decision.to.and_then(|name| fleet.iter().find(|seen| seen.agent.name == name));
        let next = match chosen {
            Some(seen) => {
                // Also when the write then fails: to think an agent fuller than it is, until its next beat, does no harm.
                locked(&self.inner.given).note(&seen.agent);
                change::assign(task, seen.agent.name.clone(), seen.agent.session.clone(), decision.reason)
            }
            None if task.state == State::Deferred => return task.clone(),
            None => change::defer(task, decision.reason),
        };
        // Only tasks that are submitted or deferred get here, and both steps exist for them.
        next.unwrap_or_else(|_| task.clone())
    }

    /// Routes until the agent ends.
    pub async fn route(&self) {
        let inner = &self.inner;
        loop {
            if let Err(error) = self.route_round().await {
                tracing::warn!(%error, "tasks could not be routed");
            }
            tokio::select! {
                () = inner.unrouted.notified() => {}
                () = tokio::time::sleep(ROUND) => {}
                () = inner.drain.cancelled() => return,
            }
        }
    }

    pub(super) async fn route_round(&self) -> Result<(), CoordinatorError> {
        let inner = &self.inner;
        let coordinator = &*inner.coordinator;
        let fleet = coordinator.fleet().await?;
        let living = alive(&fleet, inner.options.heartbeat);
        locked(&inner.given).keep(|name| fleet.iter().any(|seen| seen.agent.name == *name));
        let now = coordinator.now().await?;
        for state in [State::Submitted, State::Deferred] {
            let query = TaskQuery { state: Some(state), task_type: None, limit: MAX_TASKS, oldest_first: true };
            for listed in coordinator.list(&query).await? {
                if listed.not_before.is_some_and(|moment| moment > now) {
                    continue;
                }
                let Some(task) = coordinator.task(&listed.id).await? else { continue };
                if task.value.state != state {
                    continue;
                }
                let next = self.routed(&task.value, &living);
                if next != task.value {
                    overtaken(coordinator.write(next, task.version, None).await)?;
                }
            }
        }
        self.reap(&living).await
    }

    /// Tasks whose holder is dead, or whose buffer folder is not the one that its agent has now.
    async fn reap(&self, living: &[&Seen]) -> Result<(), CoordinatorError> {
        let inner = &self.inner;
        let coordinator = &*inner.coordinator;
        let query = TaskQuery { state: Some(State::Assigned), task_type: None, limit: MAX_TASKS, oldest_first: true };
        for listed in coordinator.list(&query).await? {
            let Some(holder) = &listed.assigned else { continue };
            let own = |seen: &Seen| seen.agent.name == holder.agent && seen.agent.session == holder.session;
            if living.iter().any(|seen| own(seen)) {
                continue;
            }
            // Suspicion only: a fresh read decides.
            let fresh = coordinator.agent(&holder.agent).await?;
            let read = coordinator.now().await?;
            let updated = fresh.filter(|seen| seen.agent.session == holder.session).map(|seen| seen.updated);
            let Some(task) = coordinator.task(&listed.id).await? else { continue };
            // Another router was faster: it is a living agent's now.
            if task.value.assigned != listed.assigned {
                continue;
            }
            let decision = self.decide(&task.value, living);
            let found = decision.to.and_then(|name| living.iter().find(|seen| seen.agent.name == name));
            let taker = found.map(|seen| Assignment {
                agent: seen.agent.name.clone(),
                session: seen.agent.session.clone(),
                lease: task.value.lease.next(),
            });
            let holder_read = FreshRead { read, updated };
            if let ReapDecision::Reassign(to) =
                on_suspect(task.value.state, holder_read, inner.options.heartbeat, taker)
            {
                let reason = format!("its holder `{}` fell silent; {}", holder.agent, decision.reason);
                if let Ok(next) = change::assign(&task.value, to.agent, to.session, reason) {
                    if let Some(seen) = found {
                        locked(&inner.given).note(&seen.agent);
                    }
                    overtaken(coordinator.write(next, task.version, None).await)?;
                }
            }
        }
        Ok(())
    }
}

/// That another host was faster is no error.
fn overtaken<T>(written: Result<T, WriteError>) -> Result<(), CoordinatorError> {
    match written {
        Ok(_) | Err(WriteError::Changed) => Ok(()),
        Err(WriteError::Other(error)) => Err(error),
    }
}
