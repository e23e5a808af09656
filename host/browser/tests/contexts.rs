//! What a context keeps apart, and what its options change.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::time::Duration;

use buddy_browser::{ContextOptions, Cookie, GotoOptions, Picture, Rect, ResourceKind, WaitUntil};
use common::{Site, eventually, pool, telling_proxy, within};

#[tokio::test]
async fn contexts_do_not_share_cookies() {
    let site = Site::start().await;
    let pool = pool(|_| ()).await;
    let (one, other) =
        (pool.open(ContextOptions::default()).await.unwrap(), pool.open(ContextOptions::default()).await.unwrap());
    let page = one.new_page().await.unwrap();
    page.goto(&site.url("/set-cookie"), &GotoOptions::default()).await.unwrap();
    let cookies = one.cookies(&[site.url("/")]).await.unwrap();
    assert_eq!(cookies.len(), 1);
    assert_eq!((cookies[0].name.as_str(), cookies[0].http_only, cookies[0].expires), ("visited", true, None));
    assert!(other.cookies(&[]).await.unwrap().is_empty());
    assert!(one.cookies(&["http://elsewhere.example/".to_owned()]).await.unwrap().is_empty());

    let cookie = Cookie {
        name: "given".to_owned(),
        value: "by us".to_owned(),
        same_site: Some("Lax".to_owned()),
        ..cookies[0].clone()
    };
    other.set_cookies(&[cookie]).await.unwrap();
    let page = other.new_page().await.unwrap();
    page.goto(&site.url("/echo"), &GotoOptions::default()).await.unwrap();
    assert!(page.html(1 << 20).await.unwrap().text.contains("cookie: given=by us"));
    pool.close().await;
}

#[tokio::test]
async fn options_reach_the_requests_and_the_page() {
    let site = Site::start().await;
    let pool = pool(|_| ()).await;
    let options = ContextOptions {
        user_agent: Some("buddy-test/1".to_owned()),
        locale: Some("de-DE".to_owned()),
        time_zone: Some("Europe/Berlin".to_owned()),
        headers: vec![("x-from".to_owned(), "buddy".to_owned())],
        viewport: Some((640, 480)),
        ..ContextOptions::default()
    };
    let page = pool.open(options).await.unwrap().new_page().await.unwrap();
    page.goto(&site.url("/echo"), &GotoOptions::default()).await.unwrap();
    let seen = page.html(1 << 20).await.unwrap().text;
    for line in ["user-agent: buddy-test/1", "accept-language: de-DE", "x-from: buddy"] {
        assert!(seen.contains(line), "{line} not in {seen}");
    }
    let picture = page.screenshot(Picture::Viewport).await.unwrap();
    assert_eq!(png_size(&picture), (640, 480));
    let wrong = ContextOptions { time_zone: Some("Mars/Olympus".to_owned()), ..ContextOptions::default() };
    let error = pool.open(wrong).await.unwrap().new_page().await.unwrap_err();
    assert_eq!(error.code(), "invalid", "{error}");
    eventually("the refused page has given its place back", || pool.stats().active_pages == 1).await;
    pool.close().await;
}

#[tokio::test]
async fn scripts_can_be_off_and_kinds_of_requests_blocked() {
    let site = Site::start().await;
    let pool = pool(|_| ()).await;
    let off = ContextOptions { javascript: false, ..ContextOptions::default() };
    let page = pool.open(off).await.unwrap().new_page().await.unwrap();
    page.goto(&site.url("/scripted"), &GotoOptions::default()).await.unwrap();
    assert_eq!(page.title().await.unwrap(), "off");
    let outcome = page.goto(&site.url("/stub/meta/4"), &GotoOptions::default()).await.unwrap();
    assert_eq!(outcome.url, site.url("/page/4"));

    let blocking =
        ContextOptions { block: vec![ResourceKind::Image, ResourceKind::Script], ..ContextOptions::default() };
    let page = pool.open(blocking).await.unwrap().new_page().await.unwrap();
    page.goto(&site.url("/scripted"), &GotoOptions::default()).await.unwrap();
    assert_eq!(page.title().await.unwrap(), "on", "a script inside the document is no request");
    pool.close().await;
}

#[tokio::test]
async fn popups_are_handed_over_and_bounded() {
    let site = Site::start().await;
    let pool = pool(|options| {
        options.max_popups = 2;
        options.launch.extra_arguments.push("--disable-popup-blocking".to_owned());
    })
    .await;
    let context = pool.open(ContextOptions::default()).await.unwrap();
    let page = context.new_page().await.unwrap();
    page.goto(&site.url("/popups"), &GotoOptions::default()).await.unwrap();
    let popup = context.wait_for_page(Duration::from_secs(20)).await.unwrap();
    assert!(popup.url().is_ok());
    eventually("the rest is closed", || pool.stats().popups_closed >= 2).await;
    assert!(pool.stats().active_pages <= 4);
    context.close().await.unwrap();
    assert!(popup.is_closed());
    assert_eq!(pool.stats().active_pages, 0);
    pool.close().await;
}

#[tokio::test]
async fn two_pages_of_a_context_are_painted_at_once() {
    let site = Site::start().await;
    let pool = pool(|_| ()).await;
    let context = pool.open(ContextOptions::default()).await.unwrap();
    let (one, two) = (context.new_page().await.unwrap(), context.new_page().await.unwrap());
    one.goto(&site.url("/tall"), &GotoOptions::default()).await.unwrap();
    two.goto(&site.url("/page/1"), &within(20, WaitUntil::Load)).await.unwrap();
    let clip = Picture::Clip(Rect { x: 10.0, y: 2_000.0, width: 50.0, height: 40.0 });
    let (full, part, pdf) =
        tokio::join!(one.screenshot(Picture::FullPage), two.screenshot(Picture::Viewport), one.pdf());
    assert_eq!(png_size(&full.unwrap()), (1280, 3000));
    assert_eq!(png_size(&part.unwrap()), (1280, 800));
    assert_eq!(png_size(&one.screenshot(clip).await.unwrap()), (50, 40));
    assert!(pdf.unwrap().starts_with(b"%PDF-"));
    pool.close().await;
}

#[tokio::test]
async fn traffic_goes_through_the_proxy_of_the_context_or_the_pool_loopback_included() {
    let site = Site::start().await;
    let (pools, pool_asked) = telling_proxy().await;
    let (contexts, context_asked) = telling_proxy().await;
    let pool = pool(|options| options.launch.proxy = Some(pools.parse().unwrap())).await;
    let own = ContextOptions { proxy: Some(format!("http://{contexts}")), ..ContextOptions::default() };
    for (options, asked) in [(ContextOptions::default(), &pool_asked), (own, &context_asked)] {
        let page = pool.open(options).await.unwrap().new_page().await.unwrap();
        page.goto(&site.url("/count"), &GotoOptions::default()).await.unwrap();
        assert_eq!(page.title().await.unwrap(), "from the proxy");
        let asked = asked.lock().unwrap().clone();
        assert!(asked.contains(&format!("GET {} HTTP/1.1", site.url("/count"))), "{asked:?}");
    }
    assert_eq!(site.hits.load(std::sync::atomic::Ordering::SeqCst), 0);
    // Whatever else the browser asked for on its own would have gone through the pool's proxy too.
    let own_traffic: Vec<_> =
        pool_asked.lock().unwrap().iter().filter(|line| !line.contains("127.0.0.1")).cloned().collect();
    assert!(own_traffic.is_empty(), "{own_traffic:?}");
    pool.close().await;
}

#[tokio::test]
async fn a_browser_that_is_sent_nowhere_gets_out_by_its_contexts_proxies_only() {
    let site = Site::start().await;
    let (proxy, asked) = telling_proxy().await;
    let pool = pool(|options| options.launch.proxy = Some(buddy_browser::NOWHERE)).await;
    let without = pool.open(ContextOptions::default()).await.unwrap().new_page().await.unwrap();
    let error = without.goto(&site.url("/count"), &GotoOptions::default()).await.unwrap_err();
    assert_eq!(error.code(), "connect", "{error}");
    let own = ContextOptions { proxy: Some(format!("http://{proxy}")), ..ContextOptions::default() };
    let page = pool.open(own).await.unwrap().new_page().await.unwrap();
    page.goto(&site.url("/count"), &GotoOptions::default()).await.unwrap();
    assert_eq!(page.title().await.unwrap(), "from the proxy");
    assert!(asked.lock().unwrap().contains(&format!("GET {} HTTP/1.1", site.url("/count"))));
    assert_eq!(site.hits.load(std::sync::atomic::Ordering::SeqCst), 0);
    pool.close().await;
}

#[tokio::test]
async fn an_answer_is_waited_for_with_its_body() {
    let site = Site::start().await;
    let pool = pool(|_| ()).await;
    let page = pool.open(ContextOptions::default()).await.unwrap().new_page().await.unwrap();
    let (url, options) = (site.url("/asks"), GotoOptions::default());
    let (exchange, outcome) =
        tokio::join!(page.wait_for_response("*/answer?x=*", 1_000, Duration::from_secs(20)), page.goto(&url, &options));
    outcome.unwrap();
    let exchange = exchange.unwrap();
    assert_eq!((exchange.url, exchange.status), (site.url("/answer?x=1"), 200));
    assert_eq!(exchange.body.as_ref(), b"{\"n\":1}");
    assert!(exchange.headers.contains(&("x-kind".to_owned(), "data".to_owned())));
    let late = page.wait_for_response("*/never", 1_000, Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(late.code(), "timed-out", "{late}");
    pool.close().await;
}

#[tokio::test]
async fn a_named_profile_is_told_unavailable() {
    let pool = pool(|_| ()).await;
    let named = ContextOptions { profile: Some("shop".to_owned()), ..ContextOptions::default() };
    assert_eq!(pool.open(named).await.unwrap_err().code(), "unavailable");
    assert!(pool.stats().processes.is_empty(), "no browser starts for a context that cannot be");
    pool.close().await;
}

/// Width and height from a PNG's first chunk.
fn png_size(png: &[u8]) -> (u32, u32) {
    assert!(png.starts_with(b"\x89PNG"));
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}
