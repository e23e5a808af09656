//! Inputs of tasks: JSON on the command line, in a file, or on standard input.

use std::fs::File;
use std::io::{self, Read};

use serde_json::value::RawValue;

use super::CliError;
use crate::control::server::MAX_BODY;
use crate::failure::Exit;

/// Room for the rest of a request: its task type, key, and the like.
const REST: usize = 64 << 10;

/// Reads an input: `@FILE`, `-` for standard input, else the JSON text itself. `what` names it in messages.
pub(super) fn read(what: &str, text: &str) -> Result<Box<RawValue>, CliError> {
    let (place, json) = if text == "-" {
        ("standard input".to_owned(), bounded(what, "standard input", io::stdin().lock())?)
    } else if let Some(path) = text.strip_prefix('@') {
        let file = File::open(path).map_err(|error| unreadable(what, path, &error))?;
        (path.to_owned(), bounded(what, path, file)?)
    } else {
        ("the command line".to_owned(), text.to_owned())
    };
    let json = json.strip_prefix('\u{feff}').unwrap_or(&json).trim();
    serde_json::from_str::<&RawValue>(json).map(ToOwned::to_owned).map_err(|error| {
        let help = if json.is_empty() {
            "an input without settings is {}".to_owned()
        } else if text == "-" || text.starts_with('@') {
            "correct it there; `buddy-host plugin show NAME` has an input that works".to_owned()
        } else {
            "quote it for the shell, as in '{\"urls\": [\"https://example.com\"]}', or put it into a file and give @FILE"
                .to_owned()
        };
        CliError::new(Exit::Input, format!("{what} from {place} is not JSON: {error}")).with_help(help)
    })
}

fn unreadable(what: &str, place: &str, error: &io::Error) -> CliError {
    let (exit, help) = match error.kind() {
        io::ErrorKind::PermissionDenied => (Exit::Missing, "make the file readable by this user"),
        _ => (Exit::Input, "give @ and the path of a file with the JSON, or the JSON itself"),
    };
    CliError::new(exit, format!("{what} cannot be read from {place}: {error}")).with_help(help)
}

fn bounded(what: &str, place: &str, source: impl Read) -> Result<String, CliError> {
    let most = MAX_BODY - REST;
    let mut text = String::new();
    source.take(most as u64 + 1).read_to_string(&mut text).map_err(|error| unreadable(what, place, &error))?;
    if text.len() > most {
        return Err(CliError::new(Exit::Input, format!("{what} from {place} is larger than 8 MiB"))
            .with_help("let the input name a file or an earlier task instead of holding the data"));
    }
    Ok(text)
}
