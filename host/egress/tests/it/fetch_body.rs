//! Bodies: compression and its bombs, bounds, sinks, character sets.

use async_compression::tokio::bufread::{BrotliEncoder, DeflateEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use axum::routing::get as on_get;
use buddy_egress::FetchRequest;
use buddy_egress::fetch::{OverBound, decode};
use tokio::io::AsyncReadExt;

use crate::support::{fetcher, get, grant, serve};

async fn packed(how: &str, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match how {
        "gzip" => GzipEncoder::new(plain).read_to_end(&mut out).await,
        "br" => BrotliEncoder::with_quality(plain, async_compression::Level::Fastest).read_to_end(&mut out).await,
        "zlib" => ZlibEncoder::new(plain).read_to_end(&mut out).await,
        "deflate" => DeflateEncoder::new(plain).read_to_end(&mut out).await,
        "zstd" => ZstdEncoder::new(plain).read_to_end(&mut out).await,
        _ => unreachable!("{how}"),
    }
    .unwrap();
    out
}

/// A server of one body.
async fn body(headers: &'static [(&'static str, &'static str)], body: Vec<u8>) -> String {
    let body = Bytes::from(body);
    let router = Router::new().route(
        "/",
        on_get(move || async move {
            let mut response = Response::new(axum::body::Body::from(body));
            for (name, value) in headers {
                response.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            response
        }),
    );
    format!("http://{}/", serve(router).await)
}

#[tokio::test]
async fn every_coding_is_undone_and_its_headers_are_gone() {
    let plain = "The quick brown fox. ".repeat(500).into_bytes();
    let grant = grant(&["127.0.0.1"]);
    let gzip = packed("gzip", &plain).await;
    for (headers, packed) in [
        (&[("content-encoding", "gzip")][..], gzip.clone()),
        (&[("content-encoding", "br")], packed("br", &plain).await),
        (&[("content-encoding", "zstd")], packed("zstd", &plain).await),
        (&[("content-encoding", "deflate")], packed("zlib", &plain).await),
        (&[("content-encoding", "deflate")], packed("deflate", &plain).await),
        (&[("content-encoding", "gzip, br")], packed("br", &gzip).await),
        (&[("content-encoding", "gzip"), ("content-encoding", "identity")], gzip.clone()),
    ] {
        let url = body(headers, packed).await;
        let answer = fetcher().fetch(&grant, get(url)).await.unwrap_or_else(|e| panic!("{headers:?}: {e}"));
        assert!(answer.body == plain, "{headers:?}");
        assert!(!answer.headers.iter().any(|(name, _)| name == "content-encoding" || name == "content-length"));
    }
    // Unknown: as it came, and it says so.
    let url = body(&[("content-encoding", "secret")], b"xyz".to_vec()).await;
    let answer = fetcher().fetch(&grant, get(url)).await.unwrap();
    assert_eq!(answer.body, "xyz");
    assert!(answer.headers.contains(&("content-encoding".to_owned(), "secret".to_owned())));
    // Empty, though announced as compressed.
    let url = body(&[("content-encoding", "gzip")], Vec::new()).await;
    assert!(fetcher().fetch(&grant, get(url)).await.unwrap().body.is_empty());
}

#[tokio::test]
async fn b14_a_bomb_is_left_at_the_bound_of_decompressed_bytes() {
    const BOUND: u64 = 256 * 1024;
    let zeros = vec![0u8; 16 * 1024 * 1024];
    let grant = grant(&["127.0.0.1"]);
    let gzip = packed("gzip", &zeros).await;
    for (headers, bomb) in [
        (&[("content-encoding", "gzip")][..], gzip.clone()),
        (&[("content-encoding", "br")], packed("br", &zeros).await),
        (&[("content-encoding", "zstd")], packed("zstd", &zeros).await),
        (&[("content-encoding", "deflate")], packed("zlib", &zeros).await),
        (&[("content-encoding", "gzip, gzip")], packed("gzip", &gzip).await),
    ] {
        assert!(bomb.len() < zeros.len() / 500, "{headers:?}: no bomb");
        let url = body(headers, bomb).await;
        let request = FetchRequest { max_bytes: Some(BOUND), ..get(&url) };
        let answer = fetcher().fetch(&grant, request.clone()).await.unwrap();
        assert_eq!((answer.truncated, answer.bytes, answer.body.len() as u64), (true, BOUND, BOUND), "{headers:?}");
        let error = fetcher().fetch(&grant, FetchRequest { over_bound: OverBound::Fail, ..request }).await.unwrap_err();
        assert_eq!((error.code(), error.retryable()), ("limit", false), "{headers:?}");
    }
}

#[tokio::test]
async fn b14_more_layers_than_any_server_uses_are_refused() {
    let url = body(&[("content-encoding", "gzip, gzip, gzip")], vec![1, 2, 3]).await;
    assert_eq!(fetcher().fetch(&grant(&["127.0.0.1"]), get(url)).await.unwrap_err().code(), "failed");
}

#[tokio::test]
async fn a_compressed_body_that_is_cut_off_is_an_error_that_may_pass() {
    let mut half = packed("gzip", &"The quick brown fox. ".repeat(500).into_bytes()).await;
    half.truncate(half.len() / 2);
    let url = body(&[("content-encoding", "gzip")], half).await;
    let error = fetcher().fetch(&grant(&["127.0.0.1"]), get(url)).await.unwrap_err();
    assert_eq!((error.code(), error.retryable()), ("failed", true), "{error}");
}

#[tokio::test]
async fn a_body_goes_to_a_sink_within_its_bound() {
    let plain = vec![b'x'; 300_000];
    let url = body(&[("content-type", "text/plain")], plain.clone()).await;
    let grant = grant(&["127.0.0.1"]);
    let mut sink = Vec::new();
    let answer = fetcher().fetch_to(&grant, get(&url), &mut sink).await.unwrap();
    assert!(sink == plain);
    assert_eq!(
        (answer.bytes, answer.truncated, answer.body.len(), answer.charset.as_deref()),
        (300_000, false, 0, Some("UTF-8"))
    );
    let mut sink = Vec::new();
    let answer =
        fetcher().fetch_to(&grant, FetchRequest { max_bytes: Some(100_000), ..get(&url) }, &mut sink).await.unwrap();
    assert_eq!((sink.len(), answer.truncated), (100_000, true));

    let (mut near, far) = tokio::io::duplex(64);
    drop(far);
    let error = fetcher().fetch_to(&grant, get(&url), &mut near).await.unwrap_err();
    assert_eq!(error.code(), "failed");
}

#[tokio::test]
async fn b12_a_character_set_that_only_a_meta_names_gives_the_right_text() {
    let page = b"<!doctype html><html><head><title>x</title><meta http-equiv='Content-Type' content='text/html; charset=windows-1251'></head><body>\xcf\xf0\xe8\xe2\xe5\xf2</body>".to_vec();
    let url = body(&[("content-type", "text/html"), ("content-encoding", "gzip")], packed("gzip", &page).await).await;
    let answer = fetcher().fetch(&grant(&["127.0.0.1"]), get(url)).await.unwrap();
    assert_eq!(answer.charset.as_deref(), Some("windows-1251"));
    assert!(decode(&answer.body, answer.charset.as_deref()).contains("Привет"));
    assert!(answer.headers.iter().any(|(name, _)| name == header::CONTENT_TYPE.as_str()));
}
