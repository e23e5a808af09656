//! `init`: the first step on a machine. Done again it changes nothing.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;

use super::{CliError, Context};
use crate::config::{FILE_NAME, template};
use crate::failure::Exit;
use crate::platform;
use crate::render::printable;

#[derive(Debug, Default, clap::Args)]
pub(super) struct Arguments {}

#[derive(Serialize)]
struct Done {
    config_file: String,
    written: bool,
    storage: String,
    plugins: String,
}

pub(super) fn command(context: &Context, _arguments: &Arguments) -> Result<Exit, CliError> {
    let environment = super::environment()?;
    let wanted = context.overrides.file.clone().unwrap_or_else(|| FILE_NAME.into());
    let file = environment.current_dir.join(wanted);
    if let Some(folder) = file.parent() {
        make_folder(folder)?;
    }
    let written = match OpenOptions::new().write(true).create_new(true).open(&file) {
        Ok(mut handle) => {
            handle.write_all(template().as_bytes()).map_err(|error| failed("write", &file, &error))?;
            true
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(failed("write", &file, &error)),
    };
    let mut overrides = context.overrides.clone();
    overrides.file = Some(file.clone());
    let loaded = crate::config::load(&environment, &overrides)?;
    // What the host will keep there (pages, payloads, results) is its owner's alone.
    let data = &loaded.config.storage.path;
    platform::private_folder(data).map_err(|error| failed("make the folder", data, &error))?;
    make_folder(&loaded.config.plugins.folder)?;
    let done = Done {
        config_file: file.display().to_string(),
        written,
        storage: loaded.config.storage.path.display().to_string(),
        plugins: loaded.config.plugins.folder.display().to_string(),
    };
    context.print(&done, || {
        let what = if done.written { "wrote" } else { "kept " };
        format!(
            "{what}   {}\ndata    {}\nplugins {}\n\nNext: `buddy-host doctor` checks this machine, `buddy-host run` starts the host.\n",
            printable(&done.config_file),
            printable(&done.storage),
            printable(&done.plugins)
        )
    })?;
    Ok(Exit::Ok)
}

fn make_folder(folder: &Path) -> Result<(), CliError> {
    fs::create_dir_all(folder).map_err(|error| failed("make the folder", folder, &error))
}

fn failed(what: &str, path: &Path, error: &io::Error) -> CliError {
    CliError::new(Exit::Missing, format!("cannot {what} {}: {error}", path.display()))
        .with_help("choose a folder that you may write to")
}
