//! What stands behind a plugin's capabilities: thin mappings from the runtime's traits to the browser pool, the
//! buffer, the egress module and the artifact folder. One file a capability; each provider belongs to one run.

mod artifacts;
mod browser;
mod http;
mod page;
mod run_log;
mod state;

pub use artifacts::RunArtifacts;
pub use browser::RunBrowser;
pub use http::RunHttp;
pub use run_log::{RunLog, RunProgress};
pub use state::{RunCheckpoint, RunStore};

use buddy_browser::BrowserError;
use buddy_buffer::BufferError;
use buddy_egress::{Denied, EgressError};
use buddy_runtime::{Capability, Grants, HostError, code};

use crate::artifacts::ArtifactError;

/// A denial with the lines of configuration that would grant it.
fn denied(grants: &Grants, capability: Capability, denied: &Denied) -> HostError {
    grants.denied(capability, std::slice::from_ref(&denied.grant))
}

fn egress_error(grants: &Grants, capability: Capability, error: &EgressError) -> HostError {
    if let Some(refused) = error.denied() {
        return denied(grants, capability, refused);
    }
    let mut mapped = HostError::new(error.code(), error.to_string());
    mapped.retryable = error.retryable();
    mapped.after_ms = error.after_ms();
    mapped
}

fn browser_error(error: &BrowserError) -> HostError {
    let mut mapped = HostError::new(error.code(), error.to_string());
    mapped.retryable = error.retryable();
    mapped
}

fn buffer_error(error: &BufferError) -> HostError {
    let code = match error {
        BufferError::BadKey { .. } => code::INVALID,
        BufferError::TooLarge { .. } | BufferError::Quota { .. } => code::LIMIT,
        _ => code::FAILED,
    };
    let mut mapped = HostError::new(code, error.to_string());
    // A full disk passes; what is wrong with the arguments does not.
    mapped.retryable = matches!(error, BufferError::DiskFull { .. });
    mapped
}

fn artifact_error(error: &ArtifactError) -> HostError {
    let code = match error {
        ArtifactError::NotFound(_) => code::NOT_FOUND,
        ArtifactError::Full { .. } => code::LIMIT,
        ArtifactError::Io { .. } => code::FAILED,
    };
    let mut mapped = HostError::new(code, error.to_string());
    // The data folder is full now; when results have gone or the owner has raised the bound it is not.
    mapped.retryable = matches!(error, ArtifactError::Full { .. });
    mapped
}
