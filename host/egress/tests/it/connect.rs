//! The one door: refusals before the look-up, checked addresses, rebinding, counting, a proxy behind.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use buddy_egress::connect::{UpstreamNames, UpstreamTrust};
use buddy_egress::{ConnectOptions, Egress, StaticResolver, Target, Upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::support::{LOOPBACK, egress, egress_with, grant, head, raw, says, until};

#[tokio::test]
async fn a_host_that_is_not_granted_is_not_even_looked_up() {
    let names = Arc::new(StaticResolver::new().with("secret.attacker.test", [LOOPBACK]));
    let grant = grant(&["other.test"]);
    let error = egress_with(Arc::clone(&names))
        .connect(&grant, &Target::new("secret.attacker.test", 80).unwrap())
        .await
        .unwrap_err();
    assert_eq!(error.code(), "denied");
    assert_eq!(error.denied().unwrap().grant, "secret.attacker.test");
    assert_eq!(names.asked(), Vec::<String>::new());
    assert_eq!((grant.traffic().refused, grant.traffic().connections), (1, 0));
}

#[tokio::test]
async fn a_name_that_is_rebound_between_two_connections_is_refused_the_second_time() {
    let public: IpAddr = "192.88.1.1".parse().unwrap();
    let server = says(b"").await;
    // The first answer is fine by the grant, the second points to another place of the inner network.
    let names = Arc::new(
        StaticResolver::new()
            .with("site.test", [LOOPBACK])
            .with("site.test", ["10.0.0.1".parse().unwrap()])
            .with("site.test", [public, LOOPBACK]),
    );
    let egress = egress_with(Arc::clone(&names));
    let grant = grant(&["site.test", "site.test@10.0.0.2", "site.test@127.0.0.1", "10.0.0.0/8", "localhost"]);
    let target = Target::new("site.test", server.port()).unwrap();
    let connection = egress.connect(&grant, &target).await.unwrap();
    assert_eq!(connection.peer_addr().unwrap(), server);
    let error = egress.connect(&grant, &target).await.unwrap_err();
    let denied = error.denied().expect("denied");
    assert_eq!(denied.address, Some("10.0.0.1".parse().unwrap()));
    assert_eq!(denied.grant, format!("site.test:{}@10.0.0.1", server.port()));
    assert_eq!(names.asked().len(), 2);
}

#[tokio::test]
async fn one_refused_address_in_an_answer_refuses_the_name() {
    let names = Arc::new(
        StaticResolver::new()
            .with("mixed.test", ["93.184.216.34".parse().unwrap(), "169.254.169.254".parse().unwrap()]),
    );
    let error = egress_with(names).connect(&grant(&["*"]), &Target::new("mixed.test", 80).unwrap()).await.unwrap_err();
    assert_eq!(error.denied().unwrap().address, Some("169.254.169.254".parse().unwrap()));
}

#[tokio::test]
async fn localhost_never_asks_a_resolver() {
    let server = says(b"").await;
    let names = Arc::new(StaticResolver::new().with("localhost", ["93.184.216.34".parse().unwrap()]));
    let connection = egress_with(Arc::clone(&names))
        .connect(&grant(&["localhost"]), &Target::new("localhost", server.port()).unwrap())
        .await
        .unwrap();
    assert!(connection.peer_addr().unwrap().ip().is_loopback());
    assert!(names.asked().is_empty());
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_does_not_answer() {
    let server = says(b"").await;
    // Nobody listens on ::1 at that port; the refusal is immediate or the stagger passes.
    let names = Arc::new(StaticResolver::new().with("site.test", ["::1".parse().unwrap(), LOOPBACK]));
    let connection = egress_with(names)
        .connect(&grant(&["site.test@127.0.0.1", "site.test@::1"]), &Target::new("site.test", server.port()).unwrap())
        .await
        .unwrap();
    assert_eq!(connection.peer_addr().unwrap(), server);
}

#[tokio::test]
async fn failures_have_their_own_codes() {
    let egress = egress();
    let grant = grant(&["unknown.test", "127.0.0.1"]);
    let unknown = egress.connect(&grant, &Target::new("unknown.test", 80).unwrap()).await.unwrap_err();
    assert_eq!((unknown.code(), unknown.retryable()), ("dns", true));
    let listener = tokio::net::TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let refused = egress.connect(&grant, &Target::new("127.0.0.1", closed.port()).unwrap()).await.unwrap_err();
    assert_eq!((refused.code(), refused.retryable()), ("connect", true));
}

#[tokio::test]
async fn bytes_and_connections_are_counted_for_the_part_and_for_the_whole() {
    let server = raw(|mut stream| async move {
        let mut five = [0u8; 5];
        stream.read_exact(&mut five).await.unwrap();
        stream.write_all(b"0123456789").await.unwrap();
    })
    .await;
    let whole = grant(&["127.0.0.1"]);
    let part = whole.part("task");
    let mut connection = egress().connect(&part, &Target::new("127.0.0.1", server.port()).unwrap()).await.unwrap();
    connection.write_all(b"hello").await.unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await.unwrap();
    for traffic in [part.traffic(), whole.traffic()] {
        assert_eq!((traffic.bytes_up, traffic.bytes_down, traffic.connections, traffic.open), (5, 10, 1, 1));
    }
    drop(connection);
    assert_eq!(whole.traffic().open, 0);
    assert_eq!(part.holder(), "test/task");
}

#[tokio::test(start_paused = true)]
async fn a_full_host_says_busy() {
    let server = raw(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let mut options = ConnectOptions::default();
    options.max_open = 1;
    let egress = Egress::new(options, Arc::new(StaticResolver::new()));
    let grant = grant(&["127.0.0.1"]);
    let target = Target::new("127.0.0.1", server.port()).unwrap();
    let first = egress.connect(&grant, &target).await.unwrap();
    let error = egress.connect(&grant, &target).await.unwrap_err();
    assert_eq!((error.code(), error.retryable()), ("busy", true));
    drop(first);
    egress.connect(&grant, &target).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_takes_for_ever_is_given_up() {
    struct Never;
    impl buddy_egress::Resolver for Never {
        fn resolve<'a>(&'a self, _: &'a str) -> futures::future::BoxFuture<'a, std::io::Result<Vec<IpAddr>>> {
            Box::pin(std::future::pending())
        }
    }
    let egress = Egress::new(ConnectOptions::default(), Arc::new(Never));
    let error = egress.connect(&grant(&["*"]), &Target::new("slow.test", 80).unwrap()).await.unwrap_err();
    assert_eq!((error.code(), error.retryable()), ("timed-out", true));
}

/// A proxy that notes the head it got and answers with `answer`.
async fn upstream(answer: &'static str) -> (std::net::SocketAddr, mpsc::UnboundedReceiver<String>) {
    let (heads, seen) = mpsc::unbounded_channel();
    let addr = raw(move |mut stream| {
        let heads = heads.clone();
        async move {
            let _ = heads.send(head(&mut stream).await);
            let _ = stream.write_all(answer.as_bytes()).await;
            // Keep it open until the other side goes.
            let _ = stream.read_u8().await;
        }
    })
    .await;
    (addr, seen)
}

fn through(upstream: Upstream, names: StaticResolver) -> Egress {
    let mut options = ConnectOptions::default();
    options.connect_timeout = Duration::from_secs(5);
    options.upstream = Some(upstream);
    Egress::new(options, Arc::new(names))
}

#[tokio::test]
async fn a_users_proxy_is_given_the_checked_address_and_only_for_public_hosts() {
    let (addr, mut seen) = upstream("HTTP/1.1 200 Connection established\r\nX: y\r\n\r\nhello").await;
    let parsed = Upstream::parse(&format!("http://user:pass@{addr}"), UpstreamTrust::Operator).unwrap();
    let names = StaticResolver::new()
        .with("example.com", ["93.184.216.34".parse().unwrap()])
        .with("inner.test", ["10.0.0.1".parse().unwrap()]);
    let egress = through(parsed, names);
    let grant = grant(&["*", "127.0.0.1"]);

    let mut connection = egress.connect(&grant, &Target::new("example.com", 443).unwrap()).await.unwrap();
    let head = seen.recv().await.unwrap();
    assert!(head.starts_with("CONNECT 93.184.216.34:443 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("Proxy-Authorization: Basic dXNlcjpwYXNz\r\n"), "{head}");
    let mut hello = [0u8; 5];
    connection.read_exact(&mut hello).await.unwrap();
    assert_eq!(&hello, b"hello");

    let error = egress.connect(&grant, &Target::new("inner.test", 443).unwrap()).await.unwrap_err();
    assert_eq!(error.code(), "denied");

    let direct = says(b"").await;
    let connection = egress.connect(&grant, &Target::new("127.0.0.1", direct.port()).unwrap()).await.unwrap();
    assert_eq!(connection.peer_addr().unwrap(), direct);
}

#[tokio::test]
async fn a_proxy_that_resolves_by_itself_is_given_the_name_once_that_is_granted() {
    let (addr, mut seen) = upstream("HTTP/1.1 200 OK\r\n\r\n").await;
    let parsed =
        Upstream::parse(&format!("http://{addr}"), UpstreamTrust::Operator).unwrap().names(UpstreamNames::Remote);
    let egress = through(parsed, StaticResolver::new());
    egress.connect(&grant(&["example.com"]), &Target::new("example.com", 443).unwrap()).await.unwrap();
    assert!(seen.recv().await.unwrap().starts_with("CONNECT example.com:443 "));
    let error = egress.connect(&grant(&["example.com"]), &Target::new("other.com", 443).unwrap()).await.unwrap_err();
    assert_eq!(error.code(), "denied");
}

#[tokio::test]
async fn a_proxy_that_a_plugin_names_must_be_granted_itself() {
    let (addr, _seen) = upstream("HTTP/1.1 200 OK\r\n\r\n").await;
    let via = Upstream::parse(&format!("http://{addr}"), UpstreamTrust::Granted).unwrap();
    let egress = egress_with(Arc::new(StaticResolver::new().with("example.com", ["93.184.216.34".parse().unwrap()])));
    let target = Target::new("example.com", 443).unwrap();
    let error = egress.connect_via(&grant(&["example.com"]), &target, Some(&via)).await.unwrap_err();
    assert_eq!(error.denied().unwrap().host, "127.0.0.1");
    egress.connect_via(&grant(&["example.com", "127.0.0.1"]), &target, Some(&via)).await.unwrap();
}

#[tokio::test]
async fn a_proxy_that_refuses_or_babbles_is_a_connect_error() {
    for answer in ["HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "SSH-2.0-x\r\n\r\n", ""] {
        let addr = says(answer.as_bytes()).await;
        let parsed = Upstream::parse(&format!("http://{addr}"), UpstreamTrust::Operator).unwrap();
        let egress = through(parsed, StaticResolver::new().with("example.com", ["93.184.216.34".parse().unwrap()]));
        let grant = grant(&["*"]);
        let error = egress.connect(&grant, &Target::new("example.com", 443).unwrap()).await.unwrap_err();
        assert_eq!(error.code(), "connect", "{answer}: {error}");
        until("the connection is closed", || grant.traffic().open == 0).await;
    }
}
