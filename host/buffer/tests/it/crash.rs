//! Killed in the middle of writes: every acknowledged write is there, and no half of any.
//!
//! A child process (this test binary again) writes transactions that each touch several kinds of records and prints
//! the number of each one that was acknowledged. The parent kills it with SIGKILL after a random number of lines,
//! opens the same folder and looks. The folder is the same in all rounds, so damage would add up.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
};

use buddy_buffer::{Buffer, BufferError, DocWrite, Options, Precondition};
use buddy_router::{Lease, State, TaskId};

use crate::kit::{success, task};

const FOLDER: &str = "BUDDY_BUFFER_CRASH_CHILD";
const FIRST: &str = "BUDDY_BUFFER_CRASH_FIRST";
const ROUNDS: u64 = 50;
/// Concurrent writers in the child, so that groups form.
const WRITERS: usize = 16;

/// Some values are in pieces, some are not.
fn value(number: u64) -> Vec<u8> {
    let len = if number.is_multiple_of(7) { 30_000 } else { 200 };
    let seed = number.to_be_bytes();
    (0..len).map(|at| seed[at % 8] ^ at.to_le_bytes()[0]).collect()
}

fn doc_key(number: u64, half: &str) -> Vec<u8> {
    format!("{half}/{number:020}").into_bytes()
}

/// Two documents, a task that is finished at once with its result in the outbox, and the removal of what an earlier
/// transaction wrote: one transaction.
fn write(buffer: &Buffer, number: u64) -> Result<(), BufferError> {
    buffer.transact_blocking(move |tx| {
        let put = |half| DocWrite {
            key: doc_key(number, half),
            precondition: Precondition::Exists(false),
            value: Some(value(number)),
        };
        tx.commit_docs(vec![put("left"), put("right")])?;
        let wanted = task(u128::from(number), 1);
        tx.take_task(wanted.clone())?;
        tx.start_try(&wanted.id, Lease(1))?;
        let seq = tx.finish_task(&success(&wanted, &number.to_string()))?;
        tx.save_checkpoint(&wanted.id, "seq", seq.to_string().as_bytes())
    })
}

/// Not a test by itself: what the child does, until it is killed.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let first: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    let (buffer, report) = Buffer::open(&Options { free_floor: 0, ..Options::new(folder) }).unwrap();
    assert_eq!(report.set_aside, None);
    let next = AtomicU64::new(first);
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    write(&buffer, number).unwrap();
                    println!("\nack {number}");
                }
            });
        }
    });
}

/// Looks at everything; the number of transactions that are there.
fn inspect(folder: &std::path::Path, acknowledged: &[u64]) -> u64 {
    let (buffer, report) = Buffer::open(&Options { free_floor: 0, ..Options::new(folder) }).unwrap();
    assert_eq!(report.set_aside, None);
    for number in acknowledged {
        assert!(buffer.doc(&doc_key(*number, "left")).unwrap().is_some(), "acknowledged {number} is lost");
    }
    let mut after: Option<Vec<u8>> = None;
    let mut count = 0;
    loop {
        let page = buffer.scan_docs(b"left/", after.as_deref(), 500).unwrap();
        for doc in &page.docs {
            let number: u64 = std::str::from_utf8(&doc.key[5..]).unwrap().parse().unwrap();
            count += 1;
            assert_eq!(doc.value, value(number), "left of {number} is damaged");
            let right = buffer.doc(&doc_key(number, "right")).unwrap().expect("the other half is there");
            assert_eq!(right.value, doc.value, "right of {number} is damaged");
            let id = TaskId::from_random(u128::from(number));
            assert_eq!(buffer.task(&id).unwrap().expect("its task is there").task.state, State::Succeeded);
            let seq =
                String::from_utf8(buffer.checkpoint(&id, "seq").unwrap().expect("its checkpoint is there")).unwrap();
            let entry = buffer.outbox_entry(seq.parse().unwrap()).unwrap().expect("its result is there");
            assert_eq!(entry.result, success(&task(u128::from(number), 1), &number.to_string()));
        }
        after = page.docs.last().map(|doc| doc.key.clone());
        if !page.more {
            break;
        }
    }
    // Nothing is there without its other parts: every kind has exactly that many.
    assert_eq!(buffer.pending(), count);
    assert_eq!(buffer.count_tasks(State::Succeeded), count);
    assert_eq!(buffer.tasks_after(None, usize::MAX).unwrap().len() as u64, count);
    let rights =
        buffer.stats().unwrap().records.iter().find(|(space, _)| *space == buddy_buffer::Space::Docs).unwrap().1;
    assert_eq!(rights, 2 * count);
    count
}

/// Makes room, as the pusher and the coordinator do, so that a round stays short: what is there was inspected.
fn empty(folder: &std::path::Path) {
    let (buffer, _) = Buffer::open(&Options { free_floor: 0, ..Options::new(folder) }).unwrap();
    loop {
        let done: Result<bool, BufferError> = buffer.transact_blocking(|tx| {
            let docs = tx.scan_docs(b"", None, 400)?.docs;
            let last = docs.is_empty();
            for doc in docs {
                if let Some(number) = doc.key.strip_prefix(b"left/") {
                    let number: u64 = std::str::from_utf8(number).unwrap().parse().unwrap();
                    tx.clear_task(&TaskId::from_random(u128::from(number)))?;
                }
                tx.commit_docs(vec![DocWrite { key: doc.key, precondition: Precondition::None, value: None }])?;
            }
            Ok(last)
        });
        if done.unwrap() {
            break;
        }
    }
    let seqs: Vec<u64> =
        buffer.peek_outbox(None, usize::MAX, usize::MAX).unwrap().iter().map(|entry| entry.seq).collect();
    buffer.transact_blocking(move |tx| tx.acknowledge(&seqs)).unwrap();
    assert_eq!(buffer.pending(), 0);
}

#[test]
fn killed_in_the_middle_of_writes_every_acknowledged_write_is_there_and_no_half_of_one() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("buffer");
    // A fixed seed, so that a failure can be repeated as far as a kill can.
    let mut random = 0x5EED_u64;
    let mut first = 0;
    let mut found = 0;
    let mut unacknowledged = 0;
    for round in 0..ROUNDS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let kill_after = usize::try_from((random >> 33) % 300).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::child", "--nocapture"])
            .env(FOLDER, &folder)
            .env(FIRST, first.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut acknowledged = Vec::new();
        let mut killed = false;
        // To the end, also what was printed between the decision and the kill: all of it was acknowledged.
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            acknowledged.extend(line.unwrap().strip_prefix("ack ").and_then(|number| number.parse::<u64>().ok()));
            if !killed && acknowledged.len() > kill_after {
                child.kill().unwrap();
                killed = true;
            }
        }
        assert!(killed, "round {round}: the child ended by itself");
        child.wait().unwrap();
        let count = inspect(&folder, &acknowledged);
        assert!(count >= found + acknowledged.len() as u64, "round {round}");
        unacknowledged += count - found - acknowledged.len() as u64;
        found = count;
        first = acknowledged.iter().max().map_or(first, |last| last + 1) + WRITERS as u64 + 600;
        if round % 5 == 4 {
            empty(&folder);
            found = 0;
        }
    }
    println!("transactions that were there without having been acknowledged: {unacknowledged}");
}
