//! TLS: trust, names, HTTP/2.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, Uri, Version};
use axum::routing::get as on_get;
use buddy_egress::{FetchOptions, Fetcher};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use crate::support::{egress, get, grant, raw};

/// A certificate authority of the test's own and a server certificate of it for `name`.
fn certificates(name: &str) -> (CertificateDer<'static>, CertificateDer<'static>, PrivateKeyDer<'static>) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    (authority.der().clone(), server.der().clone(), PrivateKeyDer::Pkcs8(key.serialize_der().into()))
}

async fn serve(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    alpn: &[&str],
) -> std::net::SocketAddr {
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let router = Router::new().route(
        "/page",
        on_get(|version: Version, uri: Uri, headers: HeaderMap| async move {
            let host = uri.host().map_or_else(
                || headers["host"].to_str().unwrap().to_owned(),
                |h| format!("{h}:{}", uri.port_u16().unwrap_or(0)),
            );
            format!("{version:?} {host} {}", uri.path_and_query().unwrap())
        }),
    );
    raw(move |stream| {
        let (acceptor, router) = (acceptor.clone(), router.clone());
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
                    .await;
            }
        }
    })
    .await
}

fn trusting(authority: CertificateDer<'static>) -> Fetcher {
    let mut options = FetchOptions::default();
    options.extra_roots = vec![authority];
    Fetcher::new(egress(), options).unwrap()
}

#[tokio::test]
async fn https_speaks_http_2_where_it_can_and_many_requests_share_its_connection() {
    let (authority, certificate, key) = certificates("site.test");
    let addr = serve(certificate, key, &["h2", "http/1.1"]).await;
    let (fetcher, grant) = (trusting(authority), grant(&["site.test@127.0.0.1"]));
    let url = format!("https://site.test:{}/page?x=1", addr.port());
    for _ in 0..3 {
        let answer = fetcher.fetch(&grant, get(&url)).await.unwrap();
        assert_eq!(answer.body, format!("HTTP/2.0 site.test:{} /page?x=1", addr.port()));
    }
    let all = (0..6).map(|_| fetcher.fetch(&grant, get(&url)));
    for answer in futures::future::join_all(all).await {
        assert_eq!(answer.unwrap().status, 200);
    }
    assert_eq!(grant.traffic().connections, 1);
}

#[tokio::test]
async fn https_falls_back_to_http_1_1() {
    let (authority, certificate, key) = certificates("site.test");
    let addr = serve(certificate, key, &["http/1.1"]).await;
    let answer = trusting(authority)
        .fetch(&grant(&["site.test@127.0.0.1"]), get(format!("https://site.test:{}/page", addr.port())))
        .await
        .unwrap();
    assert_eq!(answer.body, format!("HTTP/1.1 site.test:{} /page", addr.port()));
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_or_for_another_name_is_a_tls_error() {
    let (authority, certificate, key) = certificates("site.test");
    let addr = serve(certificate, key, &["h2"]).await;
    let grant = grant(&["site.test@127.0.0.1", "a.test@127.0.0.1", "127.0.0.1"]);
    let untrusting = Fetcher::new(egress(), FetchOptions::default()).unwrap();
    let error = untrusting.fetch(&grant, get(format!("https://site.test:{}/page", addr.port()))).await.unwrap_err();
    assert_eq!((error.code(), error.retryable()), ("tls", false), "{error}");
    let trusting = trusting(authority);
    for host in ["a.test", "127.0.0.1"] {
        let error = trusting.fetch(&grant, get(format!("https://{host}:{}/page", addr.port()))).await.unwrap_err();
        assert_eq!(error.code(), "tls", "{host}: {error}");
    }
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_an_error_of_its_own() {
    let plain = raw(|mut stream| async move {
        let _ = stream.read_u8().await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    let fetcher = Fetcher::new(egress(), FetchOptions::default()).unwrap();
    let error = fetcher.fetch(&grant(&["127.0.0.1"]), get(format!("https://{plain}/"))).await.unwrap_err();
    // Which of the two depends on whether its answer or its end is seen first.
    assert!(matches!(error.code(), "tls" | "connect"), "{error}");
}
