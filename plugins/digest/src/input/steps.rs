//! The steps of a pipeline. Each is an object with one key, the name of the step: `{"limit": 10}`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::present;
use super::source::Source;
use super::text_or::TextOr;
use crate::value::Value;

/// One step: an object with exactly one of these keys.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub struct Step {
    /// Keeps the rows for which this holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Condition")]
    pub filter: Option<Condition>,
    /// Keeps one row for each key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Dedupe")]
    pub dedupe: Option<Dedupe>,
    /// One row for each group, with figures over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "GroupBy")]
    pub group_by: Option<GroupBy>,
    /// The first rows in an order, without keeping the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TopK")]
    pub top_k: Option<TopK>,
    /// Orders the rows by these keys, the first one first. Rows that are equal keep their order; null and missing come
    /// last, rising or falling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<TextOr<SortKey>>", length(min = 1, max = 16))]
    pub sort: Option<Vec<TextOr<SortKey>>>,
    /// Keeps these fields as the row's columns, in this order; a missing one becomes null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<TextOr<SelectColumn>>", length(min = 1, max = 256))]
    pub select: Option<Vec<TextOr<SelectColumn>>>,
    /// One row for each element of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TextOr<Explode>")]
    pub explode: Option<TextOr<Explode>>,
    /// Keeps the first so many rows; reading stops there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub limit: Option<u64>,
    /// Adds columns from other records that have the same key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Join")]
    pub join: Option<Join>,
}

/// A condition: `field` with `op`, or one of `and`, `or`, `not`. A missing field compares like null; only `exists`
/// tells them apart.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The field to look at: a name, `a.b.0`, or a JSON Pointer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub field: Option<String>,
    /// How to compare it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Op")]
    pub op: Option<Op>,
    /// What to compare it with: any value; a list for `in`; text for `starts_with` and `matches`; for `exists` a
    /// boolean, true when absent.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Value")]
    pub value: Option<Value>,
    /// All of these hold. An empty list holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<Condition>")]
    pub and: Option<Vec<Condition>>,
    /// At least one of these holds. An empty list does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<Condition>")]
    pub or: Option<Vec<Condition>>,
    /// This does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Condition")]
    pub not: Option<Box<Condition>>,
}

/// How a condition compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Op {
    /// Equal; `1` equals `1.0`, null equals missing.
    Eq,
    /// Not equal.
    Ne,
    /// Less; only between two numbers, two texts or two booleans. The same for the three below.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
    /// Text that has this text in it, or a list that has this element.
    Contains,
    /// Text that begins so.
    StartsWith,
    /// Text in which this regular expression matches somewhere (`^` and `$` for the whole).
    Matches,
    /// Equal to an element of this list.
    In,
    /// The field is there, be it null.
    Exists,
}

/// Keeps one row for each key.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Dedupe {
    /// The fields that make the key; null and missing are one value. Absent: the whole row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>", length(min = 1, max = 32))]
    pub by: Option<Vec<String>>,
    /// Which row of a key stays; either way at the place of the first.
    #[serde(default)]
    pub keep: Keep,
}

/// Which row stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Keep {
    /// The first one.
    #[default]
    First,
    /// The last one.
    Last,
}

/// One row for each group, in the order in which the groups were first seen: the key's columns, then the figures.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct GroupBy {
    /// The fields that make the key; null and missing are one group. Empty: all rows are one group, even when there
    /// are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub by: Vec<TextOr<Column>>,
    /// The figures. None: the count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub aggregates: Vec<Aggregate>,
}

/// One figure over the rows of a group. Null and missing values never count.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Aggregate {
    /// Which figure.
    pub op: AggregateOp,
    /// Over which field. `count` needs none: then it counts rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub field: Option<String>,
    /// The column's name. Absent: `sum_price`, `count`. `quantiles` appends `_p50` and so on.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub name: Option<String>,
    /// For `quantiles`: which, from 0 to 1. Absent: the quartiles and the median, 0.25, 0.5, 0.75.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<f64>", length(min = 1, max = 32))]
    pub at: Option<Vec<f64>>,
}

/// A figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum AggregateOp {
    /// How many rows, or how many values that are not null.
    Count,
    /// How many different values.
    CountDistinct,
    /// The total of the numbers; 0 when there is none. Exact for whole numbers; a total beyond 64 bits becomes a float
    /// with a warning.
    Sum,
    /// The arithmetic mean of the numbers.
    Mean,
    /// The least number; where there is no number the least text, then boolean.
    Min,
    /// The greatest number; where there is no number the greatest text, then boolean.
    Max,
    /// Exact quantiles of the numbers, with linear interpolation (type 7, as numpy and Excel's `PERCENTILE.INC`).
    Quantiles,
}

/// The first `k` rows in an order.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct TopK {
    /// How many rows.
    #[schemars(range(min = 1, max = 100_000))]
    pub k: u32,
    /// The keys, the first one first; falling unless said otherwise. Equal rows: the earlier one comes first.
    #[schemars(length(min = 1, max = 16))]
    pub by: Vec<TextOr<SortKey>>,
}

/// A key to order by.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct SortKey {
    /// The field.
    pub field: String,
    /// Absent: rising in `sort`, falling in `top_k`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Direction")]
    pub order: Option<Direction>,
}

/// Rising or falling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Direction {
    /// The least first.
    Asc,
    /// The greatest first.
    Desc,
}

/// A field and the name of the column it becomes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Column {
    /// The field: a name, `a.b.0`, or a JSON Pointer.
    pub field: String,
    /// The column's name. Absent: the path with dots.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub name: Option<String>,
}

/// A field, the name of the column it becomes, and what its values are read as.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct SelectColumn {
    /// The field: a name, `a.b.0`, or a JSON Pointer.
    pub field: String,
    /// The column's name. Absent: the path with dots.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub name: Option<String>,
    /// What the values are read as. One that cannot be read so becomes null and is counted in a warning; null stays
    /// null. Absent: values stay as they are.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ColumnType")]
    pub kind: Option<ColumnType>,
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum ColumnType {
    /// Text such as `12.34`, ` 1,234.50 `, `€ 12`, `-$3.99`, `45 %` (45): space around it, a leading `+` or `-`, and one
    /// currency or percent sign before or after it are taken off; `,` only between groups of three digits; `.` before
    /// decimals. Not `12,50` or `1.234,50`.
    Number,
    /// Numbers, booleans, lists and objects as JSON.
    Text,
    /// Text `true`, `yes`, `false`, `no`, in any case, with space around it or not.
    Boolean,
}

/// One row for each element of a list, the other fields repeated.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Explode {
    /// The list. A value that is not a list counts as a list of one.
    pub field: String,
    /// The field that takes the element, while the list goes. Absent: the element takes the list's place.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub name: Option<String>,
    /// Keeps a row without elements (empty, null, missing), once, with null.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_empty: bool,
}

/// Adds the columns of other records with the same key. Rows keep their order; several matches make several rows, in
/// the order of the other side. Null never matches.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Join {
    /// The other records; they are held in memory.
    pub with: Source,
    /// The fields that must be equal, in pairs.
    #[schemars(length(min = 1, max = 16))]
    pub on: Vec<TextOr<JoinKey>>,
    /// What happens to a row without a match.
    #[serde(default)]
    pub kind: JoinKind,
    /// The other side's fields to add. Absent: all but its keys. One that the row has already is an error: give it
    /// another name here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<TextOr<Column>>", length(min = 1, max = 256))]
    pub take: Option<Vec<TextOr<Column>>>,
}

/// What a join does with a row that has no match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum JoinKind {
    /// Drops it.
    #[default]
    Inner,
    /// Keeps it, the added columns null.
    Left,
}

/// A pair of fields; the short form is one name for both.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct JoinKey {
    /// In the rows so far.
    pub left: String,
    /// In the other records.
    pub right: String,
}

impl From<String> for SortKey {
    fn from(field: String) -> Self {
        Self { field, order: None }
    }
}

impl From<String> for Column {
    fn from(field: String) -> Self {
        Self { field, name: None }
    }
}

impl From<String> for SelectColumn {
    fn from(field: String) -> Self {
        Self { field, name: None, kind: None }
    }
}

impl From<String> for Explode {
    fn from(field: String) -> Self {
        Self { field, name: None, keep_empty: false }
    }
}

impl From<String> for JoinKey {
    fn from(name: String) -> Self {
        Self { left: name.clone(), right: name }
    }
}
