//! Values: what stands behind a key.
//!
//! Every value begins with the version of its layout and how it is kept:
//!
//! - `1 0 bytes…`: the bytes themselves;
//! - `1 1 id(8) length(8)`: in pieces of [`PIECE`] bytes under `Pieces id number`.
//!
//! Pieces, because sled keeps a tree node that outgrows an eighth of a megabyte in a file of its own. A leaf has at
//! most 20 records, so records of at most 4 KiB and their keys never make one that large. A set of pieces has its own
//! id for ever: a reader that meets a value while it is replaced sees the old one, the new one or a missing piece,
//! never a mixture.
//!
//! Records are JSON: they are read by people in a rescue, and a field that a later version adds does not break this
//! one. Where bytes belong to a record (a page, a result) they follow the JSON: `length(4) json bytes…`.

use serde::{Serialize, de::DeserializeOwned};

use crate::error::{BufferError, Result};

/// Bytes of one piece of a large value. See the module's docs for why 4 KiB.
pub(crate) const PIECE: usize = 4096;

/// Largest value, in bytes: above it an artifact is the right place. A value is written in one group, in memory.
pub const MAX_VALUE: usize = 16 * 1024 * 1024;

/// Version of the layout above.
const LAYOUT: u8 = 1;

/// How a value is kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kept<'a> {
    /// In place.
    Inline(&'a [u8]),
    /// In pieces.
    Pieces { id: u64, len: usize },
}

pub(crate) fn inline(bytes: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(2 + bytes.len());
    value.extend_from_slice(&[LAYOUT, 0]);
    value.extend_from_slice(bytes);
    value
}

pub(crate) fn pieces(id: u64, len: usize) -> Vec<u8> {
    let mut value = Vec::with_capacity(18);
    value.extend_from_slice(&[LAYOUT, 1]);
    value.extend_from_slice(&id.to_be_bytes());
    value.extend_from_slice(&(len as u64).to_be_bytes());
    value
}

pub(crate) fn parse(value: &[u8]) -> Result<Kept<'_>> {
    match value {
        [LAYOUT, 0, bytes @ ..] => Ok(Kept::Inline(bytes)),
        [LAYOUT, 1, rest @ ..] if rest.len() == 16 => {
            let number = |at: usize| rest[at..at + 8].iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
            let len = usize::try_from(number(8)).ok().filter(|len| *len <= MAX_VALUE);
            Ok(Kept::Pieces { id: number(0), len: len.ok_or_else(|| corrupt("value", "its length is out of bounds"))? })
        }
        _ => Err(corrupt("value", "its layout is unknown")),
    }
}

/// The length of the value, without reading pieces.
pub(crate) fn len(value: &[u8]) -> Result<usize> {
    Ok(match parse(value)? {
        Kept::Inline(bytes) => bytes.len(),
        Kept::Pieces { len, .. } => len,
    })
}

pub(crate) fn corrupt(what: &'static str, reason: impl std::fmt::Display) -> BufferError {
    BufferError::Corrupt { what, reason: reason.to_string().into() }
}

/// A record as JSON. `what` names it in errors.
pub(crate) fn to_json<T: Serialize>(what: &'static str, record: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(record).map_err(|error| corrupt(what, error))
}

pub(crate) fn from_json<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| corrupt(what, error))
}

/// A record as JSON with bytes after it.
pub(crate) fn pack<T: Serialize>(what: &'static str, record: &T, body: &[u8]) -> Result<Vec<u8>> {
    let json = to_json(what, record)?;
    let len = u32::try_from(json.len()).map_err(|error| corrupt(what, error))?;
    let mut packed = Vec::with_capacity(4 + json.len() + body.len());
    packed.extend_from_slice(&len.to_be_bytes());
    packed.extend_from_slice(&json);
    packed.extend_from_slice(body);
    Ok(packed)
}

/// The record and the bytes after it.
pub(crate) fn unpack<T: DeserializeOwned>(what: &'static str, packed: &[u8]) -> Result<(T, Vec<u8>)> {
    let split = || {
        let (len, rest) = packed.split_first_chunk::<4>()?;
        rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)
    };
    let (json, body) = split().ok_or_else(|| corrupt(what, "it is shorter than it says"))?;
    Ok((from_json(what, json)?, body.to_vec()))
}

/// Compresses when it is worth it: from `from` bytes on. The second value says whether it did.
pub(crate) fn compress(bytes: Vec<u8>, from: usize) -> Result<(Vec<u8>, bool)> {
    // Level 1: about 400 MB/s a core, and JSON or HTML shrinks by five already.
    const LEVEL: i32 = 1;
    if bytes.len() < from {
        return Ok((bytes, false));
    }
    let small = zstd::bulk::compress(&bytes, LEVEL).map_err(|error| corrupt("compressed value", error))?;
    Ok(if small.len() < bytes.len() { (small, true) } else { (bytes, false) })
}

/// The opposite; `len` is the recorded length, which also bounds what is unpacked.
pub(crate) fn decompress(what: &'static str, bytes: Vec<u8>, compressed: bool, len: usize) -> Result<Vec<u8>> {
    if !compressed {
        return Ok(bytes);
    }
    if len > MAX_BODY {
        return Err(corrupt(what, "its length is out of bounds"));
    }
    let plain = zstd::bulk::decompress(&bytes, len).map_err(|error| corrupt(what, error))?;
    if plain.len() == len { Ok(plain) } else { Err(corrupt(what, "it is shorter than it says")) }
}

/// Largest body before compression, in bytes.
pub(crate) const MAX_BODY: usize = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn values_come_back_and_garbage_is_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), id in any::<u64>(), len in 0..=MAX_VALUE) {
            let (in_place, in_pieces) = (inline(&bytes), pieces(id, len));
            prop_assert_eq!(parse(&in_place).unwrap(), Kept::Inline(&bytes[..]));
            prop_assert_eq!(parse(&in_pieces).unwrap(), Kept::Pieces { id, len });
            let _ = parse(&bytes);
            let _ = unpack::<serde_json::Value>("test", &bytes);
            let (packed, body) = unpack::<u64>("test", &pack("test", &id, &bytes).unwrap()).unwrap();
            prop_assert_eq!((packed, body), (id, bytes));
        }

        #[test]
        fn compression_gives_back_what_went_in(text in "[a-d]{0,2000}") {
            let (small, compressed) = compress(text.clone().into_bytes(), 100).unwrap();
            prop_assert_eq!(decompress("test", small, compressed, text.len()).unwrap(), text.into_bytes());
        }
    }
}
