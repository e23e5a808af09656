//! What a `web_navigate` task answers.
//!
//! The doc comments of this module are the descriptions in the JSON Schema.

use std::collections::BTreeMap;

use buddy_plugin::schemars::JsonSchema;
use buddy_plugin::serde::{Deserialize, Serialize};
use buddy_plugin::serde_json::{Map, Value};

/// The scraped pages, those that failed, and the figures of the run.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(crate = "buddy_plugin::serde")]
#[schemars(crate = "buddy_plugin::schemars")]
pub struct Output {
    /// In the order in which they were found: as listed, or level by level, link by link.
    pub pages: Vec<Page>,
    /// In the same order.
    pub failures: Vec<PageFailure>,
    /// The figures of the run.
    pub stats: Stats,
}

/// One page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "buddy_plugin::serde")]
#[schemars(crate = "buddy_plugin::schemars")]
pub struct Page {
    /// Where the page is, after redirects by server and by script.
    pub url: String,
    /// The address that was asked for.
    pub requested_url: String,
    /// Other addresses that were asked for and led to this same page.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Links from a start page to here.
    pub depth: u32,
    /// The server's answer; absent where there was none, for example from a cache that does not keep it.
    pub status: Option<u16>,
    /// The document's title.
    pub title: String,
    /// What `fields` took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Map<String, Value>>,
    /// What `fields` took from every element of `each`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<Value>>,
    /// The main text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub article: Option<String>,
    /// The links, each address once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<Vec<Link>>,
    /// What the page says about itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// The tables, in document order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<Vec<Table>>,
    /// The picture's artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screenshot: Option<String>,
    /// Loading was not over in time; this is what was there.
    pub timed_out: bool,
    /// It came from the page cache.
    pub from_cache: bool,
    /// The try that succeeded, from 1.
    pub attempt: u32,
    /// Parts of this page that were cut or left out to keep the output within its bounds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub truncated: Vec<String>,
}

/// A link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "buddy_plugin::serde")]
#[schemars(crate = "buddy_plugin::schemars")]
pub struct Link {
    /// Where it leads, in full.
    pub url: String,
    /// What it says.
    pub text: String,
}

/// What a page says about itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "buddy_plugin::serde", default)]
#[schemars(crate = "buddy_plugin::schemars")]
pub struct Metadata {
    /// The `description`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The document's language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lang: Option<String>,
    /// The address that the page calls its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canonical: Option<String>,
    /// Open Graph properties without their `og:`; of several with one name the first.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub open_graph: BTreeMap<String, String>,
    /// The JSON-LD blocks that are valid JSON.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub json_ld: Vec<Value>,
}

/// A table. Cells that span rows or columns are repeated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "buddy_plugin::serde", default)]
#[schemars(crate = "buddy_plugin::schemars")]
pub struct Table {
    /// The caption.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// The names of the columns, made unique; absent for a table without a header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<Vec<String>>,
    /// With a header: each row by column name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<Vec<BTreeMap<String, String>>>,
    /// Without a header: each row by position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<Vec<Vec<String>>>,
}

/// A page that could not be scraped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "buddy_plugin::serde")]
#[schemars(crate = "buddy_plugin::schemars")]
pub struct PageFailure {
    /// The address that was asked for.
    pub url: String,
    /// What kind of fault: `http-status`, `robots`, `robots-unreachable`, `off-host`, `download`, `unsettled`,
    /// `unfinished` (its tries never came to an end), or a code of the host's such as `timed-out`, `dns`, `connect`, `tls`, `redirects`, `policy`, `page-crashed`, `denied`.
    pub code: String,
    /// The reason, as one sentence.
    pub reason: String,
    /// Tries that were made.
    pub attempts: u32,
}

/// The figures of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(crate = "buddy_plugin::serde")]
#[schemars(crate = "buddy_plugin::schemars")]
pub struct Stats {
    /// Addresses that were gone to.
    pub requested: u64,
    /// Pages that were scraped.
    pub succeeded: u64,
    /// Pages that failed.
    pub failed: u64,
    /// Addresses that led to a page that is already there; they are its `aliases`.
    pub aliases: u64,
    /// Links that robots.txt forbids. (A forbidden address that the input itself names is a failure.)
    pub skipped_by_robots: u64,
    /// Pages that came from the page cache.
    pub from_cache: u64,
    /// Further tries that were made.
    pub retries: u64,
    /// Pages that an earlier, interrupted run of this task had already done.
    pub resumed: u64,
    /// Pages of which something was cut or left out.
    pub truncated: u64,
    /// Pages and failures for which the output had no room at all.
    pub left_out: u64,
    /// Wall time of this run, in milliseconds.
    pub duration_ms: u64,
}
