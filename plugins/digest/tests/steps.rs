//! What each step does, by example.
#![allow(clippy::needless_pass_by_value, clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use support::{Memory, output, rows, run};

fn goods() -> Value {
    json!([
        { "id": 1, "item": "tea", "price": 4.5, "tags": ["hot", "leaf"], "at": { "shop": "north" } },
        { "id": 2, "item": "jam", "price": 3, "tags": [], "at": { "shop": "north" } },
        { "id": 3, "item": "tea", "price": null, "at": { "shop": "south" } },
        { "id": 4, "item": "Rye", "price": "n/a", "tags": ["leaf"], "at": null },
    ])
}

/// The ids that a condition keeps.
fn kept(condition: &Value) -> Vec<i64> {
    let rows = rows(&goods(), &json!([{ "filter": condition }]));
    rows.as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

#[test]
fn filters_compare_by_type_and_treat_missing_as_null() {
    let cases = [
        (json!({ "field": "item", "op": "eq", "value": "tea" }), vec![1, 3]),
        (json!({ "field": "price", "op": "eq", "value": 3.0 }), vec![2]),
        (json!({ "field": "price", "op": "eq", "value": null }), vec![3]),
        (json!({ "field": "tags", "op": "eq", "value": null }), vec![3]),
        (json!({ "field": "tags", "op": "ne", "value": ["leaf"] }), vec![1, 2, 3]),
        (json!({ "field": "price", "op": "lt", "value": 4 }), vec![2]),
        (json!({ "field": "price", "op": "le", "value": 3 }), vec![2]),
        (json!({ "field": "price", "op": "gt", "value": 3 }), vec![1]),
        (json!({ "field": "price", "op": "ge", "value": 3 }), vec![1, 2]),
        (json!({ "field": "item", "op": "lt", "value": "a" }), vec![4]),
        (json!({ "field": "item", "op": "contains", "value": "e" }), vec![1, 3, 4]),
        (json!({ "field": "tags", "op": "contains", "value": "leaf" }), vec![1, 4]),
        (json!({ "field": "item", "op": "starts_with", "value": "te" }), vec![1, 3]),
        (json!({ "field": "item", "op": "matches", "value": "^(?i)r" }), vec![4]),
        (json!({ "field": "id", "op": "in", "value": [4, 2.0, "1"] }), vec![2, 4]),
        (json!({ "field": "price", "op": "in", "value": [null] }), vec![3]),
        (json!({ "field": "price", "op": "exists" }), vec![1, 2, 3, 4]),
        (json!({ "field": "tags", "op": "exists", "value": false }), vec![3]),
        (json!({ "field": "at.shop", "op": "eq", "value": "south" }), vec![3]),
        (json!({ "field": "/tags/1", "op": "exists" }), vec![1]),
        (json!({ "not": { "field": "price", "op": "gt", "value": 3 } }), vec![2, 3, 4]),
        (json!({ "and": [] }), vec![1, 2, 3, 4]),
        (json!({ "or": [] }), vec![]),
        (
            json!({ "and": [
                { "field": "item", "op": "eq", "value": "tea" },
                { "or": [
                    { "field": "price", "op": "gt", "value": 4 },
                    { "field": "at.shop", "op": "eq", "value": "west" },
                ] },
            ] }),
            vec![1],
        ),
    ];
    for (condition, expected) in cases {
        assert_eq!(kept(&condition), expected, "{condition}");
    }
}

#[test]
fn a_comparison_that_the_types_do_not_allow_is_warned_of() {
    let steps = json!([{ "filter": { "field": "price", "op": "gt", "value": 3 } }]);
    assert_eq!(
        output(&goods(), &steps)["warnings"],
        json!(["/steps/0/filter: 1 value is of another type than what `price` is compared with, and did not match."])
    );
}

#[test]
fn dedupe_keeps_the_first_or_the_last_at_the_place_of_the_first() {
    let list = json!([{ "k": 1, "v": "a" }, { "k": 2, "v": "b" }, { "k": 1.0, "v": "c" }, { "v": "d" }, { "k": null, "v": "e" }]);
    let values = |steps: Value| {
        let rows = rows(&list, &steps);
        rows.as_array().unwrap().iter().map(|row| row["v"].as_str().unwrap().to_owned()).collect::<String>()
    };
    assert_eq!(values(json!([{ "dedupe": { "by": ["k"] } }])), "abd");
    assert_eq!(values(json!([{ "dedupe": { "by": ["k"], "keep": "last" } }])), "cbe");
    assert_eq!(values(json!([{ "dedupe": {} }])), "abcde");
}

#[test]
fn dedupe_without_a_key_compares_whole_rows_whatever_the_order_of_their_fields() {
    let text = r#"{"from": {"format": "ndjson", "text": "{\"a\":1,\"b\":[2]}\n{\"b\":[2.0],\"a\":1}\n{\"a\":1}"},
                   "steps": [{"dedupe": {}}]}"#;
    let result = run(&serde_json::from_str(text).unwrap(), &Memory::default());
    assert_eq!(result["rows"], json!([{ "a": 1, "b": [2] }, { "a": 1 }]));
}

#[test]
fn groups_come_in_the_order_in_which_they_are_first_seen() {
    let steps = json!([{ "group_by": {
        "by": [{ "field": "at.shop", "as": "shop" }],
        "aggregates": [
            { "op": "count" },
            { "op": "count", "field": "price", "as": "priced" },
            { "op": "sum", "field": "price", "as": "total" },
            { "op": "mean", "field": "price" },
            { "op": "min", "field": "item" },
            { "op": "max", "field": "price", "as": "dearest" },
            { "op": "count_distinct", "field": "item", "as": "items" },
        ],
    } }]);
    let result = output(&goods(), &steps);
    assert_eq!(
        result["columns"],
        json!(["shop", "count", "priced", "total", "mean_price", "min_item", "dearest", "items"])
    );
    assert_eq!(
        result["rows"],
        json!([
            { "shop": "north", "count": 2, "priced": 2, "total": 7.5, "mean_price": 3.75, "min_item": "jam", "dearest": 4.5, "items": 2 },
            { "shop": "south", "count": 1, "priced": 0, "total": 0, "mean_price": null, "min_item": "tea", "dearest": null, "items": 1 },
            { "shop": null, "count": 1, "priced": 1, "total": 0, "mean_price": null, "min_item": "Rye", "dearest": "n/a", "items": 1 },
        ])
    );
    assert_eq!(
        result["warnings"],
        json!([
            "/steps/0/group_by/aggregates/2: 1 value is of a type that `sum` of `price` cannot use, and left out.",
            "/steps/0/group_by/aggregates/3: 1 value is of a type that `mean` of `price` cannot use, and left out.",
        ])
    );
}

#[test]
fn numbers_win_over_stray_text_in_min_and_max() {
    let list = json!([{ "p": "zero" }, { "p": 5 }, { "p": true }, { "p": -1.5 }]);
    let steps =
        json!([{ "group_by": { "aggregates": [{ "op": "min", "field": "p" }, { "op": "max", "field": "p" }] } }]);
    let result = output(&list, &steps);
    assert_eq!(result["rows"], json!([{ "min_p": -1.5, "max_p": 5 }]));
    assert_eq!(result["warnings"].as_array().unwrap().len(), 2);
}

#[test]
fn quantiles_make_a_column_each_and_keep_whole_numbers_exact() {
    let list = json!([{ "n": 9_007_199_254_740_993_i64 }, { "n": 1 }, { "n": 2 }, { "n": 4 }]);
    let steps = json!([{ "group_by": { "aggregates": [
        { "op": "quantiles", "field": "n", "at": [0, 0.5, 1], "as": "q" },
        { "op": "quantiles", "field": "none" },
    ] } }]);
    assert_eq!(
        rows(&list, &steps),
        json!([{ "q_p0": 1, "q_p50": 3.0, "q_p100": 9_007_199_254_740_993_i64, "none_p25": null, "none_p50": null, "none_p75": null }])
    );
}

#[test]
fn without_rows_there_is_one_group_of_all_and_none_of_some() {
    let all = output(&json!([]), &json!([{ "group_by": {} }]));
    assert_eq!(all["rows"], json!([{ "count": 0 }]));
    let some = output(&json!([]), &json!([{ "group_by": { "by": ["a"] } }]));
    assert_eq!(some["rows"], json!([]));
    assert_eq!(some["columns"], json!(["a", "count"]));
}

#[test]
fn a_sum_beyond_64_bits_becomes_a_float_with_a_warning() {
    let list = json!([{ "n": u64::MAX }, { "n": u64::MAX }]);
    let result = output(&list, &json!([{ "group_by": { "aggregates": [{ "op": "sum", "field": "n" }] } }]));
    assert_eq!(result["rows"], json!([{ "sum_n": 36_893_488_147_419_103_232.0_f64 }]));
    assert_eq!(result["warnings"].as_array().unwrap().len(), 1);
}

fn ids(records: &Value, steps: &Value) -> Vec<i64> {
    rows(records, steps).as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

#[test]
fn sorting_is_stable_puts_null_last_both_ways_and_warns_of_mixed_types() {
    assert_eq!(ids(&goods(), &json!([{ "sort": ["item", { "field": "id", "order": "desc" }] }])), [4, 2, 3, 1]);
    assert_eq!(ids(&goods(), &json!([{ "sort": ["price"] }])), [2, 1, 4, 3]);
    assert_eq!(ids(&goods(), &json!([{ "sort": [{ "field": "price", "order": "desc" }] }])), [4, 1, 2, 3]);
    assert_eq!(ids(&goods(), &json!([{ "sort": ["nothing"] }])), [1, 2, 3, 4]);
    assert_eq!(
        output(&goods(), &json!([{ "sort": ["price"] }]))["warnings"],
        json!([
            "/steps/0/sort: `price` has values of several types; they are ordered booleans, numbers, text, lists, objects."
        ])
    );
}

#[test]
fn top_k_is_the_begin_of_the_sorted_rows() {
    assert_eq!(ids(&goods(), &json!([{ "top_k": { "k": 2, "by": ["id"] } }])), [4, 3]);
    assert_eq!(ids(&goods(), &json!([{ "top_k": { "k": 2, "by": ["item"] } }])), [1, 3]);
    assert_eq!(ids(&goods(), &json!([{ "top_k": { "k": 1, "by": [{ "field": "id", "order": "asc" }] } }])), [1]);
    assert_eq!(ids(&goods(), &json!([{ "top_k": { "k": 100, "by": ["id"] } }])), [4, 3, 2, 1]);
}

#[test]
fn select_renames_reaches_into_objects_and_makes_missing_null() {
    let steps = json!([{ "select": ["id", { "field": "at.shop", "as": "shop" }, "/tags/0"] }]);
    let result = output(&goods(), &steps);
    assert_eq!(result["columns"], json!(["id", "shop", "tags.0"]));
    assert_eq!(result["rows"][0], json!({ "id": 1, "shop": "north", "tags.0": "hot" }));
    assert_eq!(result["rows"][3], json!({ "id": 4, "shop": null, "tags.0": "leaf" }));
    // A column that was made from a path is found by that path later on.
    let steps =
        json!([{ "select": ["id", "at.shop"] }, { "filter": { "field": "at.shop", "op": "eq", "value": "south" } }]);
    assert_eq!(ids(&goods(), &steps), [3]);
}

#[test]
fn select_reads_values_as_the_type_of_their_column_and_counts_what_it_cannot_read() {
    let list = json!([
        { "price": "€ 4.50", "new": "yes", "code": 7 },
        { "price": "1,003", "new": "maybe", "code": "x" },
        { "price": "1.003,00", "new": null },
        { "price": 2, "new": false, "code": [1] },
        { "price": "", "new": true, "code": null },
    ]);
    let select = json!({ "select": [
        { "field": "price", "as": "cost", "type": "number" },
        { "field": "new", "type": "boolean" },
        { "field": "code", "type": "text" },
        { "field": "price" },
    ] });
    let result = output(&list, &json!([select]));
    assert_eq!(
        result["rows"],
        json!([
            { "cost": 4.5, "new": true, "code": "7", "price": "€ 4.50" },
            { "cost": 1003, "new": null, "code": "x", "price": "1,003" },
            { "cost": null, "new": null, "code": null, "price": "1.003,00" },
            { "cost": 2, "new": false, "code": "[1]", "price": 2 },
            { "cost": null, "new": true, "code": null, "price": "" },
        ])
    );
    assert_eq!(
        result["warnings"],
        json!([
            "/steps/0/select/0: 2 values are not readable as number in column `cost`, and became null.",
            "/steps/0/select/1: 1 value is not readable as boolean in column `new`, and became null.",
        ])
    );
    let mean = json!({ "group_by": { "aggregates": [{ "op": "mean", "field": "cost" }] } });
    assert_eq!(rows(&list, &json!([select, mean])), json!([{ "mean_cost": (4.5 + 1003.0 + 2.0) / 3.0 }]));
}

#[test]
fn explode_makes_a_row_of_each_element() {
    let list = json!([
        { "url": "a", "fields": { "products": [{ "n": 1 }, { "n": 2 }], "title": "A" } },
        { "url": "b", "fields": { "products": [] } },
        { "url": "c" },
        { "url": "d", "fields": { "products": { "n": 3 } } },
    ]);
    assert_eq!(
        rows(
            &list,
            &json!([{ "explode": { "field": "fields.products", "as": "product" } }, { "select": ["url", "product.n", "fields.title"] }])
        ),
        json!([
            { "url": "a", "product.n": 1, "fields.title": "A" },
            { "url": "a", "product.n": 2, "fields.title": "A" },
            { "url": "d", "product.n": 3, "fields.title": null },
        ])
    );
    assert_eq!(
        rows(&list, &json!([{ "explode": "fields.products" }, { "limit": 1 }])),
        json!([{ "url": "a", "fields": { "products": { "n": 1 }, "title": "A" } }])
    );
    let kept = rows(&list, &json!([{ "explode": { "field": "fields.products", "keep_empty": true } }]));
    assert_eq!(kept.as_array().unwrap().len(), 5);
    assert_eq!(kept[2], json!({ "url": "b", "fields": { "products": null } }));
    assert_eq!(kept[3], json!({ "url": "c", "fields.products": null }));
}

#[test]
fn limit_stops_the_reading() {
    let text: String = (0..100_000).flat_map(|n| [r#"{"n":"#.to_owned(), n.to_string(), "}\n".to_owned()]).collect();
    let size = text.len();
    let host = Memory::default().with("a", "rows.ndjson", "", text);
    let input = json!({ "from": { "artifact": "a" }, "steps": [
        { "filter": { "field": "n", "op": "ge", "value": 3 } }, { "limit": 2 },
    ] });
    let result = run(&input, &host);
    assert_eq!(result["rows"], json!([{ "n": 3 }, { "n": 4 }]));
    assert_eq!(result["input_rows"], 5);
    assert!(host.given.get() < size / 2);
    assert_eq!(rows(&goods(), &json!([{ "limit": 0 }])), json!([]));
}

#[test]
fn a_limit_in_the_middle_does_not_cut_what_later_steps_see() {
    assert_eq!(rows(&goods(), &json!([{ "limit": 3 }, { "group_by": {} }])), json!([{ "count": 3 }]));
}

fn shops() -> Value {
    json!([
        { "name": "north", "city": "Oslo", "id": 71 },
        { "name": "north", "city": "Bodø", "id": 72 },
        { "name": "east", "city": "Pune", "id": 73 },
        { "name": null, "city": "none", "id": 74 },
    ])
}

#[test]
fn an_inner_join_makes_a_row_of_each_match_in_order() {
    let steps = json!([{ "join": {
        "with": { "records": shops() },
        "on": [{ "left": "at.shop", "right": "name" }],
        "take": ["city", { "field": "id", "as": "shop_id" }],
    } }, { "select": ["id", "city", "shop_id"] }]);
    assert_eq!(
        rows(&goods(), &steps),
        json!([
            { "id": 1, "city": "Oslo", "shop_id": 71 },
            { "id": 1, "city": "Bodø", "shop_id": 72 },
            { "id": 2, "city": "Oslo", "shop_id": 71 },
            { "id": 2, "city": "Bodø", "shop_id": 72 },
        ])
    );
}

#[test]
fn a_left_join_keeps_rows_without_a_match_and_null_never_matches() {
    let steps = json!([
        { "select": ["id", { "field": "at.shop", "as": "name" }] },
        { "join": { "with": { "format": "csv", "text": "name,city\nsouth,Lima\n,Nowhere\n" }, "on": ["name"], "kind": "left" } },
    ]);
    assert_eq!(
        rows(&goods(), &steps),
        json!([
            { "id": 1, "name": "north", "city": null },
            { "id": 2, "name": "north", "city": null },
            { "id": 3, "name": "south", "city": "Lima" },
            { "id": 4, "name": null, "city": null },
        ])
    );
}

#[test]
fn a_join_never_overwrites_a_field() {
    let steps = json!([{ "join": { "with": { "records": shops() }, "on": [{ "left": "at.shop", "right": "name" }] } }]);
    let input = json!({ "from": { "records": goods() }, "steps": steps });
    let fault = support::fault(&input, &Memory::default());
    assert_eq!(
        fault.to_string(),
        "/steps/0/join: both sides have a field `id`; list what the join adds in `take`, and give this one another name \
         there with `as`."
    );
}

#[test]
fn columns_keep_the_order_of_the_source() {
    let host = Memory::default();
    let text = r#"{"from": {"records": [{"zebra": 1, "ant": 2}, {"bee": 3, "ant": 4}]}}"#;
    let result = support::run_text(&serde_json::from_str(text).unwrap(), &host).unwrap();
    // `serde_json::Value` on the way sorts the names of one object; a text read by the plugin keeps them.
    let direct: buddy_digest::input::Input = serde_json::from_str(text).unwrap();
    let output = futures::executor::block_on(buddy_digest::digest(direct, &host)).unwrap();
    assert_eq!(output.columns, ["zebra", "ant", "bee"]);
    assert!(result.contains("row_count"));
}
