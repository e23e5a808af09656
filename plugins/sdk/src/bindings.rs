//! What `wit-bindgen` makes of the contract in `wit/`: the raw types and calls beneath this crate's wrappers.
//!
//! Nothing here is written by hand. A plugin needs it only for what the wrappers do not cover; the contract's own
//! comments in `wit/*.wit` are its documentation. Outside of a sandbox every call of this module panics, which is why
//! the wrappers never make one there.

// Generated code answers to its generator, not to this workspace's lints.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::unwrap_used, clippy::expect_used)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "plugin",
    pub_export_macro: true,
    export_macro_name: "export_component",
    default_bindings_module: "buddy_plugin::bindings",
    additional_derives: [Clone, PartialEq],
});
