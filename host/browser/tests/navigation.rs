//! Where a navigation ends, and that it ends.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use buddy_browser::{ContextOptions, GotoOptions, WaitUntil};
use common::{Site, pool, within};
use futures::StreamExt;

#[tokio::test]
async fn a_page_is_opened_with_its_status_headers_and_title() {
    let site = Site::start().await;
    let pool = pool(|_| ()).await;
    let page = pool.open(ContextOptions::default()).await.unwrap().new_page().await.unwrap();
    let outcome = page.goto(&site.url("/page/1"), &GotoOptions::default()).await.unwrap();
    assert_eq!((outcome.status, outcome.timed_out, outcome.client_redirects), (Some(200), false, 0));
    assert_eq!(outcome.url, site.url("/page/1"));
    assert_eq!(page.title().await.unwrap(), "page 1");
    let html = page.html(1 << 20).await.unwrap();
    assert!(html.text.starts_with("<!DOCTYPE html>") && html.text.contains("<h1>page 1</h1>"), "{}", html.text);
    assert!(page.html(20).await.unwrap().truncated);

    let missing = page.goto(&site.url("/missing"), &GotoOptions::default()).await.unwrap();
    assert_eq!(missing.status, Some(404));
    assert!(missing.headers.contains(&("x-told".to_owned(), "yes".to_owned())));

    let redirected = page.goto(&site.url("/redirect"), &GotoOptions::default()).await.unwrap();
    assert_eq!((redirected.url.as_str(), redirected.status), (site.url("/page/7").as_str(), Some(200)));
    assert_eq!(page.url().unwrap(), site.url("/page/7"));

    let back = page.back(&GotoOptions::default()).await.unwrap();
    assert_eq!((back.url, back.status), (site.url("/missing"), Some(404)));
    let again = page.reload(&GotoOptions::default()).await.unwrap();
    assert_eq!((again.url, again.status), (site.url("/missing"), Some(404)));

    let place = page.goto(&site.url("/missing#place"), &GotoOptions::default()).await.unwrap();
    assert_eq!(place.url, site.url("/missing#place"));
    assert_eq!(page.back(&GotoOptions::default()).await.unwrap().url, site.url("/missing"));
    pool.close().await;
}

#[tokio::test]
async fn every_wait_ends_on_an_ordinary_page() {
    let site = Site::start().await;
    let pool = pool(|_| ()).await;
    let page = pool.open(ContextOptions::default()).await.unwrap().new_page().await.unwrap();
    for (number, until) in [WaitUntil::Commit, WaitUntil::DomContentLoaded, WaitUntil::Load, WaitUntil::NetworkIdle]
        .into_iter()
        .enumerate()
    {
        let outcome = page.goto(&site.url(&format!("/page/{number}")), &within(20, until)).await.unwrap();
        assert!(!outcome.timed_out, "{until:?}");
        assert_eq!(page.title().await.unwrap(), format!("page {number}"));
    }
    pool.close().await;
}

#[tokio::test]
async fn b1_a_dead_frame_and_image_end_in_a_readable_page_marked_timed_out() {
    let site = Site::start().await;
    let pool = pool(|_| ()).await;
    let page = pool.open(ContextOptions::default()).await.unwrap().new_page().await.unwrap();
    let outcome = page.goto(&site.url("/dead-frame"), &within(3, WaitUntil::Load)).await.unwrap();
    assert!(outcome.timed_out);
    assert_eq!(outcome.status, Some(200));
    assert_eq!(page.title().await.unwrap(), "readable");
    let outcome = page.goto(&site.url("/dead-frame"), &within(20, WaitUntil::DomContentLoaded)).await.unwrap();
    assert!(!outcome.timed_out);
    pool.close().await;
}

#[tokio::test]
async fn b1_a_server_that_never_answers_is_a_timeout_and_the_page_stays_usable() {
    let site = Site::start().await;
    let pool = pool(|_| ()).await;
    let page = pool.open(ContextOptions::default()).await.unwrap().new_page().await.unwrap();
    let error = page.goto(&site.url("/hang"), &within(1, WaitUntil::Load)).await.unwrap_err();
    assert_eq!((error.code(), error.retryable()), ("timed-out", true));
    page.goto(&site.url("/page/2"), &GotoOptions::default()).await.unwrap();
    assert_eq!(page.title().await.unwrap(), "page 2");
    pool.close().await;
}

#[tokio::test]
async fn b2_redirect_loops_by_server_and_by_script_are_typed_errors() {
    let site = Site::start().await;
    let pool = pool(|_| ()).await;
    let page = pool.open(ContextOptions::default()).await.unwrap().new_page().await.unwrap();
    let by_server = page.goto(&site.url("/loop"), &GotoOptions::default()).await.unwrap_err();
    assert_eq!(by_server.code(), "redirects", "{by_server}");
    let by_script = page.goto(&site.url("/script-loop/0"), &GotoOptions::default()).await.unwrap_err();
    assert_eq!(by_script.code(), "redirects", "{by_script}");
    page.goto(&site.url("/page/3"), &GotoOptions::default()).await.unwrap();
    assert_eq!(page.title().await.unwrap(), "page 3");
    pool.close().await;
}

#[tokio::test]
async fn b3_dialogs_are_answered_by_policy_and_their_text_is_kept() {
    let site = Site::start().await;
    let pool = pool(|_| ()).await;
    let page = pool.open(ContextOptions::default()).await.unwrap().new_page().await.unwrap();
    page.goto(&site.url("/dialogs"), &GotoOptions::default()).await.unwrap();
    assert_eq!(page.title().await.unwrap(), "false null");
    let dialogs: Vec<_> = page.dialogs().into_iter().map(|d| (d.kind, d.message, d.answered)).collect();
    let told = |kind: &str, message: &str, answered: &str| (kind.to_owned(), message.to_owned(), answered.to_owned());
    assert_eq!(
        dialogs,
        [
            told("alert", "hello", "accepted"),
            told("confirm", "sure?", "dismissed"),
            told("prompt", "name?", "dismissed")
        ]
    );
    assert!(page.dialogs().is_empty());
    pool.close().await;
}

#[tokio::test]
async fn b4_a_page_that_wants_to_stay_or_is_busy_closes_all_the_same() {
    let site = Site::start().await;
    let pool = pool(|_| ()).await;
    let context = pool.open(ContextOptions::default()).await.unwrap();
    for path in ["/unload", "/busy"] {
        let page = context.new_page().await.unwrap();
        page.goto(&site.url(path), &within(20, WaitUntil::Load)).await.unwrap();
        page.close().await.unwrap();
        assert!(page.is_closed());
        assert_eq!(page.title().await.unwrap_err().code(), "cancelled");
    }
    let left = context.new_page().await.unwrap();
    left.goto(&site.url("/unload"), &GotoOptions::default()).await.unwrap();
    left.goto(&site.url("/page/1"), &GotoOptions::default()).await.unwrap();
    context.close().await.unwrap();
    assert!(left.is_closed());
    assert_eq!(pool.stats().active_pages, 0);
    pool.close().await;
}

#[tokio::test]
async fn b6_a_navigation_that_becomes_a_download_ends_in_its_file() {
    let site = Site::start().await;
    let pool = pool(|_| ()).await;
    let page = pool.open(ContextOptions::default()).await.unwrap().new_page().await.unwrap();
    page.goto(&site.url("/page/1"), &GotoOptions::default()).await.unwrap();
    for path in ["/data.csv", "/to-csv"] {
        let outcome = page.goto(&site.url(path), &within(20, WaitUntil::Load)).await.unwrap();
        let download = outcome.download.expect("the outcome is a download");
        assert_eq!(std::fs::read_to_string(&download.path).unwrap(), "a,b\n1,2\n");
        assert_eq!((download.suggested_name.as_str(), download.size), ("data.csv", 8));
        assert_eq!(download.url, site.url("/data.csv"));
    }
    pool.close().await;
}

#[tokio::test]
async fn b6_a_download_above_the_bound_is_cancelled() {
    let site = Site::start().await;
    let pool = pool(|options| options.max_download = 4).await;
    let page = pool.open(ContextOptions::default()).await.unwrap().new_page().await.unwrap();
    let error = page.goto(&site.url("/data.csv"), &within(20, WaitUntil::Load)).await.unwrap_err();
    assert_eq!(error.code(), "limit", "{error}");
    pool.close().await;
}

#[tokio::test]
async fn an_answer_without_content_and_a_closed_port_are_errors_that_name_the_host() {
    let site = Site::start().await;
    let pool = pool(|_| ()).await;
    let page = pool.open(ContextOptions::default()).await.unwrap().new_page().await.unwrap();
    // 204: the page stays where it is, and nothing is asked for twice.
    let empty = page.goto(&site.url("/empty"), &within(20, WaitUntil::Load)).await.unwrap_err();
    assert_eq!(empty.code(), "failed", "{empty}");
    assert_eq!(site.hits.load(std::sync::atomic::Ordering::SeqCst), 1);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = page.goto(&format!("http://{closed}/"), &within(20, WaitUntil::Load)).await.unwrap_err();
    assert_eq!(refused.code(), "connect", "{refused}");
    assert!(refused.to_string().contains("127.0.0.1"), "{refused}");
    let tls = page.goto(&site.url("/").replace("http:", "https:"), &within(20, WaitUntil::Load)).await.unwrap_err();
    assert_eq!(tls.code(), "tls", "{tls}");
    let unknown = page.goto("http://nowhere.invalid/", &within(20, WaitUntil::Load)).await.unwrap_err();
    assert_eq!(unknown.code(), "dns", "{unknown}");
    let local = page.goto("file:///etc/hostname", &GotoOptions::default()).await.unwrap_err();
    assert_eq!(local.code(), "invalid", "{local}");
    pool.close().await;
}

#[tokio::test]
async fn every_kind_of_redirect_stub_ends_at_its_target() {
    let site = Site::start().await;
    let pool = pool(|_| ()).await;
    let page = pool.open(ContextOptions::default()).await.unwrap().new_page().await.unwrap();
    for until in [WaitUntil::Load, WaitUntil::DomContentLoaded, WaitUntil::NetworkIdle] {
        for kind in ["meta", "meta-late", "header", "script", "parsed", "loaded", "timer"] {
            let outcome = page.goto(&site.url(&format!("/stub/{kind}/5")), &within(20, until)).await.unwrap();
            assert_eq!(outcome.url, site.url("/page/5"), "{kind} {until:?}");
            assert_eq!((outcome.status, outcome.timed_out), (Some(200), false), "{kind} {until:?}");
            assert_eq!(page.title().await.unwrap(), "page 5", "{kind} {until:?}");
        }
    }
    pool.close().await;
}

#[tokio::test]
async fn forty_redirect_stubs_ten_at_a_time_all_end_at_their_targets() {
    let site = Site::start().await;
    let pool = pool(|_| ()).await;
    let context = pool.open(ContextOptions::default()).await.unwrap();
    let kinds = ["meta", "script", "parsed", "loaded", "timer"];
    let visits = futures::stream::iter(0..40_usize).map(|number| {
        let (context, url) = (context.clone(), site.url(&format!("/stub/{}/{number}", kinds[number % kinds.len()])));
        let target = site.url(&format!("/page/{number}"));
        async move {
            let page = context.new_page().await.unwrap();
            let outcome = page.goto(&url, &GotoOptions::default()).await.unwrap();
            let html = page.html(1 << 20).await.unwrap().text;
            (outcome.url == target && html.contains(&format!("<h1>page {number}</h1>")), url)
        }
    });
    let wrong: Vec<_> =
        visits.buffer_unordered(10).filter_map(|(right, url)| async move { (!right).then_some(url) }).collect().await;
    assert!(wrong.is_empty(), "{wrong:?}");
    pool.close().await;
}
