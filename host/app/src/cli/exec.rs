//! `exec`: one task of one plugin file, here and now. For those who write plugins.

use std::path::PathBuf;

use super::{CliError, Context, input, json, log, print, screen};
use crate::failure::Exit;
use crate::host::{self, ExecRequest};
use crate::render;

const EXAMPLES: &str = "\
Example:
  buddy-host exec word_count.wasm word_count '{\"text\": \"to be or not to be\"}'
It may use what buddy.yaml grants to the plugin's name. Nothing is kept: its data lies in a folder that is removed.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The plugin's file.
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// The task type, one of those that the plugin describes.
    #[arg(value_name = "TYPE")]
    kind: String,
    /// Its input: JSON, `@FILE`, or `-` for standard input.
    #[arg(value_name = "INPUT", default_value = "{}", allow_hyphen_values = true)]
    input: String,
}

pub(super) async fn command(context: &Context, arguments: Arguments) -> Result<Exit, CliError> {
    let input = input::read("the input", &arguments.input)?;
    let loaded = context.load()?;
    if !arguments.file.is_file() {
        return Err(CliError::new(Exit::Input, format!("there is no file {}", arguments.file.display())));
    }
    log::install(&loaded.config.log);
    let request = ExecRequest { component: arguments.file, task_type: arguments.kind, input };
    let output = host::exec(loaded.config, request).await?;
    let shown = if context.json { json(&output)? } else { render::json::data(&output, screen()) };
    print(&shown)?;
    Ok(Exit::Ok)
}
