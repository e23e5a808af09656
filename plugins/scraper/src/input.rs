//! What a `web_navigate` task is given.
//!
//! The doc comments of this module are the descriptions in the JSON Schema: they are written for the person who submits
//! a task.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use buddy_plugin::schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use buddy_plugin::serde::de::value::MapAccessDeserializer;
use buddy_plugin::serde::de::{Error, MapAccess, Visitor};
use buddy_plugin::serde::{Deserialize, Deserializer};

/// Pages to scrape and what to take from them. Give `urls`, or `start_urls` with `follow`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(crate = "buddy_plugin::serde", default, deny_unknown_fields)]
#[schemars(crate = "buddy_plugin::schemars")]
#[allow(clippy::struct_excessive_bools)] // each is a switch of its own in the JSON
pub struct Input {
    /// Scrape exactly these pages, in this order.
    #[schemars(length(max = 10_000))]
    pub urls: Vec<String>,
    /// Start here and follow links.
    #[schemars(length(max = 10_000))]
    pub start_urls: Vec<String>,
    /// Which links to follow from `start_urls`.
    pub follow: Option<Follow>,

    /// What to take from each page, by name: a CSS selector, or an object with `selector`, `take` and `many`.
    pub fields: BTreeMap<String, FieldSpec>,
    /// Take `fields` once from every element that this selector matches, as a list `items` instead of one `fields`.
    pub each: Option<String>,
    /// Keep the main text, as a reader view shows it.
    pub article: bool,
    /// Keep the page's links.
    pub links: bool,
    /// Keep description, language, canonical address, Open Graph and JSON-LD.
    pub metadata: bool,
    /// Keep the page's tables: as records where there is a header, else as rows.
    pub tables: bool,
    /// Keep a picture of the whole page, as an artifact.
    pub screenshot: bool,

    /// Pages at once.
    #[schemars(range(min = 1, max = 50))]
    pub concurrency: u32,
    /// Least time between two pages of one host.
    #[schemars(range(max = 60_000))]
    pub per_host_delay_ms: u64,
    /// Leave out what the site's robots.txt forbids (RFC 9309).
    pub respect_robots: bool,
    /// Take a page from the page cache when it is at most this old. 0: never.
    #[schemars(range(max = 31_536_000))]
    pub max_age_seconds: u64,
    /// Time for a page to load. What is there by then is taken, with `timed_out`.
    #[schemars(range(min = 1, max = 300))]
    pub timeout_seconds: u32,
    /// Further tries for a page that failed in a way that may pass.
    #[schemars(range(max = 10))]
    pub retries: u32,
    /// What counts as loaded.
    pub wait_until: WaitUntil,
    /// Wait until this selector matches before anything is taken.
    pub wait_for: Option<String>,
    /// Kinds of resources that are not loaded.
    pub block: Vec<Resource>,
    /// Run the pages' scripts.
    pub javascript: bool,
    /// A clean browser context for every page, in place of one that all pages share. Slower, and no page sees another's
    /// cookies.
    pub isolated: bool,
    /// The user agent that servers see; the browser's own when absent.
    pub user_agent: Option<String>,
}

impl Default for Input {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            start_urls: Vec::new(),
            follow: None,
            fields: BTreeMap::new(),
            each: None,
            article: false,
            links: false,
            metadata: false,
            tables: false,
            screenshot: false,
            concurrency: 5,
            per_host_delay_ms: 0,
            respect_robots: true,
            max_age_seconds: 0,
            timeout_seconds: 30,
            retries: 2,
            wait_until: WaitUntil::Load,
            wait_for: None,
            block: Vec::new(),
            javascript: true,
            isolated: false,
            user_agent: None,
        }
    }
}

/// Which links are followed. A page's depth is the number of links from a start page to it.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(crate = "buddy_plugin::serde", default, deny_unknown_fields)]
#[schemars(crate = "buddy_plugin::schemars")]
pub struct Follow {
    /// Stay on the hosts (name and port) of the start pages, and of where these redirect to.
    pub same_host: bool,
    /// Only addresses that match as a whole; `*` stands for anything, for example `*/blog/*`.
    pub pattern: Option<String>,
    /// No address that matches one of these; `*` stands for anything.
    #[schemars(length(max = 100))]
    pub exclude: Vec<String>,
    /// Only links that match this CSS selector or lie within what it matches, for example `nav.toc`.
    pub selector: Option<String>,
    /// How far from the start pages.
    #[schemars(range(max = 100))]
    pub max_depth: u32,
    /// How many pages, start pages and failed ones included.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_pages: u32,
}

impl Default for Follow {
    fn default() -> Self {
        Self { same_host: true, pattern: None, exclude: Vec::new(), selector: None, max_depth: 3, max_pages: 100 }
    }
}

/// One field: where it is and what to take from there.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldSpec {
    /// CSS selector, or `text=`, `role=`, `xpath=`.
    pub selector: String,
    /// Absent: the text. Else `@attribute`, `html`, `outer-html`, `value`.
    pub take: Option<String>,
    /// All matches as a list, instead of the first.
    pub many: bool,
}

/// A field in full.
#[derive(Deserialize, JsonSchema)]
#[serde(crate = "buddy_plugin::serde", deny_unknown_fields)]
#[schemars(crate = "buddy_plugin::schemars", rename = "Field")]
struct FieldObject {
    /// CSS selector, or `text=`, `role=`, `xpath=`.
    selector: String,
    /// Absent: the text. Else `@attribute`, `html`, `outer-html`, `value`.
    #[serde(default)]
    take: Option<String>,
    /// All matches as a list, instead of the first.
    #[serde(default)]
    many: bool,
}

// By hand, not `untagged`: a fault in the object is then named with its own place and words, and not as "data did not
// match any variant".
impl<'de> Deserialize<'de> for FieldSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = FieldSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a selector, or an object with `selector`, `take` and `many`")
            }

            fn visit_str<E: Error>(self, selector: &str) -> Result<FieldSpec, E> {
                Ok(FieldSpec { selector: selector.to_owned(), take: None, many: false })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FieldSpec, A::Error> {
                let FieldObject { selector, take, many } = FieldObject::deserialize(MapAccessDeserializer::new(map))?;
                Ok(FieldSpec { selector, take, many })
            }
        }
        deserializer.deserialize_any(Form)
    }
}

impl JsonSchema for FieldSpec {
    fn schema_name() -> Cow<'static, str> {
        "FieldSpec".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, generator.subschema_for::<FieldObject>()] })
    }
}

/// What counts as loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(crate = "buddy_plugin::serde", rename_all = "snake_case")]
#[schemars(crate = "buddy_plugin::schemars")]
pub enum WaitUntil {
    /// The first bytes of the document are there.
    Commit,
    /// The document is read; pictures and frames may still be loading.
    DomContentLoaded,
    /// Everything that the document asks for is there.
    Load,
    /// Nothing has been on the network for a moment.
    NetworkIdle,
}

/// A kind of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(crate = "buddy_plugin::serde", rename_all = "snake_case")]
#[schemars(crate = "buddy_plugin::schemars")]
pub enum Resource {
    /// Pictures.
    Image,
    /// Sound and video.
    Media,
    /// Fonts.
    Font,
    /// Style sheets.
    Stylesheet,
    /// Scripts.
    Script,
    /// Everything else but the document.
    Other,
}
