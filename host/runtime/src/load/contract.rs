//! Which contract a component was built for, read from its imports and exports before it is compiled.
//!
//! wasmtime's own answer to a mismatch, "no matching implementation in the linker", helps nobody; here it becomes a
//! sentence with both versions.

use semver::Version;
use wasmparser::{Parser, Payload};

/// The contract's package.
const PACKAGE: &str = "buddy:plugin/";

/// The version that this host serves, as in `wit/world.wit`.
pub(crate) const VERSION: &str = "0.1.0";

/// WASI's packages and the version of them that this host serves.
const WASI: (&str, u64, u64) = ("wasi:", 0, 2);

/// Checks the names and versions of all that a component imports and exports.
///
/// # Errors
/// One sentence.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let names =
        names(bytes).map_err(|error| format!("this component cannot be read ({}); rebuild it", error.message()))?;
    let host = Version::parse(VERSION).map_err(|e| e.to_string())?;
    let mut exports_task = false;
    for name in &names {
        let (interface, version) = match name.text.split_once('@') {
            Some((interface, version)) => (interface, Version::parse(version).ok()),
            None => (name.text.as_str(), None),
        };
        if interface.starts_with(PACKAGE) {
            let wanted = version.ok_or_else(|| {
                format!("this plugin names {interface} without a version; rebuild it with the contract of this host, {VERSION}")
            })?;
            if !compatible(&wanted, &host) {
                return Err(format!(
                    "this plugin was built for version {wanted} of the plugin contract and this host has {host}; {}",
                    if wanted > host {
                        "update the host, or rebuild the plugin for it"
                    } else {
                        "rebuild the plugin for it"
                    }
                ));
            }
            exports_task |= name.exported && interface == "buddy:plugin/task";
        } else if interface.starts_with(WASI.0) {
            if let Some(version) = version.filter(|v| (v.major, v.minor) != (WASI.1, WASI.2)) {
                return Err(format!(
                    "this plugin was built for WASI {version} ({interface}) and this host has WASI {}.{}; build it for \
                     wasm32-wasip2",
                    WASI.1, WASI.2
                ));
            }
        } else if !name.exported {
            return Err(format!(
                "this component imports {}, which is no part of the plugin contract; use the contract's own capabilities \
                 instead",
                name.text
            ));
        }
    }
    if exports_task {
        return Ok(());
    }
    Err(format!(
        "this component is no plugin: it does not export buddy:plugin/task@{VERSION}; implement it (in Rust with the \
         `buddy-plugin` crate)"
    ))
}

/// The sentence for what the linker refuses although the versions fit.
pub(super) fn mismatch(error: &wasmtime::Error) -> String {
    format!(
        "this plugin does not fit the plugin contract {VERSION} of this host ({}); rebuild it with the contract's files \
         of this host, or update the host",
        crate::text::shorten(&format!("{error:#}").replace('\n', " "), 400)
    )
}

/// Whether Cargo would take one for the other.
fn compatible(wanted: &Version, host: &Version) -> bool {
    let track =
        |v: &Version| if v.major > 0 { (v.major, 0, 0) } else { (0, v.minor, if v.minor > 0 { 0 } else { v.patch }) };
    wanted.pre.is_empty() && track(wanted) == track(host)
}

struct Name {
    text: String,
    exported: bool,
}

/// The names of the outermost component's imports and exports.
fn names(bytes: &[u8]) -> Result<Vec<Name>, wasmparser::BinaryReaderError> {
    let (mut names, mut depth) = (Vec::new(), 0_u32);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            // The outermost `End` brings it to the ground, where nothing follows.
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    names.push(Name { text: import?.name.name.to_owned(), exported: false });
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    names.push(Name { text: export?.name.name.to_owned(), exported: true });
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_version_is_that_of_the_contracts_files() {
        let world = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/world.wit")).unwrap();
        assert!(world.starts_with(&format!("package buddy:plugin@{VERSION};")), "{world}");
    }

    #[test]
    fn versions_are_compatible_as_cargo_has_it() {
        let fits = |wanted: &str, host: &str| compatible(&wanted.parse().unwrap(), &host.parse().unwrap());
        assert!(fits("0.1.0", "0.1.0") && fits("0.1.7", "0.1.0") && fits("1.2.3", "1.9.0"));
        assert!(!fits("0.2.0", "0.1.0") && !fits("1.0.0", "0.1.0") && !fits("0.1.0-draft", "0.1.0"));
    }
}
