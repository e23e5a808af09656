//! A stream that fails when nothing moves over it.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Wraps the browser's end of a connection. Reading and writing both count as movement, so a long download keeps it
/// alive though nothing is read. Once nothing has moved for the limit, reading and writing fail with `TimedOut`.
///
/// It wakes one task only: reading and writing must be polled from the same one, as hyper and `copy_bidirectional`
/// do.
#[derive(Debug)]
pub(super) struct IdleStream<S> {
    inner: S,
    limit: Duration,
    moved: Instant,
    alarm: Pin<Box<Sleep>>,
}

impl<S> IdleStream<S> {
    pub(super) fn new(inner: S, limit: Duration) -> Self {
        Self { inner, limit, moved: Instant::now(), alarm: Box::pin(sleep(limit)) }
    }

    /// Ready when the limit is over. The alarm is only set anew when it rings, not at every movement.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            ready!(self.alarm.as_mut().poll(cx));
            let due = self.moved + self.limit;
            if due <= Instant::now() {
                return Poll::Ready(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "nothing moved over the connection for too long",
                ));
            }
            self.alarm.as_mut().reset(due);
        }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_pending() {
            return self.poll_idle(cx).map(Err);
        }
        self.moved = Instant::now();
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for IdleStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.watch(cx, result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for IdleStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.watch(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.watch(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    // Flushing a TCP stream is no movement: hyper does it on every turn, also when there is nothing to flush.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stream_over_which_nothing_moves_fails_and_movement_in_one_direction_keeps_it() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut stream = IdleStream::new(near, Duration::from_secs(10));
        let start = Instant::now();
        let mut byte = [0u8; 1];
        for _ in 0..4 {
            tokio::select! {
                _ = stream.read(&mut byte) => panic!("nothing was sent"),
                () = sleep(Duration::from_secs(7)) => {}
            }
            stream.write_all(b"x").await.unwrap();
            far.read_exact(&mut byte).await.unwrap();
        }
        let error = stream.read(&mut byte).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 4 * 7 + 10);
    }
}
