//! What happened to a plugin that did not return, as one sentence for its author.

use super::Failure;
use crate::error::HostError;
use crate::limits::{CpuBudgetSpent, Refused, RunLimits};
use crate::state::HostState;
use crate::text::shorten;
use wasmtime::Trap;
use wasmtime::component::ResourceTableError;
use wasmtime_wasi::I32Exit;

/// Bytes of a panic's own words.
const MAX_WORDS: usize = 1_000;

/// Explains the error of a call.
pub(super) fn trap(error: &wasmtime::Error, state: &HostState, limits: &RunLimits) -> Failure {
    if error.is::<CpuBudgetSpent>() {
        return Failure::CpuBudget(limits.cpu);
    }
    let words = last_words(&state.output());
    if let Some(refused) = state.memory.refused()
        && ends_for_want_of_memory(error, words.as_deref())
    {
        return match refused {
            Refused::Own { wanted, limit } => Failure::Trapped(format!(
                "The plugin reached its memory limit of {} MiB (it wanted {} MiB); raise the limit or give it less to do at once.",
                limit >> 20,
                wanted.div_ceil(1 << 20)
            )),
            Refused::Shared(why) => Failure::NoMemory(why.clone()),
        };
    }
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return Failure::Trapped(match trap {
            Trap::StackOverflow => "The plugin used up its stack: a recursion goes too deep.".into(),
            Trap::UnreachableCodeReached => match words {
                Some(words) => format!("The plugin {words}"),
                None => "The plugin aborted without a word (wasm `unreachable`).".into(),
            },
            Trap::MemoryOutOfBounds => {
                "The plugin reached outside of its memory: most often a recursion goes too deep, else \
                                        unsafe code is wrong."
                    .into()
            }
            Trap::AsyncDeadlock => "The plugin waits for something that can never happen.".into(),
            other => format!("The plugin crashed: {other}."),
        });
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return Failure::Trapped(format!("The plugin ended its process with code {} instead of returning.", exit.0));
    }
    if let Some(error) = error.downcast_ref::<HostError>() {
        return Failure::Trapped(format!("The plugin was stopped: {}", error.message));
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref::<ResourceTableError>() {
        return Failure::Trapped("The plugin holds more handles, streams or calls at once than it may.".into());
    }
    let root = error.chain().last().map_or_else(|| error.to_string(), ToString::to_string);
    if root.contains("hostcall fuel") || root.contains("too much data") {
        return Failure::Trapped(format!(
            "The plugin handed more than {} MiB to the host at once; keep large data as an artifact, in pieces.",
            limits.call_bytes.max(limits.output) >> 20
        ));
    }
    Failure::Trapped(format!(
        "The plugin was stopped: {}.",
        shorten(root.lines().next().unwrap_or_default(), MAX_WORDS)
    ))
}

/// Whether a plugin whose memory was refused ended because of that. One that lived on and says something else, does not.
fn ends_for_want_of_memory(error: &wasmtime::Error, words: Option<&str>) -> bool {
    let panicked_otherwise =
        words.is_some_and(|w| w.starts_with("panicked") && !w.contains("memory") && !w.contains("alloc"));
    !panicked_otherwise && !error.is::<I32Exit>() && !error.is::<HostError>()
}

/// What the plugin said before it aborted: a Rust panic with its place, else its last line.
fn last_words(output: &str) -> Option<String> {
    if let Some((_, panic)) = output.rsplit_once("panicked at ") {
        let mut lines = panic.lines();
        let place = lines.next().unwrap_or_default().trim_end_matches(':');
        let message: Vec<&str> = lines
            .take_while(|line| !line.starts_with("note: "))
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        return Some(shorten(&format!("panicked at {place}: {}", message.join(" ")), MAX_WORDS));
    }
    let last = output.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    Some(shorten(&format!("aborted after writing: {last}"), MAX_WORDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p4_a_panic_is_found_with_its_place_and_all_its_lines() {
        let output = "a line before\n\nthread '<unnamed>' (1) panicked at src/lib.rs:10:5:\nfirst\nsecond\n\
                      note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n";
        assert_eq!(last_words(output).as_deref(), Some("panicked at src/lib.rs:10:5: first second"));
    }

    #[test]
    fn p4_other_languages_are_quoted_by_their_last_line() {
        assert_eq!(
            last_words("Traceback …\nValueError: no\n\n").as_deref(),
            Some("aborted after writing: ValueError: no")
        );
        assert_eq!(last_words("\n"), None);
    }
}
