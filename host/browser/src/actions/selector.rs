//! Selectors, parsed.
//!
//! `CSS`, `text=…`, `role=…[name="…"]` and `xpath=…`; `A >>> B` looks for B inside the frame that A selects. The
//! outer syntax is read here and only here; the engine in the page gets the parsed steps. What CSS and XPath say
//! inside is Chromium's to judge: a mistake there is reported by the first use.

use serde::Serialize;

use crate::error::BrowserError;

/// Bytes of the longest selector: far beyond what a person or a generator writes, and small enough for a message.
const LONGEST: usize = 8 * 1024;

/// Frames deep a selector may go: browsers themselves stop nesting frames soon after.
const MOST_STEPS: usize = 16;

/// A selector that can be used: at least one step, the last of which selects the element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selector {
    source: String,
    /// The frames to go through, outermost first.
    pub(crate) frames: Vec<Step>,
    /// What is looked for in the last frame.
    pub(crate) step: Step,
}

/// One step, in the shape that the engine reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Step {
    /// A CSS selector as a whole, and taken apart at its commas and descendant spaces for the search across shadow
    /// borders.
    Css {
        /// As written.
        css: String,
        /// Each alternative's parts, outermost first.
        alternatives: Vec<Vec<String>>,
    },
    /// The innermost elements with a text.
    Text {
        /// The text, white space normalised.
        text: String,
        /// The whole text as written, rather than a part of it in any case.
        exact: bool,
    },
    /// An ARIA role.
    Role {
        /// In lower case.
        role: String,
        /// The accessible name, compared as a whole in any case; absent: any.
        name: Option<String>,
    },
    /// An XPath expression; it does not see into shadow roots.
    Xpath {
        /// The expression.
        path: String,
    },
    /// The element that the search starts from: `:scope`.
    #[serde(rename = "self")]
    Itself,
}

impl Selector {
    /// Parses a selector; the error says what is wrong with it.
    pub(crate) fn parse(source: &str) -> Result<Self, BrowserError> {
        let invalid = |what: &str| BrowserError::Invalid(format!("the selector `{}` {what}", shorten(source)));
        if source.len() > LONGEST {
            return Err(invalid("is longer than 8 KiB"));
        }
        let pieces = split_top_level(source, Separator::Frame).map_err(|what| invalid(&what))?;
        if pieces.len() > MOST_STEPS {
            return Err(invalid("goes through more than 15 frames"));
        }
        let mut frames = Vec::with_capacity(pieces.len());
        for piece in pieces {
            frames.push(Step::parse(piece.trim()).map_err(|what| invalid(&what))?);
        }
        let Some(step) = frames.pop() else { return Err(invalid("is empty")) };
        Ok(Self { source: source.to_owned(), frames, step })
    }

    /// As written, shortened for messages.
    pub(crate) fn shown(&self) -> &str {
        shorten(&self.source)
    }
}

impl Step {
    fn parse(piece: &str) -> Result<Self, String> {
        if let Some(text) = piece.strip_prefix("text=") {
            return Self::parse_text(text.trim());
        }
        if let Some(role) = piece.strip_prefix("role=") {
            return Self::parse_role(role.trim());
        }
        if let Some(path) = piece.strip_prefix("xpath=") {
            if path.trim().is_empty() {
                return Err("has nothing after `xpath=`".to_owned());
            }
            return Ok(Self::Xpath { path: path.trim().to_owned() });
        }
        match piece {
            "" => Err("is empty, or has an empty step beside `>>>`".to_owned()),
            ":scope" => Ok(Self::Itself),
            css => Self::parse_css(css),
        }
    }

    fn parse_text(text: &str) -> Result<Self, String> {
        let (words, exact) = match unquote(text) {
            Some(inner) => (inner, true),
            None => (text.to_owned(), false),
        };
        let text = words.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.is_empty() {
            return Err("has no text after `text=`".to_owned());
        }
        Ok(Self::Text { text, exact })
    }

    fn parse_role(rest: &str) -> Result<Self, String> {
        let (role, attributes) = rest.split_at(rest.find('[').unwrap_or(rest.len()));
        let role = role.trim().to_ascii_lowercase();
        if role.is_empty() || !role.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return Err("has no ARIA role after `role=`; write for example `role=button[name=\"Save\"]`".to_owned());
        }
        if attributes.trim().is_empty() {
            return Ok(Self::Role { role, name: None });
        }
        let name = attributes
            .trim()
            .strip_prefix('[')
            .and_then(|inner| inner.strip_suffix(']'))
            .and_then(|inner| inner.trim().strip_prefix("name"))
            .and_then(|inner| inner.trim_start().strip_prefix('='))
            .and_then(|quoted| unquote(quoted.trim()));
        match name {
            Some(name) => Ok(Self::Role { role, name: Some(name) }),
            None => Err("has something other than `[name=\"…\"]` after its role".to_owned()),
        }
    }

    fn parse_css(css: &str) -> Result<Self, String> {
        let mut alternatives = Vec::new();
        for alternative in split_top_level(css, Separator::Comma)? {
            let words = split_top_level(alternative.trim(), Separator::Space)?;
            alternatives.push(join_combinators(&words));
        }
        if alternatives.iter().any(Vec::is_empty) {
            return Err("has an empty alternative beside a comma".to_owned());
        }
        Ok(Self::Css { css: css.to_owned(), alternatives })
    }
}

/// Puts words that are joined by `>`, `+` or `~` together again: only descendant spaces part.
fn join_combinators(words: &[&str]) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut glue = false;
    for word in words.iter().filter(|word| !word.is_empty()) {
        let leads = word.starts_with(['>', '+', '~']);
        match parts.last_mut() {
            Some(last) if glue || leads => {
                last.push(' ');
                last.push_str(word);
            }
            _ => parts.push((*word).to_owned()),
        }
        glue = word.ends_with(['>', '+', '~']);
    }
    parts
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Separator {
    /// `>>>`
    Frame,
    /// `,`
    Comma,
    /// White space.
    Space,
}

/// Splits outside of quotes, brackets and parentheses; a backslash takes the next character as it is.
fn split_top_level(source: &str, separator: Separator) -> Result<Vec<&str>, String> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut quote = None;
    let mut open: Vec<char> = Vec::new();
    let mut characters = source.char_indices();
    while let Some((at, character)) = characters.next() {
        if at < start {
            continue;
        }
        match character {
            '\\' => {
                characters.next();
            }
            _ if quote == Some(character) => quote = None,
            _ if quote.is_some() => {}
            // `text=` takes words as they are, so an apostrophe there is not a quote.
            '"' | '\'' if !in_bare_text(&source[start..at]) => quote = Some(character),
            '(' => open.push(')'),
            '[' => open.push(']'),
            ')' | ']' if open.last() == Some(&character) => {
                open.pop();
            }
            _ => {
                let rest = &source[at..];
                // Words after `text=` may hold a lone bracket: there it does not keep `>>>` from parting.
                let inside = !open.is_empty() && !in_bare_text(&source[start..at]);
                let length = match separator {
                    Separator::Frame if !inside && rest.starts_with(">>>") => 3,
                    Separator::Comma if !inside && character == ',' => 1,
                    Separator::Space if !inside && character.is_whitespace() => character.len_utf8(),
                    _ => 0,
                };
                if length > 0 {
                    pieces.push(&source[start..at]);
                    start = at + length;
                    open.clear();
                }
            }
        }
    }
    if quote.is_some() {
        return Err("has a quote that is not closed".to_owned());
    }
    pieces.push(&source[start..]);
    Ok(pieces)
}

/// Whether what was read of a piece so far is `text=` without an opening quote.
fn in_bare_text(read: &str) -> bool {
    read.trim_start().strip_prefix("text=").is_some_and(|text| !text.trim_start().is_empty())
}

/// The inside of a text in single or double quotes, its `\"` and `\\` resolved; `None` when it is not quoted.
fn unquote(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|first| matches!(first, '"' | '\''))?;
    let mut inner = String::with_capacity(text.len());
    let mut characters = text[1..].chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => inner.push(characters.next()?),
            _ if character == quote => return characters.as_str().is_empty().then_some(inner),
            _ => inner.push(character),
        }
    }
    None
}

/// At most 200 bytes: enough to find it in one's own code.
fn shorten(text: &str) -> &str {
    let mut end = text.len().min(200);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;

    use super::*;

    fn step(source: &str) -> Step {
        Selector::parse(source).unwrap().step
    }

    fn parts(source: &str) -> Vec<Vec<String>> {
        match step(source) {
            Step::Css { alternatives, .. } => alternatives,
            other => panic!("{source} is {other:?}"),
        }
    }

    #[test]
    fn css_parts_at_commas_and_descendant_spaces_only() {
        assert_eq!(parts("a b>c, d"), [vec!["a", "b>c"], vec!["d"]]);
        assert_eq!(parts("a > b  c ~ d"), [vec!["a > b", "c ~ d"]]);
        assert_eq!(parts(r#"[title="a, b c"] :is(x, y z)"#), [vec![r#"[title="a, b c"]"#, ":is(x, y z)"]]);
        assert_eq!(parts(r"a\,b c"), [vec![r"a\,b", "c"]]);
    }

    #[test]
    fn frames_come_before_the_step() {
        let selector = Selector::parse(r#"iframe[title=">>>"] >>> #inner >>> text=Buy"#).unwrap();
        assert_eq!(selector.frames.len(), 2);
        assert_eq!(selector.step, Step::Text { text: "Buy".to_owned(), exact: false });
    }

    #[test]
    fn text_is_a_part_in_any_case_or_exact_in_quotes() {
        assert_eq!(step("text=  Sign   in "), Step::Text { text: "Sign in".to_owned(), exact: false });
        assert_eq!(step(r#"text="Sign \"in\"""#), Step::Text { text: r#"Sign "in""#.to_owned(), exact: true });
        assert_eq!(step("text=It's (1"), Step::Text { text: "It's (1".to_owned(), exact: false });
        assert_eq!(step("text=it's >>> p"), parts_as_step("p"));
    }

    fn parts_as_step(css: &str) -> Step {
        Step::Css { css: css.to_owned(), alternatives: vec![vec![css.to_owned()]] }
    }

    #[test]
    fn role_takes_a_name() {
        let role = |name: Option<&str>| Step::Role { role: "button".to_owned(), name: name.map(str::to_owned) };
        assert_eq!(step("role=button"), role(None));
        assert_eq!(step(r#"role=button[name="Save ]"]"#), role(Some("Save ]")));
        assert_eq!(step("role=Button[ name = 'Save' ]"), role(Some("Save")));
    }

    #[test]
    fn mistakes_are_named() {
        for (source, words) in [
            ("", "is empty"),
            ("a >>> ", "is empty, or has an empty step"),
            ("text=", "has no text"),
            ("role=", "has no ARIA role"),
            ("role=button[level=2]", "other than `[name"),
            ("a[title=\"x]", "quote that is not closed"),
            ("a, ,b", "empty alternative"),
            ("xpath= ", "nothing after"),
        ] {
            let error = Selector::parse(source).unwrap_err();
            assert_eq!(error.code(), "invalid");
            assert!(error.to_string().contains(words), "{source}: {error}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_keeps_the_source(source in "\\PC{0,60}") {
            if let Ok(selector) = Selector::parse(&source) {
                prop_assert_eq!(selector.shown(), source.as_str());
            }
        }

        #[test]
        fn quoted_text_comes_back(text in "[a-z\"'\\\\>\\[ ]{1,20}") {
            prop_assume!(!text.trim().is_empty());
            let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
            prop_assert_eq!(unquote(&quoted), Some(text.clone()));
            let normal = text.split_whitespace().collect::<Vec<_>>().join(" ");
            prop_assert_eq!(step(&format!("text={quoted}")), Step::Text { text: normal, exact: true });
        }
    }
}
