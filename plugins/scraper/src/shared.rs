//! The browser context that the pages of a run share, and how many of its tabs they can use.
//!
//! A browser process that has loaded many pages is worn out: the host gives it no more contexts and ends it with its
//! last one. So a context is used for [`MOST_PAGES`] and no more: the next page opens another, and the pages that are
//! under way in the old one are its last. What cookies and storage it had is gone with it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use buddy_plugin::browser::{self, ContextOptions, ResourceKind};
use buddy_plugin::{HostError, log};
use futures::lock::Mutex;

use crate::input::{Input, Resource};
use crate::tabs::Tabs;

/// Pages of one context: as many as the host lets a browser process load.
const MOST_PAGES: u32 = 500;

/// How many tabs the pages of a run can use now.
#[derive(Debug)]
pub(crate) struct Demand {
    at_once: usize,
    /// Pages of the wave, those under way included.
    unfinished: Cell<usize>,
    /// Pages under way that wait for something other than a tab.
    resting: Cell<usize>,
}

impl Demand {
    pub(crate) fn new(at_once: usize) -> Self {
        Self { at_once, unfinished: Cell::new(0), resting: Cell::new(0) }
    }

    /// A wave of so many pages begins.
    pub(crate) fn begin(&self, pages: usize) {
        self.unfinished.set(pages);
    }

    /// One of them is finished.
    pub(crate) fn finished(&self) {
        self.unfinished.set(self.unfinished.get().saturating_sub(1));
    }

    pub(crate) fn tabs(&self) -> usize {
        self.at_once.min(self.unfinished.get()).saturating_sub(self.resting.get())
    }

    pub(crate) fn rest(&self) -> Resting<'_> {
        self.resting.set(self.resting.get() + 1);
        Resting(&self.resting)
    }
}

/// Counts one page as resting while it exists.
#[derive(Debug)]
pub(crate) struct Resting<'a>(&'a Cell<usize>);

impl Drop for Resting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The context that all pages share, opened by the first that needs it.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    opening: Mutex<()>,
    open: RefCell<Option<Rc<Open>>>,
}

/// An open context with its tabs. Fields are dropped in order: the tabs before their context.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) tabs: Tabs<browser::Page>,
    pub(crate) context: browser::Context,
    pages: Cell<u32>,
}

impl Shared {
    /// The context for one page more.
    pub(crate) async fn get(&self, input: &Input) -> Result<Rc<Open>, HostError> {
        // One opens, the others wait for it.
        let _opening = self.opening.lock().await;
        let present = self.open.borrow().clone();
        if let Some(open) = present {
            if open.pages.get() < MOST_PAGES {
                open.pages.set(open.pages.get() + 1);
                return Ok(open);
            }
            // Its pages under way still hold it; with the last of them it is closed.
            self.forget(&open);
        }
        let context = browser::open(context_options(input)).await?;
        let open = Rc::new(Open { tabs: Tabs::default(), context, pages: Cell::new(1) });
        *self.open.borrow_mut() = Some(Rc::clone(&open));
        Ok(open)
    }

    /// Closes the free tabs above so many.
    pub(crate) fn trim(&self, wanted: usize) {
        if let Some(open) = &*self.open.borrow() {
            open.tabs.trim(wanted);
        }
    }

    /// Gives no more pages to this context, and closes the tabs that are free in it; it is dead or worn out.
    pub(crate) fn forget(&self, old: &Open) {
        old.tabs.forget();
        self.open.borrow_mut().take_if(|open| std::ptr::eq(open.as_ref(), old));
    }

    pub(crate) async fn close(&self) {
        let open = self.open.borrow_mut().take().and_then(Rc::into_inner);
        if let Some(Open { tabs, context, .. }) = open {
            drop(tabs);
            if let Err(error) = context.close().await {
                log::debug(format!("the browser context did not close: {error}"));
            }
        }
    }
}

/// The browser context that the input asks for.
pub(crate) fn context_options(input: &Input) -> ContextOptions {
    let kind = |resource: &Resource| match resource {
        Resource::Image => ResourceKind::Image,
        Resource::Media => ResourceKind::Media,
        Resource::Font => ResourceKind::Font,
        Resource::Stylesheet => ResourceKind::Stylesheet,
        Resource::Script => ResourceKind::Script,
        Resource::Other => ResourceKind::Other,
    };
    let options = ContextOptions::new().javascript(input.javascript).block(input.block.iter().map(kind));
    match &input.user_agent {
        Some(user_agent) => options.user_agent(user_agent),
        None => options,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_rest_and_pages_that_are_finished_need_no_tab() {
        let demand = Demand::new(3);
        assert_eq!(demand.tabs(), 0);
        demand.begin(4);
        assert_eq!(demand.tabs(), 3);
        let resting = (demand.rest(), demand.rest());
        assert_eq!(demand.tabs(), 1);
        drop(resting);
        demand.finished();
        demand.finished();
        assert_eq!(demand.tabs(), 2);
    }
}
