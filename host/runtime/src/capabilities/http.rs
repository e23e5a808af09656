//! `http`: requests over the network, to granted hosts.

use super::{Host, session};
use crate::error::HostError;
use crate::grants::Capability;
use crate::state::HostState;
use crate::wit::http;
use wasmtime::component::Accessor;

pub use http::{Request, Response};

/// The way out.
///
/// **The provider decides which hosts are granted**: it holds the plugin's scopes and applies them to the address that
/// is really connected to, redirects and look-ups included. Here a call is refused only when no host is granted at all,
/// or the address is none; a second reading of the scopes could only differ from the first.
#[async_trait::async_trait]
pub trait Http: Send + Sync {
    /// One request, within `request`'s own bounds and the provider's.
    async fn fetch(&self, request: Request) -> Result<Response, HostError>;
}

impl http::Host for HostState {}

impl http::HostWithStore<HostState> for Host {
    async fn fetch(host: &Accessor<HostState, Self>, request: Request) -> Result<Response, HostError> {
        let session = session(host);
        // The host first: its line of configuration is the one that helps, whether or not others are granted.
        if session.phase == crate::state::Phase::Running {
            session.grants.allow_some_host(Capability::Http, &request.url)?;
        }
        let http = session.granted(Capability::Http, session.providers.http.as_ref())?;
        let _call = session.calls.enter(size(&request)).await?;
        http.fetch(request).await
    }
}

/// What the request holds of the host's memory.
fn size(request: &Request) -> usize {
    let headers: usize = request.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    request.url.len() + headers + request.body.as_ref().map_or(0, Vec::len)
}
