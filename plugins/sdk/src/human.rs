//! Asks a person and waits. The instance stays in memory, its slot is free for others meanwhile.

use std::time::Duration;

use crate::ArtifactId;
use crate::bindings::buddy::plugin::human as raw;
use crate::error::HostError;
use crate::host;

/// A question in the making.
#[derive(Clone, Debug)]
#[must_use = "call `ask`"]
pub struct Question {
    key: String,
    text: String,
    kind: raw::Kind,
    picture: Option<ArtifactId>,
    deadline: Duration,
}

/// A question whose answer is a text. `key` names it within the task: asked again after a restart, it is the question
/// that is still open, or its answer.
///
/// Unless [`deadline`](Question::deadline) says otherwise, a person has a day.
pub fn question(key: &str, text: impl Into<String>) -> Question {
    Question {
        key: key.to_owned(),
        text: text.into(),
        kind: raw::Kind::Text,
        picture: None,
        deadline: Duration::from_hours(24),
    }
}

impl Question {
    /// The answer is a one-use placeholder, for a form field or a request.
    pub fn secret(mut self) -> Self {
        self.kind = raw::Kind::SecretText;
        self
    }

    /// The answer is one of these.
    pub fn choice<S: Into<String>>(mut self, choices: impl IntoIterator<Item = S>) -> Self {
        self.kind = raw::Kind::Choice(choices.into_iter().map(Into::into).collect());
        self
    }

    /// The answer is a yes or no.
    pub fn approval(mut self) -> Self {
        self.kind = raw::Kind::Approval;
        self
    }

    /// Shows a picture beside the question.
    pub fn picture(mut self, picture: ArtifactId) -> Self {
        self.picture = Some(picture);
        self
    }

    /// How long the person has.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// The host's own; `timed-out` when nobody answered in time.
    pub async fn ask(self) -> Result<String, HostError> {
        let Self { key, text, kind, picture, deadline } = self;
        host!("human.ask", raw::ask(key, text, kind, picture, crate::millis(deadline)))
    }
}
