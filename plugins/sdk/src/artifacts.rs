//! Large bodies, kept outside of results: written and read in pieces, named by an id.

use crate::ArtifactId;
use crate::bindings::buddy::plugin::artifacts as raw;
use crate::error::{ErrorCode, HostError};
use crate::host;

pub use raw::Info;

/// How much goes over in one call: large enough that the call costs nothing beside it, small enough for any plugin's
/// memory.
const PIECE: usize = 256 * 1024;

/// An artifact in the making. Dropped before [`finish`](Writer::finish), it never was.
#[derive(Debug)]
pub struct Writer(raw::Writer);

/// Begins an artifact. `name` is what a person sees, `media_type` for example `application/json`.
///
/// # Errors
/// The host's own.
pub async fn create(name: &str, media_type: &str) -> Result<Writer, HostError> {
    host!("artifacts.create", raw::create(name.to_owned(), media_type.to_owned())).map(Writer)
}

impl Writer {
    /// Appends.
    ///
    /// # Errors
    /// The host's own; `limit` when the plugin's room is used up.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), HostError> {
        for piece in bytes.chunks(PIECE) {
            host!("artifacts.write", self.0.write(piece.to_vec()))?;
        }
        Ok(())
    }

    /// Ends it: from here on it can be read, by its id.
    ///
    /// # Errors
    /// The host's own.
    pub async fn finish(self) -> Result<ArtifactId, HostError> {
        host!("artifacts.finish", self.0.finish())
    }
}

/// Keeps bytes as an artifact in one go.
///
/// # Errors
/// Like [`create`] and [`Writer::write`].
pub async fn save(name: &str, media_type: &str, bytes: &[u8]) -> Result<ArtifactId, HostError> {
    let mut writer = create(name, media_type).await?;
    writer.write(bytes).await?;
    writer.finish().await
}

/// Size, type, hash and name of an artifact.
///
/// # Errors
/// The host's own; `not-found` for an id that is not, or not this task's to read.
pub async fn stat(id: &str) -> Result<Info, HostError> {
    host!("artifacts.stat", raw::stat(id.to_owned()))
}

/// At most `len` bytes from `offset`; empty at the end.
///
/// # Errors
/// Like [`stat`].
pub async fn read(id: &str, offset: u64, len: u32) -> Result<Vec<u8>, HostError> {
    host!("artifacts.read", raw::read(id.to_owned(), offset, len))
}

/// The whole of an artifact that has at most `max_bytes`.
///
/// # Errors
/// Like [`stat`]; `limit` for a larger one.
pub async fn read_all(id: &str, max_bytes: usize) -> Result<Vec<u8>, HostError> {
    let mut all = Vec::new();
    let mut reader = Reader::new(id);
    while let Some(piece) = reader.next().await? {
        if all.len() + piece.len() > max_bytes {
            return Err(HostError::new(
                ErrorCode::Limit,
                format!("artifact `{id}` is larger than the {max_bytes} bytes that fit here"),
            ));
        }
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

/// Reads an artifact piece by piece, in order.
#[derive(Clone, Debug)]
pub struct Reader {
    id: ArtifactId,
    offset: u64,
}

impl Reader {
    /// From the start. Nothing is read yet.
    pub fn new(id: impl Into<ArtifactId>) -> Self {
        Self { id: id.into(), offset: 0 }
    }

    /// The next piece, at most 256 KiB; `None` at the end.
    ///
    /// # Errors
    /// Like [`stat`]. The same piece can be asked for again.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, HostError> {
        #[allow(clippy::cast_possible_truncation)] // 256 Ki fits in 32 bits
        let piece = read(&self.id, self.offset, PIECE as u32).await?;
        self.offset += piece.len() as u64;
        Ok((!piece.is_empty()).then_some(piece))
    }
}
