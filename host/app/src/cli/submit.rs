//! `submit`: one task for the running host.

use super::{CliError, Context, input, print, tell, wait};
use crate::control::Client;
use crate::control::views::{DigestRequest, SubmitRequest};
use crate::failure::Exit;

const EXAMPLES: &str = "\
Examples:
  buddy-host submit web_navigate '{\"urls\": [\"https://example.com/\"]}' --wait
  buddy-host submit web_navigate @scrape.json --digest data_processing:@digest.json
`buddy-host plugin show NAME` shows an input that works for each task type.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The task type, for example `web_navigate`; `buddy-host plugin list` shows all.
    #[arg(value_name = "TYPE")]
    kind: String,
    /// Its input: JSON, `@FILE`, or `-` for standard input.
    #[arg(value_name = "INPUT", default_value = "{}", allow_hyphen_values = true)]
    input: String,
    /// Waits until the task is done, showing progress, and prints its result. Without it: prints the task's id.
    #[arg(long)]
    wait: bool,
    /// Shrinks the result by another task type, as in `data_processing:@digest.json` or `TYPE:JSON`.
    #[arg(long, value_name = "TYPE:INPUT")]
    digest: Option<String>,
    /// A name of your own for this task: submitted again under the same one, it is not run twice.
    #[arg(long)]
    key: Option<String>,
    /// Higher goes first; without it 0.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    priority: Option<i32>,
    /// Tries before it is given up. Without it: as configured in `tasks.max_attempts`.
    #[arg(long, value_name = "N")]
    max_attempts: Option<u32>,
}

pub(super) async fn command(context: &Context, arguments: Arguments) -> Result<Exit, CliError> {
    // Inputs first: a slip in one is told even when no host runs.
    let request = SubmitRequest {
        input: input::read("the input", &arguments.input)?,
        digest: arguments.digest.as_deref().map(digest).transpose()?,
        r#type: arguments.kind,
        key: arguments.key,
        priority: arguments.priority,
        max_attempts: arguments.max_attempts,
        waits: arguments.wait,
    };
    let storage = context.storage()?;
    let client = Client::find(&storage)?;
    let reply = client.submit(&request).await?;
    if !reply.created {
        tell("this key was submitted before: the first task is the answer");
    }
    if arguments.wait {
        return wait::for_result(context, client, &storage, &reply.id).await;
    }
    // The id alone on standard output, so that a script can take it.
    if context.json {
        context.print(&reply, String::new)?;
    } else {
        print(&format!("{}\n", reply.id))?;
    }
    Ok(Exit::Ok)
}

fn digest(text: &str) -> Result<DigestRequest, CliError> {
    let Some((kind, input)) = text.split_once(':').filter(|(kind, _)| !kind.is_empty()) else {
        return Err(CliError::new(Exit::Input, "the digest is not TYPE:JSON or TYPE:@FILE")
            .with_help("for example --digest data_processing:@digest.json; `buddy-host plugin show digest` has an input that works"));
    };
    Ok(DigestRequest { r#type: kind.to_owned(), input: input::read("the digest's input", input)? })
}
