//! `run`: the host, in the foreground.

use super::{CliError, Context, log};
use crate::failure::Exit;
use crate::host::{self, RunOptions};

#[derive(Debug, Default, clap::Args)]
pub(super) struct Arguments {
    /// The role. `desktop` runs tasks here; `cloud`, which takes tasks in and routes them, is not in this version.
    /// Without it: as configured.
    #[arg(long)]
    mode: Option<String>,
}

impl Arguments {
    /// An option of this command is a setting like any other.
    pub(super) fn apply(self, context: &mut Context) {
        context.overrides.mode = self.mode.or(context.overrides.mode.take());
    }
}

pub(super) async fn command(context: &Context) -> Result<Exit, CliError> {
    let (loaded, note) = context.load_with_note()?;
    log::install(&loaded.config.log);
    if let Some(note) = note {
        tracing::info!("{note}");
    }
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    host::run(loaded.config, RunOptions::default()).await?;
    Ok(Exit::Ok)
}
