//! `doctor`: every setting with its source, and whether this machine has what the host needs.
//!
//! It changes nothing and needs no running host.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::{CliError, Context, width};
use crate::config::{Config, Loaded, Mode};
use crate::control::{Client, ClientError};
use crate::failure::Exit;
use crate::render;
use crate::render::doctor::{Check, Report, Verdict};
use crate::render::units;

/// Time for a browser to say its version; a cold start from a slow disk takes seconds.
const VERSION_TIME: Duration = Duration::from_secs(20);

pub(super) async fn command(context: &Context) -> Result<Exit, CliError> {
    // Where it comes from stands in the report.
    let (loaded, _) = context.load_with_note()?;
    let config = &loaded.config;
    let mut checks = vec![data_folder(config), plugin_folder(config)];
    if config.agent.mode == Mode::Desktop || config.resources.max_browsers > 0 {
        checks.push(chromium(config).await);
    }
    checks.push(control(config).await);
    checks.push(firebase(config));
    checks.extend(loaded.warnings.iter().map(|warning| check("settings", Verdict::Note, warning.clone())));
    let report = report_of(loaded, checks);
    context.print(&report, || render::doctor::report(&report, width()))?;
    Ok(if report.ok { Exit::Ok } else { Exit::Missing })
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
    Check { name, verdict, found: found.into(), help: None }
}

fn wrong(name: &'static str, found: impl Into<String>, help: impl Into<String>) -> Check {
    Check { name, verdict: Verdict::Wrong, found: found.into(), help: Some(help.into()) }
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
        return wrong(NAME, format!("{} is not a folder", folder.display()), HELP);
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
        Check { help: Some(help), ..check(NAME, Verdict::Note, found) }
    }
}

fn plugin_folder(config: &Config) -> Check {
    const NAME: &str = "plugin folder";
    const HELP: &str = "`scripts/build-plugins` builds the ones that come with the host";
    let folder = &config.plugins.folder;
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            let found = format!("{} cannot be read ({error}), so there is nothing to run", folder.display());
            return Check { help: Some(HELP.to_owned()), ..check(NAME, Verdict::Note, found) };
        }
    };
    let is_plugin = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "wasm");
    match entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(is_plugin).count() {
        0 => Check {
            help: Some(HELP.to_owned()),
            ..check(NAME, Verdict::Note, format!("{} has no .wasm file", folder.display()))
        },
        1 => check(NAME, Verdict::Ok, format!("{} (1 plugin)", folder.display())),
        count => check(NAME, Verdict::Ok, format!("{} ({count} plugins)", folder.display())),
    }
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
        Ok(version) => check(NAME, Verdict::Ok, format!("{version} ({})", program.display())),
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
                Err(error) => wrong(NAME, error.to_string(), crate::failure::Explain::help(&error).unwrap_or_default()),
            };
        }
        Err(ClientError::NoHost { .. }) => {}
        Err(error) => {
            return wrong(NAME, error.to_string(), "`buddy-host stop` and start it again");
        }
    }
    match (config.control.port, TcpListener::bind((Ipv4Addr::LOCALHOST, config.control.port))) {
        (0, Ok(_)) => check(NAME, Verdict::Ok, "none; it would take a free port"),
        (port, Ok(_)) => check(NAME, Verdict::Ok, format!("none; port {port} is free")),
        (port, Err(error)) => wrong(
            NAME,
            format!("none, and port {port} on 127.0.0.1 cannot be opened: {error}"),
            "set `control.port` to another port, or to 0 for a free one",
        ),
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
