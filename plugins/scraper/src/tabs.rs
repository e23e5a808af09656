//! The open tabs of a context, used for one page after the other.
//!
//! Opening a tab costs the browser about 100 ms, more than most pages. So a tab that is done with its page is kept for the
//! next one, within these rules:
//!
//! - **A kept tab holds a place in the host's pool**, which others may be waiting for. So no more are kept than there are
//!   pages about to need one; a page that rests (the host's delay, a retry) does not. And a tab that has lived for
//!   [`LONGEST_LIFE`] is closed whatever comes next: the place goes to whoever has waited longest.
//! - **One at a time opens a tab**; the others wait for it or for a tab that comes free, whichever is first. If the pool
//!   has no place, the run goes on with the tabs that it has. What the last pages leave over is closed, so the one that
//!   waits for a place cannot be waiting for the run's own idle tab.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures::channel::oneshot;

/// Pages for which a tab is used: as many as a browser's history holds of one tab.
pub(crate) const MOST_VISITS: u32 = 50;

/// How long a tab is used: so long may another run have to wait for its place. Opening another one costs a hundredth of
/// this.
pub(crate) const LONGEST_LIFE: Duration = Duration::from_secs(10);

/// A tab in use.
#[derive(Debug)]
pub(crate) struct Tab<T> {
    pub(crate) page: T,
    opened: Instant,
    visits: u32,
}

/// What a page gets that asks for a tab.
#[derive(Debug)]
pub(crate) enum Turn<T> {
    /// This one.
    Tab(Tab<T>),
    /// It is to open one, and to say so by [`Tabs::opened`].
    Open,
}

#[derive(Debug)]
struct State<T> {
    free: Vec<Tab<T>>,
    waiting: VecDeque<oneshot::Sender<Turn<T>>>,
    /// One page has been told to open a tab. As long as any waits, one has.
    opening: bool,
    in_use: usize,
    gone: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Tabs<T>(RefCell<State<T>>);

impl<T> Default for Tabs<T> {
    fn default() -> Self {
        Self(RefCell::new(State { free: Vec::new(), waiting: VecDeque::new(), opening: false, in_use: 0, gone: false }))
    }
}

impl<T> Tabs<T> {
    /// Waits for a tab, or for leave to open one. `None` when the context is gone.
    pub(crate) async fn turn(&self) -> Option<Turn<T>> {
        let wait = {
            let mut state = self.0.borrow_mut();
            if state.gone {
                return None;
            }
            if let Some(tab) = state.free.pop() {
                state.in_use += 1;
                return Some(Turn::Tab(tab));
            }
            if !state.opening {
                state.opening = true;
                return Some(Turn::Open);
            }
            let (turn, wait) = oneshot::channel();
            state.waiting.push_back(turn);
            wait
        };
        wait.await.ok()
    }

    /// What came of [`Turn::Open`]; the next page that waits may open one.
    pub(crate) fn opened<E>(&self, page: Result<T, E>, now: Instant) -> Result<Tab<T>, E> {
        let mut state = self.0.borrow_mut();
        if page.is_ok() {
            state.in_use += 1;
        }
        state.opening = false;
        while let Some(next) = state.waiting.pop_front() {
            if next.send(Turn::Open).is_ok() {
                state.opening = true;
                break;
            }
        }
        page.map(|page| Tab { page, opened: now, visits: 0 })
    }

    /// Whether this tab, done with one more page, should be made ready for another: it is not worn out, and there is a
    /// page that waits, or will before `wanted` tabs are in use, free or being opened.
    pub(crate) fn keeps(&self, tab: &mut Tab<T>, wanted: usize, now: Instant) -> bool {
        let state = self.0.borrow();
        tab.visits += 1;
        !state.gone
            && tab.visits < MOST_VISITS
            && now.duration_since(tab.opened) < LONGEST_LIFE
            && (!state.waiting.is_empty() || state.count() <= wanted)
    }

    /// Hands a tab that is ready for another page to the one that has waited longest, or keeps it.
    pub(crate) fn give_back(&self, mut tab: Tab<T>, wanted: usize) {
        let mut state = self.0.borrow_mut();
        while let Some(next) = state.waiting.pop_front() {
            // One that does not wait any more gives it back.
            let Err(Turn::Tab(back)) = next.send(Turn::Tab(tab)) else { return };
            tab = back;
        }
        // Without room for it, it is dropped here, which closes it.
        if !state.gone && state.count() <= wanted {
            state.free.push(tab);
        }
        state.in_use -= 1;
    }

    /// A tab is not used any more; whoever has it closes it.
    pub(crate) fn discarded(&self) {
        self.0.borrow_mut().in_use -= 1;
    }

    /// Closes what is more than `wanted`.
    pub(crate) fn trim(&self, wanted: usize) {
        let mut state = self.0.borrow_mut();
        while state.count() > wanted && state.free.pop().is_some() {}
    }

    /// The context is gone, or serves no more pages: no tab of it is kept. Who waits for one finds out.
    pub(crate) fn forget(&self) {
        let mut state = self.0.borrow_mut();
        state.gone = true;
        state.free.clear();
        state.waiting.clear();
    }
}

impl<T> State<T> {
    /// Tabs that are there, and the one to come.
    fn count(&self) -> usize {
        self.free.len() + self.in_use + usize::from(self.opening)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use futures::FutureExt;
    use std::cell::Cell;
    use std::convert::Infallible;
    use std::rc::Rc;

    /// Counts how many of it are open.
    struct Fake(Rc<Cell<usize>>);

    impl Drop for Fake {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }

    #[derive(Default)]
    struct Bench {
        tabs: Tabs<Fake>,
        open: Rc<Cell<usize>>,
    }

    impl Bench {
        /// A tab now, opened if need be.
        fn tab(&self) -> Tab<Fake> {
            match self.tabs.turn().now_or_never() {
                Some(Some(Turn::Tab(tab))) => tab,
                Some(Some(Turn::Open)) => self.opens(),
                other => panic!("no turn: {}", other.is_some()),
            }
        }

        fn opens(&self) -> Tab<Fake> {
            self.open.set(self.open.get() + 1);
            let opened: Result<_, Infallible> = Ok(Fake(Rc::clone(&self.open)));
            self.tabs.opened(opened, Instant::now()).unwrap()
        }
    }

    #[test]
    fn a_tab_serves_page_after_page_until_it_is_worn_out() {
        let bench = Bench::default();
        let mut tab = bench.tab();
        for visit in 1..MOST_VISITS {
            assert!(bench.tabs.keeps(&mut tab, 1, Instant::now()), "after {visit} visits");
            bench.tabs.give_back(tab, 1);
            tab = bench.tab();
        }
        assert!(!bench.tabs.keeps(&mut tab, 1, Instant::now()));
        assert_eq!(bench.open.get(), 1, "one tab served all");

        let mut young = bench.opens();
        assert!(!bench.tabs.keeps(&mut young, 2, Instant::now() + LONGEST_LIFE), "its place is another's turn");
    }

    #[test]
    fn no_tab_is_kept_that_no_page_is_about_to_need() {
        let bench = Bench::default();
        let (one, two) = (bench.tab(), bench.tab());
        bench.tabs.give_back(one, 2);
        assert_eq!(bench.open.get(), 2);
        bench.tabs.trim(1);
        assert_eq!(bench.open.get(), 1, "the free one was closed, the other is in use");
        bench.tabs.give_back(two, 0);
        assert_eq!(bench.open.get(), 0);
    }

    #[test]
    fn while_one_waits_for_a_place_the_others_go_on_with_the_tabs_there_are() {
        let bench = Bench::default();
        let tab = bench.tab();
        assert!(matches!(bench.tabs.turn().now_or_never(), Some(Some(Turn::Open))), "it waits for a place");
        let mut next = Box::pin(bench.tabs.turn());
        assert!((&mut next).now_or_never().is_none());
        bench.tabs.give_back(tab, 3);
        let Some(Some(Turn::Tab(tab))) = next.now_or_never() else { panic!("it was handed the free tab") };
        // Of the run only the page that waits for a place is left: this tab may hold the very place.
        bench.tabs.give_back(tab, 1);
        assert_eq!(bench.open.get(), 0);
    }

    #[test]
    fn whoever_waits_may_open_a_tab_after_the_one_before_also_when_that_failed() {
        let bench = Bench::default();
        assert!(matches!(bench.tabs.turn().now_or_never(), Some(Some(Turn::Open))));
        let (first, mut second) = (bench.tabs.turn(), Box::pin(bench.tabs.turn()));
        let mut first = Box::pin(first);
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        assert!(bench.tabs.opened::<&str>(Err("busy"), Instant::now()).is_err());
        assert!(matches!(first.now_or_never(), Some(Some(Turn::Open))));
        assert!((&mut second).now_or_never().is_none(), "one at a time");
        bench.tabs.forget();
        assert!(matches!(second.now_or_never(), Some(None)), "the context is gone");
        assert!(matches!(bench.tabs.turn().now_or_never(), Some(None)));
    }
}
