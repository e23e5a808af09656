//! Which tasks there are, in memory: a few dozen bytes a task, so that listing reads only what it shows.

use std::collections::{BTreeMap, BTreeSet};

use buddy_router::{AgentName, State, Task, TaskId, UnixMs};

use crate::TaskQuery;

#[derive(Debug)]
struct Entry {
    created: UnixMs,
    updated: UnixMs,
    state: State,
    task_type: String,
}

/// The index. Rebuilt from the documents at every start.
#[derive(Debug, Default)]
pub(super) struct Index {
    tasks: BTreeMap<TaskId, Entry>,
    by_age: BTreeSet<(UnixMs, TaskId)>,
    /// Those that ended, by the moment they did: it was their last write.
    ended: BTreeSet<(UnixMs, TaskId)>,
    held: BTreeSet<(AgentName, TaskId)>,
    holders: BTreeMap<TaskId, AgentName>,
}

impl Index {
    /// Takes in a task as it was just written.
    pub(super) fn put(&mut self, task: &Task) {
        self.release(&task.id);
        if task.state.is_held()
            && let Some(holder) = &task.assigned
        {
            self.held.insert((holder.agent.clone(), task.id.clone()));
            self.holders.insert(task.id.clone(), holder.agent.clone());
        }
        self.unlist_end(&task.id);
        if task.state.is_final() {
            self.ended.insert((task.updated, task.id.clone()));
        }
        let entry = self.tasks.entry(task.id.clone()).or_insert_with(|| Entry {
            created: task.created,
            updated: task.updated,
            state: task.state,
            task_type: task.task_type.clone(),
        });
        entry.state = task.state;
        entry.updated = task.updated;
        self.by_age.insert((entry.created, task.id.clone()));
    }

    fn release(&mut self, id: &TaskId) {
        if let Some(holder) = self.holders.remove(id) {
            self.held.remove(&(holder, id.clone()));
        }
    }

    fn unlist_end(&mut self, id: &TaskId) {
        if let Some(entry) = self.tasks.get(id) {
            self.ended.remove(&(entry.updated, id.clone()));
        }
    }

    pub(super) fn remove(&mut self, id: &TaskId) {
        self.release(id);
        self.unlist_end(id);
        if let Some(entry) = self.tasks.remove(id) {
            self.by_age.remove(&(entry.created, id.clone()));
        }
    }

    /// Ids that begin so, at most `limit`.
    pub(super) fn with_prefix(&self, prefix: &str, limit: usize) -> Vec<TaskId> {
        // Ids are 32 digits, so the prefix filled up with zeros is the first id that can begin with it.
        let Ok(first) = format!("{prefix:0<32}").parse::<TaskId>() else { return Vec::new() };
        let from_first = self.tasks.range(first..).map(|(id, _)| id);
        from_first.take_while(|id| id.as_str().starts_with(prefix)).take(limit).cloned().collect()
    }

    /// What the query asks for, in its order, at most `max`.
    pub(super) fn listed(&self, query: &TaskQuery, max: usize) -> Vec<TaskId> {
        let fits = |id: &TaskId| {
            self.tasks.get(id).is_some_and(|entry| {
                query.state.is_none_or(|state| entry.state == state)
                    && query.task_type.as_ref().is_none_or(|task_type| entry.task_type == *task_type)
            })
        };
        let by_age = self.by_age.iter().map(|(_, id)| id);
        let ids: Box<dyn Iterator<Item = &TaskId>> =
            if query.oldest_first { Box::new(by_age) } else { Box::new(by_age.rev()) };
        ids.filter(|id| fits(id)).take(query.limit.min(max)).cloned().collect()
    }

    pub(super) fn held_by(&self, agent: &AgentName) -> Vec<TaskId> {
        let first = (agent.clone(), TaskId::from_random(0));
        self.held.range(first..).take_while(|(holder, _)| holder == agent).map(|(_, id)| id.clone()).collect()
    }

    /// Those that ended before `moment`, the earliest first, at most `limit`.
    pub(super) fn ended_before(&self, moment: UnixMs, limit: usize) -> Vec<TaskId> {
        let old = self.ended.range(..(moment, TaskId::from_random(0)));
        old.take(limit).map(|(_, id)| id.clone()).collect()
    }

    /// How many succeeded at `moment` or later.
    pub(super) fn succeeded_since(&self, moment: UnixMs) -> usize {
        let succeeded = |id: &TaskId| self.tasks.get(id).is_some_and(|entry| entry.state == State::Succeeded);
        self.ended.range((moment, TaskId::from_random(0))..).filter(|(_, id)| succeeded(id)).count()
    }
}
