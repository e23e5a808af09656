//! Reading a body: decompressed, counted after decompression, bounded.
//!
//! The bound is on what comes *out* of the decoders, a piece at a time, so a bomb is left as soon as it has yielded
//! the bound; nothing of it is ever held but one buffer. Decoders keep a window of what they wrote: at most 16 MiB
//! for brotli, 8 MiB for zstd (RFC 9659), 32 KiB for the others.

use std::io;

use async_compression::tokio::bufread::{BrotliDecoder, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use futures::TryStreamExt as _;
use http::HeaderMap;
use http::header;
use http_body_util::BodyDataStream;
use hyper::body::Incoming;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio_util::io::StreamReader;

use crate::error::{EgressError, root_cause};
use crate::policy::Target;

/// How much of a body is looked at to find its character set: the standard wants 1024 bytes, the guess between
/// UTF-8 and windows-1252 is better with more.
pub(super) const START: usize = 64 * 1024;

/// More layers than any honest server uses; each multiplies what a bomb can do to the time spent.
const MAX_LAYERS: usize = 2;

/// Window of zstd as a power of two: what RFC 9659 requires a decoder to accept, and no more.
const ZSTD_WINDOW_LOG: u32 = 23;

/// One layer of `Content-Encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Brotli,
    Deflate,
    Zstd,
}

/// What is to be undone, outermost last as the header has it; `None` when one of them is unknown: then the body is
/// handed over as it came, with its header.
pub(super) fn codings(headers: &HeaderMap, target: &Target) -> Result<Option<Vec<Coding>>, EgressError> {
    let mut out = Vec::new();
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let Ok(value) = value.to_str() else {
            return Ok(None);
        };
        for name in value.split(',').map(|n| n.trim().to_ascii_lowercase()) {
            out.push(match name.as_str() {
                "" | "identity" => continue,
                "gzip" | "x-gzip" => Coding::Gzip,
                "br" => Coding::Brotli,
                "deflate" => Coding::Deflate,
                "zstd" => Coding::Zstd,
                _ => return Ok(None),
            });
        }
    }
    if out.len() > MAX_LAYERS {
        return Err(EgressError::Failed {
            target: target.to_string(),
            problem: format!("the body is compressed {} times over, at most {MAX_LAYERS} are undone", out.len()),
            retryable: false,
        });
    }
    Ok(Some(out))
}

type Reader = Box<dyn AsyncBufRead + Send + Unpin>;

/// The body with `codings` undone.
pub(super) async fn reader(incoming: Incoming, codings: &[Coding]) -> io::Result<Reader> {
    let mut reader: Reader = Box::new(StreamReader::new(BodyDataStream::new(incoming).map_err(io::Error::other)));
    for coding in codings.iter().rev() {
        // An empty body is no valid stream of any coding, and yet what many servers send with a 204 or an error.
        let start = reader.fill_buf().await?;
        if start.is_empty() {
            break;
        }
        let zlib = is_zlib(start);
        reader = match coding {
            Coding::Gzip => {
                let mut decoder = GzipDecoder::new(reader);
                decoder.multiple_members(true);
                buffered(decoder)
            }
            Coding::Brotli => buffered(BrotliDecoder::new(reader)),
            Coding::Zstd => {
                let mut decoder = ZstdDecoder::with_params(reader, &[DParameter::window_log_max(ZSTD_WINDOW_LOG)]);
                decoder.multiple_members(true);
                buffered(decoder)
            }
            // The name means zlib, and some servers send the bare stream all the same.
            Coding::Deflate if zlib => buffered(ZlibDecoder::new(reader)),
            Coding::Deflate => buffered(DeflateDecoder::new(reader)),
        };
    }
    Ok(reader)
}

fn buffered(reader: impl AsyncRead + Send + Unpin + 'static) -> Reader {
    Box::new(BufReader::with_capacity(16 * 1024, reader))
}

/// RFC 1950: method 8 with a window of at most 32 KiB, and the two bytes a multiple of 31.
fn is_zlib(start: &[u8]) -> bool {
    match start {
        [a, b, ..] => a & 0x0f == 8 && a >> 4 <= 7 && (u16::from(*a) << 8 | u16::from(*b)).is_multiple_of(31),
        [a] => *a == 0x78,
        [] => false,
    }
}

/// What was read.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) bytes: u64,
    pub(super) truncated: bool,
    /// The first [`START`] bytes.
    pub(super) start: Vec<u8>,
}

/// Why reading ended early.
pub(super) enum PumpError {
    Read(io::Error),
    Write(io::Error),
}

/// Copies at most `most` bytes to `sink` and says whether there were more. The sink is flushed.
pub(super) async fn pump(
    reader: &mut (dyn AsyncBufRead + Send + Unpin),
    sink: &mut (dyn AsyncWrite + Send + Unpin),
    most: u64,
) -> Result<Taken, PumpError> {
    let mut taken = Taken { bytes: 0, truncated: false, start: Vec::new() };
    loop {
        let piece = reader.fill_buf().await.map_err(PumpError::Read)?;
        if piece.is_empty() {
            break;
        }
        let room = usize::try_from(most - taken.bytes).unwrap_or(usize::MAX);
        let keep = piece.get(..room).unwrap_or(piece);
        let want = START.saturating_sub(taken.start.len());
        taken.start.extend_from_slice(keep.get(..want).unwrap_or(keep));
        sink.write_all(keep).await.map_err(PumpError::Write)?;
        taken.bytes += keep.len() as u64;
        if keep.len() < piece.len() {
            taken.truncated = true;
            break;
        }
        let used = piece.len();
        reader.consume(used);
    }
    sink.flush().await.map_err(PumpError::Write)?;
    Ok(taken)
}

/// Reads a small body to its end, so that its connection can serve again; says whether the end came.
pub(super) async fn drain(incoming: Incoming) -> bool {
    /// Larger than the page that comes with a redirect, smaller than what a new connection costs.
    const MOST: u64 = 16 * 1024;
    let reader = StreamReader::new(BodyDataStream::new(incoming).map_err(io::Error::other));
    let mut rest = reader.take(MOST);
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await.is_ok_and(|n| n < MOST)
}

/// The error for a body that could not be read or written.
pub(super) fn failure(error: &PumpError, target: &Target) -> EgressError {
    let target = target.to_string();
    match error {
        PumpError::Write(error) => EgressError::Failed {
            target,
            problem: format!("the body could not be kept, {}", root_cause(error)),
            retryable: false,
        },
        PumpError::Read(error)
            if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<hyper::Error>) =>
        {
            EgressError::Connect {
                target,
                problem: format!("the connection broke while the body was on its way, {}", root_cause(error)),
            }
        }
        PumpError::Read(error) => {
            let cut = error.kind() == io::ErrorKind::UnexpectedEof;
            EgressError::Failed {
                target,
                problem: format!("the compressed body cannot be read, {}", root_cause(error)),
                retryable: cut,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn read(values: &[&str]) -> Result<Option<Vec<Coding>>, EgressError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_ENCODING, value.parse().unwrap());
        }
        codings(&headers, &Target::new("h", 1).unwrap())
    }

    #[test]
    fn the_codings_of_a_body_are_read_in_their_order() {
        assert_eq!(read(&[]).unwrap(), Some(vec![]));
        assert_eq!(read(&["identity"]).unwrap(), Some(vec![]));
        assert_eq!(read(&["GZIP"]).unwrap(), Some(vec![Coding::Gzip]));
        assert_eq!(read(&["deflate, br"]).unwrap(), Some(vec![Coding::Deflate, Coding::Brotli]));
        assert_eq!(read(&["zstd", "x-gzip"]).unwrap(), Some(vec![Coding::Zstd, Coding::Gzip]));
        assert_eq!(read(&["gzip, compress"]).unwrap(), None);
        assert_eq!(read(&["gzip, gzip, gzip"]).unwrap_err().code(), "failed");
    }

    #[tokio::test]
    async fn exactly_the_bound_is_not_truncated_and_one_more_byte_is() {
        for (len, most, bytes, truncated) in [
            (10u64, 10u64, 10, false),
            (11, 10, 10, true),
            (0, 0, 0, false),
            (1, 0, 0, true),
            (100_000, 70_000, 70_000, true),
        ] {
            let body = vec![7u8; usize::try_from(len).unwrap()];
            let mut sink = Vec::new();
            let taken = pump(&mut body.as_slice(), &mut sink, most).await.ok().unwrap();
            assert_eq!((taken.bytes, taken.truncated, sink.len() as u64), (bytes, truncated, bytes), "{len} of {most}");
            assert_eq!(taken.start.len(), sink.len().min(START));
        }
    }
}
