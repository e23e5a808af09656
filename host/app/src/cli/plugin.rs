//! `plugin`: what the host's plugins do, ask for and may use.

use super::{CliError, Context, width};
use crate::failure::Exit;
use crate::render;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Lists the plugins and their task types, broken ones with the reason.
    List,
    /// Shows one plugin: its task types, what it asks for and what it may use.
    Show {
        /// Its name, as `plugin list` shows it.
        name: String,
    },
}

pub(super) async fn command(context: &Context, command: Command) -> Result<Exit, CliError> {
    let client = context.client()?;
    match command {
        Command::List => {
            let plugins = client.plugins().await?;
            context.print(&plugins, || render::plugins::list(&plugins, width()))?;
        }
        Command::Show { name } => {
            let plugin = client.plugin(&name).await?;
            context.print(&plugin, || render::plugins::show(&plugin, width()))?;
        }
    }
    Ok(Exit::Ok)
}
