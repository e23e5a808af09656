//! Read-only queries on granted collections.
//!
//! ```
//! # use buddy_plugin::{firestore::{self, Op}, HostError};
//! # async fn find() -> Result<(), HostError> {
//! let adults = firestore::query("people")
//!     .filter("age", Op::GreaterOrEqual, 18)
//!     .order_by("age")
//!     .limit(50)
//!     .run()
//!     .await?;
//! # Ok(()) }
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bindings::buddy::plugin::firestore as raw;
use crate::error::HostError;
use crate::host;

pub use raw::Op;

/// Documents that a query without a [`limit`](Query::limit) answers at most.
const DEFAULT_LIMIT: u32 = 100;

/// A document.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Document {
    /// Below the database's root, for example `people/ada`.
    pub path: String,
    /// The fields, as JSON.
    pub json: String,
}

impl Document {
    /// The fields as a type.
    ///
    /// # Errors
    /// `invalid` for fields of another shape.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, HostError> {
        serde_json::from_str(&self.json)
            .map_err(|error| HostError::json(&format!("document `{}` cannot be read", self.path), &error))
    }
}

impl From<raw::Document> for Document {
    fn from(document: raw::Document) -> Self {
        Self { path: document.path, json: document.data }
    }
}

/// The document at a path, if there is one.
///
/// # Errors
/// The host's own.
pub async fn get(path: &str) -> Result<Option<Document>, HostError> {
    host!("firestore.get", raw::get(path.to_owned())).map(|found| found.map(Document::from))
}

/// A query in the making.
#[derive(Clone, Debug)]
#[must_use = "call `run`"]
pub struct Query {
    raw: raw::Query,
    /// A value that could not be written as JSON: said by `run`, so that builders chain.
    fault: Option<HostError>,
}

/// A query over a collection: at most 100 documents unless [`Query::limit`] says otherwise.
pub fn query(collection: &str) -> Query {
    Query {
        raw: raw::Query {
            collection: collection.to_owned(),
            filters: Vec::new(),
            order_by: Vec::new(),
            limit: DEFAULT_LIMIT,
            start_after: None,
            fields: Vec::new(),
            more: Vec::new(),
        },
        fault: None,
    }
}

impl Query {
    /// Only documents for which this holds; several filters hold together.
    #[allow(clippy::needless_pass_by_value)] // `filter("age", Op::Equal, 18)` reads better than `&18`
    pub fn filter(mut self, field: &str, op: Op, value: impl Serialize) -> Self {
        match serde_json::to_string(&value) {
            Ok(value) => self.raw.filters.push(raw::Condition { field: field.to_owned(), op, value }),
            Err(error) => {
                self.fault = Some(HostError::json(&format!("the filter on `{field}`"), &error));
            }
        }
        self
    }

    /// Smallest first.
    pub fn order_by(mut self, field: &str) -> Self {
        self.raw.order_by.push((field.to_owned(), false));
        self
    }

    /// Largest first.
    pub fn order_by_descending(mut self, field: &str) -> Self {
        self.raw.order_by.push((field.to_owned(), true));
        self
    }

    /// At most so many documents.
    pub fn limit(mut self, limit: u32) -> Self {
        self.raw.limit = limit;
        self
    }

    /// Goes on after the document that has these values of the fields it is ordered by.
    pub fn start_after(mut self, values: &Value) -> Self {
        self.raw.start_after = Some(values.to_string());
        self
    }

    /// Only these fields; all when not set.
    pub fn fields<S: Into<String>>(mut self, fields: impl IntoIterator<Item = S>) -> Self {
        self.raw.fields = fields.into_iter().map(Into::into).collect();
        self
    }

    /// The documents.
    ///
    /// # Errors
    /// The host's own; `invalid` for a filter that is not JSON.
    pub async fn run(self) -> Result<Vec<Document>, HostError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let documents = host!("firestore.run", raw::run(self.raw))?;
        Ok(documents.into_iter().map(Document::from).collect())
    }

    /// How many documents there are, without reading them.
    ///
    /// # Errors
    /// Like [`Query::run`].
    pub async fn count(self) -> Result<u64, HostError> {
        self.aggregate("count".to_owned()).await
    }

    /// The sum of a field.
    ///
    /// # Errors
    /// Like [`Query::run`].
    pub async fn sum(self, field: &str) -> Result<f64, HostError> {
        self.aggregate(format!("sum {field}")).await
    }

    /// The mean of a field; absent when no document has it.
    ///
    /// # Errors
    /// Like [`Query::run`].
    pub async fn average(self, field: &str) -> Result<Option<f64>, HostError> {
        self.aggregate(format!("avg {field}")).await
    }

    async fn aggregate<T: DeserializeOwned>(self, what: String) -> Result<T, HostError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let json = host!("firestore.aggregate", raw::aggregate(self.raw, what))?;
        serde_json::from_str(&json).map_err(|error| HostError::json("the aggregate cannot be read", &error))
    }
}
