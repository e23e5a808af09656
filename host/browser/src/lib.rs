//! A supervised Chromium pool with lifecycle waits, actions and crash handling of its own.
//!
//! [`Pool`] → [`Context`] → [`Page`]. A pool starts few Chromium processes, lazily, and replaces those that die. A
//! context is what one task gets: cookies, storage, cache and proxy of its own. Pages are counted over the whole
//! pool. Everything ends in bounded time with a typed [`BrowserError`] whose code is the plugin contract's.
//!
//! The DevTools protocol stays inside: `chromiumoxide` supplies its types and the socket, the sessions on it are our
//! own (`cdp`), because a crashed page, a dead browser or a hanging frame must fail a call at once and not at some
//! timeout.
//!
//! ```no_run
//! # async fn example() -> Result<(), buddy_browser::BrowserError> {
//! use buddy_browser::{ContextOptions, GotoOptions, Pool, PoolOptions};
//!
//! let pool = Pool::new(PoolOptions::new("/var/lib/buddy/browsers")).await?;
//! let context = pool.open(ContextOptions::default()).await?;
//! let page = context.new_page().await?;
//! let outcome = page.goto("https://example.com/", &GotoOptions::default()).await?;
//! println!("{} {}", outcome.url, page.title().await?);
//! context.close().await?;
//! pool.close().await;
//! # Ok(())
//! # }
//! ```

pub mod actions;
mod capture;
mod cdp;
mod context;
mod error;
mod eval;
mod exchange;
mod launch;
mod leftovers;
mod navigate;
mod page;
mod page_state;
mod platform;
mod pool;
mod setup;
mod show;
mod types;

pub use context::Context;
pub use error::BrowserError;
pub use launch::{LaunchOptions, NOWHERE, find_chromium};
pub use page::Page;
pub use platform::INSTALL_HINT;
pub use pool::{Pool, PoolOptions, PoolStats, ProcessStats, RetireLimits, RetireReason};
pub use types::{
    ContextOptions, Cookie, DEFAULT_TIMEOUT, Dialog, Download, Exchange, GotoOptions, Html, Navigation, Picture, Rect,
    ResourceKind, WaitUntil,
};
