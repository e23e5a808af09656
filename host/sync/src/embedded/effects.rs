//! What a transaction changes outside of the buffer: the index, and what agents hear.
//!
//! It is collected while the transaction runs and applied when nothing of it can fail any more, so that a transaction
//! that is rolled back leaves the index as it was and tells nobody.

use buddy_router::{Task, TaskId};

use super::{Shared, locked};
use crate::Versioned;

#[derive(Debug)]
enum Effect {
    Stored(Box<Stored>),
    Forgotten(TaskId),
}

#[derive(Debug)]
struct Stored {
    before: Option<Task>,
    after: Versioned<Task>,
}

/// The effects of one transaction, in the order of its writes.
#[derive(Debug, Default)]
pub(super) struct Effects(Vec<Effect>);

impl Effects {
    /// A task was written.
    pub(super) fn stored(&mut self, before: Option<Task>, after: Versioned<Task>) {
        self.0.push(Effect::Stored(Box::new(Stored { before, after })));
    }

    /// A task was removed. It had ended, so no agent hears of it.
    pub(super) fn forgotten(&mut self, id: TaskId) {
        self.0.push(Effect::Forgotten(id));
    }

    /// Applies them. Last in a transaction, and inside of it: the next one must find the index right.
    pub(super) fn tell(self, shared: &Shared) {
        for effect in self.0 {
            match effect {
                Effect::Stored(stored) => {
                    locked(&shared.index).put(&stored.after.value);
                    locked(&shared.watchers).tell(stored.before.as_ref(), &stored.after);
                }
                Effect::Forgotten(id) => locked(&shared.index).remove(&id),
            }
        }
    }
}
