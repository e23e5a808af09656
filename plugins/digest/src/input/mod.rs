//! What a digest is asked to do, exactly as it stands in the task's JSON. The doc comments become the descriptions of
//! the JSON Schema that every caller sees.
//!
//! Unknown fields are errors everywhere. What a schema cannot say (one source only, a regular expression that
//! compiles) is checked in `pipeline`, with the JSON Pointer of the fault.

mod source;
mod steps;
mod text_or;

use schemars::JsonSchema;
use serde::Deserialize;

pub use source::{CsvOptions, Format, Source};
pub use steps::{
    Aggregate, AggregateOp, Column, ColumnType, Condition, Dedupe, Direction, Explode, GroupBy, Join, JoinKey,
    JoinKind, Keep, Op, SelectColumn, SortKey, Step, TopK,
};
pub use text_or::TextOr;

/// Rows a result may have when the input does not say: what fits a screen's table and a Firestore document.
pub const DEFAULT_MAX_ROWS: u32 = 1000;

/// Records in, a small result out.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Where the records come from.
    pub from: Source,
    /// What is done with them, in this order. None: the records are the result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub steps: Vec<Step>,
    /// The most rows the result may have; more is an error, not a cut. `limit` and `top_k` cut.
    #[serde(default = "default_max_rows")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_rows: u32,
}

fn default_max_rows() -> u32 {
    DEFAULT_MAX_ROWS
}

/// Reads a field that is there, null included, so that `"value": null` is not taken for no value.
fn present<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
