//! Mistakes that people make in inputs, and the words they get.
#![allow(clippy::unwrap_used)]

use crate::schema::Schema;
use std::fmt::Write;

/// The faults of each input, below it.
fn told(schema: &str, inputs: &[&str]) -> String {
    let schema = Schema::compile(schema).unwrap();
    let mut texts = String::new();
    for input in inputs {
        writeln!(texts, "{input}").unwrap();
        let faults = schema.check(input).unwrap_err();
        assert!(!faults.is_empty(), "{input}");
        for fault in faults {
            assert!(!fault.message.contains('\n'), "{input}");
            writeln!(texts, "    {:?} {}", fault.path, fault.message).unwrap();
        }
    }
    texts
}

/// The input of the digest plugin, in its parts that people get wrong most.
const DIGEST: &str = r##"{
  "type": "object", "required": ["from"], "additionalProperties": false,
  "properties": {
    "from": { "$ref": "#/$defs/Source" },
    "steps": { "type": "array", "items": { "$ref": "#/$defs/Step" }, "maxItems": 64 },
    "max_rows": { "type": "integer", "minimum": 1, "maximum": 10000 }
  },
  "$defs": {
    "Source": {
      "type": "object", "additionalProperties": false,
      "properties": { "records": { "type": "array" }, "text": { "type": "string" }, "result_of": { "type": "string" } }
    },
    "Condition": {
      "type": "object", "additionalProperties": false,
      "properties": {
        "field": { "type": "string" },
        "op": { "oneOf": [
          { "description": "Equal.", "type": "string", "const": "eq" },
          { "description": "Not equal.", "type": "string", "const": "ne" },
          { "description": "Has it in it.", "type": "string", "const": "contains" },
          { "description": "Begins so.", "type": "string", "const": "starts_with" }
        ] },
        "value": {},
        "and": { "type": "array", "items": { "$ref": "#/$defs/Condition" } },
        "not": { "$ref": "#/$defs/Condition" }
      }
    },
    "SortKey": {
      "type": "object", "additionalProperties": false, "required": ["field"],
      "properties": { "field": { "type": "string" }, "order": { "type": "string", "enum": ["asc", "desc"] } }
    },
    "Step": {
      "type": "object", "additionalProperties": false, "minProperties": 1, "maxProperties": 1,
      "properties": {
        "filter": { "$ref": "#/$defs/Condition" },
        "sort": { "type": "array", "items": { "anyOf": [{ "type": "string" }, { "$ref": "#/$defs/SortKey" }] } },
        "limit": { "type": "integer", "minimum": 0 },
        "top_k": { "type": "object", "required": ["k", "by"], "properties": { "k": { "type": "integer" } } }
      }
    }
  }
}"##;

/// The input of the scraper plugin, likewise.
const SCRAPER: &str = r##"{
  "type": "object", "additionalProperties": false,
  "properties": {
    "urls": { "type": "array", "items": { "type": "string" } },
    "concurrency": { "type": "integer", "minimum": 1, "maximum": 50 },
    "fields": { "type": "object", "additionalProperties": { "anyOf": [{ "type": "string" }, { "$ref": "#/$defs/Field" }] } },
    "follow": { "anyOf": [{ "$ref": "#/$defs/Follow" }, { "type": "null" }] }
  },
  "$defs": {
    "Field": {
      "type": "object", "additionalProperties": false, "required": ["selector"],
      "properties": { "selector": { "type": "string" }, "take": { "type": ["string", "null"] }, "many": { "type": "boolean" } }
    },
    "Follow": {
      "type": "object", "additionalProperties": false,
      "properties": { "max_depth": { "type": "integer", "maximum": 100 }, "max_pages": { "type": "integer" } }
    }
  }
}"##;

/// Alternatives in the three ways in which Rust's enums are written.
const ENUMS: &str = r#"{
  "properties": {
    "tagged": { "oneOf": [
      { "type": "object", "required": ["do", "selector"], "properties": { "do": { "const": "click" }, "selector": { "type": "string" } } },
      { "type": "object", "required": ["do", "pixels"], "properties": { "do": { "const": "scroll" }, "pixels": { "type": "integer" } } }
    ] },
    "keyed": { "oneOf": [
      { "type": "object", "required": ["click"], "additionalProperties": false, "properties": { "click": { "type": "object", "required": ["selector"] } } },
      { "type": "object", "required": ["scroll"], "additionalProperties": false, "properties": { "scroll": { "type": "integer" } } },
      { "type": "string", "const": "wait" }
    ] },
    "untagged": { "anyOf": [
      { "title": "By name", "type": "object", "properties": { "at": { "minLength": 3 } } },
      { "title": "By number", "type": "object", "properties": { "at": { "minimum": 3, "maxLength": 0 } } }
    ] },
    "twice": { "oneOf": [{ "title": "whole", "type": "integer" }, { "title": "any", "type": "number" }] }
  }
}"#;

#[test]
fn slips_in_a_digest_are_told_at_their_place() {
    insta::assert_snapshot!(told(
        DIGEST,
        &[
            r#"{"steps": []}"#,
            r#"{"form": {"records": []}}"#,
            r#"{"from": {"record": []}}"#,
            r#"{"from": {}, "steps": [{"filtr": {"field": "a"}}]}"#,
            r#"{"from": {}, "steps": [{"where": {"field": "a"}}]}"#,
            r#"{"from": {}, "steps": [{"filter": {"field": "a", "op": "equals", "value": 1}}]}"#,
            r#"{"from": {}, "steps": [{"filter": {"field": "a", "op": "start_with", "value": "b"}}]}"#,
            r#"{"from": {}, "steps": [{"filter": {"field": "a", "op": 5}}]}"#,
            r#"{"from": {}, "steps": [{"filter": {"and": [{"not": {"feild": "a"}}]}}]}"#,
            r#"{"from": {}, "steps": [{"sort": ["a", {"order": "asc"}]}]}"#,
            r#"{"from": {}, "steps": [{"sort": [{"field": "a", "order": "down"}]}]}"#,
            r#"{"from": {}, "steps": [{"sort": [5]}]}"#,
            r#"{"from": {}, "steps": [{"limit": "ten"}]}"#,
            r#"{"from": {}, "steps": [{"top_k": {}}]}"#,
            r#"{"from": {}, "steps": [{}]}"#,
            r#"{"from": {}, "steps": [{"limit": 1, "filter": {}}]}"#,
            r#"{"from": {}, "max_rows": 0}"#,
            "[]",
            r#"{"from""#,
        ],
    ));
}

#[test]
fn slips_in_a_scrape_are_told_at_their_place() {
    insta::assert_snapshot!(told(
        SCRAPER,
        &[
            r#"{"urls": "https://example.com/"}"#,
            r#"{"url": ["https://example.com/"]}"#,
            r#"{"urls": [], "concurency": 3}"#,
            r#"{"urls": [], "colour": "red"}"#,
            r#"{"fields": {"title": {"css": "h1"}}}"#,
            r#"{"fields": {"title": {"selector": "h1", "many": "yes"}}}"#,
            r#"{"fields": {"title": 5}}"#,
            r#"{"fields": {"title": ["h1"]}}"#,
            r#"{"follow": {"depth": 2}}"#,
            r#"{"follow": {"max_depth": 200}}"#,
            r#"{"follow": true}"#,
        ],
    ));
}

#[test]
fn of_alternatives_the_one_that_was_meant_is_told_else_what_they_are() {
    insta::assert_snapshot!(told(
        ENUMS,
        &[
            r#"{"tagged": {"do": "click"}}"#,
            r#"{"tagged": {"do": "scroll", "pixels": "many"}}"#,
            r#"{"tagged": {"do": "scrol", "pixels": 3}}"#,
            r#"{"tagged": {"selector": "a"}}"#,
            r#"{"tagged": {}}"#,
            r#"{"keyed": {"click": {}}}"#,
            r#"{"keyed": {"clik": {"selector": "a"}}}"#,
            r#"{"keyed": {"press": 1}}"#,
            r#"{"keyed": "wayt"}"#,
            r#"{"keyed": 1}"#,
            r#"{"untagged": {"at": "ab"}}"#,
            r#"{"twice": 1}"#,
        ],
    ));
}

#[test]
fn what_is_quoted_is_cut_and_what_is_offered_is_bounded() {
    let options: Vec<String> = (0..200).map(|n| format!("\"option-{n}\"")).collect();
    let schema = format!(r#"{{"enum": [{}]}}"#, options.join(","));
    let faults = Schema::compile(&schema).unwrap().check(&format!("\"{}\"", "x".repeat(100_000))).unwrap_err();
    assert!(faults[0].message.len() < 600, "{}", faults[0].message);
    assert!(faults[0].message.contains("and 188 more"), "{}", faults[0].message);
    let many: Vec<String> = (0..50).map(|n| format!("\"k{n}\":1")).collect();
    let closed = Schema::compile(r#"{"properties": {"a": {}}, "additionalProperties": false}"#).unwrap();
    assert_eq!(closed.check(&format!("{{{}}}", many.join(","))).unwrap_err().len(), super::MAX_FAULTS);
}
