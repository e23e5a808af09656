//! What is wrong with an input, in words for whoever wrote it.
//!
//! A validator says of alternatives (`anyOf`, `oneOf`) only that none fits. Here the one that was meant is looked for,
//! and its fault is told at its own place; where it cannot be known, the alternatives are named.

use crate::text::{instead, joined, listed, nearest, shorten};
use crate::wit::types::Invalid;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value;
use std::cmp::Reverse;

/// Faults of one input that are reported. One is enough to refuse it, a few help to put it right at once.
pub(super) const MAX_FAULTS: usize = 10;

/// Bytes of one fault's message: it quotes the value at fault.
const MAX_MESSAGE: usize = 500;

/// Bytes of a quoted value.
const MAX_QUOTE: usize = 100;

/// What is said of a key that is not there.
const MISSING: &str = " is missing";

/// The faults of an input by its `schema`. As many as there are errors, or a few more or less; never none of some.
pub(super) fn faults<'i>(schema: &Value, errors: impl Iterator<Item = ValidationError<'i>>) -> Vec<Invalid> {
    let mut found = Vec::new();
    for error in errors.take(MAX_FAULTS) {
        explain(schema, &error, &mut found);
    }
    found.truncate(MAX_FAULTS);
    // A key that is misspelt is also missing; it is told once.
    let slips: Vec<(String, String)> = found.iter().map(|fault| (fault.path.clone(), fault.message.clone())).collect();
    found.retain(|fault| {
        let meant = fault.message.strip_suffix(MISSING).map(|key| format!(" (did you mean {key}?)"));
        !meant.is_some_and(|meant| slips.iter().any(|(path, told)| *path == fault.path && told.ends_with(&meant)))
    });
    found
}

fn explain(schema: &Value, error: &ValidationError<'_>, found: &mut Vec<Invalid>) {
    let message = match error.kind() {
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            return alternatives(schema, error, context, found);
        }
        Kind::OneOfMultipleValid { context } => {
            let fitting = context.iter().enumerate().filter(|(_, faults)| faults.is_empty());
            let names: Vec<String> = fitting.map(|(n, _)| called(schema, error, n)).collect();
            format!("fits more than one of the alternatives, and must fit one only: {}", joined(names))
        }
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let known = known_keys(schema, error);
            found.extend(unexpected.iter().map(|key| {
                let message =
                    format!("the key `{}` is not known here{}", shorten(key, MAX_QUOTE), instead(key, &known));
                fault(error, &message)
            }));
            return;
        }
        Kind::Required { property } => format!("`{}`{MISSING}", property.as_str().unwrap_or_default()),
        Kind::MinProperties { limit } => {
            let known = known_keys(schema, error);
            let known = if known.is_empty() { String::new() } else { format!("; known: {}", listed(known)) };
            format!("needs at least {}{known}", keys(*limit))
        }
        Kind::MaxProperties { limit } => format!("may have at most {}", keys(*limit)),
        Kind::Enum { options } => choice(error.instance(), options.as_array().into_iter().flatten()),
        Kind::Constant { expected_value } => choice(error.instance(), [&**expected_value]),
        Kind::Type { kind } => of_type(error.instance(), types(kind)),
        Kind::FalseSchema => format!("nothing may stand here, not {}", quoted(error.instance())),
        _ => error.to_string(),
    };
    found.push(fault(error, &message));
}

fn fault(error: &ValidationError<'_>, message: &str) -> Invalid {
    Invalid { path: error.instance_path().to_string(), message: shorten(message, MAX_MESSAGE) }
}

fn keys(count: u64) -> String {
    if count == 1 { "1 key".to_owned() } else { format!("{count} keys") }
}

fn quoted(value: &Value) -> String {
    shorten(&value.to_string(), MAX_QUOTE)
}

/// The keys that the schema knows where it found an unknown one.
fn known_keys<'s>(schema: &'s Value, error: &ValidationError<'_>) -> Vec<&'s str> {
    let object = parent(error.schema_path().as_str()).and_then(|place| schema.pointer(place));
    let known = object.and_then(|object| object.get("properties")).and_then(Value::as_object);
    known.into_iter().flat_map(|known| known.keys().map(String::as_str)).collect()
}

/// A JSON Pointer without its last step.
fn parent(pointer: &str) -> Option<&str> {
    pointer.rsplit_once('/').map(|(parent, _)| parent)
}

fn types(kind: &TypeKind) -> Vec<JsonType> {
    match kind {
        TypeKind::Single(one) => vec![*one],
        TypeKind::Multiple(several) => several.iter().collect(),
    }
}

fn of_type(value: &Value, types: Vec<JsonType>) -> String {
    let mut words: Vec<&str> = Vec::new();
    for kind in types {
        let word = match kind {
            JsonType::Array => "an array",
            JsonType::Boolean => "true or false",
            JsonType::Integer => "a whole number",
            JsonType::Null => "null",
            JsonType::Number => "a number",
            JsonType::Object => "an object",
            JsonType::String => "a string",
        };
        if !words.contains(&word) {
            words.push(word);
        }
    }
    format!("must be {}, not {}", words.join(" or "), quoted(value))
}

/// One of some values, and the one that may have been meant.
fn choice<'v>(value: &Value, options: impl IntoIterator<Item = &'v Value>) -> String {
    let mut offered: Vec<&Value> = Vec::new();
    for option in options {
        if !offered.contains(&option) {
            offered.push(option);
        }
    }
    let near = value.as_str().and_then(|word| nearest(word, offered.iter().filter_map(|option| option.as_str())));
    let hint = near.map(|near| format!(" (did you mean {}?)", Value::from(near))).unwrap_or_default();
    let one_of = if offered.len() == 1 { "" } else { "one of " };
    let offered = joined(offered.into_iter().map(quoted));
    format!("must be {one_of}{offered}, not {}{hint}", quoted(value))
}

/// What speaks against one of several alternatives being the one that was meant.
struct Branch<'e> {
    number: usize,
    errors: &'e [ValidationError<'static>],
    /// It wants another kind of value: a string, where an object stands.
    other_kind: bool,
    /// A value that tells alternatives apart, here or one step below, is another's.
    other_tag: bool,
    /// Steps down to its first fault: the further what is there fits, the more likely it was meant.
    depth: usize,
    /// Keys that it misses, or does not know.
    keys: usize,
}

impl<'e> Branch<'e> {
    fn new(number: usize, errors: &'e [ValidationError<'static>], place: &str) -> Self {
        let here = |error: &&ValidationError<'_>| error.instance_path().as_str() == place;
        let keys = errors.iter().filter(here).map(|error| match error.kind() {
            Kind::Required { .. } => 1,
            Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => unexpected.len(),
            _ => 0,
        });
        Self {
            number,
            errors,
            other_kind: errors.iter().filter(here).any(|error| matches!(error.kind(), Kind::Type { .. })),
            other_tag: errors.iter().any(|error| is_tag(error, place)),
            depth: errors.iter().map(|error| depth(error, place)).min().unwrap_or_default(),
            keys: keys.sum(),
        }
    }

    fn unlikely(&self) -> (Reverse<usize>, usize, usize) {
        (Reverse(self.depth), self.keys, self.errors.len())
    }
}

/// Steps from `place` to where the error is.
fn depth(error: &ValidationError<'_>, place: &str) -> usize {
    error.instance_path().as_str().get(place.len()..).unwrap_or_default().matches('/').count()
}

fn is_tag(error: &ValidationError<'_>, place: &str) -> bool {
    matches!(error.kind(), Kind::Constant { .. } | Kind::Enum { .. }) && depth(error, place) <= 1
}

/// None of the alternatives fits: the fault of the one that was meant, or what they are.
fn alternatives(
    schema: &Value,
    error: &ValidationError<'_>,
    context: &[Vec<ValidationError<'static>>],
    found: &mut Vec<Invalid>,
) {
    let place = error.instance_path().as_str();
    let branches: Vec<Branch<'_>> =
        context.iter().enumerate().map(|(n, errors)| Branch::new(n, errors, place)).collect();
    let mut likely: Vec<&Branch<'_>> = branches.iter().filter(|branch| !branch.other_kind).collect();
    if likely.is_empty() {
        return found.push(no_kind(error, &branches));
    }
    if likely.len() > 1 && likely.iter().all(|branch| branch.other_tag) {
        return found.push(no_tag(error, &likely));
    }
    if likely.iter().any(|branch| !branch.other_tag) {
        likely.retain(|branch| !branch.other_tag);
    }
    let best = likely.iter().map(|branch| branch.unlikely()).min();
    likely.retain(|branch| Some(branch.unlikely()) == best);
    match likely.as_slice() {
        [one] => one.errors.iter().for_each(|inner| explain(schema, inner, found)),
        several => found.push(no_name(schema, error, several)),
    }
}

/// Each alternative wants another kind of value.
fn no_kind(error: &ValidationError<'_>, branches: &[Branch<'_>]) -> Invalid {
    let place = error.instance_path().as_str();
    let wanted = branches.iter().flat_map(|branch| branch.errors).filter_map(|error| match error.kind() {
        Kind::Type { kind } if error.instance_path().as_str() == place => Some(types(kind)),
        _ => None,
    });
    fault(error, &of_type(error.instance(), wanted.flatten().collect()))
}

/// Each alternative has another value in the place that tells them apart.
fn no_tag(error: &ValidationError<'_>, branches: &[&Branch<'_>]) -> Invalid {
    let place = error.instance_path().as_str();
    let tags: Vec<_> = branches.iter().flat_map(|branch| branch.errors).filter(|error| is_tag(error, place)).collect();
    // Where most of them disagree with the value; there is one, as each of the branches has such an error.
    let count = |path: &str| tags.iter().filter(|tag| tag.instance_path().as_str() == path).count();
    let Some(first) = tags.iter().max_by_key(|tag| count(tag.instance_path().as_str())) else {
        return fault(error, &error.to_string());
    };
    let same = tags.iter().filter(|tag| tag.instance_path() == first.instance_path());
    let options = same.flat_map(|tag| match tag.kind() {
        Kind::Constant { expected_value } => vec![&**expected_value],
        Kind::Enum { options } => options.as_array().into_iter().flatten().collect(),
        _ => Vec::new(),
    });
    fault(first, &choice(first.instance(), options))
}

/// Nothing tells which one was meant: what they are.
fn no_name(schema: &Value, error: &ValidationError<'_>, branches: &[&Branch<'_>]) -> Invalid {
    let place = error.instance_path().as_str();
    // Alternatives that are told apart by a key of their own, as in `{"click": …}` or `{"scroll": …}`.
    let own_keys: Vec<Vec<&str>> = branches
        .iter()
        .map(|branch| {
            let missing = branch.errors.iter().filter(|error| error.instance_path().as_str() == place);
            missing
                .filter_map(|error| match error.kind() {
                    Kind::Required { property } => property.as_str(),
                    _ => None,
                })
                .collect()
        })
        .collect();
    if own_keys.iter().all(|keys| !keys.is_empty()) {
        let mut groups: Vec<String> = own_keys
            .iter()
            .map(|keys| keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" and "))
            .collect();
        groups.dedup();
        let there = error.instance().as_object();
        let slip = there.and_then(|object| {
            let keys: Vec<&str> = own_keys.iter().flatten().copied().collect();
            object.keys().find_map(|key| Some((key, nearest(key, keys.iter().copied())?)))
        });
        let hint =
            slip.map(|(key, near)| format!(" (did you mean `{near}` where it says `{}`?)", shorten(key, MAX_QUOTE)));
        let one_of = if groups.len() == 1 { "" } else { "one of " };
        return fault(error, &format!("needs {one_of}{}{}", joined(groups), hint.unwrap_or_default()));
    }
    let names = branches.iter().map(|branch| called(schema, error, branch.number));
    fault(error, &format!("fits none of the alternatives: {}", joined(names)))
}

/// What an alternative is called: by its title, its definition, its value, its keys or its kind.
fn called(schema: &Value, error: &ValidationError<'_>, number: usize) -> String {
    let branch = schema.pointer(error.schema_path().as_str()).and_then(|all| all.get(number));
    let text = |name: &str| branch.and_then(|branch| branch.get(name)).and_then(Value::as_str);
    if let Some(title) = text("title") {
        return format!("`{}`", shorten(title, MAX_QUOTE));
    }
    if let Some((_, name)) = text("$ref").and_then(|target| target.rsplit_once('/')) {
        return format!("`{}`", shorten(name, MAX_QUOTE));
    }
    if let Some(value) = branch.and_then(|branch| branch.get("const")) {
        return quoted(value);
    }
    let keys = |name: &str| branch.and_then(|branch| branch.get(name));
    if let Some(required) = keys("required").and_then(Value::as_array).filter(|all| !all.is_empty()) {
        return format!("an object with {}", listed(required.iter().filter_map(Value::as_str)));
    }
    match text("type") {
        Some(kind) => format!("a value of type {}", shorten(kind, MAX_QUOTE)),
        None => format!("number {}", number + 1),
    }
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
