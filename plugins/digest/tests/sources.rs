//! Reading: dialects of CSV, pieces of NDJSON, places in JSON documents.
#![allow(clippy::needless_pass_by_value, clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use support::{Memory, fault, read, run};

fn csv(text: &str, options: Value) -> Value {
    read(json!({ "text": text, "format": "csv", "csv": options }))
}

#[test]
fn csv_dialects_are_read() {
    let two = json!([{ "a": 1, "b": "x" }, { "a": 2, "b": null }]);
    let cases = [
        ("lf", "a,b\n1,x\n2,\n", json!({}), two.clone()),
        ("crlf", "a,b\r\n1,x\r\n2,\r\n", json!({}), two.clone()),
        ("no end of line at the end", "a,b\n1,x\n2,", json!({}), two.clone()),
        ("byte order mark", "\u{feff}a,b\n1,x\n2,\n", json!({}), two.clone()),
        ("blank lines", "\n\na,b\n\n1,x\n\r\n2,\n\n", json!({}), two.clone()),
        ("semicolons", "a;b\n1;x\n2;\n", json!({ "delimiter": ";" }), two.clone()),
        ("tabs", "a\tb\n1\tx\n2\t\n", json!({ "delimiter": "\t" }), two.clone()),
        ("blanks trimmed", " a , b \n 1 , x \n2,  \n", json!({ "trim": true }), two.clone()),
        ("other quote", "a,b\n1,'x'\n2,''\n", json!({ "quote": "'" }), two.clone()),
        ("no header", "1,x\n2,\n", json!({ "header": false, "columns": ["a", "b"] }), two.clone()),
        ("header replaced", "u,v\n1,x\n2,\n", json!({ "columns": ["a", "b"] }), two.clone()),
        ("nothing named", "1,x\n", json!({ "header": false }), json!([{ "column_1": 1, "column_2": "x" }])),
        ("all text", "a,b\n1,\n", json!({ "infer": false }), json!([{ "a": "1", "b": "" }])),
        (
            "quoted delimiter and line end",
            "a,b\n\"1,\n2\",\"x \"\"y\"\"\"\n",
            json!({}),
            json!([{ "a": "1,\n2", "b": "x \"y\"" }]),
        ),
        ("a quote inside a field", "a,b\n5\" disk,x\n", json!({}), json!([{ "a": "5\" disk", "b": "x" }])),
        ("quoting off", "a,b\n\"1,x\n", json!({ "quote": "" }), json!([{ "a": "\"1", "b": "x" }])),
        ("header only", "a,b\n", json!({}), json!([])),
        ("nothing", "", json!({}), json!([])),
    ];
    for (name, text, options, expected) in cases {
        let result = csv(text, options);
        assert_eq!(result["rows"], expected, "{name}");
        assert_eq!(result["skipped"]["count"], 0, "{name}");
    }
}

#[test]
fn columns_of_csv_keep_their_order() {
    let text = support::run_text(&json!({ "from": { "text": "z,a,m\n1,2,3\n", "format": "csv" } }), &Memory::default())
        .unwrap();
    assert!(text.starts_with(r#"{"columns":["z","a","m"],"rows":[{"z":1,"a":2,"m":3}]"#), "{text}");
}

#[test]
fn ragged_rows_are_left_out_and_reported_by_line() {
    let result = csv("a,b\n1,2\n\n3\n\"4\n5\",6\n7,8,9\n10,11\n", json!({}));
    assert_eq!(result["row_count"], 3);
    assert_eq!(
        result["skipped"],
        json!({ "count": 2, "first": [
            { "source": "/from", "line": 4, "reason": "The row has 1 column(s) where 2 are expected." },
            { "source": "/from", "line": 7, "reason": "The row has 3 column(s) where 2 are expected." },
        ] })
    );
}

#[test]
fn a_quote_that_is_never_closed_does_not_swallow_the_rest_in_silence() {
    let result = csv("a,b\n1,2\n3,\"x\n4,y\n5,z\n", json!({}));
    assert_eq!(result["row_count"], 1);
    assert_eq!(result["skipped"]["first"][0]["line"], 3);
    let closed = csv("a,b\n1,\"2\"\n", json!({}));
    assert_eq!(closed["skipped"]["count"], 0);
}

#[test]
fn more_unreadable_rows_than_agreed_end_the_task() {
    let input = json!({ "from": { "text": "a,b\n1\n2\n3\n", "format": "csv", "max_bad_rows": 2 } });
    assert_eq!(
        fault(&input, &Memory::default()).to_string(),
        "/from/text: Line 4: The row has 1 column(s) where 2 are expected. These are more unreadable rows than \
         `max_bad_rows`, 2, lets pass; check `format` and the dialect."
    );
}

#[test]
fn names_that_a_header_has_twice_or_lacks_are_made_up_and_warned_of() {
    let result = csv("a,,a\n1,2,3\n", json!({}));
    assert_eq!(result["columns"], json!(["a", "column_2", "a_2"]));
    assert_eq!(result["warnings"], json!(["/from: The header has names twice; the later ones are `a_2`."]));
}

#[test]
fn rows_that_are_not_utf_8_are_left_out() {
    let host = Memory::default().with("f", "x.csv", "text/csv; charset=latin1", b"a,b\n1,\xE9\n2,c\n".to_vec());
    let result = run(&json!({ "from": { "artifact": "f" } }), &host);
    assert_eq!(result["rows"], json!([{ "a": 2, "b": "c" }]));
    assert_eq!(result["skipped"]["first"][0]["reason"], "The row is not UTF-8.");
}

#[test]
fn ndjson_is_the_same_in_pieces_of_any_size() {
    let text = "\u{feff}{\"n\":1,\"s\":\"ä\"}\r\n\n  \n7\nnot json\n{\"n\":2}";
    let whole = read(json!({ "text": text, "format": "ndjson" }));
    assert_eq!(whole["rows"], json!([{ "n": 1, "s": "ä" }, { "value": 7 }, { "n": 2 }]));
    assert_eq!(whole["skipped"]["count"], 1);
    assert_eq!(whole["skipped"]["first"][0]["line"], 5);
    for piece in 1..text.len() {
        let host = Memory::default().in_pieces_of(piece).with("f", "x.jsonl", "application/octet-stream", text);
        let result = run(&json!({ "from": { "artifact": "f" } }), &host);
        assert_eq!(result["rows"], whole["rows"], "{piece}");
        assert_eq!(result["skipped"], whole["skipped"], "{piece}");
    }
}

#[test]
fn records_are_found_at_a_place_in_a_document() {
    let document =
        r#"{"stats": {"pages": [1, 2]}, "data": [{"items": [{"a": 1}, 5]}, {"items": {"a": 2}}], "a.b": [{"a": 3}]}"#;
    let cases = [
        ("data.0.items", json!([{ "a": 1 }, { "value": 5 }])),
        ("/data/0/items", json!([{ "a": 1 }, { "value": 5 }])),
        ("data.1.items", json!([{ "a": 2 }])),
        ("/a.b", json!([{ "a": 3 }])),
        ("stats.pages", json!([{ "value": 1 }, { "value": 2 }])),
    ];
    for (path, expected) in cases {
        let result = read(json!({ "text": document, "format": "json", "path": path }));
        assert_eq!(result["rows"], expected, "{path}");
    }
    let whole = read(json!({ "text": "\u{feff} [{\"a\":1},{\"a\":2}] ", "format": "json" }));
    assert_eq!(whole["row_count"], 2);
}

#[test]
fn a_result_of_a_task_is_read_as_json() {
    let host = Memory::default().with("blob-1", "", "", r#"{"pages": [{"url": "a"}, {"url": "b"}], "failures": []}"#);
    let input = json!({ "from": { "result_of": "blob-1", "path": "pages" }, "steps": [{ "group_by": {} }] });
    assert_eq!(run(&input, &host)["rows"], json!([{ "count": 2 }]));
}

#[test]
fn a_stored_file_tells_its_format_by_media_type_then_by_name() {
    let host = Memory::default()
        .with("1", "x.json", "text/csv", "a\n1\n")
        .with("2", "x.CSV", "application/octet-stream", "a\n1\n")
        .with("3", "x.json", "application/x-ndjson; charset=utf-8", "{\"a\":1}\n")
        .with("4", "", "", "[{\"a\":1}]");
    for id in ["1", "2", "3", "4"] {
        assert_eq!(run(&json!({ "from": { "artifact": id } }), &host)["rows"], json!([{ "a": 1 }]), "{id}");
    }
}

#[test]
fn a_cancelled_task_stops_reading_and_may_be_tried_again() {
    let host = Memory::default().cancelled().with("f", "x.csv", "", "a\n1\n");
    let found = fault(&json!({ "from": { "artifact": "f" } }), &host);
    assert!(matches!(found, buddy_digest::error::Fault::Host { retryable: true, .. }), "{found}");
}
