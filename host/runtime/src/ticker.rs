//! The clock behind CPU budgets and time slices.
//!
//! An OS thread raises the engine's epoch every [`TICK`]. Compiled plugin code compares the epoch at loop heads and
//! function entries, and calls back into the host when it has moved; that is how a plugin that computes for ever gives
//! its thread back. It must be a thread: a tokio task would starve exactly when every worker runs such a plugin.
//!
//! With nothing running the thread parks, so an idle host is not woken a hundred times a second. It holds the engine
//! weakly and ends when the [`Ticker`] is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use wasmtime::{Engine, EngineWeak};

/// How often the epoch moves. Short against the 100 ms within which an endless loop must be stopped and against what a
/// neighbour on the same thread notices; long against what a yield to the scheduler costs.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Ticks without a running plugin before the thread parks: one second, so that a stream of short tasks never wakes it.
const IDLE_TICKS: u32 = 100;

#[derive(Debug)]
struct Shared {
    running: AtomicUsize,
    parked: AtomicBool,
    stop: AtomicBool,
}

/// Owner of the ticking thread.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Keeps the epoch moving while it lives.
#[derive(Debug)]
pub(crate) struct Running<'t>(&'t Ticker);

impl Ticker {
    /// Starts the thread, parked.
    ///
    /// # Errors
    /// The operating system refuses another thread.
    pub(crate) fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            running: AtomicUsize::new(0),
            parked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let (theirs, weak) = (Arc::clone(&shared), engine.weak());
        let thread = thread::Builder::new().name("buddy-epoch".into()).spawn(move || tick(&theirs, &weak))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Says that a plugin is about to run.
    pub(crate) fn running(&self) -> Running<'_> {
        // Sequentially consistent on both sides: either this thread sees `parked` and wakes the ticker, or the ticker,
        // which sets `parked` before it looks at `running`, sees the count and does not park.
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        if self.shared.parked.load(Ordering::SeqCst) {
            self.wake();
        }
        Running(self)
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.shared.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.wake();
        if let Some(thread) = self.thread.take() {
            // It sleeps for at most one tick and panics nowhere; a failed join leaves nothing to clean up.
            thread.join().ok();
        }
    }
}

fn tick(shared: &Shared, engine: &EngineWeak) {
    let mut idle = 0;
    while !shared.stop.load(Ordering::SeqCst) {
        if shared.running.load(Ordering::SeqCst) == 0 {
            idle += 1;
        } else {
            idle = 0;
        }
        if idle > IDLE_TICKS {
            shared.parked.store(true, Ordering::SeqCst);
            if shared.running.load(Ordering::SeqCst) == 0 && !shared.stop.load(Ordering::SeqCst) {
                thread::park(); // may wake for nothing: the loop looks again
            }
            shared.parked.store(false, Ordering::SeqCst);
            idle = 0;
        }
        thread::sleep(TICK);
        match engine.upgrade() {
            Some(engine) => engine.increment_epoch(),
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Instant;
    use wasmtime::{Config, Module, Store};

    /// A module that spins until the epoch traps it.
    fn spin_until_interrupted(engine: &Engine) {
        let bytes = wat::parse_str("(module (func (export \"spin\") (loop (br 0))))").unwrap();
        let module = Module::new(engine, bytes).unwrap();
        let mut store = Store::new(engine, ());
        store.set_epoch_deadline(1);
        let instance = wasmtime::Instance::new(&mut store, &module, &[]).unwrap();
        let spin = instance.get_typed_func::<(), ()>(&mut store, "spin").unwrap();
        let error = spin.call(&mut store, ()).unwrap_err();
        assert_eq!(error.downcast_ref::<wasmtime::Trap>(), Some(&wasmtime::Trap::Interrupt));
    }

    #[test]
    fn the_epoch_moves_while_something_runs_and_after_a_rest() {
        let mut config = Config::new();
        config.epoch_interruption(true);
        let engine = Engine::new(&config).unwrap();
        let ticker = Ticker::start(&engine).unwrap();
        {
            let _running = ticker.running();
            spin_until_interrupted(&engine);
        }
        let patience = Instant::now() + Duration::from_mins(1);
        while !ticker.shared.parked.load(Ordering::SeqCst) {
            assert!(Instant::now() < patience, "the ticker never rests");
            thread::yield_now();
        }
        let _running = ticker.running();
        spin_until_interrupted(&engine);
    }

    #[test]
    fn dropping_the_ticker_ends_its_thread_even_when_it_rests() {
        let engine = Engine::default();
        let ticker = Ticker::start(&engine).unwrap();
        let shared = Arc::clone(&ticker.shared);
        drop(ticker); // would hang here
        assert_eq!(Arc::strong_count(&shared), 1);
    }
}
