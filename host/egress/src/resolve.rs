//! Names to addresses.
//!
//! [`Egress`](crate::Egress) asks a [`Resolver`] once for each connection and connects to nothing but the answer it
//! checked. It bounds the time of a look-up and the number of addresses it takes; a resolver need not.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use tokio::sync::Semaphore;

/// Most look-ups at the system's resolver at once. Each holds a thread of tokio's blocking pool (512 by default)
/// until the system gives up, even when nobody waits any more, so they must not be able to fill it.
const MAX_LOOKUPS: usize = 64;

/// Looks up the addresses of a name.
pub trait Resolver: Send + Sync + 'static {
    /// The addresses of `name` (lower case, ASCII, no trailing dot), in the order to try them.
    ///
    /// # Errors
    /// When the name does not exist or the look-up failed.
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// The system's own resolver (`getaddrinfo`), hosts file included.
#[derive(Debug, Clone)]
pub struct SystemResolver {
    slots: Arc<Semaphore>,
}

impl SystemResolver {
    /// A resolver with its own bound on look-ups at once; clones share it.
    pub fn new() -> Self {
        Self { slots: Arc::new(Semaphore::new(MAX_LOOKUPS)) }
    }
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self::new()
    }
}

impl Resolver for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(io::Error::other)?;
            let name = name.to_owned();
            // A task of its own, so that the slot is held as long as the thread is, though the caller has left.
            tokio::spawn(async move {
                let answer = tokio::net::lookup_host((name.as_str(), 0)).await;
                drop(slot);
                answer.map(|addresses| addresses.map(|a| a.ip()).collect())
            })
            .await
            .map_err(io::Error::other)?
        })
    }
}

/// A fixed table of names, for tests and for hosts that must not ask anybody. A name may have several answers, given
/// one after the other, the last one for good: a server that changes its mind.
#[derive(Debug, Default)]
pub struct StaticResolver {
    names: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    asked: Mutex<Vec<String>>,
}

impl StaticResolver {
    /// Knows no name.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an answer for `name`, after those it has.
    #[must_use]
    pub fn with(self, name: &str, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let answer = addresses.into_iter().collect();
        self.names.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default().push(answer);
        self
    }

    /// The names that were asked for, in order.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Resolver for StaticResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_owned());
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = match names.get_mut(name) {
            None => Err(io::Error::new(io::ErrorKind::NotFound, "no such name")),
            Some(answers) if answers.len() > 1 => Ok(answers.remove(0)),
            Some(answers) => Ok(answers.first().cloned().unwrap_or_default()),
        };
        Box::pin(async move { answer })
    }
}
