//! The page cache: documents by address, until they expire or others need the room.

use buddy_router::UnixMs;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    Buffer,
    error::{BufferError, Result},
    key::{self, Space},
    read::Read,
    tx::Tx,
    value,
};

/// Bodies from this many bytes on are compressed; HTML shrinks by five.
const COMPRESS_FROM: usize = 2 * 1024;

/// A document as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedPage {
    /// The address that was asked for: what it is found by.
    pub url: String,
    /// The address that answered.
    pub final_url: String,
    /// The HTTP status.
    pub status: u16,
    /// The headers of the answer.
    pub headers: Vec<(String, String)>,
    /// The body, decompressed.
    pub body: Vec<u8>,
    /// When it came.
    pub cached_at: UnixMs,
    /// When it goes.
    pub expires_at: UnixMs,
}

#[derive(Serialize, Deserialize)]
struct Head {
    url: String,
    final_url: String,
    status: u16,
    headers: Vec<(String, String)>,
    cached_at: UnixMs,
    expires_at: UnixMs,
    len: usize,
    compressed: bool,
}

const WHAT: &str = "cached page";

/// Addresses have no bound, keys do.
fn key_of(url: &str) -> Vec<u8> {
    key::of(Space::Pages, &[&Sha256::digest(url.as_bytes())])
}

fn read(from: &dyn Read, url: &str, now: UnixMs) -> Result<Option<CachedPage>> {
    let Some(bytes) = from.value(&key_of(url))? else { return Ok(None) };
    let (head, body) = value::unpack::<Head>(WHAT, &bytes)?;
    if head.url != url || head.expires_at <= now {
        return Ok(None);
    }
    let body = value::decompress(WHAT, body, head.compressed, head.len)?;
    let Head { url, final_url, status, headers, cached_at, expires_at, .. } = head;
    Ok(Some(CachedPage { url, final_url, status, headers, body, cached_at, expires_at }))
}

/// When the page under this key expires.
pub(crate) fn expires_at(from: &dyn Read, key: &[u8]) -> Result<Option<UnixMs>> {
    let Some(bytes) = from.value(key)? else { return Ok(None) };
    Ok(Some(value::unpack::<Head>(WHAT, &bytes)?.0.expires_at))
}

impl Tx<'_> {
    /// Keeps a page in the place of an older one of the same address. Refused when the disk is nearly full.
    pub fn put_page(&mut self, page: CachedPage) -> Result<()> {
        self.require_space()?;
        let len = page.body.len();
        let max = value::MAX_BODY;
        if len > max {
            return Err(BufferError::TooLarge { what: WHAT, len, max });
        }
        let key = key_of(&page.url);
        let (body, compressed) = value::compress(page.body, COMPRESS_FROM)?;
        let head = Head {
            url: page.url,
            final_url: page.final_url,
            status: page.status,
            headers: page.headers,
            cached_at: page.cached_at,
            expires_at: page.expires_at,
            len,
            compressed,
        };
        let packed = value::pack(WHAT, &head, &body)?;
        self.drop_page(&key)?;
        self.make_room_for_page((key.len() + packed.len()) as u64)?;
        self.mark(key::expiry(&key, head.expires_at))?;
        self.put(WHAT, key, &packed)
    }

    fn make_room_for_page(&mut self, wanted: u64) -> Result<()> {
        let bound = self.limits.page_cache_bytes;
        if wanted > bound {
            let len = usize::try_from(wanted).unwrap_or(usize::MAX);
            return Err(BufferError::TooLarge { what: WHAT, len, max: usize::try_from(bound).unwrap_or(usize::MAX) });
        }
        while !self.shrink_pages(bound - wanted)? {}
        Ok(())
    }

    /// Removes some of the pages that expire first, until they take at most `bytes`. `true`: they do, or none is left.
    pub fn shrink_pages(&mut self, bytes: u64) -> Result<bool> {
        // Enough for one page among many small ones, without holding more keys than that.
        const AT_A_TIME: usize = 64;
        if self.counters().bytes(Space::Pages) <= bytes {
            return Ok(true);
        }
        let prefix = key::of(Space::Expiry, &[&[Space::Pages as u8]]);
        let first = self.keys(&prefix, key::after_prefix(&prefix).as_deref(), AT_A_TIME)?;
        if first.is_empty() {
            return Ok(true);
        }
        for expiry in first {
            if self.counters().bytes(Space::Pages) <= bytes {
                break;
            }
            if let Some((_, page)) = key::parse_expiry(&expiry) {
                self.drop_page(page)?;
            }
            self.remove(&expiry)?;
        }
        Ok(self.counters().bytes(Space::Pages) <= bytes)
    }

    /// Removes a page and its expiry.
    pub(crate) fn drop_page(&mut self, key: &[u8]) -> Result<bool> {
        let Some(at) = expires_at(self, key)? else { return Ok(false) };
        self.remove(&key::expiry(key, at))?;
        self.remove(key)
    }

    /// Forgets the page of an address. `false`: there was none.
    pub fn remove_page(&mut self, url: &str) -> Result<bool> {
        self.drop_page(&key_of(url))
    }
}

impl Buffer {
    /// The page of an address, if it is there and has not expired.
    pub fn page(&self, url: &str) -> Result<Option<CachedPage>> {
        read(self.store(), url, self.now())
    }

    /// See [`Tx::put_page`].
    pub async fn put_page(&self, page: CachedPage) -> Result<()> {
        self.transact(move |tx| tx.put_page(page)).await
    }

    /// Makes the page cache smaller than its own bound would, because others need its room: the pages that expire first
    /// go until the rest takes at most `bytes`, a little at a time, so that other writers get their turn. The bytes that
    /// it takes then.
    pub async fn shrink_pages(&self, bytes: u64) -> Result<u64> {
        while !self.transact::<_, BufferError, _>(move |tx| tx.shrink_pages(bytes)).await? {}
        Ok(self.store().counters().bytes(Space::Pages))
    }

    /// See [`Tx::remove_page`].
    pub async fn remove_page(&self, url: &str) -> Result<bool> {
        let url = url.to_owned();
        self.transact(move |tx| tx.remove_page(&url)).await
    }
}
