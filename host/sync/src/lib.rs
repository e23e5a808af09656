//! Where hosts meet: the [`Coordinator`] is the one contract that a submitter, a router and an agent know.
//!
//! Behind it stands either the *embedded* coordinator, which keeps its documents in the host's own buffer, or
//! Firestore. Its users cannot tell them apart: every write is fenced by the version of the document that it was
//! decided on, assignments reach an agent as a snapshot and then changes, and results are pushed in batches that are
//! applied whole or not at all.
//!
//! The decisions are pure and live apart from the I/O that obeys them: [`change`] makes the next document of a task,
//! [`push::machine`] decides what the outbox pusher does next, and `buddy_router` holds the rules that both use. A
//! simulator drives the same code.

pub mod change;
mod coordinator;
pub mod embedded;
pub mod push;

pub use coordinator::{
    Applied, AssignmentEvent, Assignments, BeatError, Coordinator, CoordinatorError, Live, Notice, PushError, PushItem,
    Question, Seen, TaskQuery, Version, Versioned, WriteError,
};
