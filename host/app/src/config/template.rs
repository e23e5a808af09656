//! The `buddy.yaml` that `init` writes: every key with its description and default, itself valid configuration.

use std::fmt::Write as _;

use super::keys::{Key, Kind, Preset, SECTIONS};

/// The whole file. Loaded as it stands, it gives the defaults.
pub fn template() -> String {
    let mut text = String::from(
        "# Settings of buddy-host. Every key is shown with its default; lines may be deleted.\n\
         # Relative paths start from this file's folder. Each key can also be set in the environment or in a `.env`\n\
         # file beside this one, which win over this file: BUDDY_SECTION_KEY, for example BUDDY_SYNC_BATCH_SIZE.\n",
    );
    for section in SECTIONS {
        text.push('\n');
        comment(&mut text, "", section.doc);
        line(&mut text, format_args!("{}:", section.name));
        for key in section.keys {
            comment(&mut text, "  ", key.doc);
            if let Some(also) = facts(key) {
                line(&mut text, format_args!("  # {also}"));
            }
            line(&mut text, format_args!("  {}: {}", key.name, written(key.preset)));
        }
    }
    text
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{arguments}");
}

fn comment(text: &mut String, indent: &str, doc: &[&str]) {
    // The fences of an example are for the documentation of the crate; here its indentation is enough.
    for sentence in doc.iter().filter(|sentence| !sentence.trim().starts_with("```")) {
        line(text, format_args!("{indent}#{}{sentence}", if sentence.starts_with(' ') { "" } else { " " }));
    }
}

/// Range and older environment names.
fn facts(key: &Key) -> Option<String> {
    let range = match key.kind {
        Kind::Whole(least, most) => Some(format!("From {least} to {most}.")),
        Kind::Number(least, most) => Some(format!("From {least} to {most}.")),
        _ => None,
    };
    let names = (!key.aliases.is_empty()).then(|| format!("Also {}.", key.aliases.join(", ")));
    let facts: Vec<String> = range.into_iter().chain(names).collect();
    (!facts.is_empty()).then(|| facts.join(" "))
}

fn written(preset: Preset) -> String {
    match preset {
        Preset::Unset => "null".to_owned(),
        Preset::Switch(on) => on.to_string(),
        Preset::Whole(number) => number.to_string(),
        Preset::Number(number) => number.to_string(),
        Preset::Text(text) => text.to_owned(),
        Preset::Words(words) => {
            // `*` alone would be read as an alias, so words stand in quotes.
            let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
            format!("[{}]", words.join(", "))
        }
        Preset::NoGrants => "{}".to_owned(),
    }
}
