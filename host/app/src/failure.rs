//! How this program ends: its exit codes, and what an error owes the person who reads it.

use std::process::ExitCode;

/// The exit codes. They are documented in `--help` and do not change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// The task or the operation failed.
    Failed = 1,
    /// The command line cannot be understood.
    Usage = 2,
    /// The configuration or an input is wrong.
    Input = 3,
    /// No host is running, or it cannot be reached.
    NoHost = 4,
    /// Something is missing on this machine: Chromium, a folder, a permission, room on the disk.
    Missing = 5,
    /// Refused because of a conflict: a port in use, another host on the same folder, a task in the wrong state, a
    /// host that is stopping.
    Conflict = 6,
    /// Ended by Ctrl-C while waiting; what was waited for goes on.
    Interrupted = 130,
}

/// The list that `--help` shows.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    the task or the operation failed
  2    the command line cannot be understood
  3    the configuration or an input is wrong
  4    no host is running, or it cannot be reached
  5    something is missing on this machine: Chromium, a folder, a permission, room on the disk
  6    a conflict: a port in use, another host on the same folder, a task in the wrong state,
       a host that is stopping
  130  ended by Ctrl-C while waiting; the task goes on";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What every error that can reach a person knows besides its sentence.
pub trait Explain: std::error::Error {
    /// How the program ends because of it.
    fn exit(&self) -> Exit;

    /// What to do next, as one sentence without a full stop.
    fn help(&self) -> Option<String> {
        None
    }
}

/// What a program wrote besides what its error's `message` already says, if that is anything.
pub fn besides(message: &str, output: &str) -> Option<String> {
    let said = |line: &str| {
        // A panic's first line and its last are Rust's own; the message has the place and the words.
        line.is_empty()
            || message.contains(line)
            || line.contains("panicked at ")
            || line.starts_with("note: run with ")
    };
    let rest: Vec<&str> = output.lines().filter(|line| !said(line.trim())).collect();
    if rest.is_empty() { None } else { Some(rest.join("\n").trim().to_owned()) }
}

impl Explain for crate::config::ConfigError {
    fn exit(&self) -> Exit {
        if self.is_of_the_machine() { Exit::Missing } else { Exit::Input }
    }

    fn help(&self) -> Option<String> {
        Self::help(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_that_the_message_repeats_is_not_shown_again() {
        let message = "The plugin panicked at src/lib.rs:1:2: first second";
        let panic = "\nthread '<unnamed>' (1) panicked at src/lib.rs:1:2:\nfirst\nsecond\n\
                     note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n";
        assert_eq!(besides(message, panic), None);
        assert_eq!(besides(message, &format!("  reading page 3\n{panic}")).as_deref(), Some("reading page 3"));
        assert_eq!(besides("The task was cancelled.", ""), None);
    }

    #[test]
    fn every_exit_code_is_documented() {
        let all = [
            Exit::Ok,
            Exit::Failed,
            Exit::Usage,
            Exit::Input,
            Exit::NoHost,
            Exit::Missing,
            Exit::Conflict,
            Exit::Interrupted,
        ];
        for exit in all {
            let start = format!("\n  {} ", exit as u8);
            assert!(EXIT_CODES.contains(&start), "{exit:?}");
        }
    }
}
