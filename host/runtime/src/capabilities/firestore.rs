//! `firestore`: read-only queries on granted collections.
//!
//! Until a host is given a provider for it, every call answers `unavailable`.

use super::{Host, session};
use crate::error::HostError;
use crate::grants::Capability;
use crate::state::{HostState, Phase, Session};
use crate::wit::firestore;
use wasmtime::component::Accessor;

pub use firestore::{Document, Query};

/// Reads documents. Collections are checked against the grants before a call arrives.
#[async_trait::async_trait]
pub trait Firestore: Send + Sync {
    /// One document by its path.
    async fn get(&self, path: String) -> Result<Option<Document>, HostError>;
    /// The documents of a query.
    async fn run(&self, query: Query) -> Result<Vec<Document>, HostError>;
    /// `count`, `sum FIELD` or `avg FIELD` over a query, as JSON.
    async fn aggregate(&self, query: Query, what: String) -> Result<String, HostError>;
}

/// The provider, if this collection is granted. The collection first: its line of configuration is the one that helps.
fn granted<'s>(session: &'s Session, collection: &str) -> Result<&'s dyn Firestore, HostError> {
    if session.phase == Phase::Running {
        session.grants.allow_name(Capability::Firestore, collection)?;
    }
    session.granted(Capability::Firestore, session.providers.firestore.as_ref())
}

/// The collection of a document's path: all but its last segment.
fn collection(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(collection, _)| collection)
}

impl firestore::Host for HostState {}

impl firestore::HostWithStore<HostState> for Host {
    async fn get(host: &Accessor<HostState, Self>, path: String) -> Result<Option<Document>, HostError> {
        let session = session(host);
        let firestore = granted(&session, collection(&path))?;
        let _call = session.calls.enter(path.len()).await?;
        firestore.get(path).await
    }

    async fn run(host: &Accessor<HostState, Self>, query: Query) -> Result<Vec<Document>, HostError> {
        let session = session(host);
        let firestore = granted(&session, &query.collection)?;
        let _call = session.calls.enter(size(&query)).await?;
        firestore.run(query).await
    }

    async fn aggregate(host: &Accessor<HostState, Self>, query: Query, what: String) -> Result<String, HostError> {
        let session = session(host);
        let firestore = granted(&session, &query.collection)?;
        let _call = session.calls.enter(size(&query) + what.len()).await?;
        firestore.aggregate(query, what).await
    }
}

/// What the query holds of the host's memory.
fn size(query: &Query) -> usize {
    let filters: usize = query.filters.iter().map(|f| f.field.len() + f.value.len()).sum();
    let names: usize = query.fields.iter().chain(query.order_by.iter().map(|(name, _)| name)).map(String::len).sum();
    query.collection.len() + filters + names + query.start_after.as_ref().map_or(0, String::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_belongs_to_the_collection_that_its_path_names() {
        assert_eq!(collection("orders/1"), "orders");
        assert_eq!(collection("shops/1/orders/2"), "shops/1/orders");
        assert_eq!(collection("orders"), "");
    }
}
