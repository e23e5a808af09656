//! A page that goes from document to document: nothing of the one shows in the next, once it was blank in between.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use buddy_browser::actions::ClickOptions;
use buddy_browser::{ContextOptions, GotoOptions, Page, WaitUntil};
use common::{Site, eventually, pool, within};
use serde_json::{Value, json};

/// What a document can tell of the tab's past.
const PROBE: &str = "({
    name: window.name,
    stored: Object.keys(sessionStorage),
    history: history.length,
    referrer: document.referrer,
    opener: window.opener !== null,
    left: document.title,
})";

async fn probe(page: &Page, url: &str) -> Value {
    let outcome = page.goto(url, &GotoOptions::default()).await.unwrap();
    assert_eq!((outcome.url.as_str(), outcome.status, outcome.client_redirects), (url, Some(200), 0));
    page.evaluate(None, PROBE, &Value::Null).await.unwrap()
}

#[tokio::test]
async fn after_a_blank_page_a_tab_is_as_good_as_new() {
    let site = Site::start().await;
    let pool = pool(|_| ()).await;
    let context = pool.open(ContextOptions::default()).await.unwrap();
    let slow = site.url("/slow");
    let fresh = probe(&context.new_page().await.unwrap(), &slow).await;
    assert_eq!(fresh["stored"], json!([]));

    let page = context.new_page().await.unwrap();
    for _ in 0..3 {
        page.goto(&site.url("/clinging"), &GotoOptions::default()).await.unwrap();
        // Only a document that a person has touched may ask whether to stay.
        page.click("body", &ClickOptions::default()).await.unwrap();
        let there = page.evaluate(None, PROBE, &Value::Null).await.unwrap();
        assert_eq!((&there["name"], &there["stored"]), (&json!("mine"), &json!(["seen"])));
        let go_on = "setTimeout(() => { location.href = '/count'; }, 1000)";
        page.evaluate(None, go_on, &Value::Null).await.unwrap();
        let blank = page.goto("about:blank", &GotoOptions::default()).await.unwrap();
        assert_eq!((blank.url.as_str(), blank.status), ("about:blank", None));
        assert_eq!(page.url().unwrap(), "about:blank");
        assert!(page.dialogs().is_empty(), "nobody was asked whether to leave");
        // It answers after the time at which the document before would have moved on.
        assert_eq!(probe(&page, &slow).await, fresh);
    }
    assert_eq!(site.hits.load(Ordering::SeqCst), 0, "the redirect that it had announced did not come");
    let stats = pool.stats();
    assert_eq!((stats.pages, stats.active_pages, stats.navigations), (2, 1, 7));
    assert_eq!(stats.popups_closed, 0);
    pool.close().await;
}

#[tokio::test]
async fn scripts_that_are_off_stay_off_and_those_that_are_on_go_on() {
    let site = Site::start().await;
    let pool = pool(|_| ()).await;
    for (javascript, title) in [(true, "on"), (false, "off")] {
        let options = ContextOptions { javascript, ..ContextOptions::default() };
        let page = pool.open(options).await.unwrap().new_page().await.unwrap();
        for _ in 0..3 {
            page.goto(&site.url("/scripted"), &GotoOptions::default()).await.unwrap();
            assert_eq!(page.title().await.unwrap(), title);
            page.goto("about:blank", &GotoOptions::default()).await.unwrap();
        }
    }
    pool.close().await;
}

#[tokio::test]
async fn a_document_that_asks_without_end_or_is_busy_is_left_or_the_page_says_so() {
    let site = Site::start().await;
    let pool = pool(|_| ()).await;
    let context = pool.open(ContextOptions::default()).await.unwrap();
    let asking = context.new_page().await.unwrap();
    asking.goto(&site.url("/asking"), &GotoOptions::default()).await.unwrap();
    // Left in the middle of a dialog or not at all: never with one of them in the next document.
    let left = asking.goto("about:blank", &within(5, WaitUntil::Load)).await;
    if left.is_ok() {
        asking.dialogs();
        asking.goto(&site.url("/slow"), &GotoOptions::default()).await.unwrap();
        assert!(asking.dialogs().is_empty());
    }
    let busy = context.new_page().await.unwrap();
    busy.goto(&site.url("/page/1"), &GotoOptions::default()).await.unwrap();
    let script = "setTimeout(() => {
        const request = new XMLHttpRequest();
        request.open('GET', '/count', false);
        request.send();
        for (;;);
    })";
    busy.evaluate(None, script, &Value::Null).await.unwrap();
    eventually("its script has begun what does not end", || site.hits.load(Ordering::SeqCst) == 1).await;
    let error = busy.goto("about:blank", &within(1, WaitUntil::Load)).await.unwrap_err();
    assert_eq!(error.code(), "timed-out", "{error}");
    pool.close().await;
}

#[tokio::test]
async fn a_kept_document_is_shown_without_the_scripts_of_the_one_before() {
    let site = Site::start().await;
    let pool = pool(|_| ()).await;
    let page = pool.open(ContextOptions::default()).await.unwrap().new_page().await.unwrap();
    page.goto(&site.url("/meddling"), &GotoOptions::default()).await.unwrap();
    page.show("http://kept.example/a/", "<!doctype html><title>kept</title><body>kept <a href=b>on</a>").await.unwrap();
    assert_eq!(page.url().unwrap(), "about:blank");
    let later =
        "return new Promise(done => setTimeout(() => done([document.body.innerText, document.links[0].href]), 200))";
    let seen = page.evaluate(None, later, &Value::Null).await.unwrap();
    assert_eq!(seen, json!(["kept on", "http://kept.example/a/b"]));
    assert_eq!(probe(&page, &site.url("/page/1")).await["left"], "page 1");
    pool.close().await;
}

/// Files in the download folders of all contexts.
fn downloads(root: &Path) -> usize {
    let inside = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let contexts = inside(root.to_owned()).flat_map(|process| inside(process.join("downloads")));
    contexts.flat_map(inside).count()
}

/// More than a page may start, one after the other, in one tab.
#[tokio::test]
async fn downloads_that_documents_start_by_themselves_end_with_them() {
    const DOCUMENTS: usize = 20;
    let site = Site::start().await;
    let pool = pool(|_| ()).await;
    let page = pool.open(ContextOptions::default()).await.unwrap().new_page().await.unwrap();
    let link = "document.body.innerHTML = '<a id=file download href=/data.csv>file</a>'";
    let download = async || {
        page.goto(&site.url("/page/1"), &GotoOptions::default()).await.unwrap();
        page.evaluate(None, link, &Value::Null).await.unwrap();
        page.click("#file", &ClickOptions::default()).await.unwrap();
        eventually("the file is there", || downloads(&pool.root) == 1).await;
    };
    for _ in 0..DOCUMENTS {
        download().await;
        page.goto("about:blank", &GotoOptions::default()).await.unwrap();
        eventually("the file is gone", || downloads(&pool.root) == 0).await;
    }
    let asked_for = page.goto(&site.url("/data.csv"), &GotoOptions::default()).await.unwrap().download.unwrap();
    assert_eq!(std::fs::read_to_string(&asked_for.path).unwrap(), "a,b\n1,2\n", "it is the one that was asked for");
    page.goto("about:blank", &GotoOptions::default()).await.unwrap();
    eventually("it is gone too", || downloads(&pool.root) == 0).await;

    download().await;
    page.close().await.unwrap();
    eventually("the file goes with its page", || downloads(&pool.root) == 0).await;
    pool.close().await;
}
