//! `completions`: a script that lets a shell complete this program's commands.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, CliError, print};
use crate::failure::Exit;

const EXAMPLES: &str = "\
Example:
  buddy-host completions bash > ~/.local/share/bash-completion/completions/buddy-host";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The shell.
    shell: Shell,
}

pub(super) fn command(arguments: &Arguments) -> Result<Exit, CliError> {
    // Into memory first: the generator panics when a pipe closes.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "buddy-host", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
