//! Browser contexts and pages of the host's Chromium pool.
//!
//! A [`Context`] is isolated: cookies, storage, cache, proxy. Its [`Page`]s share them, so many pages of one site are
//! fastest in one context.
//!
//! A selector is CSS unless it starts with `text=`, `role=` (ARIA role, optionally `[name="…"]`) or `xpath=`. It pierces
//! open shadow roots. `A >>> B` looks for B inside the frame that A selects. Every action waits until its element is
//! attached, visible, stable, enabled and receives the pointer, or until its time is over (30 s unless said otherwise).
//!
//! ```
//! # use buddy_plugin::{browser::{self, ContextOptions, Field, GotoOptions}, HostError};
//! # async fn look() -> Result<(), HostError> {
//! let context = browser::open(ContextOptions::new()).await?;
//! let page = context.new_page().await?;
//! page.goto("https://example.com/", GotoOptions::new()).await?;
//! let found = page.extract(None, [Field::text("title", "h1"), Field::attribute("next", "a.next", "href")]).await?;
//! # Ok(()) }
//! ```

mod options;
mod page;

use std::time::Duration;

use crate::bindings::buddy::plugin::browser as raw;
use crate::error::HostError;
use crate::host;

pub use options::{ClickOptions, ContextOptions, Field, GotoOptions};
pub use page::Page;
pub use raw::{Button, Cookie, Dialog, Exchange, Navigation, PointerStep, ResourceKind, State, WaitUntil};

/// An isolated place for pages. Dropped, it is closed by the host.
#[derive(Debug)]
pub struct Context(raw::Context);

/// Opens a context. Waits for a place in the pool.
///
/// # Errors
/// The host's own; `busy` when the queue for a place is full.
pub async fn open(options: ContextOptions) -> Result<Context, HostError> {
    host!("browser.open", raw::open(options.into_raw())).map(Context)
}

impl Context {
    /// Opens a page. Waits for a place in the pool.
    ///
    /// # Errors
    /// The host's own; `browser-lost` when the browser died, then a new context is needed.
    pub async fn new_page(&self) -> Result<Page, HostError> {
        host!("browser.new-page", self.0.new_page()).map(Page::new)
    }

    /// The next page that a page of this context opens by itself: a popup or a new tab.
    ///
    /// # Errors
    /// The host's own; `timed-out` when none opened.
    pub async fn wait_for_page(&self, timeout: Option<Duration>) -> Result<Page, HostError> {
        host!("browser.wait-for-page", self.0.wait_for_page(timeout.map(crate::millis))).map(Page::new)
    }

    /// The cookies that these addresses would be sent; all of the context's for an empty list.
    ///
    /// # Errors
    /// The host's own.
    pub async fn cookies<S: Into<String>>(&self, urls: impl IntoIterator<Item = S>) -> Result<Vec<Cookie>, HostError> {
        let urls = urls.into_iter().map(Into::into).collect();
        host!("browser.cookies", self.0.cookies(urls))
    }

    /// Sets cookies.
    ///
    /// # Errors
    /// The host's own.
    pub async fn set_cookies(&self, cookies: Vec<Cookie>) -> Result<(), HostError> {
        host!("browser.set-cookies", self.0.set_cookies(cookies))
    }

    /// Closes it and its pages; a named profile is saved.
    ///
    /// # Errors
    /// The host's own.
    pub async fn close(self) -> Result<(), HostError> {
        host!("browser.close", self.0.close())
    }
}
