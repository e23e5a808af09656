//! The one look of every table.

use comfy_table::{ContentArrangement, Table, presets};

/// A table without lines, as wide as the terminal at most.
pub(super) fn table(width: u16) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table
}

/// Its text, without the padding at the left and the spaces at the ends of lines.
pub(super) fn text(table: &Table) -> String {
    // One space of padding; more of them are an empty first cell, which keeps its place.
    table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned() + "\n").collect()
}

/// Two columns: what, and its value.
pub(super) fn facts(width: u16, rows: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let mut table = table(width);
    for (name, value) in rows {
        table.add_row([name.to_owned(), printable(&value)]);
    }
    text(&table)
}

/// One line of at most so many characters, with `…` for what is missing.
pub(super) fn line(text: &str, most: usize) -> String {
    let mut lines = text.lines();
    let line = printable(lines.next().unwrap_or_default());
    if lines.next().is_none() && line.chars().count() <= most {
        return line;
    }
    line.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// A text that stays one line in a log whatever stands in it: what would end the line or steer a terminal is escaped.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

/// Text that plugins, pages and other machines wrote, without what could steer a terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .filter_map(|c| match c {
            '\n' => Some('\n'),
            '\t' => Some(' '),
            c if c.is_control() => None,
            // Marks that turn the direction of writing make a line read as something else.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => None,
            c => Some(c),
        })
        .collect()
}
