//! The built component in the real sandbox, against a browser and a network that live in memory: what is asserted here
//! are the calls that the plugin makes, and how often.
//!
//! Needs `target/plugins/scraper.wasm`: run `scripts/build-plugins scraper`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod site;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use buddy_runtime::{EngineConfig, Failure, Grants, Plugin, RunRequest, Runtime, RuntimeConfig};
use serde_json::{Value, json};
use site::{Kind, Site};

/// Long enough for a crowded machine, short enough to notice a hang.
const PATIENCE: Duration = Duration::from_mins(2);

async fn loaded() -> (Runtime, Arc<Plugin>) {
    let folder = std::env::var_os("BUDDY_PLUGINS_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins"), PathBuf::from);
    let path = folder.join("scraper.wasm");
    assert!(path.exists(), "{} is missing: run scripts/build-plugins scraper", path.display());
    let mut config = RuntimeConfig::with_cache(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled"));
    config.engine = EngineConfig::default();
    let runtime = Runtime::new(&config).unwrap();
    let plugin = runtime.load(&path).await.unwrap();
    (runtime, plugin)
}

fn request(site: &Site, input: &Value) -> RunRequest {
    let mut request = RunRequest::new("web_navigate", input.to_string());
    request.task.task_id = "task-1".into();
    let scopes = ["browser", "http", "checkpoint", "artifacts"];
    let scopes = scopes.map(|name| (name.to_owned(), vec!["site.example".to_owned()]));
    request.grants = Arc::new(Grants::new("scraper", scopes.into_iter().collect()));
    request.providers = site.providers();
    request.limits.wall = PATIENCE;
    request
}

async fn scrape(site: &Site, input: &Value) -> Result<Value, Failure> {
    let (runtime, plugin) = loaded().await;
    let run = runtime.run(&plugin, request(site, input));
    let outcome = tokio::time::timeout(PATIENCE, run).await.expect("it hangs");
    outcome.result.map(|text| serde_json::from_str(&text).unwrap())
}

fn urls(output: &Value, list: &str, key: &str) -> Vec<String> {
    let paths = output[list].as_array().unwrap().iter();
    paths.map(|page| page[key].as_str().unwrap().replace("https://site.example", "")).collect()
}

fn crawl(more: &Value) -> Value {
    let mut input = json!({
        "start_urls": ["https://site.example/"],
        "follow": { "max_depth": 3, "max_pages": 50 },
        "fields": { "heading": "h1" },
        "retries": 2,
    });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    input
}

/// A start page with twelve pages below it, and one below each of these.
fn wide() -> Site {
    let site = Site::new();
    let below: Vec<String> = (0..12).map(|i| format!("/{i}")).collect();
    site.page("/", Kind::Plain, &below.iter().map(String::as_str).collect::<Vec<_>>());
    for path in &below {
        site.page(path, Kind::Plain, &[&format!("{path}/deep"), "/"]);
        site.page(&format!("{path}/deep"), Kind::Plain, &[]);
    }
    site
}

#[tokio::test]
async fn a_crawl_gives_its_pages_in_the_order_of_discovery_with_what_was_asked_for() {
    let site = wide();
    let output = scrape(&site, &crawl(&json!({}))).await.unwrap();
    let found = urls(&output, "pages", "url");
    assert_eq!(found.len(), 25);
    assert_eq!(found[..4], ["/", "/0", "/1", "/2"]);
    assert_eq!(found[13], "/0/deep");
    assert_eq!(output["pages"][1]["fields"], json!({ "heading": "The heading of /0" }));
    assert_eq!(output["pages"][1]["title"], "The title of /0");
    assert_eq!(output["stats"]["requested"], 25);
    assert_eq!(site.contexts(), 1, "all pages share one context");
    assert_eq!(site.open_pages(), 0, "no tab is left open");
}

#[tokio::test]
async fn as_many_pages_are_open_at_once_as_asked_for_and_no_more() {
    let site = wide();
    site.hold_until_open(7);
    let output = scrape(&site, &crawl(&json!({ "concurrency": 7 }))).await.unwrap();
    assert_eq!(output["stats"]["succeeded"], 25);
    assert_eq!(site.most_open_pages(), 7);
}

#[tokio::test]
async fn a_tab_serves_page_after_page() {
    let site = wide();
    let output = scrape(&site, &crawl(&json!({ "concurrency": 3 }))).await.unwrap();
    assert_eq!(output["stats"]["succeeded"], 25);
    // One for the start page, and three for each of the two levels below it.
    assert!(site.opened_tabs() <= 7, "{} tabs for 25 pages", site.opened_tabs());
    assert_eq!(site.open_pages(), 0);
    let alone = scrape(&wide(), &crawl(&json!({ "isolated": true }))).await.unwrap();
    assert_eq!(output["pages"], alone["pages"], "the same as with a tab for each page");
}

#[tokio::test]
async fn a_tab_in_which_something_happened_is_not_used_again() {
    let site = wide();
    // The site fails the test if it is: see `spoilt`.
    for (path, kind) in [("/1", Kind::Alerts), ("/3", Kind::TimesOut), ("/5", Kind::Stays), ("/7", Kind::Refused)] {
        site.page(path, kind, &[]);
    }
    let output = scrape(&site, &crawl(&json!({ "concurrency": 2, "retries": 0 }))).await.unwrap();
    assert_eq!(urls(&output, "failures", "url"), ["/7"]);
    assert_eq!(output["stats"]["succeeded"], 20);
    assert_eq!(site.open_pages(), 0);
}

#[tokio::test]
async fn pages_that_are_shown_as_they_were_kept_have_their_own_addresses() {
    let site = wide();
    for path in ["/1", "/2"] {
        site.page(path, Kind::Kept, &[]);
    }
    let output = scrape(&site, &crawl(&json!({ "follow": { "max_depth": 1 } }))).await.unwrap();
    assert_eq!(urls(&output, "pages", "url")[..4], ["/", "/0", "/1", "/2"]);
    assert_eq!(output["stats"]["from_cache"], 2);
}

#[tokio::test]
async fn a_run_that_wants_more_tabs_than_there_are_places_does_with_those() {
    let site = wide();
    let (runtime, plugin) = loaded().await;
    let mut request = request(&site, &crawl(&json!({ "concurrency": 7 })));
    request.limits.pages = 2;
    let outcome = tokio::time::timeout(PATIENCE, runtime.run(&plugin, request)).await.expect("it hangs");
    let output: Value = serde_json::from_str(&outcome.result.unwrap()).unwrap();
    assert_eq!(output["stats"]["succeeded"], 25);
    assert_eq!(site.most_open_pages(), 2);
}

#[tokio::test]
async fn runs_that_share_one_place_all_come_to_their_end() {
    let site = wide();
    site.places(1);
    let (runtime, plugin) = loaded().await;
    let input = json!({ "concurrency": 3, "follow": { "max_depth": 1 } });
    let runs = (0..3).map(|run| {
        let mut request = request(&site, &crawl(&input));
        request.task.task_id = format!("task-{run}");
        // Without checkpoints, so that each goes to all of its pages.
        request.providers.checkpoint = None;
        runtime.run(&plugin, request)
    });
    let outcomes = tokio::time::timeout(PATIENCE, futures::future::join_all(runs)).await.expect("they hang");
    for outcome in outcomes {
        let output: Value = serde_json::from_str(&outcome.result.unwrap()).unwrap();
        assert_eq!(output["stats"]["succeeded"], 13);
    }
    assert_eq!(site.most_open_pages(), 1);
    assert_eq!(site.open_pages(), 0);
}

#[tokio::test]
async fn a_long_crawl_moves_to_a_new_context_in_time_so_that_a_worn_out_browser_can_end() {
    let site = Site::new();
    let below: Vec<String> = (0..1_100).map(|i| format!("/{i}")).collect();
    site.page("/", Kind::Plain, &below.iter().map(String::as_str).collect::<Vec<_>>());
    for path in &below {
        site.page(path, Kind::Plain, &[]);
    }
    // With one place less than it has pages at once, so that some wait for a tab when the context changes.
    site.places(2);
    let input = json!({ "follow": { "max_depth": 1, "max_pages": 1_101 }, "concurrency": 3 });
    let output = scrape(&site, &crawl(&input)).await.unwrap();
    assert_eq!(output["stats"]["succeeded"], 1_101, "{}", output["stats"]);
    assert_eq!(output["failures"], json!([]));
    assert!(site.visits().values().all(|visits| *visits == 1));
    assert_eq!((site.contexts(), site.open_contexts(), site.open_pages()), (3, 0, 0));
}

#[tokio::test]
async fn a_run_of_a_few_seconds_fetches_pages_all_the_same() {
    let (runtime, plugin) = loaded().await;
    let site = wide();
    let mut request = request(&site, &crawl(&json!({})));
    // What a fixed reserve of ten seconds would leave nothing of.
    request.limits.wall = Duration::from_secs(10);
    let outcome = tokio::time::timeout(PATIENCE, runtime.run(&plugin, request)).await.expect("it hangs");
    assert!(!site.visits().is_empty(), "{:?}", outcome.result);
}

#[tokio::test]
async fn a_run_that_is_killed_goes_on_from_its_pages_and_ends_with_the_same_output() {
    let undisturbed = scrape(&wide(), &crawl(&json!({}))).await.unwrap();

    let site = wide();
    let input = crawl(&json!({ "concurrency": 3 }));
    let (runtime, plugin) = loaded().await;
    tokio::select! {
        outcome = runtime.run(&plugin, request(&site, &input)) => panic!("it ended: {:?}", outcome.result),
        () = site.checkpointed(10) => {}
    }
    let done = site.visits();
    let output = scrape(&site, &input).await.unwrap();
    assert_eq!(output["pages"], undisturbed["pages"]);
    assert_eq!(output["failures"], undisturbed["failures"]);
    let resumed = output["stats"]["resumed"].as_u64().unwrap();
    assert!(resumed >= 8, "{resumed} pages were kept");
    let twice = site.visits().into_iter().filter(|(_, visits)| *visits > 1).count();
    assert!(twice <= 3, "only pages that were under way are fetched again: {done:?}");
    assert_eq!(site.robots_reads(), 1);
}

#[tokio::test]
async fn a_dead_page_fails_by_itself_and_one_that_recovers_is_tried_again() {
    let site = Site::new();
    site.page("/", Kind::Plain, &["/dead", "/shaky", "/gone", "/fine"]);
    site.page("/dead", Kind::Refused, &[]);
    site.page("/shaky", Kind::FailsFirst, &[]);
    site.page("/gone", Kind::Status(404), &[]);
    site.page("/fine", Kind::Plain, &[]);
    let output = scrape(&site, &crawl(&json!({}))).await.unwrap();
    assert_eq!(urls(&output, "pages", "url"), ["/", "/shaky", "/fine"]);
    assert_eq!(output["pages"][1]["attempt"], 2);
    assert_eq!(urls(&output, "failures", "url"), ["/dead", "/gone"]);
    assert_eq!(
        (output["failures"][0]["code"].as_str(), output["failures"][0]["attempts"].as_u64()),
        (Some("connect"), Some(3))
    );
    assert_eq!(
        (output["failures"][1]["code"].as_str(), output["failures"][1]["attempts"].as_u64()),
        (Some("http-status"), Some(1))
    );
}

#[tokio::test]
async fn a_page_that_was_not_loaded_in_time_and_does_not_answer_is_not_waited_for_again() {
    let site = Site::new();
    site.page("/", Kind::Plain, &["/hangs", "/slow"]);
    site.page("/hangs", Kind::Hangs, &[]);
    site.page("/slow", Kind::TimesOut, &[]);
    let output = scrape(&site, &crawl(&json!({ "retries": 1 }))).await.unwrap();
    assert_eq!(urls(&output, "pages", "url"), ["/", "/slow"], "one that answers is read as far as it is there");
    let failure = &output["failures"][0];
    assert_eq!((failure["code"].as_str(), failure["attempts"].as_u64()), (Some("timed-out"), Some(2)));
    assert_eq!(failure["reason"], "the page was not loaded in time, and hangs: it did not answer within 5s");
}

#[tokio::test]
async fn a_run_of_which_every_page_failed_fails_and_a_later_one_tries_all_of_them_anew() {
    let site = Site::new();
    for path in ["/a", "/b"] {
        site.page(path, Kind::Refused, &[]);
    }
    let urls = ["a", "b", "c", "d"].map(|page| format!("https://site.example/{page}"));
    let input = json!({ "start_urls": urls, "follow": { "max_depth": 0 }, "retries": 0, "concurrency": 1 });
    match scrape(&site, &input).await.unwrap_err() {
        Failure::Retryable { message, .. } => assert_eq!(
            message,
            "all 4 pages failed: https://site.example/a: Nobody answers.; https://site.example/b: Nobody answers.; \
             https://site.example/c: the server answered with status 404; and 1 more"
        ),
        other => panic!("{other:?}"),
    }
    for path in ["/a", "/b"] {
        site.page(path, Kind::Status(410), &[]);
    }
    match scrape(&site, &input).await.unwrap_err() {
        Failure::Permanent(message) => {
            assert!(message.contains("/a: the server answered with status 410"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    site.page("/c", Kind::Plain, &[]);
    let output = scrape(&site, &input).await.unwrap();
    assert_eq!((&output["stats"]["succeeded"], &output["stats"]["failed"]), (&json!(1), &json!(3)));
}

/// Runs until a page was gone to so often, and dies. `try_` is the task's.
async fn dies_at(site: &Site, input: &Value, try_: u32, path: &str, times: usize) {
    let (runtime, plugin) = loaded().await;
    let mut request = request(site, input);
    request.task.attempt = try_;
    tokio::select! {
        outcome = runtime.run(&plugin, request) => panic!("it ended: {:?}", outcome.result),
        () = site.visited(path, times) => {}
    }
}

#[tokio::test]
async fn a_page_that_ends_its_host_fails_by_itself_in_the_third_try_of_the_task() {
    let site = wide();
    site.page("/3", Kind::Endless, &[]);
    let input = crawl(&json!({ "concurrency": 3 }));
    dies_at(&site, &input, 1, "/3", 1).await;
    dies_at(&site, &input, 2, "/3", 2).await;
    let (runtime, plugin) = loaded().await;
    let mut third = request(&site, &input);
    third.task.attempt = 3;
    let outcome = tokio::time::timeout(PATIENCE, runtime.run(&plugin, third)).await.expect("it hangs");
    let output: Value = serde_json::from_str(&outcome.result.unwrap()).unwrap();
    assert_eq!(urls(&output, "failures", "url"), ["/3"]);
    assert_eq!(output["failures"][0]["code"], "unfinished");
    assert_eq!(output["stats"]["succeeded"], 23);
    assert_eq!(site.visits()["/3"], 2);
}

#[tokio::test]
async fn a_page_that_outlasts_every_run_uses_up_its_tries_and_each_of_these_runs_keeps_something_new() {
    let site = wide();
    site.page("/3", Kind::Endless, &[]);
    let input = crawl(&json!({ "concurrency": 1, "retries": 1 }));
    let mut kept = 0;
    // The first run does not know yet that the page is worth a mark.
    for run in 1..=3 {
        dies_at(&site, &input, 1, "/3", run).await;
        assert!(site.checkpoints() > kept, "run {run}");
        kept = site.checkpoints();
    }
    let output = scrape(&site, &input).await.unwrap();
    assert_eq!(urls(&output, "failures", "url"), ["/3"]);
    assert_eq!((&output["failures"][0]["code"], &output["failures"][0]["attempts"]), (&json!("unfinished"), &json!(2)));
    assert_eq!(output["stats"]["succeeded"], 23);
}

#[tokio::test]
async fn b8_a_page_that_kills_the_browser_takes_no_other_page_with_it() {
    let site = wide();
    site.page("/3", Kind::KillsBrowser, &[]);
    let output = scrape(&site, &crawl(&json!({ "concurrency": 6 }))).await.unwrap();
    assert_eq!(urls(&output, "failures", "url"), ["/3"]);
    assert_eq!(output["failures"][0]["code"], "browser-lost");
    assert_eq!(output["stats"]["succeeded"], 23);
    assert!(site.contexts() > 1, "a new context after each death");
}

#[tokio::test]
async fn stubs_that_move_on_by_script_while_they_are_read_are_the_page_where_they_lead() {
    let site = Site::new();
    site.page("/", Kind::Plain, &["/old", "/new"]);
    site.page("/old", Kind::MovesWhileRead("/new"), &[]);
    site.page("/new", Kind::Plain, &[]);
    let output = scrape(&site, &crawl(&json!({}))).await.unwrap();
    assert_eq!(urls(&output, "pages", "url"), ["/", "/new"]);
    assert_eq!(
        output["pages"][1]["fields"]["heading"], "The heading of /new",
        "fields and address are of one document"
    );
}

#[tokio::test]
async fn robots_txt_is_read_once_and_what_it_forbids_is_not_gone_to() {
    let site = wide();
    site.robots("User-agent: *\nDisallow: /1\nDisallow: /2$\n");
    let output = scrape(&site, &crawl(&json!({}))).await.unwrap();
    let found = urls(&output, "pages", "url");
    assert!(!found.iter().any(|path| path.starts_with("/1") || path == "/2"), "{found:?}");
    assert_eq!(output["stats"]["skipped_by_robots"], 4, "/1, /10, /11 and /2");
    assert!(!site.visits().contains_key("/1"));
    assert_eq!(site.robots_reads(), 1);
}

#[tokio::test]
async fn a_site_that_is_not_granted_fails_the_task_with_the_line_that_would_grant_it() {
    let input = json!({ "urls": ["https://elsewhere.test/"], "respect_robots": false });
    match scrape(&Site::new(), &input).await.unwrap_err() {
        Failure::Permanent(message) => assert!(message.contains("elsewhere.test"), "{message}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_cancelled_run_returns_by_itself_and_its_pages_are_kept() {
    let site = wide();
    let (runtime, plugin) = loaded().await;
    let mut request = request(&site, &crawl(&json!({ "concurrency": 2 })));
    request.limits.grace = PATIENCE;
    let cancel = request.cancel.clone();
    let run = runtime.run(&plugin, request);
    let stop = async {
        site.checkpointed(5).await;
        cancel.cancel();
    };
    let (outcome, ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(run, stop) }).await.expect("it hangs");
    assert!(outcome.result.is_err());
    assert!(site.visits().len() < 25);
    assert_eq!(site.open_pages(), 0);
}
