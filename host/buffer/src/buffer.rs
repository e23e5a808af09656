//! The handle: transactions in, acknowledgements out, and reads.

use std::{
    fmt,
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, JoinHandle, Thread},
};

use buddy_router::{SessionId, UnixMs};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Limits,
    error::{BufferError, OpenError, Result},
    open::{self, OpenReport, SetAsideFolder},
    options::{Clock, Options},
    space::FreeSpace,
    store::Store,
    tx::Tx,
    writer::{Pending, QUEUE, Request, Writer},
};

/// The durable buffer of one host. Clones share it; when the last one goes, the folder is free again.
///
/// **Writing**: every `async` method returns when its write is on the disk. A future that is dropped before may or may
/// not have written. Writes of all callers are grouped, so many callers at once are far faster than one after the
/// other. **Reading** is immediate, from memory mostly, and sees writes that are about to be durable.
#[derive(Clone)]
pub struct Buffer {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<Store>,
    requests: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
    limits: Arc<Limits>,
    clock: Clock,
    session: SessionId,
    set_aside: Option<SetAsideFolder>,
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("session", &self.inner.session).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The writer ends when nobody can send any more.
        self.requests = None;
        if let Some(writer) = self.writer.take() {
            // The last handle may be dropped inside a job, on the writer's own thread, which cannot wait for itself.
            if writer.thread().id() != thread::current().id() && writer.join().is_err() {
                tracing::error!("the writer of the buffer ended by a panic");
            }
        }
    }
}

impl Buffer {
    /// Opens or creates a buffer. Blocks for the recovery, and for `options.lock_wait` at most when another process
    /// has the folder. See [`OpenReport`] for what was found.
    pub fn open(options: &Options) -> Result<(Self, OpenReport), OpenError> {
        let (store, report) = open::open(options)?;
        let store = Arc::new(store);
        let limits = Arc::new(options.limits.clone());
        let (sender, requests) = mpsc::channel(QUEUE);
        let writer = Writer {
            store: store.clone(),
            limits: limits.clone(),
            clock: options.clock.clone(),
            session: report.session.clone(),
            requests,
        };
        let thread = thread::Builder::new()
            .name("buddy-buffer".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::Io { action: "start the writer of", path: options.folder.clone(), source })?;
        let inner = Inner {
            store,
            requests: Some(sender),
            writer: Some(thread),
            limits,
            clock: options.clock.clone(),
            session: report.session.clone(),
            set_aside: report.set_aside.clone(),
        };
        Ok((Self { inner: Arc::new(inner) }, report))
    }

    /// The session: born with the folder.
    pub fn session(&self) -> &SessionId {
        &self.inner.session
    }

    /// The folder that could not be read when this one was opened, if there was one.
    pub fn folder_set_aside(&self) -> Option<&SetAsideFolder> {
        self.inner.set_aside.as_ref()
    }

    /// What is kept at most.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// The buffer's clock.
    pub fn now(&self) -> UnixMs {
        (self.inner.clock)()
    }

    /// Free space on the disk, looked at not more often than the options say.
    pub fn free_space(&self) -> FreeSpace {
        self.inner.store.space.look()
    }

    /// Whether writes are accepted: an error once one has failed.
    pub fn check(&self) -> Result<()> {
        self.inner.store.check()
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Runs a transaction and returns when it is durable. Any writes can be combined in one: tasks, results and
    /// documents together are there or not there together. The closure runs on the writer's thread: see [`Tx`].
    pub async fn transact<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<BufferError> + Send + 'static,
    {
        let (job, outcome) = Pending::new(work);
        let request = Request::Job { job: Box::new(job), durable: true };
        let sender = self.inner.requests.as_ref().ok_or(BufferError::Closed)?;
        sender.send(request).await.map_err(|_| BufferError::Closed)?;
        outcome.await.unwrap_or_else(|_| Err(BufferError::Closed.into()))
    }

    /// [`Buffer::transact`] for threads that are not async: blocks the calling thread.
    pub fn transact_blocking<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<BufferError> + Send + 'static,
    {
        block_on(self.transact(work))
    }

    /// Hands in a transaction that nobody waits for. It is not synced by itself: a crash can lose the last second of
    /// these. `false` when the queue is full or the buffer is closed; then it was dropped.
    pub fn transact_soon<F>(&self, work: F) -> bool
    where
        F: FnOnce(&mut Tx<'_>) -> Result<()> + Send + 'static,
    {
        let logged = move |tx: &mut Tx<'_>| {
            work(tx).inspect_err(|error| tracing::debug!(%error, "a write that nobody waits for was refused"))
        };
        let (job, _) = Pending::<_, (), BufferError>::new(logged);
        let request = Request::Job { job: Box::new(job), durable: false };
        self.inner.requests.as_ref().is_some_and(|sender| sender.try_send(request).is_ok())
    }

    /// Finishes what was handed in before and takes no more writes. The folder is free when the last clone is dropped.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if let Some(sender) = self.inner.requests.as_ref()
            && sender.send(Request::Close(done)).await.is_ok()
        {
            // An error means that the writer had already ended.
            let _ = closed.await;
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread. Unlike tokio's own blocking calls it does not panic inside a runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
