//! P3: what is no plugin is refused with one sentence: what it is, what is expected, what to do.

use crate::support::{in_time, loaded, runtime, testing_wasm};
#[cfg(unix)]
use buddy_runtime::PluginSet;
use buddy_runtime::{Runtime, RuntimeConfig};
use std::fmt::Write;
use std::path::Path;

/// The sentence for a file with these bytes.
async fn refusal(runtime: &Runtime, bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugin.wasm");
    std::fs::write(&path, bytes).unwrap();
    let error = in_time(runtime.load(&path)).await.expect_err("it should be refused");
    assert_eq!(error.path, path);
    assert!(!error.reason.contains('\n'), "{}", error.reason);
    error.reason
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// The testing plugin with one version in its names replaced by another of the same length.
fn with_version(from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = std::fs::read(testing_wasm()).unwrap();
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(from.len()).position(|w| w == from.as_bytes()) {
        at += found;
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    assert!(at > 0, "{from} is in the file");
    bytes
}

#[tokio::test]
async fn p3_whatever_is_no_plugin_gets_one_sentence() {
    let runtime = runtime();
    let whole = std::fs::read(testing_wasm()).unwrap();
    let task = r#"(instance $i) (export "buddy:plugin/task@0.1.0" (instance $i))"#;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("an empty file", Vec::new()),
        ("a text file", b"<!doctype html><p>404 Not Found".to_vec()),
        ("a long text file", "\u{fc}".repeat(10_000).into_bytes()),
        ("text format", b"(component)".to_vec()),
        ("random bytes", vec![0x89, b'P', b'N', b'G', 0, 1, 2, 3]),
        ("a native program", b"\x7fELF\x02\x01\x01\0rest".to_vec()),
        ("the first four bytes", whole[..4].to_vec()),
        ("the first eight bytes", whole[..8].to_vec()),
        ("the first part of a plugin", whole[..100_000].to_vec()),
        ("a core module", wat("(module)")),
        ("a component of an unknown binary version", [&whole[..4], &[0x7f, 0, 1, 0], &whole[8..]].concat()),
        ("a component that is no plugin", wat("(component)")),
        ("a command for another host", wat(r#"(component (import "acme:tools/hammer@1.0.0" (instance)))"#)),
        ("a plugin for WASI 0.3", wat(r#"(component (import "wasi:http/types@0.3.0" (instance)))"#)),
        ("a plugin without a version", wat(r#"(component (import "buddy:plugin/http" (instance)))"#)),
        ("a plugin for a later contract", wat(r#"(component (import "buddy:plugin/http@0.2.0" (instance)))"#)),
        ("a plugin for an earlier contract", wat(r#"(component (import "buddy:plugin/http@0.0.9" (instance)))"#)),
        (
            "a call that this host does not have",
            wat(&format!(
                r#"(component (import "buddy:plugin/http@0.1.0" (instance (export "teleport" (func)))) {task})"#
            )),
        ),
        ("an export without its functions", wat(&format!("(component {task})"))),
    ];
    let mut texts = String::new();
    for (what, bytes) in cases {
        let reason = refusal(&runtime, &bytes).await;
        writeln!(texts, "{what}\n    {reason}").unwrap();
    }
    insta::assert_snapshot!(texts);
}

#[tokio::test]
async fn p3_wherever_a_file_is_cut_off_it_is_said_so() {
    let runtime = runtime();
    let whole = std::fs::read(testing_wasm()).unwrap();
    for bytes in [1, 7, 9, 1_000, whole.len() / 2, whole.len() - 1] {
        let reason = refusal(&runtime, &whole[..bytes]).await;
        let expected = if bytes < 4 {
            "this is no WebAssembly at all".to_owned()
        } else {
            format!("this WebAssembly file is cut off after {bytes} bytes; copy or download it again")
        };
        assert!(reason.starts_with(&expected), "{bytes}: {reason}");
    }
}

#[tokio::test]
async fn p3_a_real_plugin_for_another_contract_names_both_versions() {
    let reason = refusal(&runtime(), &with_version("@0.1.0", "@0.7.0")).await;
    assert_eq!(
        reason,
        "this plugin was built for version 0.7.0 of the plugin contract and this host has 0.1.0; update the host, or \
         rebuild the plugin for it"
    );
}

#[tokio::test]
async fn a_plugin_for_a_later_release_of_the_same_contract_loads() {
    let runtime = runtime();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugin.wasm");
    std::fs::write(&path, with_version("@0.1.0", "@0.1.9")).unwrap();
    in_time(runtime.load(&path)).await.unwrap();
}

#[tokio::test]
async fn p3_compiled_code_is_never_accepted_from_outside() {
    // What this very host has compiled and keeps in its own folder.
    let folder = tempfile::tempdir().unwrap();
    let mut config = RuntimeConfig::with_cache(folder.path());
    config.engine = crate::support::engine(4);
    let runtime = Runtime::new(&config).unwrap();
    crate::support::testing(&runtime).await;
    let entry = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(entry).unwrap();
    let start = bytes.windows(4).position(|w| w == b"\x7fELF").unwrap();
    let reason = refusal(&runtime, &bytes[start..]).await;
    assert!(reason.starts_with("this is native code (a compiled program or a .cwasm file)"), "{reason}");
}

#[tokio::test]
async fn a_missing_file_and_a_folder_are_said_so() {
    let runtime = runtime();
    let missing = in_time(runtime.load(Path::new("/nowhere/at/all.wasm"))).await.unwrap_err();
    assert_eq!(missing.reason, "there is no such file; check the path");
    let folder = tempfile::tempdir().unwrap();
    let error = in_time(runtime.load(folder.path())).await.unwrap_err();
    assert_eq!(error.reason, "this is a folder; name a component (.wasm) in it");
}

#[cfg(unix)]
#[tokio::test]
async fn a_pipe_is_refused_and_never_opened_and_its_neighbours_load() {
    let runtime = runtime();
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("a-pipe.wasm");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::os::unix::fs::symlink(&pipe, folder.path().join("b-link-to-the-pipe.wasm")).unwrap();
    std::os::unix::fs::symlink(testing_wasm(), folder.path().join("c-link-to-a-plugin.wasm")).unwrap();
    let set = in_time(PluginSet::load_folder(&runtime, folder.path())).await.unwrap();
    assert_eq!(set.plugins().len(), 1);
    let reasons: Vec<&str> = set.failures().iter().map(|failure| failure.reason.as_str()).collect();
    let expected = "this is no regular file (a pipe, a socket or a device); remove it or put a component (.wasm) there";
    assert_eq!(reasons, [expected, expected]);
}

#[tokio::test]
async fn a_damaged_cache_entry_is_compiled_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = RuntimeConfig::with_cache(folder.path());
    config.engine = crate::support::engine(4);
    let runtime = Runtime::new(&config).unwrap();
    assert!(!crate::support::testing(&runtime).await.load_times().from_cache);
    assert!(crate::support::testing(&runtime).await.load_times().from_cache);
    let entry = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&entry).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&entry, bytes).unwrap();
    assert!(!crate::support::testing(&runtime).await.load_times().from_cache);
    assert!(crate::support::testing(&runtime).await.load_times().from_cache);
}

#[tokio::test]
async fn without_a_cache_folder_plugins_still_load() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("not-a-folder");
    std::fs::write(&file, "").unwrap();
    let mut config = RuntimeConfig::with_cache(&file);
    config.engine = crate::support::engine(4);
    let runtime = Runtime::new(&config).unwrap();
    assert!(!crate::support::testing(&runtime).await.load_times().from_cache);
}

#[tokio::test]
async fn loading_says_how_long_it_took() {
    let (_, plugin) = loaded().await;
    let times = plugin.load_times();
    assert!(times.compiled <= times.total);
}
