//! Plugins: what each can do, asks for and may use.

use std::fmt::Write as _;

use super::json;
use super::table::{facts, line, printable, table, text};
use crate::control::views::PluginView;

/// Bytes of an example that is shown.
const MAX_EXAMPLE: usize = 4 << 10;

/// A list of plugins.
pub fn list(plugins: &[PluginView], width: u16) -> String {
    if plugins.is_empty() {
        return "no plugins\n".to_owned();
    }
    let mut table = table(width);
    table.set_header(["name", "version", "state", "task types", "not granted"]);
    for plugin in plugins {
        let types: Vec<&str> = plugin.task_types.iter().map(|kind| kind.name.as_str()).collect();
        let missing: Vec<&str> =
            plugin.asked.iter().filter(|asked| !asked.granted).map(|asked| asked.capability.as_str()).collect();
        table.add_row([
            printable(&plugin.name),
            printable(&plugin.version),
            plugin.state.clone(),
            printable(&types.join(", ")),
            printable(&missing.join(", ")),
        ]);
    }
    let mut shown = text(&table);
    // Below the table, where a sentence has the whole width: a column would be a word wide.
    let reasons: Vec<_> = plugins.iter().filter_map(|plugin| Some((plugin, plugin.reason.as_ref()?))).collect();
    if !reasons.is_empty() {
        shown.push('\n');
    }
    for (plugin, reason) in reasons {
        shown.push_str(&line(&format!("{}: {reason}", plugin.name), width.into()));
        shown.push('\n');
    }
    shown
}

/// Everything about one plugin.
pub fn show(plugin: &PluginView, width: u16) -> String {
    let mut rows =
        vec![("name", plugin.name.clone()), ("version", plugin.version.clone()), ("state", plugin.state.clone())];
    rows.extend(plugin.reason.clone().map(|reason| ("because", reason)));
    rows.push(("summary", plugin.summary.clone()));
    rows.push(("file", plugin.file.clone()));
    rows.push(("sha256", plugin.sha256.clone()));
    for kind in &plugin.task_types {
        rows.push(("task type", format!("{}: {}", kind.name, kind.summary)));
    }
    for asked in &plugin.asked {
        let granted = match (asked.granted, plugin.grants.get(&asked.capability)) {
            (false, _) => "not granted",
            (true, Some(granted)) if !asked.scopes.iter().all(|scope| covered(scope, granted)) => "granted in part",
            (true, _) => "granted",
        };
        let scopes = if asked.scopes.is_empty() { String::new() } else { format!(" [{}]", asked.scopes.join(", ")) };
        rows.push(("asks for", format!("{}{scopes}: {} ({granted})", asked.capability, asked.reason)));
    }
    for (capability, scopes) in &plugin.grants {
        let scopes = if scopes.iter().any(|scope| scope == "*") { "all".to_owned() } else { scopes.join(", ") };
        rows.push(("may use", format!("{capability}: {scopes}")));
    }
    let mut shown = facts(width, rows);
    for kind in &plugin.task_types {
        // Anything longer is no example to learn from; it stands in full in the JSON.
        if kind.example.len() <= MAX_EXAMPLE {
            let example = printable(&json::indent(&kind.example));
            let _ = writeln!(shown, "\nAn input of {} that works:\n\n{example}", printable(&kind.name));
        }
    }
    let missing: Vec<_> = plugin.asked.iter().filter(|asked| !asked.granted).collect();
    if !missing.is_empty() {
        // The very lines to add, so that granting is one paste.
        shown.push_str("\nTo grant what is missing, add to buddy.yaml:\n\n");
        let _ = writeln!(shown, "plugins:\n  grants:\n    {}:", printable(&plugin.name));
        for asked in missing {
            let _ = writeln!(shown, "      {}: {}", printable(&asked.capability), grant_value(&asked.scopes));
        }
    }
    shown
}

/// Whether what is granted covers the scope, as far as their texts tell.
fn covered(scope: &str, granted: &[String]) -> bool {
    let covers = |granted: &String| {
        granted == "*"
            || granted == scope
            || granted
                .strip_prefix('*')
                .is_some_and(|below| below.starts_with('.') && scope.len() > below.len() && scope.ends_with(below))
    };
    granted.iter().any(covers)
}

fn grant_value(scopes: &[String]) -> String {
    if scopes.is_empty() {
        return "true".to_owned();
    }
    // JSON strings are YAML strings too.
    let quoted: Vec<String> =
        scopes.iter().map(|scope| serde_json::Value::from(printable(scope)).to_string()).collect();
    format!("[{}]", quoted.join(", "))
}
