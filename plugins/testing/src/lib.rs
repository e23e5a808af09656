//! A plugin that behaves well and badly on request.
//!
//! It speaks the contract directly, without the SDK, so that the runtime's tests depend on nothing but `wit/`. Each task
//! type does one small thing: end at once, loop for ever, exhaust a limit, call one capability. Built for
//! `wasm32-wasip2` by `scripts/build-plugins`; on any other target it compiles to a library that exports nothing.

#![allow(clippy::needless_pass_by_value)] // the signatures are those of the generated trait

mod bad;
mod calls;

/// The generated bindings.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
mod wit {
    wit_bindgen::generate!({ path: "../../wit", world: "plugin" });
}

use serde_json::{Value, json};
use wit::buddy::plugin::types::{Failure, Invalid, Retry};
use wit::exports::buddy::plugin::task::{CapabilityRequest, Demand, Guest, Limits, Manifest, TaskType};

struct Testing;

/// Name, input schema, example.
type Entry = (&'static str, &'static str, &'static str);

/// An input of any shape.
const ANY: &str = "{}";

const TYPES: &[Entry] = &[
    ("noop", ANY, "null"),
    ("echo", ANY, r#"{"hello":"world"}"#),
    ("context", ANY, "null"),
    ("progress", ANY, "null"),
    ("spin", ANY, "null"),
    (
        "busy",
        r#"{"type":"object","required":["rounds"],"properties":{"rounds":{"type":"integer","minimum":0}}}"#,
        r#"{"rounds":1}"#,
    ),
    ("hostcall_loop", ANY, "null"),
    ("async_hostcall_loop", ANY, "null"),
    ("sleep_forever", ANY, "null"),
    (
        "sleep_at_once",
        r#"{"type":"object","required":["count","ms"],"properties":{"count":{"type":"integer","minimum":1},"ms":{"type":"integer","minimum":0}}}"#,
        r#"{"count":1,"ms":1}"#,
    ),
    ("wait_for_cancel", ANY, "null"),
    ("recurse", ANY, "null"),
    ("recurse_in_memory", ANY, "null"),
    ("alloc", ANY, "null"),
    (
        "hold",
        r#"{"type":"object","required":["mib","ms"],"properties":{"mib":{"type":"integer","minimum":0},"ms":{"type":"integer","minimum":0}}}"#,
        r#"{"mib":1,"ms":1}"#,
    ),
    ("panic", ANY, "null"),
    ("exit", ANY, "null"),
    ("bad_output", ANY, "null"),
    (
        "big_output",
        r#"{"type":"object","required":["bytes"],"properties":{"bytes":{"type":"integer","minimum":0}}}"#,
        r#"{"bytes":1}"#,
    ),
    (
        "log_flood",
        r#"{"type":"object","required":["lines","bytes"],"properties":{"lines":{"type":"integer"},"bytes":{"type":"integer"}}}"#,
        r#"{"lines":1,"bytes":1}"#,
    ),
    ("stderr", r#"{"type":"object","required":["lines"],"properties":{"lines":{"type":"integer"}}}"#, r#"{"lines":1}"#),
    ("sandbox_probe", ANY, "null"),
    (
        "fan_out_http",
        r#"{"type":"object","required":["url","count"],"properties":{"url":{"type":"string"},"count":{"type":"integer","minimum":1}}}"#,
        r#"{"url":"http://127.0.0.1/","count":1}"#,
    ),
    (
        "flood_calls",
        r#"{"type":"object","required":["count"],"properties":{"count":{"type":"integer"}}}"#,
        r#"{"count":1}"#,
    ),
    (
        "open_resources",
        r#"{"type":"object","required":["count"],"properties":{"count":{"type":"integer"}}}"#,
        r#"{"count":1}"#,
    ),
    ("checkpoint_count", ANY, "null"),
    (
        "checkpoint_save",
        r#"{"type":"object","required":["key","value"],"properties":{"key":{"type":"string"},"value":{"type":"string"}}}"#,
        r#"{"key":"k","value":"null"}"#,
    ),
    (
        "store_roundtrip",
        r#"{"type":"object","required":["key","value"],"properties":{"key":{"type":"string"},"value":{"type":"string"}}}"#,
        r#"{"key":"k","value":"v"}"#,
    ),
    (
        "artifact_roundtrip",
        r#"{"type":"object","required":["text"],"properties":{"text":{"type":"string"}}}"#,
        r#"{"text":"t"}"#,
    ),
    (
        "browser_title",
        r#"{"type":"object","required":["url"],"properties":{"url":{"type":"string"},"max_age_ms":{"type":"integer","minimum":0}}}"#,
        r#"{"url":"http://127.0.0.1/"}"#,
    ),
    ("browser_later", ANY, "null"),
    ("denied_probe", ANY, "null"),
    ("secret_names", ANY, "null"),
    ("fail_invalid", ANY, "null"),
    ("fail_retryable", ANY, "null"),
    ("fail_permanent", ANY, "null"),
];

impl Guest for Testing {
    fn describe() -> Manifest {
        let asked = |capability: &str, scope: &[&str]| CapabilityRequest {
            capability: capability.into(),
            scope: scope.iter().map(|s| (*s).into()).collect(),
            reason: "to test it".into(),
        };
        Manifest {
            name: "testing".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Behaves well and badly on request.".into(),
            task_types: TYPES
                .iter()
                .map(|(name, input_schema, example)| TaskType {
                    name: (*name).into(),
                    summary: name.replace('_', " "),
                    input_schema: (*input_schema).into(),
                    output_schema: "{}".into(),
                    example: (*example).into(),
                    more: Vec::new(),
                })
                .collect(),
            capabilities: vec![
                asked("checkpoint", &[]),
                asked("store", &[]),
                asked("artifacts", &[]),
                asked("http", &["127.0.0.1"]),
                asked("browser", &["127.0.0.1"]),
            ],
            limits: Limits {
                memory_mib: Some(64),
                cpu_ms: None,
                wall_ms: Some(60_000),
                pages: Some(1),
                more: Vec::new(),
            },
            more: Vec::new(),
        }
    }

    fn estimate(task_type: String, input: String) -> Result<Demand, Failure> {
        match task_type.as_str() {
            "spin" => bad::spin(),
            "panic" => panic!("estimate panics on purpose"),
            "fail_invalid" => return Err(invalid("/field", "estimate refuses it on purpose")),
            _ => {}
        }
        Ok(Demand { pages: 0, bytes: input.len() as u64, seconds: 1, desktop_only: false, more: Vec::new() })
    }

    async fn run(task_type: String, input: String) -> Result<String, Failure> {
        // Before anything else, so that its cost is the host's alone.
        if task_type == "noop" {
            return Ok("null".into());
        }
        let value: Value = serde_json::from_str(&input).map_err(|e| invalid("", &e.to_string()))?;
        let output = match task_type.as_str() {
            "echo" => return Ok(input),
            "context" => calls::context(),
            "progress" => calls::progress(),
            "spin" => bad::spin(),
            "busy" => bad::busy(number(&value, "rounds")),
            "hostcall_loop" => bad::hostcall_loop(),
            "async_hostcall_loop" => bad::async_hostcall_loop().await,
            "sleep_forever" => bad::sleep_forever(),
            "sleep_at_once" => calls::sleep_at_once(usize(&value, "count"), number(&value, "ms")).await,
            "wait_for_cancel" => calls::wait_for_cancel(),
            "recurse" => json!(bad::recurse(1)),
            "recurse_in_memory" => json!(bad::recurse_in_memory(1)),
            "alloc" => bad::alloc(),
            "hold" => bad::hold(usize(&value, "mib"), number(&value, "ms")).await,
            "panic" => panic!("the testing plugin panics on purpose"),
            "exit" => std::process::exit(1),
            "bad_output" => return Ok("{not json".into()),
            "big_output" => return Ok(format!("\"{}\"", "x".repeat(usize(&value, "bytes")))),
            "log_flood" => bad::log_flood(number(&value, "lines"), usize(&value, "bytes")),
            "stderr" => bad::stderr(number(&value, "lines")),
            "sandbox_probe" => bad::sandbox_probe(),
            "fan_out_http" => calls::fan_out_http(text(&value, "url"), usize(&value, "count")).await?,
            "flood_calls" => bad::flood_calls(usize(&value, "count")).await,
            "open_resources" => bad::open_resources(usize(&value, "count")).await,
            "checkpoint_count" => calls::checkpoint_count().await?,
            "checkpoint_save" => calls::checkpoint_save(text(&value, "key"), text(&value, "value")).await?,
            "store_roundtrip" => calls::store_roundtrip(text(&value, "key"), text(&value, "value")).await?,
            "artifact_roundtrip" => calls::artifact_roundtrip(text(&value, "text")).await?,
            "browser_title" => calls::browser_title(text(&value, "url"), value["max_age_ms"].as_u64()).await?,
            "browser_later" => calls::browser_later().await?,
            "denied_probe" => calls::denied_probe().await,
            "secret_names" => calls::secret_names(),
            "fail_invalid" => return Err(invalid("/field", "refused on purpose")),
            "fail_retryable" => {
                return Err(Failure::Retryable(Retry { message: "not now, on purpose".into(), after_ms: Some(1500) }));
            }
            "fail_permanent" => return Err(Failure::Permanent("never, on purpose".into())),
            other => return Err(Failure::Permanent(format!("no task type {other}"))),
        };
        Ok(output.to_string())
    }
}

fn invalid(path: &str, message: &str) -> Failure {
    Failure::InvalidInput(vec![Invalid { path: path.into(), message: message.into() }])
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_default()
}

fn usize(value: &Value, key: &str) -> usize {
    usize::try_from(number(value, key)).unwrap_or(usize::MAX)
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

#[cfg(target_arch = "wasm32")]
wit::export!(Testing with_types_in wit);
