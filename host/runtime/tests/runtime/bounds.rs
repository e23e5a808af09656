//! P2: whatever a plugin wants too much of is bounded, said in one sentence, and harms nobody.

use crate::support::{Memory, config, in_time, loaded, request, testing};
use buddy_runtime::{Failure, Plugin, RunOutcome, RunRequest, Runtime, SharedMemory};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs it, and then a well-behaved task on the same runtime.
async fn run(request: RunRequest) -> RunOutcome {
    let (runtime, plugin) = loaded().await;
    let outcome = in_time(runtime.run(&plugin, request)).await;
    still_well(&runtime, &plugin).await;
    outcome
}

async fn still_well(runtime: &Runtime, plugin: &Arc<Plugin>) {
    let after = in_time(runtime.run(plugin, request("echo", "\"still here\""))).await;
    assert_eq!(after.result.as_deref(), Ok("\"still here\""));
    assert_eq!(runtime.instances(), 0);
}

fn sentence(outcome: &RunOutcome) -> String {
    let failure = outcome.result.as_ref().expect_err("it should fail");
    assert!(!failure.is_retryable());
    failure.to_string()
}

fn value(outcome: &RunOutcome) -> Value {
    serde_json::from_str(outcome.result.as_ref().expect("it should succeed")).unwrap()
}

#[tokio::test]
async fn p2_a_memory_bomb_meets_its_limit() {
    let mut request = request("alloc", "null");
    request.limits.memory = 32 << 20;
    let outcome = run(request).await;
    let text = sentence(&outcome);
    assert!(text.starts_with("The plugin reached its memory limit of 32 MiB (it wanted "), "{text}");
    assert!(outcome.usage.peak_memory <= 32 << 20 && outcome.usage.peak_memory > 16 << 20);
}

/// A bound on all runs together.
#[derive(Debug)]
struct Together {
    bound: usize,
    held: AtomicUsize,
    most: AtomicUsize,
}

impl SharedMemory for Together {
    fn take(&self, bytes: usize) -> Result<(), String> {
        let fits = |held: usize| Some(held + bytes).filter(|sum| *sum <= self.bound);
        match self.held.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fits) {
            Ok(before) => {
                self.most.fetch_max(before + bytes, Ordering::SeqCst);
                Ok(())
            }
            Err(_) => Err("all of it is taken".to_owned()),
        }
    }

    fn give_back(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn p2_what_all_runs_hold_together_is_bounded_and_its_end_may_pass() {
    let shared = Arc::new(Together { bound: 24 << 20, held: AtomicUsize::new(0), most: AtomicUsize::new(0) });
    let mut config = config();
    config.memory = Some(Arc::clone(&shared) as Arc<dyn SharedMemory>);
    let runtime = Runtime::new(&config).unwrap();
    let plugin = testing(&runtime).await;
    let alloc = || in_time(runtime.run(&plugin, request("alloc", "null")));
    let (one, other) = tokio::join!(alloc(), alloc());
    for outcome in [one, other] {
        let failure = outcome.result.unwrap_err();
        assert_eq!(failure, Failure::NoMemory("all of it is taken".to_owned()));
        assert!(failure.is_retryable());
    }
    assert!(shared.most.load(Ordering::SeqCst) > 20 << 20);
    assert_eq!(shared.held.load(Ordering::SeqCst), 0, "all is given back");
    in_time(runtime.run(&plugin, request("noop", "null"))).await.result.unwrap();

    // Not even the memory that an instance begins with.
    shared.held.store(24 << 20, Ordering::SeqCst);
    let refused = in_time(runtime.run(&plugin, request("noop", "null"))).await;
    assert_eq!(refused.result.unwrap_err().code(), "no-memory");
    assert_eq!(shared.held.load(Ordering::SeqCst), 24 << 20);
}

#[tokio::test]
async fn questions_are_answered_while_runs_hold_all_memory_and_have_a_bound_of_their_own() {
    let shared = Arc::new(Together { bound: 0, held: AtomicUsize::new(0), most: AtomicUsize::new(0) });
    let mut config = config();
    config.memory = Some(Arc::clone(&shared) as Arc<dyn SharedMemory>);
    let runtime = Runtime::new(&config).unwrap();
    // To load it is to ask it to describe itself.
    let plugin = testing(&runtime).await;
    // More of them than are answered at once.
    let asked = (0..20).map(|_| in_time(runtime.estimate(&plugin, "noop", "null")));
    for answer in futures::future::join_all(asked).await {
        assert_eq!(answer.unwrap().seconds, 1);
    }
    let refused = in_time(runtime.run(&plugin, request("noop", "null"))).await;
    assert_eq!(refused.result.unwrap_err().code(), "no-memory");
    assert_eq!(shared.most.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn p2_a_plugin_that_needs_more_than_its_limit_to_start_does_not_start() {
    let mut request = request("noop", "null");
    request.limits.memory = 1 << 16;
    let text = sentence(&run(request).await);
    assert!(text.contains("memory limit"), "{text}");
}

#[tokio::test]
async fn p2_a_recursion_without_end_uses_up_the_plugins_stack_only() {
    assert_eq!(
        sentence(&run(request("recurse", "null")).await),
        "The plugin used up its stack: a recursion goes too deep."
    );
    // Where frames lie in linear memory, it runs out of that first.
    assert_eq!(
        sentence(&run(request("recurse_in_memory", "null")).await),
        "The plugin reached outside of its memory: most often a recursion goes too deep, else unsafe code is wrong."
    );
}

#[tokio::test]
async fn p2_a_giant_output_is_refused() {
    let mut over = request("big_output", r#"{"bytes":2000000}"#);
    over.limits.output = 1_000_000;
    assert_eq!(
        sentence(&run(over).await),
        "The plugin's result has 2000002 bytes and may have 1000000; it should keep large data as an artifact."
    );

    // More than even a host call may carry: refused before the host has a copy.
    let mut far_over = request("big_output", r#"{"bytes":50000000}"#);
    far_over.limits.output = 1_000_000;
    let text = sentence(&run(far_over).await);
    assert!(text.starts_with("The plugin handed more than 16 MiB to the host at once"), "{text}");
}

#[tokio::test]
async fn p2_a_giant_log_is_cut_and_counted() {
    let memory = Memory::default();
    let mut request =
        RunRequest { providers: memory.providers(), ..request("log_flood", r#"{"lines":10000,"bytes":1000}"#) };
    request.limits.log_bytes = 100_000;
    let outcome = run(request).await;
    assert_eq!(value(&outcome), json!(10_000));
    assert_eq!(memory.0.lines.lock().unwrap().len(), 100);
    assert_eq!(outcome.usage.log_lines_dropped, 9_900);
}

#[tokio::test]
async fn p2_a_million_resources_are_refused_at_the_thousandth() {
    let memory = Memory::default();
    let request = RunRequest { providers: memory.providers(), ..request("open_resources", r#"{"count":1000000}"#) };
    let answer = value(&run(request).await);
    assert_eq!((&answer["opened"], &answer["code"]), (&json!(1000), &json!("limit")));
    assert_eq!(memory.alive(), 0);
}

#[tokio::test]
async fn p2_a_hundred_thousand_calls_at_once_are_refused_beyond_the_bound() {
    let mut request = request("flood_calls", r#"{"count":100000}"#);
    request.limits.calls_under_way = 500;
    let answer = value(&run(request).await);
    assert_eq!(answer["first-code"], json!("limit"));
    assert!(answer["succeeded"].as_u64().unwrap() >= 500, "{answer}");
}

#[tokio::test]
async fn p2_giant_output_on_standard_error_keeps_its_end() {
    let outcome = run(request("stderr", r#"{"lines":100000}"#)).await;
    assert_eq!(value(&outcome), json!(100_000));
    assert!(outcome.output.len() <= 16 << 10);
    assert!(outcome.output.starts_with("line ") && outcome.output.ends_with("line 99999\n"), "{}", outcome.output);
}
