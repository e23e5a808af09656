//! What `doctor` found.

use std::fmt::Write as _;

use serde::Serialize;

use super::table::{table, text};
use crate::config::Effective;
use crate::failure::Exit;

/// How one check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Worth knowing; the host works without it.
    Note,
    /// The host will not work, or not in full.
    Wrong,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found, in one sentence.
    pub found: String,
    /// What to do about it.
    pub help: Option<String>,
    /// How the program ends because of it.
    #[serde(skip)]
    pub exit: Exit,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// The configuration file, if there is one.
    pub config_file: Option<String>,
    /// The folder that relative paths start from.
    pub folder: String,
    /// Every setting with its source.
    pub settings: Vec<Effective>,
    /// What was looked at.
    pub checks: Vec<Check>,
}

/// The report for people.
pub fn report(report: &Report, width: u16) -> String {
    let mut shown = match &report.config_file {
        Some(file) => format!("configuration file: {file}\n\n"),
        None => format!("configuration file: none here or in {}; `buddy-host init` writes one here\n\n", report.folder),
    };
    let mut settings = table(width);
    settings.set_header(["setting", "value", "set by"]);
    for setting in &report.settings {
        settings.add_row([setting.key.to_owned(), setting.value.to_string(), setting.source.short()]);
    }
    shown.push_str(&text(&settings));
    shown.push('\n');
    for check in &report.checks {
        let mark = match check.verdict {
            Verdict::Ok => "ok",
            Verdict::Note => "note",
            Verdict::Wrong => "WRONG",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(shown, "{mark:<6} {}: {}", check.name, check.found);
        if let Some(help) = &check.help {
            let _ = writeln!(shown, "       help: {help}");
        }
    }
    shown
}
