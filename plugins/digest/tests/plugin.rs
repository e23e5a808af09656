//! The plugin as the host sees it, and the README as its readers paste it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use buddy_digest::BuddyPlugin;
use buddy_plugin::Plugin;
use serde_json::Value;
use support::Memory;

#[test]
fn the_manifest_is_sound() {
    buddy_plugin::testing::check::<BuddyPlugin>().unwrap();
    let manifest = BuddyPlugin::describe();
    let asked: Vec<&str> = manifest.capabilities.iter().map(|one| &*one.capability).collect();
    assert_eq!(asked, ["artifacts"]);
    assert_eq!(manifest.task_types[0].name, "data_processing");
}

#[test]
fn the_schema_marks_every_reference_for_the_host() {
    let manifest = BuddyPlugin::describe();
    let schema: Value = serde_json::from_str(&manifest.task_types[0].input_schema).unwrap();
    let source = &schema["$defs"]["Source"]["properties"];
    assert_eq!(source["result_of"]["format"], "task-result");
    assert_eq!(source["artifact"]["format"], "artifact-id");
    assert_eq!(schema["properties"]["from"]["$ref"], "#/$defs/Source");
    insta::assert_json_snapshot!(schema);
}

#[test]
fn the_estimate_counts_what_is_inline() {
    let text = "n\n".to_owned() + &"1\n".repeat(1000);
    let input = serde_json::json!({
        "from": { "text": text, "format": "csv" },
        "steps": [{ "join": { "with": { "records": [{ "n": 1 }] }, "on": ["n"] } }],
    });
    let demand = BuddyPlugin::estimate("data_processing", &input.to_string()).unwrap();
    assert_eq!(demand.bytes, 2002 + "[{\"n\":1}]".len() as u64);
    assert_eq!((demand.pages, demand.seconds, demand.desktop_only), (0, 1, false));
}

#[test]
fn every_input_in_the_readme_works_as_pasted() {
    let readme = include_str!("../README.md");
    let host = Memory::default().with("3f9c0a", "result.json", "", include_str!("fixtures/scrape.json")).with(
        "b71e44",
        "orders.csv",
        "text/csv",
        "order;customer;total\n1;7;10\n2;8;20\n3;7;5\n",
    );
    let mut blocks = readme.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut shown = Vec::new();
    for block in blocks.by_ref() {
        let input: Value = serde_json::from_str(block).unwrap_or_else(|why| panic!("{why} in {block}"));
        // As the host does it: the task's own result is put in at the place of `self`.
        let input: Value = serde_json::from_str(&input.to_string().replace("\"self\"", "\"3f9c0a\"")).unwrap();
        BuddyPlugin::estimate("data_processing", &input.to_string()).unwrap_or_else(|why| panic!("{why} in {block}"));
        let result = support::run(&input, &host);
        assert_ne!(result["row_count"], 0, "{block}");
        shown.push(format!("{}\n{}\n", result["rows"], result["warnings"]));
    }
    let shown = shown.join("\n");
    insta::assert_snapshot!(shown);
}
