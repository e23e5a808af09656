//! Secrets by name. Their values never enter the sandbox: the host fills a placeholder in at the network's edge or into
//! a form field, only for the hosts that the secret is bound to.

use crate::bindings::buddy::plugin::secrets as raw;

/// Which secrets were granted.
pub fn names() -> Vec<String> {
    if cfg!(target_arch = "wasm32") { raw::names() } else { Vec::new() }
}

/// What to write where the secret belongs: in a header, a body or a form field.
pub fn placeholder(name: &str) -> String {
    format!("{{{{secret:{name}}}}}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_placeholder_is_written_as_the_contract_says() {
        assert_eq!(super::placeholder("GHL_PASSWORD"), "{{secret:GHL_PASSWORD}}");
    }
}
