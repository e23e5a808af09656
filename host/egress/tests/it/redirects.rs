//! Redirects: each hop is a request of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::routing::{any, get as on_get};
use buddy_egress::{FetchOptions, FetchRequest, Fetcher, StaticResolver};

use crate::support::{LOOPBACK, egress_with, fetcher, get, grant, resolver, serve};

/// Redirects to whatever is given, and tells what it got.
fn router(to: &str) -> Router {
    let to = to.to_owned();
    Router::new()
        .route(
            "/to/{status}",
            any(move |Path(status): Path<u16>| {
                let to = to.clone();
                async move { (StatusCode::from_u16(status).unwrap(), [("location", to)], "moved") }
            }),
        )
        .route(
            "/end",
            any(|method: Method, headers: HeaderMap, body: Bytes| async move {
                let show = |name: &str| headers.get(name).map_or("-", |v| v.to_str().unwrap()).to_owned();
                format!(
                    "{method} auth={} cookie={} key={} type={} body={}",
                    show("authorization"),
                    show("cookie"),
                    show("x-api-key"),
                    show("content-type"),
                    String::from_utf8_lossy(&body)
                )
            }),
        )
}

fn post(url: String) -> FetchRequest {
    let headers =
        [("Authorization", "Bearer 1"), ("Cookie", "a=1"), ("X-Api-Key", "k"), ("Content-Type", "text/plain")];
    FetchRequest {
        method: "POST".to_owned(),
        headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        body: Some(Bytes::from_static(b"data")),
        secret_headers: vec!["X-API-Key".to_owned()],
        ..get(url)
    }
}

#[tokio::test]
async fn within_one_origin_headers_go_along_and_the_method_follows_the_status() {
    let addr = serve(router("/end")).await;
    let grant = grant(&["127.0.0.1"]);
    for (status, seen) in [
        (302, "GET auth=Bearer 1 cookie=a=1 key=k type=- body="),
        (303, "GET auth=Bearer 1 cookie=a=1 key=k type=- body="),
        (307, "POST auth=Bearer 1 cookie=a=1 key=k type=text/plain body=data"),
        (308, "POST auth=Bearer 1 cookie=a=1 key=k type=text/plain body=data"),
    ] {
        let answer = fetcher().fetch(&grant, post(format!("http://{addr}/to/{status}"))).await.unwrap();
        assert_eq!(answer.body, seen, "{status}");
        assert_eq!((answer.url.as_str(), answer.redirects), (format!("http://{addr}/end").as_str(), 1));
    }
}

#[tokio::test]
async fn across_origins_secrets_stay_behind() {
    let other = serve(router("")).await;
    let first = serve(router(&format!("http://b.test:{}/end", other.port()))).await;
    let grant = grant(&["a.test@127.0.0.1", "b.test@127.0.0.1"]);
    let start = |status: u16| post(format!("http://a.test:{}/to/{status}", first.port()));
    let answer = fetcher().fetch(&grant, start(307)).await.unwrap();
    assert_eq!(answer.body, "POST auth=- cookie=- key=- type=text/plain body=data");
    let error = fetcher().fetch(&grant, FetchRequest { secret_body: true, ..start(307) }).await.unwrap_err();
    assert_eq!(error.code(), "redirects");
    let answer = fetcher().fetch(&grant, FetchRequest { secret_body: true, ..start(303) }).await.unwrap();
    assert_eq!(answer.body, "GET auth=- cookie=- key=- type=- body=");
}

#[tokio::test]
async fn a_redirect_to_an_inner_address_is_denied_like_a_request_to_it() {
    let hits = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&hits);
    let inner = serve(Router::new().fallback(move || {
        count.fetch_add(1, Ordering::SeqCst);
        async { "inner" }
    }))
    .await;
    let port = inner.port();
    for to in [
        format!("http://127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("//0x7f.1:{port}/"),
        format!("http://b.test:{port}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://[fd00:ec2::254]/".to_owned(),
        "http://metadata.google.internal/".to_owned(),
    ] {
        let first = serve(router(&to)).await;
        let grant = grant(&["*", &format!("a.test:{}@127.0.0.1", first.port())]);
        let error =
            fetcher().fetch(&grant, get(format!("http://a.test:{}/to/302", first.port()))).await.expect_err(&to);
        assert_eq!(error.code(), "denied", "{to}: {error}");
    }
    assert_eq!(hits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_that_is_rebound_before_the_redirect_is_checked_anew() {
    // `Connection: close`, so that the second hop must connect again.
    let router = Router::new()
        .route("/", on_get(|| async { (StatusCode::FOUND, [("location", "/inner"), ("connection", "close")], "") }))
        .route("/inner", on_get(|| async { "inner" }));
    let addr = serve(router).await;
    let names = Arc::new(
        StaticResolver::new().with("rebind.test", [LOOPBACK]).with("rebind.test", ["10.0.0.1".parse().unwrap()]),
    );
    let fetcher = Fetcher::new(egress_with(names), FetchOptions::default()).unwrap();
    let error = fetcher
        .fetch(&grant(&["rebind.test@127.0.0.1"]), get(format!("http://rebind.test:{}/", addr.port())))
        .await
        .unwrap_err();
    assert_eq!(error.denied().unwrap().address, Some("10.0.0.1".parse().unwrap()));
}

#[tokio::test]
async fn b2_a_loop_is_a_typed_error_at_once() {
    let hits = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&hits);
    let router = Router::new().route(
        "/{page}",
        on_get(move |Path(page): Path<String>| {
            count.fetch_add(1, Ordering::SeqCst);
            async move { (StatusCode::FOUND, [("location", if page == "a" { "/b" } else { "/a" })], "") }
        }),
    );
    let addr = serve(router).await;
    let error = fetcher().fetch(&grant(&["127.0.0.1"]), get(format!("http://{addr}/a"))).await.unwrap_err();
    assert_eq!((error.code(), error.retryable()), ("redirects", false));
    assert_eq!(hits.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn b2_an_endless_chain_ends_at_the_bound_and_none_is_followed_when_so_asked() {
    let hits = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&hits);
    let router = Router::new().route(
        "/{n}",
        on_get(move |Path(n): Path<u32>| {
            count.fetch_add(1, Ordering::SeqCst);
            async move { (StatusCode::FOUND, [("location", format!("/{}", n + 1))], "") }
        }),
    );
    let addr = serve(router).await;
    let grant = grant(&["127.0.0.1"]);
    let url = format!("http://{addr}/0");
    for (asked, requests) in [(None, 11), (Some(3), 4), (Some(1_000_000), 21)] {
        hits.store(0, Ordering::SeqCst);
        let error = fetcher().fetch(&grant, FetchRequest { max_redirects: asked, ..get(&url) }).await.unwrap_err();
        assert_eq!((error.code(), hits.load(Ordering::SeqCst)), ("redirects", requests), "{asked:?}");
    }
    let answer = fetcher().fetch(&grant, FetchRequest { max_redirects: Some(0), ..get(&url) }).await.unwrap();
    assert_eq!((answer.status, answer.redirects), (302, 0));
    assert!(answer.headers.contains(&("location".to_owned(), "/1".to_owned())));
}

#[tokio::test]
async fn a_redirect_to_nowhere_is_a_typed_error() {
    let grant = grant(&["127.0.0.1"]);
    for to in ["file:///etc/passwd", "javascript:alert(1)", "http://", "data:text/plain,x"] {
        let addr = serve(router(to)).await;
        let error = fetcher().fetch(&grant, get(format!("http://{addr}/to/302"))).await.unwrap_err();
        assert_eq!(error.code(), "redirects", "{to}");
    }
}

#[tokio::test]
async fn hops_to_one_host_do_not_wait_for_their_own_place() {
    let addr = serve(router("/end")).await;
    let mut options = FetchOptions::default();
    options.pacing.max_concurrent = 1;
    let fetcher = Fetcher::new(egress_with(Arc::new(resolver())), options).unwrap();
    let answer = fetcher.fetch(&grant(&["127.0.0.1"]), get(format!("http://{addr}/to/301"))).await.unwrap();
    assert_eq!(answer.redirects, 1);
}
