//! What people are told when a digest cannot be done. The texts are in `snapshots/`.
#![allow(clippy::format_collect, clippy::needless_pass_by_value, clippy::unwrap_used, clippy::panic)]

mod support;

use buddy_digest::BuddyPlugin;
use buddy_plugin::{Failure, Plugin};
use serde_json::{Value, json};
use support::{Memory, fault};

/// What the plugin says of an input before it runs: one line for each fault.
fn refused(input: &Value) -> String {
    match BuddyPlugin::estimate("data_processing", &input.to_string()) {
        Err(Failure::InvalidInput(faults)) => {
            faults.iter().map(|one| format!("{}: {}\n", one.path, one.message)).collect()
        }
        other => panic!("{input} gave {other:?}"),
    }
}

fn list(inputs: impl IntoIterator<Item = Value>) -> String {
    inputs.into_iter().map(|input| format!("{input}\n{}\n", refused(&input))).collect()
}

fn steps(steps: Value) -> Value {
    json!({ "from": { "records": [] }, "steps": steps })
}

#[test]
fn faults_of_steps_are_named_with_their_place() {
    let told = list([
        steps(json!([{ "fliter": {} }])),
        steps(json!([{}, { "limit": 1, "sort": ["a"] }])),
        steps(json!([{ "limit": 1 }, { "limit": 2 }, { "group_by": { "by": ["a..b"] } }])),
        steps(json!([{ "group_by": { "by": ["a", { "field": "b", "as": "a" }] } }])),
        steps(
            json!([{ "group_by": { "by": ["a"], "aggregates": [{ "op": "sum" }, { "op": "median", "field": "x" }] } }]),
        ),
        steps(json!([{ "group_by": { "by": ["a"], "aggregates": [{ "op": "sum" }, { "op": "count", "as": "a" }] } }])),
        steps(json!([{ "group_by": { "aggregates": [{ "op": "quantiles", "field": "x", "at": [0.5, 50] }] } }])),
        steps(json!([{ "group_by": { "aggregates": [{ "op": "sum", "field": "x", "at": [0.5] }] } }])),
        steps(json!([{ "sort": [] }, { "sort": [7] }])),
        steps(json!([{ "sort": [] }, { "select": [] }, { "top_k": { "k": 0, "by": ["a"] } }])),
        steps(json!([{ "select": ["a", "a"] }, { "dedupe": { "by": [] } }, { "explode": { "field": "a", "as": "" } }])),
        steps(json!([{ "select": [{ "field": "a", "type": "int" }] }])),
        steps(json!([{ "group_by": { "by": [{ "field": "a", "type": "number" }] } }])),
        steps(json!([{ "join": { "with": { "records": [] }, "on": [] } }])),
        steps(json!([{ "join": { "with": { "text": "" }, "on": ["a"] } }])),
        steps(json!([{ "join": { "with": { "records": [] }, "on": [{ "left": "a" }] } }])),
    ]);
    insta::assert_snapshot!(told);
}

#[test]
fn faults_of_filters_are_named_with_their_place() {
    let filter = |condition: Value| steps(json!([{ "filter": condition }]));
    let told = list([
        filter(json!({})),
        filter(json!({ "field": "a" })),
        filter(json!({ "op": "eq", "value": 1 })),
        filter(json!({ "field": "a", "op": "eq" })),
        filter(json!({ "field": "a", "op": "like", "value": "x" })),
        filter(json!({ "field": "a", "op": "exists", "value": 1 })),
        filter(json!({ "field": "a", "op": "gt", "value": null })),
        filter(json!({ "field": "a", "op": "in", "value": 1 })),
        filter(json!({ "field": "a", "op": "matches", "value": "(" })),
        filter(json!({ "field": "a", "op": "starts_with", "value": 1 })),
        filter(json!({ "field": "a", "op": "exists", "or": [] })),
        filter(json!({ "and": [{ "not": { "or": [{ "field": "", "op": "exists" }, {}] } }] })),
    ]);
    insta::assert_snapshot!(told);
}

#[test]
fn faults_of_sources_are_named_with_their_place() {
    let from = |source: Value| json!({ "from": source });
    let told = list([
        json!({ "from": {}, "max_rows": 0 }),
        json!({ "steps": [] }),
        from(json!({ "records": [], "text": "" })),
        from(json!({ "records": [], "format": "json" })),
        from(json!({ "records": {} })),
        from(json!({ "text": "[]" })),
        from(json!({ "text": "[]", "format": "xml" })),
        from(json!({ "text": "", "format": "csv", "path": "a" })),
        from(json!({ "text": "", "format": "json", "path": "a..b", "csv": {} })),
        from(json!({ "artifact": "" })),
        from(
            json!({ "text": "", "format": "csv", "csv": { "delimiter": "::", "quote": "''", "columns": ["a", "a"] } }),
        ),
    ]);
    insta::assert_snapshot!(told);
}

#[test]
fn faults_of_the_data_say_where_and_what_to_do() {
    let host = Memory::default()
        .with("doc", "result.json", "", r#"{"pages": {"first": [1]}, "stats": 3}"#)
        .with("half", "half.json", "", r#"{"pages": [{"a": 1}, {"a""#)
        .with("twice", "", "", r#"{"a": [1], "a": [2]}"#)
        .with("rows.csv", "rows.csv", "", "a\n1\n");
    let many: Vec<Value> = (0..1001).map(|n| json!({ "n": n })).collect();
    let wide: Vec<Value> = (0..200).map(|_| json!({ "text": "x".repeat(50_000) })).collect();
    let inputs = [
        json!({ "from": { "result_of": "self", "path": "pages" } }),
        json!({ "from": { "result_of": "doc", "path": "items" } }),
        json!({ "from": { "result_of": "doc", "path": "pages.first.0.x" } }),
        json!({ "from": { "result_of": "doc", "path": "pages.first.7" } }),
        json!({ "from": { "result_of": "doc", "path": "stats" } }),
        json!({ "from": { "result_of": "half", "path": "pages" } }),
        json!({ "from": { "result_of": "twice", "path": "a" } }),
        json!({ "from": { "text": "[1, 2", "format": "json" } }),
        json!({ "from": { "text": "\"x\"", "format": "json" } }),
        json!({ "from": { "artifact": "gone" } }),
        json!({ "from": { "artifact": "rows.csv", "path": "a" } }),
        json!({ "from": { "artifact": "doc", "csv": { "delimiter": ";" } } }),
        json!({ "from": { "records": many } }),
        json!({ "from": { "records": wide } }),
    ];
    let texts: Vec<String> = inputs
        .iter()
        .map(|input| {
            let mut from = input["from"].to_string();
            from.truncate(60);
            format!("{from}\n{}\n", fault(input, &host))
        })
        .collect();
    let told = texts.join("\n");
    insta::assert_snapshot!(told);
}

#[test]
fn steps_that_would_hold_too_much_fail_before_the_memory_does() {
    let record = json!({ "text": "x".repeat(1 << 20), "list": vec![1; 200] });
    let input = json!({ "from": { "records": [record] }, "steps": [{ "explode": "list" }, { "sort": ["list"] }, { "limit": 1 }] });
    let told = fault(&input, &Memory::default()).to_string();
    assert_eq!(
        told,
        "The steps would hold more than 128 MiB of records at once; put a filter or a select before the first sort, \
         group_by, dedupe or join, or use top_k in place of sort."
    );
    let input = json!({ "from": { "records": [record] }, "steps": [{ "explode": "list" }, { "top_k": { "k": 1, "by": ["list"] } }] });
    assert_eq!(support::run(&input, &Memory::default())["row_count"], 1);
}

#[test]
fn no_input_makes_an_endless_list_of_faults_or_a_deep_recursion() {
    let many: Vec<Value> = (0..60).map(|_| json!({})).collect();
    assert_eq!(refused(&steps(json!(many))).lines().count(), 20);
    let limits: Vec<Value> = (0..65).map(|_| json!({ "limit": 1 })).collect();
    assert_eq!(refused(&steps(json!(limits))), "/steps: There are 65 steps; at most 64 are taken.\n");
    let conditions: Vec<Value> = (0..300).map(|_| json!({ "field": "a", "op": "exists" })).collect();
    let text = refused(&steps(json!([{ "filter": { "and": conditions } }])));
    assert!(text.starts_with("/steps/0/filter/and/255: A filter has at most 256 conditions"), "{text}");
    let deep = format!(
        r#"{{"from": {{"records": []}}, "steps": [{{"filter": {}{{"and": []}}{}}}]}}"#,
        r#"{"not": "#.repeat(10_000),
        "}".repeat(10_000)
    );
    assert!(BuddyPlugin::estimate("data_processing", &deep).is_err());
}
