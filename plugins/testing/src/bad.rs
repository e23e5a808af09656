//! Task types that exhaust something: time, stack, memory, handles, patience.

use crate::wit::buddy::plugin::{artifacts, context, log, progress, store};
use futures::future::join_all;
use serde_json::{Value, json};
use std::hint::black_box;

/// Computes for ever.
pub(crate) fn spin() -> ! {
    let mut n = 0_u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

/// Computes for a while.
pub(crate) fn busy(rounds: u64) -> Value {
    let mut n = 0_u64;
    for _ in 0..rounds {
        n = black_box(n.wrapping_add(1));
    }
    json!(n)
}

/// Calls the host for ever, by a function that never waits.
pub(crate) fn hostcall_loop() -> ! {
    loop {
        black_box(context::get());
    }
}

/// Calls the host for ever, by a function that could wait.
pub(crate) async fn async_hostcall_loop() -> Value {
    loop {
        black_box(store::get("key".into()).await).ok();
    }
}

/// Sleeps for longer than anyone waits.
pub(crate) fn sleep_forever() -> Value {
    // A century: far beyond any deadline, and representable by every clock.
    std::thread::sleep(std::time::Duration::from_hours(100 * 365 * 24));
    Value::Null
}

/// Recurses until the machine stack is used up: its frames live in registers and on the host's side of the stack.
#[inline(never)]
pub(crate) fn recurse(depth: u64) -> u64 {
    if depth == u64::MAX { 0 } else { recurse(depth + 1).wrapping_mul(31) ^ depth }
}

/// Recurses until the stack inside of linear memory is used up: its frames have an address.
#[inline(never)]
pub(crate) fn recurse_in_memory(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    if black_box(depth) == 0 { 0 } else { recurse_in_memory(depth + 1) + black_box(frame[0]) }
}

/// Allocates until there is no more.
pub(crate) fn alloc() -> Value {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    loop {
        // 1 MiB at a time reaches any limit in few steps; written, so that it counts.
        kept.push(black_box(vec![1; 1 << 20]));
    }
}

/// Takes so much memory, says so by a step of progress, and keeps it for a while.
pub(crate) async fn hold(mib: usize, ms: u64) -> Value {
    // Written, so that it counts.
    let kept = black_box(vec![1_u8; mib << 20]);
    progress::report(1, Some(1), "it holds its memory");
    context::sleep(ms).await;
    json!(black_box(kept).len())
}

/// Writes `lines` log lines of `bytes` bytes.
pub(crate) fn log_flood(lines: u64, bytes: usize) -> Value {
    let line = "x".repeat(bytes);
    for _ in 0..lines {
        log::write(log::Level::Info, &line, &[]);
    }
    json!(lines)
}

/// Writes numbered lines to standard error and one to standard output.
pub(crate) fn stderr(lines: u64) -> Value {
    println!("to standard output");
    for n in 0..lines {
        eprintln!("line {n}");
    }
    json!(lines)
}

/// What of the machine can be seen through WASI.
pub(crate) fn sandbox_probe() -> Value {
    fn outcome<T>(result: std::io::Result<T>) -> String {
        result.map_or_else(|e| e.kind().to_string(), |_| "open".into())
    }
    json!({
        "environment": std::env::vars().count(),
        "arguments": std::env::args().count(),
        "root": outcome(std::fs::read_dir("/")),
        "file": outcome(std::fs::read("/etc/hostname")),
        "socket": outcome(std::net::TcpStream::connect("127.0.0.1:9")),
        "listen": outcome(std::net::TcpListener::bind("127.0.0.1:0")),
    })
}

/// Starts `count` host calls at once and says how many succeeded, and the code of the first that did not.
pub(crate) async fn flood_calls(count: usize) -> Value {
    let answers = join_all((0..count).map(|_| store::get("key".into()))).await;
    let failed = answers.iter().find_map(|a| a.as_ref().err()).map(|e| e.code.clone());
    json!({ "succeeded": answers.iter().filter(|a| a.is_ok()).count(), "first-code": failed })
}

/// Opens handles and keeps them until the host refuses one.
pub(crate) async fn open_resources(count: usize) -> Value {
    let mut kept = Vec::new();
    for _ in 0..count {
        match artifacts::create("n".into(), "text/plain".into()).await {
            Ok(writer) => kept.push(writer),
            Err(error) => return json!({ "opened": kept.len(), "code": error.code, "message": error.message }),
        }
    }
    json!({ "opened": kept.len() })
}
