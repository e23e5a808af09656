//! What must hold for any records.
#![allow(clippy::needless_pass_by_value, clippy::unwrap_used)]

mod support;

use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::{Value, json};
use support::rows;

/// Few different values, so that keys meet; numbers that are equal but written apart among them.
fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..3).prop_map(Value::from),
        (-6_i32..6).prop_map(|n| json!(f64::from(n) / 2.0)),
        any::<i64>().prop_map(Value::from),
        "[ab]{0,2}".prop_map(Value::from),
        Just(json!([1, "a"])),
        Just(json!({ "a": 1 })),
    ]
}

/// Records with the fields `k` and `v`, each at times missing, and `n`, their number.
fn records() -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec((prop::option::of(scalar()), prop::option::of(scalar())), 0..40).prop_map(|list| {
        list.into_iter()
            .enumerate()
            .map(|(n, (k, v))| {
                let mut row = json!({ "n": n });
                for (name, value) in [("k", k), ("v", v)] {
                    if let Some(value) = value {
                        row[name] = value;
                    }
                }
                row
            })
            .collect()
    })
}

fn made(records: &[Value], steps: Value) -> Vec<Value> {
    rows(&json!(records), &steps).as_array().unwrap().clone()
}

/// The key of a row as text in which equal values are equal texts.
fn plain(value: Option<&Value>) -> String {
    match value {
        None => "null".into(),
        Some(Value::Number(number)) if number.is_f64() => {
            let float = number.as_f64().unwrap();
            if float.fract() == 0.0 { format!("{float:.0}").replace("-0", "0") } else { float.to_string() }
        }
        Some(other) => other.to_string(),
    }
}

fn numbers(rows: &[Value]) -> Vec<u64> {
    rows.iter().map(|row| row["n"].as_u64().unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn dedupe_is_idempotent_and_leaves_each_key_once(list in records()) {
        let step = json!({ "dedupe": { "by": ["k"] } });
        let once = made(&list, json!([step]));
        prop_assert_eq!(&once, &made(&list, json!([step, step])));
        let keys: HashSet<String> = list.iter().map(|row| plain(row.get("k"))).collect();
        prop_assert_eq!(once.len(), keys.len());
        let last = made(&list, json!([{ "dedupe": { "by": ["k"], "keep": "last" } }]));
        prop_assert_eq!(last.len(), keys.len());
    }

    #[test]
    fn sort_is_a_permutation_in_order_and_stable(list in records(), falling in any::<bool>()) {
        let order = if falling { "desc" } else { "asc" };
        let step = json!({ "sort": [{ "field": "k", "order": order }] });
        let sorted = made(&list, json!([step]));
        let mut all = numbers(&sorted);
        all.sort_unstable();
        prop_assert_eq!(all, numbers(&list));
        prop_assert_eq!(&sorted, &made(&list, json!([step, step])));
        for pair in sorted.windows(2) {
            let key = |row: &Value| -> buddy_digest::value::Value {
                serde_json::from_value(row.get("k").cloned().unwrap_or_default()).unwrap()
            };
            let (a, b) = (key(&pair[0]), key(&pair[1]));
            let null = buddy_digest::value::Value::Null;
            if a == b {
                prop_assert!(pair[0]["n"].as_u64() < pair[1]["n"].as_u64());
            } else if falling && a != null && b != null {
                prop_assert!(a > b);
            } else {
                prop_assert!(a < b);
            }
        }
    }

    #[test]
    fn top_k_is_sort_and_limit(list in records(), k in 1_u64..12) {
        let keys = json!([{ "field": "v", "order": "desc" }, { "field": "k", "order": "asc" }]);
        prop_assert_eq!(
            made(&list, json!([{ "top_k": { "k": k, "by": keys } }])),
            made(&list, json!([{ "sort": keys }, { "limit": k }]))
        );
    }

    #[test]
    fn the_counts_of_groups_add_up_to_the_rows(list in records()) {
        let groups = made(&list, json!([{ "group_by": { "by": ["k"], "aggregates": [
            { "op": "count" },
            { "op": "count", "field": "v", "as": "values" },
            { "op": "count_distinct", "field": "v", "as": "different" },
        ] } }]));
        let total: u64 = groups.iter().map(|group| group["count"].as_u64().unwrap()).sum();
        prop_assert_eq!(total, list.len() as u64);
        let keys: HashSet<String> = list.iter().map(|row| plain(row.get("k"))).collect();
        prop_assert_eq!(groups.len(), keys.len());
        for group in groups {
            prop_assert!(group["different"].as_u64() <= group["values"].as_u64());
            prop_assert!(group["values"].as_u64() <= group["count"].as_u64());
        }
    }

    #[test]
    fn a_filter_and_its_opposite_part_the_rows(list in records(), value in scalar()) {
        let test = json!({ "field": "k", "op": "eq", "value": value });
        let yes = numbers(&made(&list, json!([{ "filter": test }])));
        let no = numbers(&made(&list, json!([{ "filter": { "not": test } }])));
        let ne = numbers(&made(&list, json!([{ "filter": { "field": "k", "op": "ne", "value": value } }])));
        prop_assert_eq!(&no, &ne);
        let mut all = [yes, no].concat();
        all.sort_unstable();
        prop_assert_eq!(all, numbers(&list));
    }

    #[test]
    fn a_join_is_the_nested_loop(left in records(), right in records(), outer in any::<bool>()) {
        let kind = if outer { "left" } else { "inner" };
        let steps = json!([{ "join": {
            "with": { "records": right }, "on": ["k"], "kind": kind, "take": [{ "field": "n", "as": "m" }],
        } }]);
        let result = support::run(
            &json!({ "from": { "records": left }, "steps": steps, "max_rows": 10_000 }),
            &support::Memory::default(),
        );
        let found: Vec<(u64, Option<u64>)> = result["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| (row["n"].as_u64().unwrap(), row["m"].as_u64()))
            .collect();
        let mut expected = Vec::new();
        for row in &left {
            let key = plain(row.get("k"));
            let matches: Vec<u64> = right
                .iter()
                .filter(|other| key != "null" && plain(other.get("k")) == key)
                .map(|other| other["n"].as_u64().unwrap())
                .collect();
            let n = row["n"].as_u64().unwrap();
            if matches.is_empty() && outer {
                expected.push((n, None));
            }
            expected.extend(matches.into_iter().map(|m| (n, Some(m))));
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn exploding_makes_as_many_rows_as_there_are_elements(lists in prop::collection::vec(prop::collection::vec(scalar(), 0..5), 0..10)) {
        let list: Vec<Value> = lists.iter().enumerate().map(|(n, list)| json!({ "n": n, "list": list })).collect();
        let found = made(&list, json!([{ "explode": "list" }]));
        let elements: Vec<Value> = lists.concat();
        let given: Vec<Value> = found.iter().map(|row| row["list"].clone()).collect();
        prop_assert_eq!(given, elements);
    }

    #[test]
    fn a_text_read_for_a_few_fields_gives_what_the_whole_records_give(list in records()) {
        let lines: Vec<String> = list.iter().map(Value::to_string).collect();
        let steps = json!([
            { "filter": { "field": "v", "op": "ne", "value": 1 } },
            { "explode": { "field": "v", "as": "each" } },
            { "select": ["n", "each", "v"] },
        ]);
        let whole = made(&list, steps.clone());
        for (format, text) in [("ndjson", lines.join("\n")), ("json", format!("[{}]", lines.join(",")))] {
            let input = json!({ "from": { "text": text, "format": format }, "steps": steps });
            let result = support::run(&input, &support::Memory::default());
            prop_assert_eq!(&result["rows"], &json!(whole));
        }
    }

    #[test]
    fn any_text_as_any_format_gives_rows_or_a_fault_and_never_a_panic(text in ".{0,200}", format in 0..3_usize) {
        let format = ["json", "ndjson", "csv"][format];
        let input = json!({ "from": { "text": text, "format": format }, "steps": [{ "sort": ["a.0"] }] });
        let _ = support::run_text(&input, &support::Memory::default());
    }

    #[test]
    fn csv_that_was_written_is_read_back(
        table in prop::collection::vec(prop::collection::vec("[a\", \r\n;é]{0,6}", 3), 0..12),
    ) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["x", "y", "z"]).unwrap();
        for row in &table {
            writer.write_record(row).unwrap();
        }
        let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        let result = support::read(json!({ "text": text, "format": "csv", "csv": { "infer": false } }));
        let expected: Vec<Value> = table.iter().map(|row| json!({ "x": row[0], "y": row[1], "z": row[2] })).collect();
        prop_assert_eq!(&result["rows"], &json!(expected));
        prop_assert_eq!(&result["skipped"]["count"], &json!(0));
    }
}
