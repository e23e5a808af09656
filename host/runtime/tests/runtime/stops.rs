//! P1: whatever a plugin does, it ends when it must, and others go on.

use crate::support::{GateServer, Memory, eventually, in_time, loaded, request};
use buddy_runtime::{Failure, RunRequest};
use std::time::Duration;

/// Short, because each test waits it out.
const WALL: Duration = Duration::from_millis(200);

async fn stopped_at_its_deadline(task_type: &str) {
    let (runtime, plugin) = loaded().await;
    let mut request = request(task_type, "null");
    request.limits.wall = WALL;
    let outcome = in_time(runtime.run(&plugin, request)).await;
    assert_eq!(outcome.result, Err(Failure::Deadline(WALL)));
    assert!(outcome.usage.wall >= WALL);
    assert_eq!(runtime.instances(), 0, "its place is free again");
}

#[tokio::test]
async fn p1_an_endless_loop_is_stopped_at_the_deadline() {
    stopped_at_its_deadline("spin").await;
}

#[tokio::test]
async fn p1_an_endless_loop_of_host_calls_is_stopped_at_the_deadline() {
    stopped_at_its_deadline("hostcall_loop").await;
}

#[tokio::test]
async fn p1_an_endless_loop_of_host_calls_that_could_wait_is_stopped_at_the_deadline() {
    stopped_at_its_deadline("async_hostcall_loop").await;
}

#[tokio::test]
async fn p1_a_sleep_for_ever_is_stopped_at_the_deadline() {
    stopped_at_its_deadline("sleep_forever").await;
}

#[tokio::test]
async fn p1_a_host_call_that_never_ends_is_dropped_with_the_run() {
    let (runtime, plugin) = loaded().await;
    let server = GateServer::start(1_000).await; // more than will ever come
    let input = format!(r#"{{"url":"{}","count":20}}"#, server.url);
    let mut request = request("fan_out_http", &input);
    request.limits.wall = Duration::from_secs(1);
    let outcome = in_time(runtime.run(&plugin, request)).await;
    assert_eq!(outcome.result, Err(Failure::Deadline(Duration::from_secs(1))));
    assert_eq!(server.most(), 20);
    eventually("the connections are closed", || server.open() == 0).await;
}

#[tokio::test] // on one thread, which the loop must share
async fn p1_other_runs_go_on_beside_an_endless_loop() {
    let (runtime, plugin) = loaded().await;
    let spin = request("spin", "null");
    let cancel = spin.cancel.clone();
    let spinning = tokio::spawn({
        let (runtime, plugin) = (runtime.clone(), plugin.clone());
        async move { runtime.run(&plugin, spin).await }
    });
    eventually("the loop runs", || runtime.instances() == 1).await;
    for _ in 0..3 {
        let outcome = in_time(runtime.run(&plugin, request("echo", "[1]"))).await;
        assert_eq!(outcome.result.as_deref(), Ok("[1]"));
    }
    cancel.cancel();
    assert_eq!(in_time(spinning).await.unwrap().result, Err(Failure::Cancelled));
}

#[tokio::test]
async fn p1_computing_for_too_long_is_stopped_before_the_deadline() {
    let (runtime, plugin) = loaded().await;
    let budget = Duration::from_millis(100);
    let mut spin = request("spin", "null");
    spin.limits.cpu = budget;
    let outcome = in_time(runtime.run(&plugin, spin)).await;
    assert_eq!(outcome.result, Err(Failure::CpuBudget(budget)));
    assert!(outcome.usage.cpu > budget);

    // Waiting is not computing.
    let mut sleep = request("sleep_forever", "null");
    sleep.limits.cpu = budget;
    sleep.limits.wall = 3 * budget;
    let outcome = in_time(runtime.run(&plugin, sleep)).await;
    assert_eq!(outcome.result, Err(Failure::Deadline(3 * budget)));
    assert!(outcome.usage.cpu < outcome.usage.wall);
}

#[tokio::test]
async fn an_estimate_that_computes_for_ever_is_stopped() {
    let (runtime, plugin) = loaded().await;
    let failure = in_time(runtime.estimate(&plugin, "spin", "null")).await.unwrap_err();
    assert!(matches!(failure, Failure::CpuBudget(_)), "{failure}");
}

#[tokio::test]
async fn a_cancelled_run_may_save_its_work_and_return() {
    let (runtime, plugin) = loaded().await;
    let mut waiting = request("wait_for_cancel", "null");
    waiting.limits.grace = Duration::from_secs(30);
    let cancel = waiting.cancel.clone();
    let (outcome, ()) = tokio::join!(in_time(runtime.run(&plugin, waiting)), async {
        eventually("it runs", || runtime.instances() == 1).await;
        cancel.cancel();
    });
    assert_eq!(outcome.result.as_deref(), Ok("\"stopped in time\""));
    assert!(outcome.told_to_stop, "it asked");
}

#[tokio::test]
async fn only_a_run_that_saw_the_stop_is_said_to_be_told() {
    let (runtime, plugin) = loaded().await;
    // A wait is cut short.
    let mut waiting = request("sleep_at_once", r#"{"count":1,"ms":50000}"#);
    waiting.limits.grace = Duration::from_secs(30);
    let shutdown = waiting.shutdown.clone();
    let (outcome, ()) = tokio::join!(in_time(runtime.run(&plugin, waiting)), async {
        eventually("it runs", || runtime.instances() == 1).await;
        shutdown.cancel();
    });
    assert_eq!((outcome.result.as_deref(), outcome.told_to_stop), (Ok("1"), true));

    // A request that is under way goes on to its end: its answer comes when a second one is there.
    let server = GateServer::start(2).await;
    let mut fetching = request("fan_out_http", &format!(r#"{{"url":"{}","count":1}}"#, server.url));
    fetching.limits.grace = Duration::from_secs(30);
    let shutdown = fetching.shutdown.clone();
    let (outcome, ()) = tokio::join!(in_time(runtime.run(&plugin, fetching)), async {
        eventually("it asks", || server.open() == 1).await;
        shutdown.cancel();
        let second = request("fan_out_http", &format!(r#"{{"url":"{}","count":1}}"#, server.url));
        assert!(in_time(runtime.run(&plugin, second)).await.result.is_ok());
    });
    assert!(outcome.result.is_ok(), "{:?}", outcome.result);
    assert!(!outcome.told_to_stop);
}

#[tokio::test]
async fn a_run_that_ignores_shutting_down_is_stopped_after_its_grace() {
    let (runtime, plugin) = loaded().await;
    let mut sleeping = request("sleep_forever", "null");
    sleeping.limits.grace = Duration::from_millis(10);
    sleeping.shutdown.cancel();
    // A run that has its place is given the grace; one that has none yet does not start.
    assert_eq!(in_time(runtime.run(&plugin, sleeping)).await.result, Err(Failure::Shutdown));

    let mut sleeping = request("sleep_forever", "null");
    sleeping.limits.grace = Duration::from_millis(10);
    let shutdown = sleeping.shutdown.clone();
    let (outcome, ()) = tokio::join!(in_time(runtime.run(&plugin, sleeping)), async {
        eventually("it runs", || runtime.instances() == 1).await;
        shutdown.cancel();
    });
    assert_eq!(outcome.result, Err(Failure::Shutdown));
}

#[tokio::test]
async fn dropping_the_future_stops_the_run_and_frees_what_it_held() {
    let (runtime, plugin) = loaded().await;
    let server = GateServer::start(1_000).await;
    let input = format!(r#"{{"url":"{}","count":3}}"#, server.url);
    let run = tokio::spawn({
        let (runtime, plugin, request) = (runtime.clone(), plugin.clone(), request("fan_out_http", &input));
        async move { runtime.run(&plugin, request).await }
    });
    eventually("the calls are under way", || server.open() == 3).await;
    run.abort();
    eventually("everything is gone", || server.open() == 0 && runtime.instances() == 0).await;
}

#[tokio::test]
async fn runs_beyond_the_places_wait_for_one() {
    let mut config = crate::support::config();
    config.engine = crate::support::engine(2);
    let runtime = buddy_runtime::Runtime::new(&config).unwrap();
    let plugin = crate::support::testing(&runtime).await;
    let requests = (0..20).map(|n| runtime.run(&plugin, request("echo", &n.to_string())));
    for (n, outcome) in in_time(futures::future::join_all(requests)).await.into_iter().enumerate() {
        assert_eq!(outcome.result, Ok(n.to_string()));
    }
}

#[tokio::test]
async fn handles_are_freed_when_a_run_is_stopped() {
    let (runtime, plugin) = loaded().await;
    let memory = Memory::default();
    let mut endless = RunRequest { providers: memory.providers(), ..request("open_resources", r#"{"count":1000000}"#) };
    endless.limits.handles = 1_000_000;
    let cancel = endless.cancel.clone();
    endless.limits.grace = Duration::ZERO;
    let (outcome, ()) = tokio::join!(in_time(runtime.run(&plugin, endless)), async {
        eventually("it holds some", || memory.alive() > 10).await;
        cancel.cancel();
    });
    assert_eq!(outcome.result, Err(Failure::Cancelled));
    assert_eq!(memory.alive(), 0);
}
