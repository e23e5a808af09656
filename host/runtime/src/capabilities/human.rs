//! `human`: asks a person and waits.
//!
//! Until a host is given a provider for it, every call answers `unavailable`.

use super::{Host, check_key, session};
use crate::error::HostError;
use crate::grants::Capability;
use crate::state::HostState;
use crate::wit::human;
use std::time::Duration;
use wasmtime::component::Accessor;

pub use human::Kind;

/// A question to a person.
#[derive(Debug, Clone)]
pub struct Question {
    /// Names the question within its task.
    pub key: String,
    /// What is asked.
    pub text: String,
    /// What kind of answer is wanted.
    pub kind: Kind,
    /// An artifact to show with it.
    pub picture: Option<String>,
    /// How long to wait.
    pub deadline: Duration,
}

/// Reaches a person.
#[async_trait::async_trait]
pub trait Human: Send + Sync {
    /// The answer; that of an earlier question with the same key, if there is one.
    async fn ask(&self, question: Question) -> Result<String, HostError>;
}

impl human::Host for HostState {}

impl human::HostWithStore<HostState> for Host {
    async fn ask(
        host: &Accessor<HostState, Self>,
        key: String,
        question: String,
        kind: Kind,
        picture: Option<String>,
        deadline_ms: u64,
    ) -> Result<String, HostError> {
        let session = session(host);
        let human = session.granted(Capability::Human, session.providers.human.as_ref())?;
        check_key(&key)?;
        let _call = session.calls.enter_waiting(key.len() + question.len())?;
        human.ask(Question { key, text: question, kind, picture, deadline: Duration::from_millis(deadline_ms) }).await
    }
}
