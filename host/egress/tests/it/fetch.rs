//! Requests: what is sent, what is refused, time limits, pace, reuse.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::routing::{any, get as on_get, post};
use buddy_egress::{FetchOptions, FetchRequest, Fetcher};
use tokio::io::AsyncWriteExt;

use crate::support::{egress, fetcher, get, grant, head, raw, says, serve};

#[tokio::test]
async fn a_request_arrives_as_it_was_written_and_its_answer_comes_back() {
    let router = Router::new().route(
        "/echo",
        any(|method: Method, uri: Uri, headers: HeaderMap, body: Bytes| async move {
            let show = |name: &str| headers.get(name).map_or("-", |v| v.to_str().unwrap()).to_owned();
            let text = format!(
                "{method} {uri} host={} ua={} x={} len={} body={}",
                show("host"),
                show("user-agent"),
                show("x-mine"),
                show("content-length"),
                String::from_utf8_lossy(&body)
            );
            (StatusCode::CREATED, [("x-answer", "yes"), ("content-type", "text/plain")], text)
        }),
    );
    let addr = serve(router).await;
    let request = FetchRequest {
        method: "post".to_owned(),
        url: format!("http://site.test:{}/echo?q=a%20b#part", addr.port()),
        headers: vec![("X-Mine".to_owned(), "1".to_owned()), ("User-Agent".to_owned(), "me".to_owned())],
        body: Some(Bytes::from_static(b"hello")),
        ..FetchRequest::default()
    };
    let response = fetcher().fetch(&grant(&["site.test@127.0.0.1"]), request).await.unwrap();
    assert_eq!(response.status, 201);
    assert_eq!(response.body, format!("POST /echo?q=a%20b host=site.test:{} ua=me x=1 len=5 body=hello", addr.port()));
    assert!(response.headers.contains(&("x-answer".to_owned(), "yes".to_owned())));
    assert_eq!(response.charset.as_deref(), Some("UTF-8"));
    assert_eq!((response.truncated, response.redirects, response.bytes), (false, 0, response.body.len() as u64));
}

#[tokio::test]
async fn what_is_not_granted_is_denied_in_every_notation() {
    let addr = serve(Router::new().route("/", on_get(|| async { "inside" }))).await;
    let fetcher = fetcher();
    let port = addr.port();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "[::ffff:127.0.0.1]",
        "localhost",
        "LOCALHOST.",
        "%6cocalhost",
        "site.test",
    ] {
        let error = fetcher.fetch(&grant(&["*"]), get(format!("http://{host}:{port}/"))).await.expect_err(host);
        assert_eq!((error.code(), error.retryable()), ("denied", false), "{host}");
        // … and the line of the denial makes it work.
        let line = error.denied().unwrap().grant.clone();
        let response = fetcher
            .fetch(&grant(&[&line]), get(format!("http://{host}:{port}/")))
            .await
            .unwrap_or_else(|e| panic!("{host} {line}: {e}"));
        assert_eq!(response.body, "inside");
    }
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_refused_before_anything_is_sent() {
    let fetcher = fetcher();
    let grant = grant(&["*"]);
    let with = |method: &str, url: &str| FetchRequest {
        method: method.to_owned(),
        url: url.to_owned(),
        ..FetchRequest::default()
    };
    let mut texts = Vec::new();
    for request in [
        with("GET", "not an address"),
        with("GET", "/relative"),
        with("GET", "ftp://example.com/"),
        with("GET", "file:///etc/passwd"),
        with("GET", "http://user:pass@example.com/"),
        with("GET", "http://example.com:0/"),
        with("CONNECT", "http://example.com/"),
        with("TRACE", "http://example.com/"),
        with("GE T", "http://example.com/"),
        FetchRequest { body: Some(Bytes::from_static(b"x")), ..with("GET", "http://example.com/") },
        FetchRequest { headers: vec![("Host".to_owned(), "evil".to_owned())], ..with("GET", "http://example.com/") },
        FetchRequest {
            headers: vec![("Proxy-Authorization".to_owned(), "x".to_owned())],
            ..with("GET", "http://example.com/")
        },
        with("GET", &format!("http://example.com/{}", "x".repeat(17_000))),
    ] {
        let error = fetcher.fetch(&grant, request).await.unwrap_err();
        assert!(!error.retryable());
        texts.push(format!("{}: {error}", error.code()));
    }
    insta::assert_snapshot!(texts.join("\n"));
    assert_eq!(grant.traffic().connections, 0);
}

#[tokio::test]
async fn the_time_limit_covers_a_silent_server_and_a_body_that_never_ends() {
    let silent = raw(|mut stream| async move {
        head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let dripping = raw(|mut stream| async move {
        head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx").await;
        std::future::pending::<()>().await;
    })
    .await;
    let grant = grant(&["127.0.0.1"]);
    for addr in [silent, dripping] {
        let request =
            FetchRequest { timeout: Some(Duration::from_millis(100)), ..get(format!("http://{addr}/x?secret=1")) };
        let error = fetcher().fetch(&grant, request).await.unwrap_err();
        assert_eq!((error.code(), error.retryable()), ("timed-out", true));
        assert!(error.to_string().starts_with(&format!("GET http://{addr}/x took longer")), "{error}");
    }
}

#[tokio::test]
async fn a_broken_answer_is_told_from_a_broken_line() {
    let grant = grant(&["127.0.0.1"]);
    for (answer, code, retryable) in [
        (&b"SSH-2.0-OpenSSH\r\n\r\n"[..], "failed", false),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "failed", false),
        (b"", "connect", true),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "connect", true),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", "failed", false),
    ] {
        let addr = says(answer).await;
        let error = fetcher().fetch(&grant, get(format!("http://{addr}/"))).await.unwrap_err();
        assert_eq!((error.code(), error.retryable()), (code, retryable), "{} {error}", String::from_utf8_lossy(answer));
    }
}

#[tokio::test]
async fn a_head_without_end_is_bounded() {
    let addr = raw(|mut stream| async move {
        head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while stream.write_all(&[b'x'; 8192]).await.is_ok() {}
    })
    .await;
    let error = fetcher().fetch(&grant(&["127.0.0.1"]), get(format!("http://{addr}/"))).await.unwrap_err();
    assert_eq!(error.code(), "limit", "{error}");
}

#[tokio::test]
async fn a_connection_is_used_again_by_the_same_grant_and_by_no_other() {
    let addr = serve(
        Router::new().route("/", on_get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() })),
    )
    .await;
    let fetcher = fetcher();
    let (one, two) = (grant(&["127.0.0.1"]), grant(&["127.0.0.1"]));
    let url = format!("http://{addr}/");
    let first = fetcher.fetch(&one, get(&url)).await.unwrap().body;
    for _ in 0..20 {
        assert_eq!(fetcher.fetch(&one, get(&url)).await.unwrap().body, first);
    }
    assert_eq!(one.traffic().connections, 1);
    assert_ne!(fetcher.fetch(&two, get(&url)).await.unwrap().body, first);
    assert_eq!(two.traffic().connections, 1);
}

#[tokio::test]
async fn a_kept_connection_that_its_server_closed_is_no_failure() {
    // Promises keep-alive and closes after each answer.
    let addr = raw(|mut stream| async move {
        head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    })
    .await;
    let fetcher = fetcher();
    let grant = grant(&["127.0.0.1"]);
    for _ in 0..50 {
        assert_eq!(fetcher.fetch(&grant, get(format!("http://{addr}/"))).await.unwrap().body, "ok");
    }
}

#[tokio::test]
async fn no_more_requests_are_at_one_host_than_allowed() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let router = Router::new().route(
        "/",
        on_get({
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            move || {
                let (now, most) = (Arc::clone(&now), Arc::clone(&most));
                async move {
                    let here = now.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(here, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    // Waits for nothing: it keeps requests open together, so that one too many would be seen.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    now.fetch_sub(1, Ordering::SeqCst);
                }
            }
        }),
    );
    let addr = serve(router).await;
    let mut options = FetchOptions::default();
    options.pacing.max_concurrent = 3;
    let fetcher = Fetcher::new(egress(), options).unwrap();
    let grants = [grant(&["127.0.0.1"]), grant(&["127.0.0.1"])];
    let all = (0..30).map(|n| fetcher.fetch(&grants[n % 2], get(format!("http://{addr}/"))));
    for result in futures::future::join_all(all).await {
        result.unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn b15_after_a_429_that_host_alone_is_left_alone() {
    let hits = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&hits);
    let router = Router::new().route(
        "/",
        on_get(move || {
            count.fetch_add(1, Ordering::SeqCst);
            async { (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "3600")], "slow down") }
        }),
    );
    let limited = serve(router).await;
    let other = serve(Router::new().route("/", on_get(|| async { "fine" }))).await;
    let fetcher = fetcher();
    let grant = grant(&["127.0.0.1"]);
    let answer = fetcher.fetch(&grant, get(format!("http://{limited}/"))).await.unwrap();
    assert_eq!((answer.status, answer.retry_after), (429, Some(Duration::from_hours(1))));

    let error = fetcher.fetch(&grant, get(format!("http://{limited}/"))).await.unwrap_err();
    assert_eq!((error.code(), error.retryable()), ("busy", true));
    // An hour was asked for, a quarter of an hour is the bound.
    let after = error.after_ms().unwrap();
    assert!((14 * 60_000..=15 * 60_000).contains(&after), "{after}");
    assert_eq!(hits.load(Ordering::SeqCst), 1);
    assert_eq!(fetcher.fetch(&grant, get(format!("http://{other}/"))).await.unwrap().body, "fine");
}

#[tokio::test]
async fn b15_a_short_retry_after_is_waited_for() {
    let hits = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&hits);
    let router = Router::new().route(
        "/",
        on_get(move || {
            let first = count.fetch_add(1, Ordering::SeqCst) == 0;
            let at = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(1));
            async move {
                if first {
                    (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", at)], "later")
                } else {
                    (StatusCode::OK, [("x", String::new())], "now")
                }
            }
        }),
    );
    let addr = serve(router).await;
    let (fetcher, grant) = (fetcher(), grant(&["127.0.0.1"]));
    let first = fetcher.fetch(&grant, get(format!("http://{addr}/"))).await.unwrap();
    assert_eq!(first.status, 503);
    assert!(first.retry_after.unwrap() <= Duration::from_secs(2));
    assert_eq!(fetcher.fetch(&grant, get(format!("http://{addr}/"))).await.unwrap().body, "now");
}

#[tokio::test]
async fn a_post_without_a_body_says_so_and_a_head_has_none() {
    let router = Router::new().route(
        "/",
        post(|headers: HeaderMap| async move { headers["content-length"].to_str().unwrap().to_owned() })
            .get(|| async { "body" }),
    );
    let addr = serve(router).await;
    let (fetcher, grant) = (fetcher(), grant(&["127.0.0.1"]));
    let request = FetchRequest { method: "POST".to_owned(), ..get(format!("http://{addr}/")) };
    assert_eq!(fetcher.fetch(&grant, request).await.unwrap().body, "0");
    let request = FetchRequest { method: "HEAD".to_owned(), ..get(format!("http://{addr}/")) };
    let answer = fetcher.fetch(&grant, request).await.unwrap();
    assert!(answer.body.is_empty());
    assert!(answer.headers.contains(&("content-length".to_owned(), "4".to_owned())));
}
