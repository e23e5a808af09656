//! Waiting for a state of the page.

use std::time::Duration;

use serde_json::{Value, json};

use super::State;
use super::engine::{Action, Attempt, until_done};
use crate::error::BrowserError;
use crate::page::Page;

impl Page {
    /// Waits until what the selector selects is in a state. A frame that is not there counts as nothing selected.
    pub async fn wait_for(&self, selector: &str, state: State, timeout: Duration) -> Result<(), BrowserError> {
        let mut action = Action::new(self, "wait-for", selector, timeout)?;
        let request = json!({ "step": action.selector.step });
        until_done!(action, {
            let found = match action.enter_frames().await? {
                Attempt::Done(()) => action.call("presence", request.clone()).await?,
                Attempt::Waiting(why) if matches!(state, State::Attached | State::Visible) => {
                    return Ok(Attempt::Waiting(why));
                }
                Attempt::Waiting(_) => Value::Null,
            };
            Ok(judge(&found, state))
        })
    }

    /// Waits until the page's address matches the whole pattern, in which `*` stands for anything; the address.
    pub async fn wait_for_url(&self, pattern: &str, timeout: Duration) -> Result<String, BrowserError> {
        match self.wait_url(timeout, |url| matches_pattern(pattern, url)).await {
            Err(BrowserError::TimedOut(_)) => {
                let cut = |text: &str| text.chars().take(200).collect::<String>();
                Err(BrowserError::TimedOut(format!(
                    "wait-for-url `{}` did not succeed within {} ms: the address is {}",
                    cut(pattern),
                    timeout.as_millis(),
                    cut(&self.url()?)
                )))
            }
            other => other,
        }
    }
}

fn judge(found: &Value, state: State) -> Attempt<()> {
    let count = found.get("count").and_then(Value::as_u64).unwrap_or_default();
    let visible = found.get("visible").and_then(Value::as_bool).unwrap_or_default();
    let example = found.get("example").and_then(Value::as_str).unwrap_or("an element");
    let waiting = match state {
        State::Attached | State::Visible if count == 0 => "no element matches it".to_owned(),
        State::Visible if !visible => format!("{example} is not visible"),
        State::Detached if count > 0 => format!("{example} is still attached"),
        State::Hidden if visible => format!("{example} is still visible"),
        _ => return Attempt::Done(()),
    };
    Attempt::Waiting(waiting)
}

/// Whether the whole text matches, `*` standing for any run of characters. Linear in practice, quadratic at worst.
pub(crate) fn matches_pattern(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pattern_matches_the_whole_address() {
        assert!(matches_pattern("*/done", "http://a/done"));
        assert!(matches_pattern("http://a/*?x=*", "http://a/b/c?x=1"));
        assert!(matches_pattern("*", ""));
        assert!(!matches_pattern("http://a", "http://a/"));
        assert!(!matches_pattern("a*a", "a"), "one letter cannot be both ends");
    }

    proptest! {
        #[test]
        fn what_is_cut_out_may_be_a_star(before in "[ab]{0,4}", cut in "[ab]{0,4}", after in "[ab]{0,4}") {
            let pattern = format!("{before}*{after}");
            let text = format!("{before}{cut}{after}");
            prop_assert!(matches_pattern(&pattern, &text));
        }
    }
}
