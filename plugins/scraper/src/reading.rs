//! What the script in `page.js` reads from a page, and its shape in the output.
//!
//! The answer comes out of the page's own world, so a hostile page can answer anything at all: every part is optional
//! here, and bounded again.

use std::collections::{BTreeMap, HashSet};

use buddy_plugin::serde::{Deserialize, Serialize};
use buddy_plugin::serde_json::{self, Value};

use crate::output::{Link, Metadata, Page, Table};
use crate::{address, bounds};

/// The script; it finds a [`Want`] as its argument and gives a [`Reading`].
pub(crate) const SCRIPT: &str = include_str!("page.js");

/// Links of one page in the output.
const MAX_LINKS: usize = 2_000;
/// Bytes of the addresses that one page may offer to follow: what a large table of contents needs. They are kept in
/// memory until the page's turn comes, and in its checkpoint.
const FOLLOW_BYTES: usize = 128 * 1024;

/// What the script should read.
#[derive(Clone, Debug, Serialize)]
#[serde(crate = "buddy_plugin::serde")]
pub(crate) struct Want<'a> {
    pub(crate) links: bool,
    pub(crate) metadata: bool,
    pub(crate) tables: bool,
    /// Absent: none; empty: all links; else the links within what this selects.
    pub(crate) follow: Option<&'a str>,
}

/// What it read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(crate = "buddy_plugin::serde", default)]
pub(crate) struct Reading {
    pub(crate) url: String,
    pub(crate) title: String,
    follow: Vec<String>,
    links: Option<Vec<Link>>,
    metadata: Option<RawMetadata>,
    tables: Option<Vec<RawTable>>,
    cells_left_out: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(crate = "buddy_plugin::serde", default)]
struct RawMetadata {
    description: Option<String>,
    lang: Option<String>,
    canonical: Option<String>,
    open_graph: Vec<(String, String)>,
    json_ld: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(crate = "buddy_plugin::serde", default)]
struct RawTable {
    caption: Option<String>,
    rows: Vec<RawRow>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(crate = "buddy_plugin::serde", default)]
struct RawRow {
    head: bool,
    texts: Vec<String>,
}

impl Reading {
    /// Puts what was read into the page; the links that may be followed, in document order.
    pub(crate) fn into_page(self, page: &mut Page) -> Vec<String> {
        page.title = self.title;
        bounds::cut(&mut page.title, bounds::TITLE_BYTES);
        if let Some(links) = self.links {
            let (links, cut) = distinct(links);
            page.links = Some(links);
            if cut {
                bounds::note(page, "links");
            }
        }
        page.metadata = self.metadata.map(RawMetadata::into_metadata);
        page.tables = self.tables.map(|tables| tables.into_iter().map(RawTable::into_table).collect());
        if self.cells_left_out {
            bounds::note(page, "tables");
        }
        followable(self.follow)
    }
}

/// Each address once, at most [`MAX_LINKS`]; whether there were more.
fn distinct(links: Vec<Link>) -> (Vec<Link>, bool) {
    let mut seen = HashSet::new();
    let mut kept: Vec<Link> = links.into_iter().filter(|link| seen.insert(link.url.clone())).collect();
    let cut = kept.len() > MAX_LINKS;
    kept.truncate(MAX_LINKS);
    (kept, cut)
}

/// Each page once, in its one spelling, at most [`FOLLOW_BYTES`].
fn followable(links: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut room = FOLLOW_BYTES;
    links
        .into_iter()
        .filter_map(|link| address::normalise(&link).ok())
        .map(String::from)
        .filter(|link| seen.insert(link.clone()))
        .map_while(|link| {
            room = room.checked_sub(link.len())?;
            Some(link)
        })
        .collect()
}

impl RawMetadata {
    fn into_metadata(self) -> Metadata {
        let mut open_graph = BTreeMap::new();
        for (name, value) in self.open_graph {
            open_graph.entry(name).or_insert(value);
        }
        let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        Metadata {
            description: filled(self.description),
            lang: filled(self.lang),
            canonical: filled(self.canonical),
            open_graph,
            json_ld: self.json_ld.iter().filter_map(|text| serde_json::from_str::<Value>(text).ok()).collect(),
        }
    }
}

impl RawTable {
    /// The first row is the header if it is marked as one and rows follow that are not; further header rows are data.
    fn into_table(self) -> Table {
        let caption = self.caption.filter(|caption| !caption.is_empty());
        let has_header = self.rows.first().is_some_and(|row| row.head) && self.rows.iter().skip(1).any(|row| !row.head);
        let mut rows = self.rows.into_iter().map(|row| row.texts);
        if !has_header {
            return Table { caption, rows: Some(rows.collect()), ..Table::default() };
        }
        let mut header = rows.next().unwrap_or_default();
        let rows: Vec<Vec<String>> = rows.collect();
        header.resize(rows.iter().map(Vec::len).chain([header.len()]).max().unwrap_or(0), String::new());
        let header = unique(header);
        let records = rows.into_iter().map(|row| header.iter().cloned().zip(row).collect()).collect();
        Table { caption, header: Some(header), records: Some(records), rows: None }
    }
}

/// Names for columns: what has none is called by its place, what comes again is numbered.
fn unique(names: Vec<String>) -> Vec<String> {
    let mut taken = HashSet::new();
    names
        .into_iter()
        .enumerate()
        .map(|(i, name)| {
            let base = if name.is_empty() { format!("column {}", i + 1) } else { name };
            let mut name = base.clone();
            let mut n = 2;
            while !taken.insert(name.clone()) {
                name = format!("{base} {n}");
                n += 1;
            }
            name
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use buddy_plugin::serde_json::{from_value, json};
    use proptest::prelude::*;

    fn read(value: Value) -> (Page, Vec<String>) {
        let mut page = Page::default();
        let follow = from_value::<Reading>(value).unwrap().into_page(&mut page);
        (page, follow)
    }

    fn table(rows: &Value) -> Table {
        read(json!({ "tables": [{ "rows": rows }] })).0.tables.unwrap().remove(0)
    }

    #[test]
    fn a_table_with_a_header_becomes_records() {
        let table = table(&json!([
            { "head": true, "texts": ["Name", "Price"] },
            { "head": false, "texts": ["Tea", "2.50"] },
        ]));
        assert_eq!(table.header.unwrap(), ["Name", "Price"]);
        assert_eq!(table.records.unwrap()[0], [("Name".into(), "Tea".into()), ("Price".into(), "2.50".into())].into());
        assert_eq!(table.rows, None);
    }

    #[test]
    fn a_table_without_a_header_or_of_headers_only_becomes_rows() {
        let plain = table(&json!([{ "texts": ["a", "b"] }, { "texts": ["c", "d"] }]));
        assert_eq!(plain.rows.unwrap(), [["a", "b"], ["c", "d"]]);
        let heads = table(&json!([{ "head": true, "texts": ["a"] }, { "head": true, "texts": ["b"] }]));
        assert_eq!(heads.rows.unwrap(), [["a"], ["b"]]);
    }

    #[test]
    fn columns_without_a_name_or_with_the_same_one_are_told_apart() {
        let table = table(&json!([
            { "head": true, "texts": ["", "x", "x"] },
            { "texts": ["1", "2", "3", "4"] },
        ]));
        assert_eq!(table.header.unwrap(), ["column 1", "x", "x 2", "column 4"]);
        assert_eq!(table.records.unwrap()[0].len(), 4, "no cell is lost");
    }

    #[test]
    fn metadata_keeps_the_first_of_a_name_and_only_json_that_is_json() {
        let (page, _) = read(json!({ "metadata": {
            "description": " ",
            "open_graph": [["title", "one"], ["title", "two"]],
            "json_ld": ["{\"@type\": \"Article\"}", "{broken"],
        }}));
        let metadata = page.metadata.unwrap();
        assert_eq!(metadata.description, None);
        assert_eq!(metadata.open_graph["title"], "one");
        assert_eq!(metadata.json_ld, [json!({ "@type": "Article" })]);
    }

    #[test]
    fn links_to_follow_are_spelt_one_way_each_once_and_within_a_bound() {
        let (_, follow) =
            read(json!({ "follow": ["https://example.com/a#1", "https://example.com/a#2", "mailto:x@y"] }));
        assert_eq!(follow, ["https://example.com/a"]);
        let many: Vec<_> = (0..20_000).map(|i| format!("https://example.com/{i}")).collect();
        let (_, follow) = read(json!({ "follow": many }));
        assert!(follow.iter().map(String::len).sum::<usize>() <= FOLLOW_BYTES);
        assert!(follow.len() > 1_000);
    }

    #[test]
    fn an_answer_that_leaves_everything_out_is_an_empty_page() {
        let (page, follow) = read(json!({}));
        assert_eq!((page, follow.len()), (Page::default(), 0));
    }

    proptest! {
        #[test]
        fn column_names_are_always_unique(names in proptest::collection::vec("[ab2 ]{0,3}", 0..12)) {
            let header = unique(names.clone());
            prop_assert_eq!(header.len(), names.len());
            prop_assert_eq!(header.iter().collect::<HashSet<_>>().len(), names.len());
        }
    }
}
