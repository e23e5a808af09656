//! The bounds of `buddy.yaml` hold for the host as a whole, and what meets one is told in a sentence that names the key.
//!
//! Elsewhere: `resources.max_tasks` and `agent.capabilities` in `lifecycle.rs`.

use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use buddy_tests::{Host, HostBuilder, until};
use serde_json::json;
use tokio::sync::watch;

const SOON: Duration = Duration::from_secs(60);

/// Chromium's first start on a loaded machine, and some pages.
const PAGES: Duration = Duration::from_secs(180);

const MIB: u64 = 1 << 20;

fn testing() -> HostBuilder {
    HostBuilder::default().plugin("testing")
}

/// A site whose pages are answered only when `wanted` of them have been asked for at the same time.
struct Door {
    port: u16,
    shared: Arc<Counts>,
    // Dropping the runtime ends the server.
    _runtime: tokio::runtime::Runtime,
}

struct Counts {
    wanted: usize,
    open: AtomicUsize,
    most: watch::Sender<usize>,
}

impl Door {
    fn open(wanted: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let shared = Arc::new(Counts { wanted, open: AtomicUsize::new(0), most: watch::Sender::new(0) });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let listener = runtime.block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { port, shared, _runtime: runtime }
    }

    fn most(&self) -> usize {
        *self.shared.most.borrow()
    }
}

async fn answer(State(counts): State<Arc<Counts>>, request: Request) -> Response {
    if !request.uri().path().starts_with("/page") {
        return StatusCode::NOT_FOUND.into_response();
    }
    let open = counts.open.fetch_add(1, Ordering::SeqCst) + 1;
    counts.most.send_modify(|most| *most = (*most).max(open));
    let mut most = counts.most.subscribe();
    let _ = tokio::time::timeout(PAGES, most.wait_for(|most| *most >= counts.wanted)).await;
    // A slow page: one more than is allowed has the time to be asked for.
    tokio::time::sleep(Duration::from_millis(500)).await;
    counts.open.fetch_sub(1, Ordering::SeqCst);
    ([(header::CONTENT_TYPE, "text/html")], "<title>slow</title>").into_response()
}

#[test]
fn as_many_pages_are_open_at_once_as_max_browsers_and_no_more() {
    let door = Door::open(2);
    let grants = format!("plugins:\n  grants:\n    testing:\n      browser: [\"127.0.0.1:{}\"]\n", door.port);
    let host = testing().yaml("resources:\n  max_browsers: 2\n  max_tasks: 6\n").yaml(&grants).start();
    let ids: Vec<String> = (0..6)
        .map(|page| {
            let url = format!("http://127.0.0.1:{}/page/{page}", door.port);
            host.submit("browser_title", &json!({ "url": url }), &[])
        })
        .collect();
    for id in &ids {
        let task = host.finished(id, PAGES);
        assert_eq!(task["state"], "succeeded", "{task:#}\n{}", host.log());
        let open = host.run(&["status", "--json"]).ok().json()["active_browsers"].as_u64().unwrap();
        assert!(open <= 2, "{open}");
    }
    assert_eq!(door.most(), 2);
}

fn holds(host: &Host, id: &str) -> bool {
    host.task(id)["progress"]["done"] == 1
}

#[test]
fn runs_share_max_memory_gb_and_wait_for_each_other() {
    // Beside the host's own 192 MiB there is room for two runs of the 64 MiB that the plugin wishes for.
    let yaml =
        "agent:\n  capabilities: [hold]\nresources:\n  max_memory_gb: 0.35\n  max_tasks: 4\ntasks:\n  memory_mib: 64\n";
    let host = testing().yaml(yaml).start();
    assert!(
        host.log().contains("of the 4 tasks of `resources.max_tasks` at most 2 run at once"),
        "the start says what to expect: {}",
        host.log()
    );
    let hold = |ms: u64| host.submit("hold", &json!({ "mib": 40, "ms": ms }), &[]);
    let (one, other) = (hold(600_000), hold(600_000));
    until("both hold their memory", SOON, || (holds(&host, &one) && holds(&host, &other)).then_some(()));

    let third = hold(10);
    let logs = until("the third says why it waits", SOON, || {
        let logs = host.run(&["task", "logs", &third]).ok().out;
        logs.contains("resources.max_memory_gb").then_some(logs)
    });
    assert!(logs.contains("this run may take 64.0 MiB of memory and waits until other runs end"), "{logs}");
    assert!(!holds(&host, &third));

    // One that is cancelled while it waits is gone at once; the others are not disturbed.
    let gives_up = hold(10);
    until("the fourth waits too", SOON, || {
        host.run(&["task", "logs", &gives_up]).ok().out.contains("waits until other runs end").then_some(())
    });
    assert_eq!(host.task(&gives_up)["state"], "assigned", "none of its tries has begun");
    let _ = host.run(&["task", "cancel", &gives_up]).ok();
    assert_eq!(host.finished(&gives_up, SOON)["state"], "cancelled");

    let _ = host.run(&["task", "cancel", &one]).ok();
    let done = host.finished(&third, SOON);
    assert_eq!((&done["state"], &done["attempt"]), (&json!("succeeded"), &json!(1)), "{done:#}\n{}", host.log());
    assert!(holds(&host, &other));
    let _ = host.run(&["task", "cancel", &other]).ok();
}

#[test]
fn above_temp_storage_gb_new_work_pauses_with_the_reason_and_nothing_is_lost() {
    // 256 MiB, of which the last tenth is kept for results.
    let mut host = testing().yaml("resources:\n  temp_storage_gb: 0.25\n").start();
    let filler = host.folder().join("buddy-data/somebody-elses-file");
    let fill = |mib: u64| fs::File::create(&filler).unwrap().set_len(mib * MIB).unwrap();
    let status = |host: &Host| host.run(&["status", "--json"]).ok().json()["status"].as_str().unwrap().to_owned();
    let paused = |host: &Host| {
        until("the host pauses", SOON, || Some(status(host)).filter(|status| status.starts_with("PAUSED: ")))
    };
    let running = host.submit("sleep_at_once", &json!({ "count": 1, "ms": 4_000 }), &[]);
    until("it runs", SOON, || (host.task(&running)["state"] == "running").then_some(()));

    fill(235);
    let why = paused(&host);
    assert!(why.contains("of the 256.0 MiB that resources.temp_storage_gb allows"), "{why}");
    assert!(why.contains("other files 235.0 MiB"), "{why}");
    let shown = host.run(&["status"]).ok().out;
    assert!(shown.contains("resources.temp_storage_gb"), "{shown}");
    assert!(!shown.contains("DISK FULL"), "{shown}");
    // What runs goes on, and its result is kept.
    assert_eq!(host.finished(&running, SOON)["state"], "succeeded");
    // What is submitted is kept and not begun.
    let waiting = host.submit("echo", &json!({ "kept": true }), &[]);
    assert_eq!(host.task(&waiting)["state"], "assigned");

    // At the bound itself nothing new is kept.
    fill(300);
    let refused = until("a submission is refused", SOON, || {
        let submitted = host.run(&["submit", "echo", "{}"]);
        (submitted.code != Some(0)).then_some(submitted)
    });
    assert!(refused.err.contains("resources.temp_storage_gb"), "{refused:?}");

    // A start finds it so, and what waited waits.
    host.kill();
    host.start();
    let _ = paused(&host);
    assert_eq!(host.task(&waiting)["state"], "assigned");
    assert_eq!(host.task(&running)["state"], "succeeded");

    fs::remove_file(&filler).unwrap();
    let task = host.finished(&waiting, SOON);
    assert_eq!((&task["state"], &task["attempt"]), (&json!("succeeded"), &json!(1)), "{task:#}\n{}", host.log());
    assert_eq!(host.result(&waiting), json!({ "kept": true }));
    assert_eq!(status(&host), "ONLINE");
}

#[test]
fn each_bound_of_one_try_ends_it_with_its_own_sentence() {
    let yaml = "tasks:\n  max_attempts: 2\n  wall_seconds: 5\n  cpu_seconds: 1\n  memory_mib: 32\n";
    let host = testing().yaml(yaml).start();
    let once = &["--max-attempts", "1"][..];
    let cases = [
        (host.submit("sleep_forever", &json!(null), once), "The task was stopped at its deadline, after 5 s."),
        (
            host.submit("busy", &json!({ "rounds": 1_000_000_000_000_u64 }), once),
            "The task was stopped because it computed for more than 1 s.",
        ),
        (host.submit("alloc", &json!(null), once), "The plugin reached its memory limit of 32 MiB"),
        (host.submit("fail_retryable", &json!(null), &[]), "given up after 2 tries"),
    ];
    for (id, sentence) in cases {
        let task = host.finished(&id, SOON);
        assert_eq!(task["state"], "failed", "{task:#}");
        assert!(task["error"].as_str().unwrap().contains(sentence), "{sentence}: {task:#}");
    }
}

#[test]
fn a_plugin_can_be_allowed_all_that_webassembly_can_address() {
    let host = testing().yaml("tasks:\n  memory_mib: 4096\n").start();
    let id = host.submit("hold", &json!({ "mib": 1, "ms": 1 }), &[]);
    assert_eq!(host.finished(&id, SOON)["state"], "succeeded", "{}", host.log());
}
