//! One try of one task: results, failures, and what a plugin can see.

use crate::support::{in_time, loaded, request, runtime, testing, testing_wasm};
use buddy_runtime::{Failure, Fault, PluginSet};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn a_task_returns_its_result_and_what_it_used() {
    let (runtime, plugin) = loaded().await;
    let outcome = in_time(runtime.run(&plugin, request("echo", r#"{"a":[1,2]}"#))).await;
    assert_eq!(outcome.result.as_deref(), Ok(r#"{"a":[1,2]}"#));
    assert_eq!((outcome.usage.host_calls, outcome.output.as_str()), (0, ""));
    assert!(outcome.usage.peak_memory > 0 && outcome.usage.cpu <= outcome.usage.wall);
}

#[tokio::test]
async fn each_try_has_a_fresh_instance() {
    let (runtime, plugin) = loaded().await;
    for _ in 0..50 {
        assert_eq!(in_time(runtime.run(&plugin, request("noop", "null"))).await.result.as_deref(), Ok("null"));
    }
    assert_eq!(runtime.instances(), 0);
}

#[tokio::test]
async fn a_run_can_be_spawned() {
    let (runtime, plugin) = loaded().await;
    let run = tokio::spawn(async move { runtime.run(&plugin, request("echo", "1")).await });
    assert_eq!(in_time(run).await.unwrap().result.as_deref(), Ok("1"));
}

#[tokio::test]
async fn invalid_input_is_refused_before_the_plugin_runs_with_the_place_of_each_fault() {
    let (runtime, plugin) = loaded().await;
    let refused = |input: &'static str| {
        let (runtime, plugin) = (&runtime, &plugin);
        async move {
            let outcome = in_time(runtime.run(plugin, request("fan_out_http", input))).await;
            assert_eq!(outcome.usage.host_calls, 0);
            match outcome.result {
                Err(Failure::InvalidInput(faults)) => faults,
                other => panic!("{other:?}"),
            }
        }
    };
    let fault = |path: &str, message: &str| Fault { path: path.into(), message: message.into() };
    assert_eq!(
        refused(r#"{"url":7,"count":0}"#).await,
        [fault("/count", "0 is less than the minimum of 1"), fault("/url", "must be a string, not 7")]
    );
    assert_eq!(refused(r#"{"url":"x"}"#).await, [fault("", "`count` is missing")]);
    assert_eq!(refused("{").await.len(), 1);
    assert_eq!(refused("").await[0].path, "");
}

#[tokio::test]
async fn input_over_its_bound_is_refused() {
    let (runtime, plugin) = loaded().await;
    let mut large = request("echo", &format!("\"{}\"", "x".repeat(2_000)));
    large.limits.input = 1_000;
    let failure = in_time(runtime.run(&plugin, large)).await.result.unwrap_err();
    assert_eq!(
        failure.to_string(),
        "The input is invalid: the input has 2002 bytes and may have 1000; pass large data as an artifact"
    );
}

#[tokio::test]
async fn large_input_within_its_bound_arrives_whole() {
    let (runtime, plugin) = loaded().await;
    let input = format!("\"{}\"", "x".repeat(1 << 20));
    let outcome = in_time(runtime.run(&plugin, request("echo", &input))).await;
    assert!(outcome.result == Ok(input), "it came back changed");
}

#[tokio::test]
async fn an_unknown_task_type_is_one_sentence() {
    let (runtime, plugin) = loaded().await;
    let refused = |task_type: &'static str| {
        let run = runtime.run(&plugin, request(task_type, "null"));
        async move { in_time(run).await.result.unwrap_err().to_string() }
    };
    assert_eq!(refused("ecko").await, "plugin testing has no task type `ecko` (did you mean `echo`?)");
    let unlike = refused("fly").await;
    assert!(unlike.starts_with("plugin testing has no task type `fly`; known: `"), "{unlike}");
    assert!(unlike.ends_with(" more") && unlike.len() < 400, "{unlike}");
}

#[tokio::test]
async fn the_plugins_own_failures_arrive_as_it_meant_them() {
    let (runtime, plugin) = loaded().await;
    let failure = |task_type: &'static str| {
        let run = runtime.run(&plugin, request(task_type, "null"));
        async move { in_time(run).await.result.unwrap_err() }
    };
    assert_eq!(
        failure("fail_invalid").await,
        Failure::InvalidInput(vec![Fault { path: "/field".into(), message: "refused on purpose".into() }])
    );
    let retryable = failure("fail_retryable").await;
    assert!(retryable.is_retryable());
    assert_eq!(
        retryable,
        Failure::Retryable { message: "not now, on purpose".into(), after: Some(Duration::from_millis(1500)) }
    );
    assert_eq!(failure("fail_permanent").await, Failure::Permanent("never, on purpose".into()));
}

#[tokio::test]
async fn a_result_that_is_not_json_is_refused() {
    let (runtime, plugin) = loaded().await;
    let failure = in_time(runtime.run(&plugin, request("bad_output", "null"))).await.result.unwrap_err();
    assert!(failure.to_string().starts_with("The plugin's result is not JSON: "), "{failure}");
}

#[tokio::test]
async fn p4_a_panics_message_and_place_reach_the_author() {
    let (runtime, plugin) = loaded().await;
    let outcome = in_time(runtime.run(&plugin, request("panic", "null"))).await;
    let text = outcome.result.unwrap_err().to_string();
    assert!(text.starts_with("The plugin panicked at plugins/testing/src/lib.rs:"), "{text}");
    assert!(text.ends_with(": the testing plugin panics on purpose"), "{text}");
    assert!(outcome.output.contains("panics on purpose"));

    let failure = in_time(runtime.estimate(&plugin, "panic", "null")).await.unwrap_err();
    assert!(failure.to_string().ends_with(": estimate panics on purpose"), "{failure}");
}

#[tokio::test]
async fn ending_the_process_is_no_result() {
    let (runtime, plugin) = loaded().await;
    let failure = in_time(runtime.run(&plugin, request("exit", "null"))).await.result.unwrap_err();
    assert_eq!(failure.to_string(), "The plugin ended its process with code 1 instead of returning.");
}

#[tokio::test]
async fn a_plugin_sees_nothing_of_the_machine() {
    let (runtime, plugin) = loaded().await;
    let outcome = in_time(runtime.run(&plugin, request("sandbox_probe", "null"))).await;
    let seen: Value = serde_json::from_str(&outcome.result.unwrap()).unwrap();
    insta::assert_json_snapshot!(seen);
}

#[tokio::test]
async fn an_estimate_answers_or_refuses_in_the_plugins_words() {
    let (runtime, plugin) = loaded().await;
    let demand = in_time(runtime.estimate(&plugin, "echo", "[1]")).await.unwrap();
    assert_eq!((demand.pages, demand.bytes, demand.seconds, demand.desktop_only), (0, 3, 1, false));
    let refused = in_time(runtime.estimate(&plugin, "fail_invalid", "null")).await.unwrap_err();
    assert_eq!(refused.to_string(), "The input is invalid: /field: estimate refuses it on purpose");
    let refused = in_time(runtime.estimate(&plugin, "fan_out_http", "{}")).await.unwrap_err();
    assert_eq!(refused.code(), "invalid-input");
}

#[tokio::test]
async fn a_plugin_that_was_taken_out_lives_on_in_its_runs() {
    let runtime = runtime();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("testing.wasm");
    std::fs::copy(testing_wasm(), &path).unwrap();
    let plugin = in_time(runtime.load(&path)).await.unwrap();
    let waiting = request("wait_for_cancel", "null");
    let cancel = waiting.cancel.clone();
    let run = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.run(&plugin, waiting).await }
    });
    std::fs::remove_file(&path).unwrap();
    crate::support::eventually("it runs", || runtime.instances() == 1).await;
    cancel.cancel();
    assert!(in_time(run).await.unwrap().result.is_ok());
}

#[tokio::test]
async fn a_folder_is_loaded_in_order_and_a_bad_file_harms_no_other() {
    let runtime = runtime();
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(testing_wasm(), folder.path().join("b.wasm")).unwrap();
    std::fs::copy(testing_wasm(), folder.path().join("c.wasm")).unwrap();
    std::fs::write(folder.path().join("a.wasm"), "hello").unwrap();
    std::fs::write(folder.path().join("notes.txt"), "no plugin").unwrap();
    let set = in_time(PluginSet::load_folder(&runtime, folder.path())).await.unwrap();

    assert_eq!(set.plugins().len(), 1);
    assert_eq!(set.for_task_type("echo").unwrap().path(), folder.path().join("b.wasm"));
    assert!(set.for_task_type("fly").is_none());
    assert_eq!(set.failures().len(), 1);
    assert!(set.failures()[0].to_string().contains("a.wasm: this is a text file"), "{}", set.failures()[0]);
    assert_eq!(set.warnings().len(), 1);
    assert!(set.warnings()[0].contains("c.wasm are both named testing"), "{}", set.warnings()[0]);
    let [(refused, why)] = set.refused() else { panic!("{:?}", set.refused()) };
    assert_eq!((refused.path(), why), (folder.path().join("c.wasm").as_path(), &set.warnings()[0]));
}

#[tokio::test]
async fn a_plugin_tells_what_it_is() {
    let (runtime, plugin) = loaded().await;
    assert_eq!((plugin.name(), plugin.version().to_string().as_str()), ("testing", "0.1.0"));
    assert_eq!(plugin.sha256().len(), 64);
    assert_eq!(plugin.manifest().limits.memory_mib, Some(64));
    assert_eq!(plugin.manifest().capabilities.len(), 5);
    let again = testing(&runtime).await;
    assert!(again.load_times().from_cache);
    assert!(!Arc::ptr_eq(&plugin, &again));
    let example: Value = serde_json::from_str(&plugin.task_type("echo").unwrap().example).unwrap();
    assert_eq!(example, json!({"hello": "world"}));
}
