//! The contract `buddy:plugin` as Rust types, generated from `wit/`.
//!
//! What an application's adapters need is re-exported here by interface: `wit::http::Request`,
//! `wit::browser::GotoOptions`, `wit::task::Manifest`. The host traits behind these interfaces are implemented in
//! [`crate::capabilities`] and nowhere else.

#![allow(missing_docs, clippy::all, clippy::pedantic)] // generated; its documentation is the contract itself

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "plugin",
    // What waits in the contract is asynchronous with access to the store, which `bindgen!` infers from `async func`.
    // The rest (`log.write`, `context.get`) neither waits nor needs the store, so it stays a plain call: a plugin that
    // logs a line pays no fiber switch.
    imports: { default: trappable },
    // `describe` and `estimate` are plain functions, but a plugin may compute in them for ever: called on a fiber, the
    // epoch callback can give the thread back.
    exports: { default: async },
    additional_derives: [PartialEq],
    trappable_error_type: { "buddy:plugin/types.error" => crate::HostError },
    with: {
        "buddy:plugin/artifacts.writer": crate::capabilities::artifacts::WriterHandle,
        "buddy:plugin/browser.context": crate::capabilities::browser::ContextHandle,
        "buddy:plugin/browser.page": crate::capabilities::browser::PageHandle,
    },
});

pub use self::buddy::plugin::{
    artifacts, browser, checkpoint, context, firestore, http, human, log, progress, secrets, store, types,
};
pub use self::exports::buddy::plugin::task;
