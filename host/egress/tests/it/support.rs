//! Fixture servers on loopback, and grants for them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use buddy_egress::{ConnectOptions, Egress, FetchOptions, FetchRequest, Fetcher, Grant, HostRules, StaticResolver};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Serves a router until the test ends.
pub(crate) async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await.unwrap();
    });
    addr
}

/// Answers every connection with `talk`, which is handed the stream.
pub(crate) async fn raw<F, T>(talk: F) -> SocketAddr
where
    F: Fn(TcpStream) -> T + Send + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(stream));
        }
    });
    addr
}

/// Reads one head from a stream.
pub(crate) async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// A server that says the same bytes to whoever sends a head, then closes.
pub(crate) async fn says(answer: &'static [u8]) -> SocketAddr {
    raw(move |mut stream| async move {
        head(&mut stream).await;
        let _ = stream.write_all(answer).await;
        let _ = stream.shutdown().await;
    })
    .await
}

pub(crate) fn grant(rules: &[&str]) -> Arc<Grant> {
    let rules: Vec<String> = rules.iter().map(|r| (*r).to_owned()).collect();
    Grant::new("test", HostRules::parse(&rules).unwrap())
}

/// `site.test`, `a.test` and `b.test` are on loopback; a grant for them must say so.
pub(crate) fn resolver() -> StaticResolver {
    StaticResolver::new().with("site.test", [LOOPBACK]).with("a.test", [LOOPBACK]).with("b.test", [LOOPBACK])
}

pub(crate) fn egress_with(resolver: Arc<StaticResolver>) -> Egress {
    Egress::new(ConnectOptions::default(), resolver)
}

pub(crate) fn egress() -> Egress {
    egress_with(Arc::new(resolver()))
}

pub(crate) fn fetcher() -> Fetcher {
    Fetcher::new(egress(), FetchOptions::default()).unwrap()
}

pub(crate) fn get(url: impl Into<String>) -> FetchRequest {
    FetchRequest { url: url.into(), ..FetchRequest::default() }
}

/// Waits until `done` holds; fails after ten seconds.
pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(tokio::time::Instant::now() < deadline, "not within ten seconds: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
