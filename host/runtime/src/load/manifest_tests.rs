//! What a manifest may not be.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use std::fmt::Write;

fn good() -> task::Manifest {
    task::Manifest {
        name: "sample".into(),
        version: "1.2.3".into(),
        summary: "A sample.".into(),
        task_types: vec![task::TaskType {
            name: "sample.one".into(),
            summary: "One.".into(),
            input_schema: r#"{"type":"object","required":["url"],"properties":{"url":{"type":"string"}}}"#.into(),
            output_schema: "{}".into(),
            example: r#"{"url":"http://127.0.0.1/"}"#.into(),
            more: Vec::new(),
        }],
        capabilities: vec![task::CapabilityRequest {
            capability: "something-of-the-future".into(),
            scope: vec!["a".into()],
            reason: "because".into(),
        }],
        limits: task::Limits { memory_mib: None, cpu_ms: None, wall_ms: None, pages: None, more: Vec::new() },
        more: vec![("unknown".into(), "1".into())],
    }
}

#[test]
fn a_sound_manifest_passes_and_what_is_unknown_in_it_does_no_harm() {
    let manifest = Manifest::check(good()).unwrap();
    assert_eq!(manifest.name, "sample");
    assert!(manifest.task_types.contains_key("sample.one"));
}

#[test]
fn p3_each_fault_of_a_manifest_has_one_sentence() {
    type Change = fn(&mut task::Manifest);
    let faults: &[(&str, Change)] = &[
        ("no name", |m| m.name.clear()),
        ("a name with a slash", |m| m.name = "../etc".into()),
        ("a name with capitals", |m| m.name = "Sample".into()),
        ("a version that is none", |m| m.version = "latest".into()),
        ("no task type", |m| m.task_types.clear()),
        ("a long summary", |m| m.summary = "x".repeat(2000)),
        ("a task type with a space", |m| m.task_types[0].name = "two words".into()),
        ("the same task type twice", |m| m.task_types.push(m.task_types[0].clone())),
        ("a schema that is no JSON", |m| m.task_types[0].input_schema = "{".into()),
        ("a schema that is no schema", |m| m.task_types[0].input_schema = r#"{"type":"text"}"#.into()),
        ("a schema that reaches outside", |m| {
            m.task_types[0].output_schema = r#"{"$ref":"http://127.0.0.1/schema.json"}"#.into();
        }),
        ("a schema that reads a file", |m| m.task_types[0].output_schema = r#"{"$ref":"file:///etc/passwd"}"#.into()),
        ("a huge schema", |m| m.task_types[0].input_schema = format!("{{\"title\":\"{}\"}}", "x".repeat(MAX_JSON))),
        ("an example that is no JSON", |m| m.task_types[0].example = "url: x".into()),
        ("an example of the wrong type", |m| m.task_types[0].example = r#"{"url":7}"#.into()),
        ("a hundred requests", |m| m.capabilities = vec![m.capabilities[0].clone(); 100]),
    ];
    let mut texts = String::new();
    for (what, change) in faults {
        let mut manifest = good();
        change(&mut manifest);
        let sentence = Manifest::check(manifest).expect_err(what);
        assert!(!sentence.contains('\n') && sentence.len() < 600, "{what}: {sentence}");
        writeln!(texts, "{what}\n    {sentence}").unwrap();
    }
    insta::assert_snapshot!(texts);
}
