//! Who listens to assignments.

use std::collections::HashMap;

use buddy_router::{AgentName, SessionId, Task};
use tokio::sync::mpsc;

use crate::{AssignmentEvent, Assignments, Versioned};

/// Changes that an agent may be behind; one more ends its stream, and the next begins with a snapshot.
const BEHIND: usize = 16_384;

#[derive(Debug)]
struct Watcher {
    session: SessionId,
    events: mpsc::Sender<AssignmentEvent>,
}

/// The agents that listen: one stream a name, as one name is one live session.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    by_agent: HashMap<AgentName, Watcher>,
}

impl Watchers {
    /// A new stream that begins with `first`; an older one of the same agent ends.
    pub(super) fn add(&mut self, agent: AgentName, session: SessionId, first: AssignmentEvent) -> Assignments {
        let (events, stream) = mpsc::channel(BEHIND);
        // The channel is empty and has room for thousands.
        let _ = events.try_send(first);
        self.by_agent.insert(agent, Watcher { session, events });
        stream
    }

    /// Tells the holder before and the holder after of a write.
    pub(super) fn tell(&mut self, before: Option<&Task>, after: &Versioned<Task>) {
        let holder_now = after.value.assigned.as_ref().filter(|_| after.value.state.is_held());
        if let Some(holder) = before.and_then(|task| task.assigned.as_ref()) {
            let goes_on = holder_now.is_some_and(|now| now == holder);
            if !goes_on {
                self.send(
                    &holder.agent.clone(),
                    &holder.session.clone(),
                    AssignmentEvent::Lost(after.value.id.clone()),
                );
            }
        }
        if let Some(holder) = holder_now {
            let held = AssignmentEvent::Held(Box::new(after.clone()));
            self.send(&holder.agent.clone(), &holder.session.clone(), held);
        }
    }

    fn send(&mut self, agent: &AgentName, session: &SessionId, event: AssignmentEvent) {
        let Some(watcher) = self.by_agent.get(agent).filter(|watcher| watcher.session == *session) else { return };
        if watcher.events.try_send(event).is_err() {
            // Too far behind, or gone: without its sender the stream ends after what is in it.
            self.by_agent.remove(agent);
        }
    }
}
