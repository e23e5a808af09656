//! `task`: looking at tasks and steering them. An id may be cut short as far as it stays unambiguous.

use clap::ValueEnum;
use jiff::Timestamp;

use super::{CliError, Context, json, print, wait, width};
use crate::control::views::{AnswerRequest, LogLine, TaskFilter, TaskState, TaskView};
use crate::control::{Client, ClientError};
use crate::failure::Exit;
use crate::render;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Lists tasks, the latest first.
    List {
        /// Only tasks in this state.
        #[arg(long, value_enum)]
        state: Option<State>,
        /// Only tasks of this type.
        #[arg(long, value_name = "TYPE")]
        r#type: Option<String>,
        /// So many at most.
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Shows one task: where it stands, and why.
    Show {
        /// The task's id, or its beginning.
        id: String,
    },
    /// Shows the log of a task.
    Logs {
        /// The task's id, or its beginning.
        id: String,
        /// Shows new lines as they come, until the task ends.
        #[arg(long, short)]
        follow: bool,
    },
    /// Prints the result of a finished task, its digest if it has one.
    Result {
        /// The task's id, or its beginning.
        id: String,
    },
    /// Ends a task, whatever it is doing; `task retry` would give it new tries.
    Cancel {
        /// The task's id, or its beginning.
        id: String,
    },
    /// Gives a failed or cancelled task new tries.
    Retry {
        /// The task's id, or its beginning.
        id: String,
    },
    /// Answers a task's question.
    Answer {
        /// The task's id, or its beginning.
        id: String,
        /// The question's key, as `task show` names it.
        key: String,
        /// The answer.
        answer: String,
    },
}

/// The states by their own words.
#[derive(Debug, Clone, Copy)]
pub(super) struct State(TaskState);

impl ValueEnum for State {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [State; TaskState::ALL.len()] = {
            let mut all = [State(TaskState::Submitted); TaskState::ALL.len()];
            let mut index = 0;
            while index < all.len() {
                all[index] = State(TaskState::ALL[index]);
                index += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.0.as_str()))
    }
}

pub(super) async fn command(context: &Context, command: Command) -> Result<Exit, CliError> {
    let client = context.client()?;
    let changed = match command {
        Command::List { state, r#type, limit } => {
            let filter = TaskFilter { state: state.map(|state| state.0), r#type, limit: Some(limit) };
            let tasks = client.tasks(&filter).await?;
            context.print(&tasks, || render::tasks::list(&tasks, Timestamp::now(), width()))?;
            return Ok(Exit::Ok);
        }
        Command::Logs { id, follow } => return logs(context, &client, &id, follow).await,
        Command::Result { id } => {
            let result = client.result(&id).await?;
            wait::show(context, &result)?;
            return wait::outcome(&client.task(&id).await?);
        }
        Command::Show { id } => client.task(&id).await?,
        Command::Cancel { id } => client.cancel(&id).await?,
        Command::Retry { id } => client.retry(&id).await?,
        Command::Answer { id, key, answer } => client.answer(&id, &AnswerRequest { key, answer }).await?,
    };
    show(context, &changed)?;
    Ok(Exit::Ok)
}

fn show(context: &Context, task: &TaskView) -> Result<(), CliError> {
    context.print(task, || render::tasks::show(task, Timestamp::now(), width()))
}

async fn logs(context: &Context, client: &Client, id: &str, follow: bool) -> Result<Exit, CliError> {
    if !follow {
        // The server gives a bounded number at a time; the next part begins after the last line.
        let mut from = 0;
        loop {
            let lines = client.logs(id, from).await?;
            let Some(last) = lines.last() else {
                return Ok(Exit::Ok);
            };
            from = last.seq + 1;
            for line in &lines {
                log_line(context, line)?;
            }
        }
    }
    let mut lines = client.follow(id, 0).await?;
    loop {
        let line = tokio::select! {
            line = lines.next() => line.map_err(|error| host_ended(error, id))?,
            interrupted = tokio::signal::ctrl_c() => {
                if interrupted.is_err() { std::future::pending::<()>().await; }
                return Ok(Exit::Interrupted);
            }
        };
        match line {
            Some(line) => log_line(context, &line)?,
            None => return Ok(Exit::Ok),
        }
    }
}

/// A log that is followed ends with the host's end; what the task says from then on is read after its next start.
fn host_ended(error: ClientError, id: &str) -> CliError {
    match error {
        ClientError::Unreachable { .. } => {
            let id = render::tasks::short_id(id);
            CliError::new(Exit::NoHost, "the host ended or cannot be reached any more, so no more of the log comes")
                .with_help(format!(
                    "the task keeps its place: start the host again, then `buddy-host task logs {id} --follow`"
                ))
        }
        other => other.into(),
    }
}

/// With `--json` one object a line, so that a stream can be read as it comes.
fn log_line(context: &Context, line: &LogLine) -> Result<(), CliError> {
    if context.json {
        let object = serde_json::to_string(line).map_or_else(|_| json(line), |text| Ok(text + "\n"))?;
        print(&object)
    } else {
        print(&render::tasks::log_line(line))
    }
}
