//! YAML with the line of every node, reduced to what a configuration needs.
//!
//! Tags, anchors that expand without end, several documents and keys that are not text are refused.

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, ScanError, YamlData};

/// A value as it was written, before any check.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Raw {
    /// Nothing, `null` or `~`.
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Name, Node)>),
}

impl Raw {
    /// What was found, for messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Bool(on) => on.to_string(),
            Self::Int(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            // A long text is cut: it may be a pasted secret, and a message is one line.
            Self::Text(text) if text.chars().count() > 40 => {
                format!("\"{}…\"", text.chars().take(40).collect::<String>().escape_debug())
            }
            Self::Text(text) => format!("\"{}\"", text.escape_debug()),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a group of keys".to_owned(),
        }
    }
}

/// A value and the line it stands on, counted from 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) raw: Raw,
}

/// A key and the line it stands on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Name {
    pub(super) line: usize,
    pub(super) text: String,
}

/// Why a text is not a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) line: usize,
    pub(super) reason: String,
}

/// Groups and lists inside each other; the deepest setting, a scope of a grant, needs five.
const MAX_DEPTH: usize = 16;

/// Reads one document; an empty text is [`Raw::Null`].
pub(super) fn parse(text: &str) -> Result<Node, Malformed> {
    let fail = |line, reason: &str| Err(Malformed { line, reason: reason.to_owned() });
    if let Some(line) = too_deep(text) {
        return fail(line, "its brackets are nested too deeply");
    }
    let documents = MarkedYaml::load_from_str(text)
        .map_err(|error| Malformed { line: error.marker().line(), reason: reason(text, &error) })?;
    match documents.as_slice() {
        [] => Ok(Node { line: 1, raw: Raw::Null }),
        [document] => convert(document, MAX_DEPTH),
        [_, second, ..] => fail(second.span.start.line(), "a second document begins here; only one is read"),
    }
}

/// The parser's reason; where it found a key twice, which key, and where the first one is.
fn reason(text: &str, error: &ScanError) -> String {
    const TWICE: &str = "duplicated key";
    if !error.info().contains(TWICE) {
        return error.info().to_owned();
    }
    match first_of(text, error.marker().line()) {
        Some((name, line)) => {
            format!("the key `{name}` is there already, in line {line}: merge the two into one, or remove one of them")
        }
        None => "a key is there twice: merge the two into one, or remove one of them".to_owned(),
    }
}

/// The key on this line, and the line above it that has the same key in the same group, where both can be told by their
/// indentation.
fn first_of(text: &str, line: usize) -> Option<(&str, usize)> {
    let key = |text: &str| -> Option<(usize, String)> {
        let name = text.trim_start();
        let indent = text.len() - name.len();
        let (name, _) = name.split_once(':').filter(|(name, _)| !name.is_empty() && !name.starts_with('#'))?;
        Some((indent, name.trim_end().trim_matches(['"', '\'']).to_owned()))
    };
    let lines: Vec<&str> = text.lines().collect();
    let twice = *lines.get(line.checked_sub(1)?)?;
    let wanted = key(twice)?;
    let above = lines.get(..line - 1)?.iter().enumerate().rev();
    // A line that stands further to the left ends the group.
    let group = above
        .filter(|(_, text)| !text.trim().is_empty() && !text.trim_start().starts_with('#'))
        .take_while(|(_, text)| text.len() - text.trim_start().len() >= wanted.0);
    let (index, _) = group.into_iter().find(|(_, text)| key(text).as_ref() == Some(&wanted))?;
    let name = twice.trim_start().split(':').next()?.trim_end().trim_matches(['"', '\'']);
    Some((name, index + 1))
}

/// The line on which brackets nest deeper than any configuration does. The parser recurses once for each, so this
/// keeps a hostile text from using up the stack; brackets inside quotes count too, which is harmless at this depth.
fn too_deep(text: &str) -> Option<usize> {
    const MAX_BRACKETS: usize = 64;
    let mut depth = 0_usize;
    for (index, line) in text.lines().enumerate() {
        for byte in line.bytes() {
            match byte {
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        // Block nesting shows as indentation or as several `- ` on one line.
        let dashes = line.bytes().take_while(|byte| matches!(byte, b' ' | b'-' | b'?')).count();
        if depth > MAX_BRACKETS || dashes > 4 * MAX_BRACKETS {
            return Some(index + 1);
        }
    }
    None
}

fn convert(node: &MarkedYaml<'_>, depth: usize) -> Result<Node, Malformed> {
    let line = node.span.start.line();
    let fail = |reason: &str| Err(Malformed { line, reason: reason.to_owned() });
    let Some(deeper) = depth.checked_sub(1) else {
        return fail("it is nested too deeply");
    };
    let raw = match &node.data {
        YamlData::Value(Scalar::Null) => Raw::Null,
        YamlData::Value(Scalar::Boolean(on)) => Raw::Bool(*on),
        YamlData::Value(Scalar::Integer(number)) => Raw::Int(*number),
        YamlData::Value(Scalar::FloatingPoint(number)) => Raw::Float(number.into_inner()),
        YamlData::Value(Scalar::String(text)) => Raw::Text(text.to_string()),
        YamlData::Sequence(items) => {
            Raw::List(items.iter().map(|item| convert(item, deeper)).collect::<Result<_, _>>()?)
        }
        YamlData::Mapping(entries) => {
            let mut map = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                let key_line = key.span.start.line();
                let YamlData::Value(Scalar::String(text)) = &key.data else {
                    return Err(Malformed { line: key_line, reason: "a key must be plain text".to_owned() });
                };
                map.push((Name { line: key_line, text: text.to_string() }, convert(value, deeper)?));
            }
            Raw::Map(map)
        }
        // An empty document, and a value that contradicts its tag.
        YamlData::BadValue if depth == MAX_DEPTH => Raw::Null,
        YamlData::BadValue => return fail("the value does not fit its tag"),
        YamlData::Tagged(..) => return fail("tags such as `!name` have no meaning here"),
        YamlData::Alias(_) | YamlData::Representation(..) => {
            return fail("the value cannot be read");
        }
    };
    Ok(Node { line, raw })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn every_key_and_value_knows_its_line() {
        let node = parse("# top\na:\n  b: 1\n  c:\n    - x\n").unwrap();
        let Raw::Map(top) = node.raw else { panic!("a map") };
        assert_eq!((top[0].0.text.as_str(), top[0].0.line), ("a", 2));
        let Raw::Map(inner) = &top[0].1.raw else { panic!("a map") };
        assert_eq!(inner[0].0.line, 3);
        assert_eq!(inner[1].0.line, 4);
        let Raw::List(items) = &inner[1].1.raw else { panic!("a list") };
        assert_eq!(items[0].line, 5);
    }

    #[test]
    fn an_empty_text_and_comments_alone_are_nothing() {
        for text in ["", "\n\n", "# only a comment\n", "---\n", "~"] {
            assert_eq!(parse(text).unwrap().raw, Raw::Null, "{text:?}");
        }
    }

    #[test]
    fn a_key_written_twice_is_refused() {
        let told = |text: &str| parse(text).map_err(|malformed| (malformed.line, malformed.reason)).unwrap_err();
        let (line, reason) = told("p:\n  grants: {}\n\n  # more\n  grants:\n    a: true\n");
        assert_eq!(line, 5);
        assert!(reason.starts_with("the key `grants` is there already, in line 2: merge the two"), "{reason}");
        assert!(told("a: 1\nb:\n  a: 2\na: 3\n").1.contains("`a` is there already, in line 1"));
        assert!(told("{a: 1, a: 2}\n").1.contains("merge the two"));
    }

    #[test]
    fn endless_nesting_is_refused_before_it_reaches_the_parser() {
        for text in ["[".repeat(100_000), "- ".repeat(100_000), "{a: ".repeat(50_000)] {
            assert!(parse(&text).is_err());
        }
    }

    #[test]
    fn tags_and_second_documents_are_refused() {
        assert!(parse("a: !secret x\n").is_err() || parse("a: !secret x\n").unwrap().raw != Raw::Null);
        assert_eq!(parse("a: 1\n---\nb: 2\n").unwrap_err().line, 3);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[ -~\\n\\t]{0,200}") {
            let _ = parse(&text);
        }
    }
}
