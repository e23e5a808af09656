//! The built component in the real sandbox with a real Chromium: that pages which share a tab do not share anything else.
//!
//! Needs `target/plugins/scraper.wasm` (run `scripts/build-plugins scraper`) and Chromium.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod browser;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use browser::Chromium;
use buddy_browser::{Pool, PoolOptions};
use buddy_runtime::{EngineConfig, Grants, Providers, RunRequest, Runtime, RuntimeConfig};
use serde_json::{Value, json};

/// Long enough for a crowded machine, short enough to notice a hang.
const PATIENCE: Duration = Duration::from_mins(3);

/// Shows what a document can tell of its tab's past.
const PROBE: &str = "<!doctype html><title>probe</title><h1></h1><script>
    document.querySelector('h1').textContent = JSON.stringify(
        [window.name, Object.keys(sessionStorage), history.length, document.referrer, window.opener]);
    window.name = 'probed';
    sessionStorage.setItem('probed', 1);
    history.pushState(1, '');
</script>";

/// A site of probes, with a page of each kind that clings to its tab between them.
async fn site() -> (String, Arc<AtomicUsize>) {
    let late = Arc::new(AtomicUsize::new(0));
    let hits = Arc::clone(&late);
    let clinging = |script: &str| {
        let page = format!("<!doctype html><title>clinging</title><h1>clinging</h1><script>{script}</script>");
        get(move || async move { Html(page) })
    };
    let app = Router::new()
        .route("/probe/{number}", get(|| async { Html(PROBE) }))
        // Answers when what a page before it has planned for later would have come.
        .route(
            "/slow/{number}",
            get(|| async {
                tokio::time::sleep(Duration::from_millis(1_800)).await;
                Html(PROBE)
            }),
        )
        .route("/late", get(move || {
            hits.fetch_add(1, Ordering::SeqCst);
            async { Html("<!doctype html><title>late</title><h1>late</h1>") }
        }))
        .route("/name", clinging("window.name = 'x'; setInterval(() => { window.name = 'y'; sessionStorage.z = 1; }, 1)"))
        .route("/redirect", clinging("setTimeout(() => { location.href = '/late'; }, 1500)"))
        .route("/refresh", get(|| async {
            Html("<!doctype html><meta http-equiv=refresh content='3;url=/late'><title>clinging</title><h1>clinging</h1>")
        }))
        .route("/unload", clinging("for (const kind of ['beforeunload', 'pagehide', 'unload'])
            addEventListener(kind, event => { event.preventDefault(); event.returnValue = 'x'; sessionStorage.u = 1;
                window.name = 'u'; location.href = '/late'; })"))
        .route("/alerts", clinging("addEventListener('load', () => setInterval(() => alert('again'), 1))"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (address, late)
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_use_one_tab_after_the_other_are_as_in_tabs_of_their_own() {
    let (site, late) = site().await;
    let folder = tempfile::tempdir().unwrap();
    let pool = Pool::new(PoolOptions::new(folder.path())).await.unwrap();
    let mut paths = Vec::new();
    for (round, clinging) in ["name", "redirect", "refresh", "unload", "alerts"].iter().enumerate() {
        paths.extend([format!("/{clinging}?{round}"), format!("/slow/{round}")]);
        paths.extend((0..3).map(|probe| format!("/probe/{round}-{probe}")));
    }
    let shared = scrape(&pool, &site, &paths, false).await;
    let (tabs, pages) = (pool.stats().pages, u64::try_from(paths.len()).unwrap());
    let alone = scrape(&pool, &site, &paths, true).await;
    assert_eq!(shared["failures"], json!([]));
    assert_eq!(shared["pages"], alone["pages"]);
    assert_eq!(pool.stats().pages - tabs, pages, "a tab for each page");
    // Two pages at once, and a tab that saw a dialog is not used again; the rest is for what is slow beyond a tab's life.
    assert!(tabs <= pages / 2, "{tabs} tabs were opened for {pages} pages");
    assert_eq!(late.load(Ordering::SeqCst), 0, "what was planned for later did not come");
    pool.close().await;
}

async fn scrape(pool: &Pool, site: &str, paths: &[String], isolated: bool) -> Value {
    let urls: Vec<String> = paths.iter().map(|path| format!("{site}{path}")).collect();
    let input = json!({
        "urls": urls, "fields": { "heading": "h1" }, "concurrency": 2, "respect_robots": false, "isolated": isolated,
    });
    let plugins = std::env::var_os("BUDDY_PLUGINS_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins"), PathBuf::from);
    let mut config = RuntimeConfig::with_cache(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-chromium"));
    config.engine = EngineConfig::default();
    let runtime = Runtime::new(&config).unwrap();
    let plugin = runtime.load(&plugins.join("scraper.wasm")).await.unwrap();
    let mut request = RunRequest::new("web_navigate", input.to_string());
    let scopes = [("browser".to_owned(), vec!["127.0.0.1:*".to_owned(), "127.0.0.1".to_owned()])];
    request.grants = Arc::new(Grants::new("scraper", scopes.into_iter().collect()));
    request.providers = Providers { browser: Some(Arc::new(Chromium(pool.clone()))), ..Providers::default() };
    request.limits.wall = PATIENCE;
    let outcome = tokio::time::timeout(PATIENCE, runtime.run(&plugin, request)).await.expect("it hangs");
    serde_json::from_str(&outcome.result.unwrap()).unwrap()
}
