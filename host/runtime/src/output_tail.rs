//! The end of what a plugin writes to standard output and error.
//!
//! A panic's message goes to standard error just before the trap, so the end is what is kept; a plugin that writes for
//! ever keeps the host's memory where it is. Writing never waits and never fails.

use bytes::Bytes;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};

/// What one write may carry. WASI's own blocking write takes 4,096 bytes at a time.
const WRITE: usize = 4096;

/// A shared, bounded tail. Clones are the same tail.
#[derive(Debug, Clone)]
pub(crate) struct OutputTail {
    kept: Arc<Mutex<VecDeque<u8>>>,
    bound: usize,
}

impl OutputTail {
    pub(crate) fn new(bound: usize) -> Self {
        Self { kept: Arc::default(), bound }
    }

    /// What was kept, as text.
    pub(crate) fn text(&self) -> String {
        let (mut kept, tail) = (self.lock(), self);
        let full = kept.len() == tail.bound;
        let text = String::from_utf8_lossy(kept.make_contiguous());
        // A full tail probably begins in the middle of a line.
        match text.split_once('\n') {
            Some((_, rest)) if full => rest.to_owned(),
            _ => text.into_owned(),
        }
    }

    fn push(&self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(self.bound)..];
        let mut kept = self.lock();
        let excess = (kept.len() + bytes.len()).saturating_sub(self.bound);
        kept.drain(..excess);
        kept.extend(bytes);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<u8>> {
        // Nothing panics while it is held; the bytes are of use either way.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IsTerminal for OutputTail {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for OutputTail {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for OutputTail {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(WRITE)
    }
}

#[async_trait::async_trait]
impl Pollable for OutputTail {
    async fn ready(&mut self) {}
}

impl AsyncWrite for OutputTail {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_keeps_the_end_within_its_bound(writes in proptest::collection::vec("[a-z]{0,9}", 0..20), bound in 1_usize..30) {
            let tail = OutputTail::new(bound);
            for write in &writes {
                tail.push(write.as_bytes());
            }
            let all = writes.concat();
            prop_assert_eq!(tail.text(), &all[all.len().saturating_sub(bound)..]);
        }
    }

    #[test]
    fn a_full_tail_begins_with_a_whole_line() {
        let tail = OutputTail::new(10);
        tail.push(b"first line\nlast\n");
        assert_eq!(tail.text(), "last\n");
    }
}
