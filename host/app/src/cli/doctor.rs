//! `doctor`: every setting with its source, and whether this machine has what the host needs.
//!
//! It needs no running host and changes nothing, but that code it had to compile is kept where a host keeps its own.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use std::{fs, io};

use buddy_runtime::{PluginSet, Runtime};

use super::{CliError, Context, width};
use crate::config::{Config, Loaded, Mode};
use crate::control::{Client, ClientError};
use crate::failure::{Exit, Explain};
use crate::host::checks;
use crate::render;
use crate::render::doctor::{Check, Report, Verdict};
use crate::render::units;
use crate::storage;

/// Time for a browser to say its version; a cold start from a slow disk takes seconds.
const VERSION_TIME: Duration = Duration::from_secs(20);

pub(super) async fn command(context: &Context) -> Result<Exit, CliError> {
    // Where it comes from stands in the report.
    let (loaded, _) = context.load_with_note()?;
    let config = &loaded.config;
    // What the configuration says comes first: it decides how the program ends.
    let mut checks: Vec<Check> = checks::refusals(config).iter().map(|refusal| refused("settings", refusal)).collect();
    checks.push(data_folder(config));
    checks.extend(set_aside(config));
    checks.extend(plugins(config).await);
    if config.agent.mode == Mode::Desktop || config.resources.max_browsers > 0 {
        checks.push(chromium(config).await);
    }
    checks.push(control(config).await);
    checks.push(firebase(config));
    checks.extend(loaded.warnings.iter().map(|warning| check("settings", Verdict::Note, warning.clone())));
    let exit = checks.iter().map(|check| check.exit).find(|exit| *exit != Exit::Ok);
    let report = report_of(loaded, checks);
    context.print(&report, || render::doctor::report(&report, width()))?;
    Ok(exit.unwrap_or(Exit::Ok))
}

fn report_of(loaded: Loaded, checks: Vec<Check>) -> Report {
    Report {
        ok: checks.iter().all(|check| check.verdict != Verdict::Wrong),
        config_file: loaded.file.map(|file| file.display().to_string()),
        folder: loaded.folder.display().to_string(),
        settings: loaded.effective,
        checks,
    }
}

fn check(name: &'static str, verdict: Verdict, found: impl Into<String>) -> Check {
    Check { name, verdict, found: found.into(), help: None, exit: Exit::Ok }
}

fn note(name: &'static str, found: impl Into<String>, help: impl Into<String>) -> Check {
    Check { help: Some(help.into()), ..check(name, Verdict::Note, found) }
}

fn wrong(name: &'static str, found: impl Into<String>, help: impl Into<String>) -> Check {
    Check { help: Some(help.into()), exit: Exit::Missing, ..check(name, Verdict::Wrong, found) }
}

/// What another command would end with.
fn refused(name: &'static str, error: &impl Explain) -> Check {
    Check { help: error.help(), exit: error.exit(), ..check(name, Verdict::Wrong, error.to_string()) }
}

/// The folder itself, or the nearest above it that exists: there it will be made.
fn existing(folder: &Path) -> Option<&Path> {
    folder.ancestors().find(|folder| folder.is_dir())
}

fn data_folder(config: &Config) -> Check {
    const NAME: &str = "data folder";
    const HELP: &str = "make it writable, or choose another in `storage.path`";
    let folder = &config.storage.path;
    if folder.exists() && !folder.is_dir() {
        let found = format!("{} is a file, not a folder", folder.display());
        return wrong(NAME, found, "name a folder in `storage.path`");
    }
    let Some(place) = existing(folder) else {
        return wrong(NAME, format!("no part of {} exists", folder.display()), HELP);
    };
    // Permissions, read-only file systems and quotas in one question: a nameless file that vanishes by itself.
    if let Err(error) = tempfile::tempfile_in(place) {
        return wrong(NAME, format!("{} is not writable: {error}", place.display()), HELP);
    }
    let free = match fs4::available_space(place) {
        Ok(free) => free,
        Err(error) => {
            return wrong(NAME, format!("the free space of {} is unknown: {error}", place.display()), HELP);
        }
    };
    let state = if folder.is_dir() { "writable" } else { "made at the first start" };
    let found = format!("{} ({state}, {} free)", folder.display(), units::bytes(free));
    // As `f64`, exact far beyond any disk.
    #[allow(clippy::cast_precision_loss)]
    let roomy = free as f64 >= config.resources.temp_storage_gb * f64::from(1 << 30);
    if roomy {
        check(NAME, Verdict::Ok, found)
    } else {
        let help = format!(
            "`resources.temp_storage_gb` allows {} GB, which is more than is free; the host pauses when the disk is nearly full",
            config.resources.temp_storage_gb
        );
        note(NAME, found, help)
    }
}

/// Queues that could not be read, which a host set aside when it started.
fn set_aside(config: &Config) -> Option<Check> {
    let folders = buddy_buffer::set_aside_folders(&config.storage.path.join(storage::BUFFER));
    let names: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    let found = format!("an earlier one could not be read and was set aside: {}", names.join(", "));
    let help = "the host began with an empty one, so look whether tasks must be submitted again; what was set aside is \
                yours to keep or to delete";
    (!names.is_empty()).then(|| note("queue", found, help))
}

/// The folder, what in it is no plugin, and names in the configuration that mean nothing with the plugins that are there.
async fn plugins(config: &Config) -> Vec<Check> {
    const NAME: &str = "plugin folder";
    const HELP: &str = "`scripts/build-plugins` builds the ones that come with the host";
    let folder = &config.plugins.folder;
    if folder.is_file() {
        // Said already, as what a start says of it.
        return Vec::new();
    }
    let set = match load(config).await {
        Ok(set) => set,
        Err(error) => {
            let found = format!("{} cannot be read ({error}), so there is nothing to run", folder.display());
            return vec![note(NAME, found, HELP)];
        }
    };
    let mut checks = vec![match set.plugins().len() {
        0 if set.failures().is_empty() => note(NAME, format!("{} has no .wasm file", folder.display()), HELP),
        0 => note(NAME, format!("{} has no .wasm file that is a plugin", folder.display()), HELP),
        1 => check(NAME, Verdict::Ok, format!("{} (1 plugin)", folder.display())),
        count => check(NAME, Verdict::Ok, format!("{} ({count} plugins)", folder.display())),
    }];
    let failures = set.failures().iter().map(ToString::to_string);
    let noted = failures.chain(set.warnings().iter().cloned());
    checks.extend(noted.map(|found| check(NAME, Verdict::Note, found)));
    let names = checks::unknown_names(config, &set);
    checks.extend(names.into_iter().map(|found| check("settings", Verdict::Note, found)));
    checks
}

/// Loads the plugins as a start does.
async fn load(config: &Config) -> io::Result<PluginSet> {
    let folder = &config.plugins.folder;
    let mut entries = fs::read_dir(folder)?.filter_map(Result::ok).map(|entry| entry.path());
    // The sandbox is not set up for nothing.
    if !entries.any(|path| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("wasm"))) {
        return Ok(PluginSet::default());
    }
    let mut sandbox = checks::sandbox(config);
    // What a host has compiled is used; no folder is made where none was there.
    sandbox.cache = sandbox.cache.filter(|cache| cache.is_dir());
    let runtime = Runtime::new(&sandbox).map_err(io::Error::other)?;
    PluginSet::load_folder(&runtime, folder).await
}

async fn chromium(config: &Config) -> Check {
    const NAME: &str = "Chromium";
    // The host finds it by the same call, so this is the program that it would start.
    let program = match buddy_browser::find_chromium(config.browser.path.as_deref()) {
        Ok(program) => program,
        Err(error) => {
            // The error itself says how to install one.
            return wrong(
                NAME,
                error.to_string(),
                "`browser.path` names the program to use; without it the variable CHROMIUM or CHROME does",
            );
        }
    };
    match version(&program).await {
        // Edge and Brave are Chromium too, and say their own names.
        Ok(version) if ["Chrom", "Edge", "Brave"].iter().any(|name| version.contains(name)) => {
            check(NAME, Verdict::Ok, format!("{version} ({})", program.display()))
        }
        Ok(version) => wrong(
            NAME,
            format!("{} is no Chromium: asked for its version, it says `{version}`", program.display()),
            format!("install one with `{}`, or name its program in `browser.path`", buddy_browser::INSTALL_HINT),
        ),
        Err(reason) => wrong(
            NAME,
            format!("{} does not start: {reason}", program.display()),
            format!("install one with `{}`, or name its program in `browser.path`", buddy_browser::INSTALL_HINT),
        ),
    }
}

async fn version(program: &Path) -> Result<String, String> {
    let output =
        tokio::process::Command::new(program).arg("--version").stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(VERSION_TIME, output)
        .await
        .map_err(|_| "no answer within 20 seconds".to_owned())?
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().next().map(str::trim) {
        Some(line) if output.status.success() && !line.is_empty() => Ok(line.to_owned()),
        _ => Err(format!("it ended with {}", output.status)),
    }
}

async fn control(config: &Config) -> Check {
    const NAME: &str = "running host";
    match Client::find(&config.storage.path) {
        Ok(client) => {
            let file = client.file();
            return match client.status().await {
                Ok(status) => {
                    let found = format!("{} (process {}, port {})", status.status, file.pid, file.port);
                    check(NAME, Verdict::Ok, found)
                }
                Err(error) => refused(NAME, &error),
            };
        }
        Err(ClientError::NoHost { .. }) => {}
        Err(error @ ClientError::Damaged { .. }) => {
            return note(NAME, error.to_string(), Explain::help(&error).unwrap_or_default());
        }
        Err(error) => return refused(NAME, &error),
    }
    match (config.control.port, TcpListener::bind((Ipv4Addr::LOCALHOST, config.control.port))) {
        (0, Ok(_)) => check(NAME, Verdict::Ok, "none; it would take a free port"),
        (port, Ok(_)) => check(NAME, Verdict::Ok, format!("none; port {port} is free")),
        (port, Err(error)) => Check {
            exit: if error.kind() == io::ErrorKind::AddrInUse { Exit::Conflict } else { Exit::Missing },
            ..wrong(
                NAME,
                format!("none, and port {port} on 127.0.0.1 cannot be opened: {error}"),
                "set `control.port` to another port, or to 0 for a free one",
            )
        },
    }
}

fn firebase(config: &Config) -> Check {
    const NAME: &str = "Firebase";
    let Some(project) = &config.firebase.project_id else {
        return check(NAME, Verdict::Ok, "not configured: tasks are queued on this computer");
    };
    // Only whether the key file can be opened; its content is nobody's business here.
    match &config.firebase.credentials_path {
        Some(path) if fs::File::open(path).is_err() => wrong(
            NAME,
            format!("the key file {} of project {project} cannot be read", path.display()),
            "correct `firebase.credentials_path`, or remove `firebase.project_id` to work without Firebase",
        ),
        _ => check(
            NAME,
            Verdict::Note,
            format!("project {project} is configured; this version queues tasks on this computer only"),
        ),
    }
}
