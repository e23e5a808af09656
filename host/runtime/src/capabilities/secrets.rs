//! `secrets`: which ones were granted. Values never come this way; the network edge and form fields fill them in.

use crate::grants::Capability;
use crate::state::{HostState, Phase};
use crate::wit::secrets;

impl secrets::Host for HostState {
    fn names(&mut self) -> wasmtime::Result<Vec<String>> {
        self.session.calls.count();
        if self.session.phase == Phase::Asking {
            return Ok(Vec::new());
        }
        let mut names = self.session.grants.scopes(Capability::Secrets).unwrap_or_default().to_vec();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }
}
