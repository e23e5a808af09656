//! The command line: one file a command.
//!
//! A command is a function from its arguments to an [`Exit`] or a [`CliError`]. Errors are shown in one place, here,
//! as `error: what was wrong` and `help: what to do next`. Results go to standard output, everything else to standard
//! error, so that every command can stand in a pipe; `--json` makes the results JSON.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, Subcommand};
use serde::Serialize;

use crate::config::{Environment, Found, Loaded, Overrides};
use crate::control::Client;
use crate::failure::{EXIT_CODES, Exit, Explain};
use crate::render::{self, printable};

mod completions;
mod doctor;
mod exec;
mod init;
mod input;
mod log;
mod plugin;
mod run;
mod sample_site;
mod start;
mod status;
mod stop;
mod submit;
mod task;
mod wait;

/// Where `--help` lists the options that each command has.
const EVERYWHERE: &str = "Options of every command";

/// Runs browser work, scraping and data tasks on your own computer. Every task type is a sandboxed plugin.
#[derive(Debug, Parser)]
#[allow(clippy::struct_excessive_bools)] // each is an option of the command line
#[command(name = "buddy-host", version, after_help = EXIT_CODES, max_term_width = 100)]
struct Cli {
    /// The configuration file. Without it: the one that BUDDY_CONFIG names, ./buddy.yaml, or the buddy.yaml in the
    /// folder `buddy` of your settings (on Linux ~/.config/buddy).
    #[arg(long, global = true, value_name = "FILE", help_heading = EVERYWHERE)]
    config: Option<PathBuf>,
    /// Sets one setting for this command, as in `--set resources.max_browsers=4`. May be repeated.
    #[arg(long, global = true, value_name = "SECTION.KEY=VALUE", help_heading = EVERYWHERE)]
    set: Vec<String>,
    /// Prints the result as JSON.
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    json: bool,

    // The options of the first, Python, agent; each stands for a command.
    #[arg(long, hide = true, group = "older")]
    init: bool,
    #[arg(long, hide = true, group = "older")]
    start: bool,
    #[arg(long, hide = true, group = "older")]
    status: bool,
    #[arg(long, hide = true, group = "older")]
    stop: bool,
    #[arg(long, hide = true, group = "older")]
    test_connection: bool,
    #[arg(long, hide = true, value_name = "MODE")]
    mode: Option<String>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes a buddy.yaml with every setting explained, and makes the folders it names.
    Init(init::Arguments),
    /// Shows every setting with its source, and checks what the host needs.
    #[command(alias = "test-connection")]
    Doctor,
    /// Runs the host in this terminal, until Ctrl-C or `stop`.
    Run(run::Arguments),
    /// Runs the host in the background, and waits until it is ready.
    Start(run::Arguments),
    /// Shows how the running host is doing.
    Status,
    /// Stops the running host, giving its tasks time to finish.
    Stop(stop::Arguments),
    /// Gives the running host a task.
    Submit(submit::Arguments),
    /// Lists tasks; shows one, its log or its result; cancels, retries, answers.
    #[command(subcommand)]
    Task(task::Command),
    /// Lists plugins, or shows what one does, asks for and may use.
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// Runs one task of a plugin file here and now, without a running host and its queue.
    Exec(exec::Arguments),
    /// Serves a small web shop on this computer, to try a scrape on, until Ctrl-C.
    SampleSite(sample_site::Arguments),
    /// Prints a completion script for a shell.
    Completions(completions::Arguments),
}

/// What ends a command early.
#[derive(Debug)]
struct CliError {
    exit: Exit,
    /// Empty when there is nothing to say, as when the reader of a pipe has gone.
    message: String,
    help: Option<String>,
}

impl CliError {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), help: None }
    }

    fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn show(&self) {
        if !self.message.is_empty() {
            // When standard error is gone too there is nobody to tell.
            let _ = writeln!(io::stderr(), "error: {}", printable(&self.message));
            if let Some(help) = &self.help {
                let _ = writeln!(io::stderr(), "help: {}", printable(help));
            }
        }
    }
}

impl<E: Explain> From<E> for CliError {
    fn from(error: E) -> Self {
        Self { exit: error.exit(), message: error.to_string(), help: error.help() }
    }
}

/// What every command has at hand.
struct Context {
    overrides: Overrides,
    json: bool,
}

impl Context {
    /// The configuration. A person is told where it comes from, when that is not plain to see; a script is not.
    fn load(&self) -> Result<Loaded, CliError> {
        let (loaded, note) = self.load_with_note()?;
        if let Some(note) = note.filter(|_| io::stderr().is_terminal()) {
            tell(&format!("note: {note}"));
        }
        Ok(loaded)
    }

    /// The configuration, and where it comes from unless that is this folder or was said on the command line.
    fn load_with_note(&self) -> Result<(Loaded, Option<String>), CliError> {
        let environment = environment()?;
        let loaded = crate::config::load(&environment, &self.overrides)?;
        let note = self.note(&loaded, &environment);
        Ok((loaded, note))
    }

    fn note(&self, loaded: &Loaded, environment: &Environment) -> Option<String> {
        match self.overrides.file {
            Some(_) => None,
            None => render::configuration::note(loaded, &environment.current_dir),
        }
    }

    /// The data folder, for commands that only look for the running host: a fault elsewhere in the configuration is told
    /// and keeps nobody from looking at the host or stopping it.
    fn storage(&self) -> Result<PathBuf, CliError> {
        let environment = environment()?;
        match crate::config::find_storage(&environment, &self.overrides) {
            Ok(Found::Whole(loaded)) => {
                if let Some(note) = self.note(&loaded, &environment).filter(|_| io::stderr().is_terminal()) {
                    tell(&format!("note: {}", printable(&note)));
                }
                Ok(loaded.config.storage.path)
            }
            Ok(Found::Part { storage, fault }) => {
                let folder = storage.display();
                tell(&printable(&format!("warning: {fault}; the running host is looked for in {folder} all the same")));
                Ok(storage)
            }
            Err(fault) => {
                let other_way = fault.help().is_none().then_some(
                    "correct it, or name the data folder of the running host with `--set storage.path=FOLDER`",
                );
                let error = CliError::from(fault);
                Err(match other_way {
                    Some(help) => error.with_help(help),
                    None => error,
                })
            }
        }
    }

    /// The running host of this configuration.
    fn client(&self) -> Result<Client, CliError> {
        Ok(Client::find(&self.storage()?)?)
    }

    /// Writes a result: JSON when asked for, else the text.
    fn print<T: Serialize + ?Sized>(&self, value: &T, text: impl FnOnce() -> String) -> Result<(), CliError> {
        let shown = if self.json { json(value)? } else { text() };
        print(&shown)
    }
}

fn environment() -> Result<Environment, CliError> {
    Environment::of_process().map_err(|error| {
        CliError::new(Exit::Missing, format!("the current folder cannot be read: {error}"))
            .with_help("change into a folder that exists")
    })
}

fn json<T: Serialize + ?Sized>(value: &T) -> Result<String, CliError> {
    serde_json::to_string(value)
        .map(|text| render::json::indent(&text) + "\n")
        .map_err(|error| CliError::new(Exit::Failed, format!("the result has no JSON form: {error}")))
}

/// Writes to standard output. A reader that has gone, as in `| head`, ends the command quietly.
fn print(text: &str) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| {
        if error.kind() == io::ErrorKind::BrokenPipe {
            CliError::new(Exit::Ok, "")
        } else {
            CliError::new(Exit::Failed, format!("the result cannot be written: {error}"))
        }
    })
}

/// Tells a person something that is not the result.
fn tell(text: &str) {
    // Standard error may be closed; what is told there is never needed to go on.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Columns of the terminal; a wide page where there is none, so that what is piped on is seldom wrapped.
fn width() -> u16 {
    const PIPE: u16 = 160;
    if io::stdout().is_terminal() { comfy_table::Table::new().width().unwrap_or(PIPE) } else { PIPE }
}

/// What results are shown on.
fn screen() -> render::Screen {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    render::Screen { width: width(), styled: io::stdout().is_terminal() && !plain }
}

/// Runs the program with these arguments, the first being its own name, and says how it ended.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` are "errors" too, that go to standard output.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Ok };
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            CliError::new(Exit::Missing, format!("no thread can be started: {error}")).show();
            return Exit::Missing;
        }
    };
    let exit = runtime.block_on(dispatch(cli)).unwrap_or_else(|error| {
        error.show();
        error.exit
    });
    // A read of standard input that is still blocked must not keep the program from ending.
    runtime.shutdown_background();
    exit
}

async fn dispatch(mut cli: Cli) -> Result<Exit, CliError> {
    let older = older(&cli);
    if cli.command.is_some() && older.is_some() && cli.mode.is_none() {
        return Err(CliError::new(Exit::Usage, "a command and an option that stands for one cannot be given together")
            .with_help("for example `buddy-host status`, or the older `buddy-host --status`"));
    }
    let Some(command) = cli.command.take().or(older) else {
        print(&Cli::command().render_help().to_string())?;
        return Ok(Exit::Usage);
    };
    let overrides = Overrides { file: cli.config, mode: cli.mode, set: cli.set };
    let mut context = Context { overrides, json: cli.json };
    match command {
        Command::Init(arguments) => init::command(&context, &arguments),
        Command::Doctor => doctor::command(&context).await,
        Command::Run(arguments) => {
            arguments.apply(&mut context);
            run::command(&context).await
        }
        Command::Start(arguments) => {
            arguments.apply(&mut context);
            start::command(&context).await
        }
        Command::Status => status::command(&context).await,
        Command::Stop(arguments) => stop::command(&context, &arguments).await,
        Command::Submit(arguments) => submit::command(&context, arguments).await,
        Command::Task(command) => task::command(&context, command).await,
        Command::Plugin(command) => plugin::command(&context, command).await,
        Command::Exec(arguments) => exec::command(&context, arguments).await,
        Command::SampleSite(arguments) => sample_site::run(arguments).await,
        Command::Completions(arguments) => completions::command(&arguments),
    }
}

/// The command that an option of the first agent stands for.
fn older(cli: &Cli) -> Option<Command> {
    if cli.init {
        Some(Command::Init(init::Arguments::default()))
    } else if cli.start {
        Some(Command::Start(run::Arguments::default()))
    } else if cli.status {
        Some(Command::Status)
    } else if cli.stop {
        Some(Command::Stop(stop::Arguments::default()))
    } else if cli.test_connection {
        Some(Command::Doctor)
    } else if cli.mode.is_some() {
        Some(Command::Run(run::Arguments::default()))
    } else {
        None
    }
}
