//! `context`: which task this is, and time. Always there; the run's own request answers it.

use super::{Host, session};
use crate::state::HostState;
use crate::wit::context;
use std::time::Duration;
use wasmtime::component::Accessor;

impl context::Host for HostState {
    fn get(&mut self) -> wasmtime::Result<context::Info> {
        self.session.calls.count();
        Ok(self.session.info.clone())
    }
}

impl context::HostWithStore<HostState> for Host {
    async fn sleep(host: &Accessor<HostState, Self>, ms: u64) -> wasmtime::Result<()> {
        let session = session(host);
        // The call has no way to fail, so a plugin with too many sleeps under way is stopped.
        let _call = session.calls.enter_waiting(0).map_err(wasmtime::Error::new)?;
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(ms)) => {}
            // Awake early, a plugin can ask `is-cancelled` and save its work.
            () = session.stopping() => session.tell(),
        }
        Ok(())
    }
}
