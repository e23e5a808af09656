//! [`TaskType`]: what an author writes, and the JSON on both its sides.

use std::fmt::Write as _;
use std::future::Future;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use crate::bindings::exports::buddy::plugin::task as raw;
use crate::failure::Failure;

/// One kind of task that a plugin does.
///
/// `Input` and `Output` are plain serde types; their JSON Schemas (draft 2020-12) come from `schemars`, doc comments
/// included. Put `#[serde(deny_unknown_fields)]` on the input, so that a misspelt field is an error and not a silence.
pub trait TaskType {
    /// For example `web_navigate`: letters, digits, `_`, `-`, `.`; at most 64 bytes.
    const NAME: &'static str;
    /// What it does, in one line.
    const SUMMARY: &'static str;
    /// What a task of this type is given.
    type Input: DeserializeOwned + JsonSchema;
    /// What it answers.
    type Output: Serialize + JsonSchema;

    /// An input that works as it stands, as a person would write it.
    fn example() -> Value;

    /// Checks what the types cannot say, and estimates the cost. No capability is at hand; be quick.
    ///
    /// The router decides by the answer where the task runs. The default finds nothing to object to and asks for
    /// nothing.
    fn estimate(input: &Self::Input) -> Result<Demand, Failure> {
        let _ = input;
        Ok(Demand::default())
    }

    /// Does the task. Each try runs in a fresh instance; what must outlive a try goes into [`checkpoint`].
    ///
    /// [`checkpoint`]: crate::checkpoint
    fn run(input: Self::Input) -> impl Future<Output = Result<Self::Output, Failure>>;
}

/// What a task will probably need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Pages to open in a browser.
    pub pages: u32,
    /// Bytes of inline input to work through; the host adds what the input refers to.
    pub bytes: u64,
    /// Seconds of wall time.
    pub seconds: u32,
    /// Needs something that only the owner's computer has (a local file, a logged-in profile).
    pub desktop_only: bool,
}

impl From<Demand> for raw::Demand {
    fn from(demand: Demand) -> Self {
        let Demand { pages, bytes, seconds, desktop_only } = demand;
        Self { pages, bytes, seconds, desktop_only, more: Vec::new() }
    }
}

/// Reads an input; the error names the place of the fault by its JSON Pointer.
pub(crate) fn parse<T: DeserializeOwned>(input: &str) -> Result<T, Failure> {
    let mut json = serde_json::Deserializer::from_str(input);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        if error.inner().is_data() {
            Failure::invalid(pointer(error.path()), without_position(error.inner()))
        } else {
            Failure::invalid("", format!("this is not JSON: {}", error.inner()))
        }
    })?;
    json.end().map_err(|error| Failure::invalid("", format!("this is not one JSON value: {error}")))?;
    Ok(value)
}

/// The place is said by the pointer; line and column would only repeat it for a text that nobody sees.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    path.iter().fold(String::new(), |mut pointer, segment| {
        // Writing to a `String` cannot fail.
        let _ = match segment {
            Segment::Seq { index } => write!(pointer, "/{index}"),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                write!(pointer, "/{}", key.replace('~', "~0").replace('/', "~1"))
            }
            Segment::Unknown => Ok(()),
        };
        pointer
    })
}

pub(crate) fn describe<T: TaskType>() -> raw::TaskType {
    let draft = SchemaSettings::draft2020_12;
    let schema = |settings: SchemaSettings, root: fn(schemars::SchemaGenerator) -> schemars::Schema| {
        root(settings.into_generator()).to_value().to_string()
    };
    raw::TaskType {
        name: T::NAME.to_owned(),
        summary: T::SUMMARY.to_owned(),
        input_schema: schema(draft().for_deserialize(), schemars::SchemaGenerator::into_root_schema_for::<T::Input>),
        output_schema: schema(draft().for_serialize(), schemars::SchemaGenerator::into_root_schema_for::<T::Output>),
        example: T::example().to_string(),
        more: Vec::new(),
    }
}

pub(crate) fn estimate<T: TaskType>(input: &str) -> Result<Demand, Failure> {
    T::estimate(&parse(input)?)
}

pub(crate) async fn run<T: TaskType>(input: &str) -> Result<String, Failure> {
    let input: T::Input = parse(input)?;
    // A host may run what it never estimated; what the estimate refuses is refused here too.
    T::estimate(&input)?;
    let output = T::run(input).await?;
    serde_json::to_string(&output)
        .map_err(|error| Failure::permanent(format!("the output cannot be written as JSON: {error}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Outer {
        items: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        #[serde(rename = "a/b~c")]
        value: u32,
    }

    fn fault(input: &str) -> (String, String) {
        match parse::<Outer>(input).unwrap_err() {
            Failure::InvalidInput(mut faults) => {
                let fault = faults.remove(0);
                (fault.path, fault.message)
            }
            other => panic!("not an invalid input: {other}"),
        }
    }

    #[test]
    fn a_wrong_value_is_named_by_its_json_pointer() {
        let (path, message) = fault(r#"{"items": [{"a/b~c": 1}, {"a/b~c": "x"}]}"#);
        assert_eq!(path, "/items/1/a~1b~0c");
        assert_eq!(message, r#"invalid type: string "x", expected u32"#);
    }

    #[test]
    fn an_unknown_field_is_named_with_the_known_ones() {
        let (path, message) = fault(r#"{"items": [{"vlaue": 1}]}"#);
        assert_eq!(path, "/items/0/vlaue");
        assert_eq!(message, "unknown field `vlaue`, expected `a/b~c`");
    }

    #[test]
    fn a_missing_field_is_said_of_the_object_that_lacks_it() {
        assert_eq!(fault("{}"), (String::new(), "missing field `items`".to_owned()));
    }

    #[test]
    fn what_is_not_json_is_called_that_with_line_and_column() {
        assert_eq!(fault("{\"items\": [").1, "this is not JSON: EOF while parsing a list at line 1 column 11");
        assert_eq!(fault("{\"items\": []} x").1, "this is not one JSON value: trailing characters at line 1 column 15");
    }
}
