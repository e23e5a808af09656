//! What the owner allows one plugin: a name of a capability and its scopes, from `buddy.yaml`'s
//! `plugins.grants.<plugin>.<capability>: [scopes]`. What is not written there is denied.
//!
//! A denial's message is a line that says what is not allowed, and below it the lines of `buddy.yaml` that would allow
//! it, as they must stand there. The list of scopes holds what is granted already, so that it can be pasted in place of
//! the old one.

use crate::error::{HostError, code};
use std::collections::BTreeMap;
use url::Url;

/// A capability that must be granted. `context`, `log`, `progress`, clocks and random are always there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[allow(missing_docs)] // the names are those of the contract's interfaces
pub enum Capability {
    Checkpoint,
    Store,
    Artifacts,
    Http,
    Browser,
    Firestore,
    Human,
    Secrets,
}

impl Capability {
    /// The name in the contract and in `buddy.yaml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::Store => "store",
            Self::Artifacts => "artifacts",
            Self::Http => "http",
            Self::Browser => "browser",
            Self::Firestore => "firestore",
            Self::Human => "human",
            Self::Secrets => "secrets",
        }
    }
}

/// One plugin's grants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    plugin: String,
    scopes: BTreeMap<String, Vec<String>>,
}

impl Grants {
    /// The grants of `plugin` by capability name. Names that this version does not know are kept and grant nothing.
    pub fn new(plugin: impl Into<String>, scopes: BTreeMap<String, Vec<String>>) -> Self {
        Self { plugin: plugin.into(), scopes }
    }

    /// The scopes of a granted capability; absent: not granted.
    pub fn scopes(&self, capability: Capability) -> Option<&[String]> {
        self.scopes.get(capability.name()).map(Vec::as_slice)
    }

    /// Whether `capability` is granted at all; `wanted` is the scope that the lines to add should name.
    ///
    /// # Errors
    /// `denied`.
    pub fn allow(&self, capability: Capability, wanted: &[String]) -> Result<&[String], HostError> {
        self.scopes(capability).ok_or_else(|| self.denial(capability, "", wanted))
    }

    /// Whether `name` (a collection, a secret) is among the scopes, or `*` is.
    ///
    /// # Errors
    /// `denied`.
    pub fn allow_name(&self, capability: Capability, name: &str) -> Result<(), HostError> {
        let granted = self.scopes(capability).is_some_and(|all| all.iter().any(|s| s == "*" || s == name));
        if granted { Ok(()) } else { Err(self.denied(capability, &[name.to_owned()])) }
    }

    /// Whether some host is granted to `capability`, and `url` names one. Which hosts a scope covers is decided where
    /// connections are made, by the address that is really connected to: see [`crate::capabilities::http::Http`].
    ///
    /// # Errors
    /// `denied` with lines that name the host, or `invalid` when it is no absolute `http` or `https` address.
    pub fn allow_some_host(&self, capability: Capability, url: &str) -> Result<(), HostError> {
        let invalid = |why: &str| {
            HostError::new(code::INVALID, format!("The address {:?} {why}.", crate::text::shorten(url, 200)))
        };
        let parsed =
            Url::parse(url).map_err(|e| invalid(&format!("is not valid ({e}); write it whole, with its scheme")))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(invalid("must start with http:// or https://"));
        }
        let host = parsed.host_str().ok_or_else(|| invalid("has no host"))?;
        match self.scopes(capability) {
            Some([_, ..]) => Ok(()),
            _ => Err(self.denied(capability, &[host.to_owned()])),
        }
    }

    /// The denial of `wanted`, with the lines of `buddy.yaml` that would grant it and what is granted already.
    pub fn denied(&self, capability: Capability, wanted: &[String]) -> HostError {
        self.denial(capability, &format!(" for {}", quoted(wanted)), wanted)
    }

    fn denial(&self, capability: Capability, whom: &str, wanted: &[String]) -> HostError {
        let mut scopes = self.scopes(capability).unwrap_or_default().to_vec();
        for scope in wanted {
            if !scopes.contains(scope) {
                scopes.push(scope.clone());
            }
        }
        let (plugin, capability) = (&self.plugin, capability.name());
        let value = if scopes.is_empty() { "true".to_owned() } else { format!("[{}]", quoted(&scopes)) };
        let message = format!(
            "the plugin `{plugin}` may not use `{capability}`{whom}; these lines in buddy.yaml would let it:\n\
             plugins:\n  grants:\n    {plugin}:\n      {capability}: {value}"
        );
        HostError::new(code::DENIED, message)
    }
}

/// Scopes in a line of YAML: JSON's quoting is also YAML's, and keeps a line a line.
fn quoted(scopes: &[String]) -> String {
    let quoted: Vec<String> = scopes.iter().map(|scope| serde_json::Value::from(scope.as_str()).to_string()).collect();
    quoted.join(", ")
}

#[cfg(test)]
#[path = "grants_tests.rs"]
mod tests;
