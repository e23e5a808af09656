//! Tries of a page that earlier runs of the task have begun.
//!
//! What became of a page is kept when it is known. A page that hangs until the run's time is over, or that ends the host,
//! never gets so far: if its tries began anew with each run, the whole task would fail in place of that page. So tries are
//! marked before they begin, but only those that a page of average luck never makes: its second and further ones, and in
//! a run that follows another the first ones of the first pages. There are as many of these as pages at once, and pages
//! are begun in one order: so those that were open when the last run ended are among them.
//!
//! After a run that ended badly they are tried one at a time. One that was open alone when that run ended badly too is
//! the cause, and is not opened again.

use buddy_plugin::serde::{Deserialize, Serialize};

use crate::retry::Fault;

/// A try that is about to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "buddy_plugin::serde")]
pub(crate) struct Mark {
    /// Which try of the page, from 1.
    pub(crate) attempt: u32,
    /// The task's try at that time. Those that end for no fault of the task do not count there.
    pub(crate) run: u32,
    /// No other page was tried that may be the cause of a bad end.
    pub(crate) alone: bool,
    pub(crate) end: End,
}

/// How a marked try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "buddy_plugin::serde", rename_all = "snake_case")]
pub(crate) enum End {
    /// Not yet, or with its run.
    Open,
    /// By a fault of the page.
    Failed,
    /// By a stop from outside: it does not count.
    Stopped,
}

/// What the marks of one page say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Past {
    /// Tries that count.
    pub(crate) attempts: u32,
    /// The last try was alone when its run ended badly.
    alone_at_the_end: bool,
}

impl Past {
    /// Adds a mark, seen from the task's try `run`. Marks come in any order.
    pub(crate) fn add(&mut self, mark: Mark, run: u32) {
        let counts = if mark.end == End::Stopped { mark.attempt.saturating_sub(1) } else { mark.attempt };
        self.attempts = self.attempts.max(counts);
        self.alone_at_the_end |= mark.end == End::Open && mark.alone && mark.run < run;
    }

    /// Why the page is not tried again, if so.
    pub(crate) fn spent(self, retries: u32) -> Option<Fault> {
        let reason = if self.alone_at_the_end {
            "the run of the task ended while this page was open, and again when it was opened alone".to_owned()
        } else if self.attempts > retries {
            format!("earlier runs of the task have begun its {} tries, and ended before any of them did", self.attempts)
        } else {
            return None;
        };
        Some(Fault::page("unfinished", reason, false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(attempt: u32, run: u32, alone: bool, end: End) -> Mark {
        Mark { attempt, run, alone, end }
    }

    fn past(marks: &[Mark], run: u32) -> Past {
        let mut past = Past::default();
        for mark in marks {
            past.add(*mark, run);
        }
        past
    }

    #[test]
    fn a_page_whose_tries_were_all_begun_is_given_up() {
        let marks = [mark(2, 1, false, End::Open), mark(1, 1, false, End::Failed)];
        assert_eq!(past(&marks, 1).attempts, 2);
        assert_eq!(past(&marks, 1).spent(2), None);
        let fault = past(&marks, 1).spent(1);
        assert!(fault.is_some_and(|fault| fault.code == "unfinished" && fault.reason.contains("2 tries")));
    }

    #[test]
    fn a_try_that_a_stop_from_outside_ended_does_not_count() {
        let marks = [mark(1, 1, true, End::Stopped), mark(1, 1, true, End::Stopped)];
        assert_eq!(past(&marks, 2), Past::default());
        assert_eq!(past(&[mark(3, 1, false, End::Stopped)], 1).attempts, 2, "those before it do");
    }

    #[test]
    fn a_page_that_was_open_alone_when_a_run_ended_badly_is_given_up_at_once() {
        assert!(past(&[mark(1, 2, true, End::Open)], 3).spent(10).is_some());
        assert_eq!(past(&[mark(1, 2, true, End::Open)], 2).spent(10), None, "that run ended well, or is this one");
        assert_eq!(past(&[mark(1, 2, false, End::Open)], 3).spent(10), None, "others were open too");
        assert_eq!(past(&[mark(1, 2, true, End::Failed)], 3).spent(10), None, "it had ended before");
    }
}
