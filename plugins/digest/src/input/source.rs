//! Where records come from.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::value::Value;

/// Where records come from: exactly one of `records`, `text`, `result_of`, `artifact`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The records themselves. An element that is not an object becomes the field `value` of a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<Value>")]
    pub records: Option<Vec<Value>>,
    /// The records as text; `format` says how to read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub text: Option<String>,
    /// The result of an earlier task, by its id. `self`, in a task's own `digest`: the result of that task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("format" = "task-result"))]
    pub result_of: Option<String>,
    /// A stored file, by its artifact id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("format" = "artifact-id"))]
    pub artifact: Option<String>,
    /// How to read `text`, `artifact` or `result_of`. A result is JSON; an artifact tells by its media type or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Format")]
    pub format: Option<Format>,
    /// In a JSON document: the place of the list of records, such as `pages` or `/data/items`. Absent: the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub path: Option<String>,
    /// How this CSV is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "CsvOptions")]
    pub csv: Option<CsvOptions>,
    /// Rows of CSV and lines of NDJSON that cannot be read are left out and reported; more of them than this end the
    /// task. Absent: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub max_bad_rows: Option<u64>,
}

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Format {
    /// One JSON document.
    Json,
    /// One JSON value a line.
    Ndjson,
    /// Separated columns (RFC 4180 and its common relatives), in UTF-8.
    Csv,
}

/// The dialect of a CSV text. LF and CRLF both end a row; a byte order mark is skipped.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct CsvOptions {
    /// What stands between columns: one ASCII character.
    #[schemars(length(min = 1, max = 1))]
    pub delimiter: String,
    /// What encloses a field; doubled inside it. One ASCII character; empty: nothing does.
    #[schemars(length(max = 1))]
    pub quote: String,
    /// Whether the first row names the columns.
    pub header: bool,
    /// The names of the columns, in place of the header's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    pub columns: Option<Vec<String>>,
    /// Drops blanks around names and fields.
    pub trim: bool,
    /// Reads fields that are JSON numbers, `true`, `false` as such and empty ones as null. Off: all is text. Numbers
    /// with leading zeros, and whole ones beyond 64 bits, stay text either way.
    pub infer: bool,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self { delimiter: ",".into(), quote: "\"".into(), header: true, columns: None, trim: false, infer: true }
    }
}
