//! The browsers' forward proxy: tunnels, plain requests, upgrades, refusals, bounds, the end of a lease.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::routing::{any, get as on_get};
use buddy_egress::connect::UpstreamTrust;
use buddy_egress::{Grant, LeaseOptions, Proxy, ProxyLease, ProxyOptions, StaticResolver, Target, Upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{egress, egress_with, grant, head, raw, says, serve, until};

const PATIENCE: Duration = Duration::from_secs(10);

async fn lease(grant: &Grant) -> ProxyLease {
    lease_with(grant, ProxyOptions::default()).await
}

async fn lease_with(grant: &Grant, options: ProxyOptions) -> ProxyLease {
    Proxy::new(egress(), options).lease(grant, "context", LeaseOptions::default()).await.unwrap()
}

/// Sends `request` on a connection of its own and reads until the other side closes.
async fn talk(lease: &ProxyLease, request: &str) -> String {
    let mut stream = TcpStream::connect(lease.addr()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an answer in time").unwrap();
    String::from_utf8(answer).unwrap()
}

/// Opens a tunnel; the head of the answer and the stream.
async fn tunnel(lease: &ProxyLease, authority: &str) -> (String, TcpStream) {
    let mut stream = TcpStream::connect(lease.addr()).await.unwrap();
    stream.write_all(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes()).await.unwrap();
    let head = timeout(PATIENCE, head(&mut stream)).await.unwrap();
    (head, stream)
}

/// Sends back what it gets.
async fn echo() -> SocketAddr {
    raw(|mut stream| async move {
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
        let _ = write.shutdown().await;
    })
    .await
}

#[tokio::test]
async fn connect_tunnels_to_a_granted_host_and_counts() {
    let server = echo().await;
    let grant = grant(&["site.test@127.0.0.1"]);
    let lease = lease(&grant).await;
    let (head, mut stream) = tunnel(&lease, &format!("site.test:{}", server.port())).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    stream.write_all(b"through the tunnel").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer, "through the tunnel");
    until("the tunnel is closed", || lease.traffic().open == 0).await;
    assert_eq!((lease.traffic().connections, lease.traffic().bytes_up, lease.traffic().bytes_down), (1, 18, 18));
    assert_eq!(grant.traffic().bytes_up, 18);
    assert!(lease.failures().is_empty());
}

#[tokio::test]
async fn a_refused_host_answers_403_and_the_lease_knows_the_line_to_grant() {
    let lease = lease(&grant(&["*"])).await;
    for (authority, grant_line) in [
        ("127.0.0.1:8443", "127.0.0.1:8443"),
        ("2130706433:443", "127.0.0.1"),
        ("[::ffff:7f00:1]:443", "127.0.0.1"),
        ("LOCALHOST.:443", "localhost"),
        ("site.test:443", "site.test@127.0.0.1"),
        ("169.254.169.254:80", "169.254.169.254"),
    ] {
        let (head, _stream) = tunnel(&lease, authority).await;
        assert!(head.starts_with("HTTP/1.1 403"), "{authority}: {head}");
        assert!(head.to_ascii_lowercase().contains("x-buddy-egress: denied"), "{head}");
        assert_eq!(lease.refused().last().unwrap().grant, grant_line);
    }
    let answer = talk(&lease, "GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("add `127.0.0.1:1` to them"), "{answer}");
    let error = lease.failure_for(&Target::new("127.1", 8443).unwrap()).unwrap();
    assert_eq!(error.code(), "denied");
    assert_eq!(lease.traffic().refused, 7);
    assert_eq!(lease.traffic().connections, 0);
}

#[tokio::test]
async fn the_list_of_failures_is_bounded_and_a_success_clears_its_entry() {
    let lease = lease(&grant(&["127.0.0.1"])).await;
    for n in 0..200 {
        tunnel(&lease, &format!("h{n}.test:443")).await;
        tunnel(&lease, "again.test:443").await;
    }
    let failures = lease.failures();
    assert_eq!(failures.len(), 128);
    assert_eq!(failures.last().map(|f| f.count), Some(200));

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let target = Target::new("127.0.0.1", addr.port()).unwrap();
    let (head, _) = tunnel(&lease, &addr.to_string()).await;
    assert!(head.starts_with("HTTP/1.1 502"), "{head}");
    assert_eq!(lease.failure_for(&target).unwrap().code(), "connect");
    let _listener = tokio::net::TcpListener::bind(addr).await.unwrap();
    let (head, _) = tunnel(&lease, &addr.to_string()).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(lease.failure_for(&target).is_none());
}

#[tokio::test]
async fn plain_requests_are_forwarded_with_their_bodies_and_without_what_concerns_the_connection() {
    let router = Router::new().route(
        "/echo",
        any(|method: Method, uri: Uri, headers: HeaderMap, body: Bytes| async move {
            let mut names: Vec<_> = headers.keys().map(|n| n.as_str().to_owned()).collect();
            names.sort();
            (
                [("x-answer", "1"), ("connection", "x-hidden"), ("x-hidden", "1")],
                format!(
                    "{method} {uri} {} {} {}",
                    headers["host"].to_str().unwrap(),
                    names.join(","),
                    String::from_utf8_lossy(&body)
                ),
            )
        }),
    );
    let addr = serve(router).await;
    let lease = lease(&grant(&["site.test@127.0.0.1"])).await;
    let port = addr.port();
    // A wrong Host, and a chunked body.
    let request = format!(
        "POST http://site.test:{port}/echo?a=1 HTTP/1.1\r\nHost: evil.test\r\nProxy-Connection: keep-alive\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nProxy-Authorization: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    );
    let answer = talk(&lease, &request).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        answer.ends_with(&format!("POST /echo?a=1 site.test:{port} host,transfer-encoding hello world")),
        "{answer}"
    );
    assert!(answer.contains("x-answer: 1") && !answer.contains("x-hidden"), "{answer}");
}

#[tokio::test]
async fn one_connection_of_the_browser_serves_many_requests_and_so_does_one_to_the_site() {
    let router = Router::new()
        .route("/{n}", on_get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.port().to_string() }));
    let addr = serve(router).await;
    let lease = lease(&grant(&["127.0.0.1"])).await;
    let mut stream = TcpStream::connect(lease.addr()).await.unwrap();
    for n in 0..20 {
        stream.write_all(format!("GET http://{addr}/{n} HTTP/1.1\r\nHost: {addr}\r\n\r\n").as_bytes()).await.unwrap();
        let head = timeout(PATIENCE, head(&mut stream)).await.unwrap().to_ascii_lowercase();
        let length: usize =
            head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
    }
    assert_eq!(lease.traffic().connections, 1);
}

#[tokio::test]
async fn a_long_body_is_streamed_not_collected() {
    // 64 MiB, of which the proxy may hold no more than what its buffers and the sockets' take.
    let router = Router::new().route(
        "/",
        on_get(|| async {
            let piece = Bytes::from(vec![7; 65536]);
            let pieces = futures::stream::iter((0..1024).map(move |_| Ok::<_, std::io::Error>(piece.clone())));
            Body::from_stream(pieces)
        }),
    );
    let addr = serve(router).await;
    let lease = lease(&grant(&["127.0.0.1"])).await;
    let mut stream = TcpStream::connect(lease.addr()).await.unwrap();
    stream
        .write_all(format!("GET http://{addr}/ HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    // Nobody reads yet: what is on its way is what sockets and buffers hold.
    let mut before = u64::MAX;
    until("the site is held back", || {
        let now = lease.traffic().bytes_down;
        let still = now > 0 && now == before;
        before = now;
        still
    })
    .await;
    assert!(lease.traffic().bytes_down < 48 * 1024 * 1024, "{:?}", lease.traffic());
    let mut rest = Vec::new();
    timeout(Duration::from_mins(1), stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(rest.len() > 64 * 1024 * 1024);
}

#[tokio::test]
async fn an_upgrade_becomes_a_tunnel() {
    let server = raw(|mut stream| async move {
        let head = head(&mut stream).await.to_ascii_lowercase();
        assert!(
            head.starts_with("get /socket http/1.1\r\n")
                && head.contains("upgrade: websocket")
                && head.contains("connection: upgrade"),
            "{head}"
        );
        stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            .await
            .unwrap();
        let mut four = [0u8; 4];
        stream.read_exact(&mut four).await.unwrap();
        four.reverse();
        stream.write_all(&four).await.unwrap();
    })
    .await;
    let lease = lease(&grant(&["127.0.0.1"])).await;
    let mut stream = TcpStream::connect(lease.addr()).await.unwrap();
    stream
        .write_all(format!("GET http://{server}/socket HTTP/1.1\r\nHost: {server}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let answer = timeout(PATIENCE, head(&mut stream)).await.unwrap().to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 101") && answer.contains("upgrade: websocket"), "{answer}");
    stream.write_all(b"ping").await.unwrap();
    let mut four = [0u8; 4];
    timeout(PATIENCE, stream.read_exact(&mut four)).await.unwrap().unwrap();
    assert_eq!(&four, b"gnip");
}

#[tokio::test]
async fn what_is_no_request_for_a_proxy_is_answered_400() {
    let lease = lease(&grant(&["*", "localhost"])).await;
    for request in [
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
        "GET https://example.com/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET ftp://example.com/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET http://user:pass@example.com/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "CONNECT example.com HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "CONNECT example.com:0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "CONNECT user@example.com:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "garbage\r\n\r\n",
    ] {
        let answer = talk(&lease, request).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{request}: {answer}");
    }
    assert_eq!(lease.traffic().connections, 0);
}

#[tokio::test]
async fn a_head_that_is_too_large_or_too_slow_ends_the_connection() {
    let mut options = ProxyOptions::default();
    options.header_timeout = Duration::from_millis(200);
    let lease = lease_with(&grant(&["*"]), options).await;
    let answer = talk(&lease, &format!("GET http://example.com/ HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(70_000))).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let slow = talk(&lease, "GET http://exam").await;
    assert!(slow.is_empty() || slow.starts_with("HTTP/1.1 408"), "{slow}");
    assert!(talk(&lease, "").await.is_empty());
}

#[tokio::test]
async fn a_tunnel_over_which_nothing_moves_is_closed() {
    let server = echo().await;
    let mut options = ProxyOptions::default();
    options.idle_timeout = Duration::from_millis(200);
    let lease = lease_with(&grant(&["127.0.0.1"]), options).await;
    let (_, mut stream) = tunnel(&lease, &server.to_string()).await;
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("closed in time");
    until("the far end is closed too", || lease.traffic().open == 0).await;
}

#[tokio::test]
async fn more_connections_than_allowed_wait_their_turn() {
    let server = echo().await;
    let mut options = ProxyOptions::default();
    options.max_connections = 1;
    let lease = lease_with(&grant(&["127.0.0.1"]), options).await;
    let (_, first) = tunnel(&lease, &server.to_string()).await;
    let mut second = TcpStream::connect(lease.addr()).await.unwrap();
    second.write_all(format!("CONNECT {server} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    // The second is in the system's queue; only the first was connected.
    assert_eq!(lease.traffic().connections, 1);
    drop(first);
    let head = timeout(PATIENCE, head(&mut second)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

#[tokio::test]
async fn dropping_a_lease_closes_its_listener_and_its_tunnels() {
    let server = echo().await;
    let grant = grant(&["127.0.0.1"]);
    let lease = lease(&grant).await;
    let (_, mut stream) = tunnel(&lease, &server.to_string()).await;
    let addr = lease.addr();
    assert_eq!(lease.url(), format!("http://{addr}"));
    drop(lease);
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("closed in time");
    until("its connections are closed", || grant.traffic().open == 0).await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while TcpStream::connect(addr).await.is_ok() {
        assert!(tokio::time::Instant::now() < deadline, "the listener is still there");
    }
}

#[tokio::test]
async fn two_leases_keep_their_grants_apart() {
    let server = echo().await;
    let proxy = Proxy::new(egress(), ProxyOptions::default());
    let open = proxy.lease(&grant(&["127.0.0.1"]), "one", LeaseOptions::default()).await.unwrap();
    let shut = proxy.lease(&grant(&[]), "two", LeaseOptions::default()).await.unwrap();
    assert!(tunnel(&open, &server.to_string()).await.0.starts_with("HTTP/1.1 200"));
    assert!(tunnel(&shut, &server.to_string()).await.0.starts_with("HTTP/1.1 403"));
}

#[tokio::test]
async fn a_users_proxy_is_chained_behind_a_lease() {
    let upstream = raw(|mut stream| async move {
        let head = head(&mut stream).await;
        let _ =
            stream.write_all(format!("HTTP/1.1 200 OK\r\n\r\n{}", head.split(' ').nth(1).unwrap()).as_bytes()).await;
    })
    .await;
    let names = StaticResolver::new().with("example.com", ["93.184.216.34".parse().unwrap()]);
    let proxy = Proxy::new(egress_with(Arc::new(names)), ProxyOptions::default());
    let through = Upstream::parse(&format!("http://{upstream}"), UpstreamTrust::Operator).unwrap();
    let lease =
        proxy.lease(&grant(&["example.com"]), "context", LeaseOptions::default().through(through)).await.unwrap();
    let (head, mut stream) = tunnel(&lease, "example.com:443").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let mut seen = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut seen)).await.unwrap().unwrap();
    assert_eq!(seen, "93.184.216.34:443");
}

#[tokio::test]
async fn a_site_that_breaks_off_is_a_502_that_the_lease_remembers() {
    let addr = says(b"nonsense\r\n\r\n").await;
    let lease = lease(&grant(&["127.0.0.1"])).await;
    let answer = talk(&lease, &format!("GET http://{addr}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
    assert!(answer.starts_with(&format!("HTTP/1.1 {}", StatusCode::BAD_GATEWAY.as_u16())), "{answer}");
    assert_eq!(lease.failure_for(&Target::new("127.0.0.1", addr.port()).unwrap()).unwrap().code(), "failed");
}
