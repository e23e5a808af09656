//! Random operations against a model that is a plain map, with restarts in between.

use std::collections::BTreeMap;

use buddy_buffer::{Buffer, BufferError, DocWrite, Precondition};
use proptest::prelude::*;

use crate::kit::{TestClock, noise, options};

#[derive(Debug, Clone)]
enum Operation {
    Commit(Vec<(u8, Condition, Option<usize>)>),
    KvSet(u8, usize, Option<u64>),
    KvSwap(u8, bool, usize),
    KvRemove(u8),
    Wait(u64),
    Sweep,
    Reopen,
}

#[derive(Debug, Clone, Copy)]
enum Condition {
    None,
    Absent,
    Present,
    Same,
    Stale,
}

fn operation() -> impl Strategy<Value = Operation> {
    // Lengths around the size of a piece, where a value begins to be kept in pieces.
    let len = || prop_oneof![0..60_usize, 4090..4102_usize, Just(20_000_usize)];
    let condition = prop_oneof![
        4 => Just(Condition::None),
        1 => Just(Condition::Absent),
        1 => Just(Condition::Present),
        3 => Just(Condition::Same),
        1 => Just(Condition::Stale)
    ];
    let write = (0..12_u8, condition, proptest::option::weighted(0.8, len()));
    prop_oneof![
        6 => proptest::collection::vec(write, 1..5).prop_map(Operation::Commit),
        3 => (0..6_u8, len(), proptest::option::of(1..20_u64)).prop_map(|(key, len, ttl)| Operation::KvSet(key, len, ttl)),
        2 => (0..6_u8, any::<bool>(), len()).prop_map(|(key, right, len)| Operation::KvSwap(key, right, len)),
        1 => (0..6_u8).prop_map(Operation::KvRemove),
        2 => (1..15_u64).prop_map(Operation::Wait),
        1 => Just(Operation::Sweep),
        1 => Just(Operation::Reopen),
    ]
}

fn key(number: u8) -> Vec<u8> {
    // One is another's prefix now and then, and lengths differ.
    format!("doc/{}", "x".repeat(usize::from(number % 5)) + &number.to_string()).into_bytes()
}

#[derive(Default)]
struct Model {
    docs: BTreeMap<Vec<u8>, (u64, Vec<u8>)>,
    kv: BTreeMap<String, (u64, Vec<u8>)>,
    now: u64,
}

impl Model {
    fn kv(&self, name: &str) -> Option<&Vec<u8>> {
        self.kv.get(name).filter(|(until, _)| *until > self.now).map(|(_, value)| value)
    }
}

fn same(buffer: &Buffer, model: &Model) {
    let mut found = Vec::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = buffer.scan_docs(b"doc/", after.as_deref(), 3).unwrap();
        after = page.docs.last().map(|doc| doc.key.clone());
        found.extend(page.docs.into_iter().map(|doc| (doc.key, (doc.version, doc.value))));
        if !page.more {
            break;
        }
    }
    assert!(
        found.iter().eq(model.docs.iter().map(|(key, value)| (key.clone(), value.clone())).collect::<Vec<_>>().iter())
    );
    let names: Vec<String> = model.kv.keys().filter(|name| model.kv(name).is_some()).cloned().collect();
    assert_eq!(buffer.kv_keys("plug", "", 100).unwrap(), names);
    for name in &names {
        assert_eq!(buffer.kv_get("plug", name).unwrap().as_ref(), model.kv(name));
    }
}

fn run(operations: Vec<Operation>) {
    let root = tempfile::tempdir().unwrap();
    let clock = TestClock::default();
    let options = options(&root, &clock);
    let (mut buffer, _) = Buffer::open(&options).unwrap();
    let mut model = Model::default();
    for (salt, operation) in (1..).zip(operations) {
        match operation {
            Operation::Commit(writes) => {
                let mut next = model.docs.clone();
                let mut conflict = None;
                let mut commit = Vec::new();
                for (index, (number, condition, len)) in writes.into_iter().enumerate() {
                    let key = key(number);
                    let version = next.get(&key).map(|(version, _)| *version);
                    let (precondition, holds) = match condition {
                        Condition::None => (Precondition::None, true),
                        Condition::Absent => (Precondition::Exists(false), version.is_none()),
                        Condition::Present => (Precondition::Exists(true), version.is_some()),
                        // A version of the same commit is not known when it is made: only those from before.
                        Condition::Same => match model.docs.get(&key) {
                            Some((known, _)) => (Precondition::Version(*known), version == Some(*known)),
                            None => (Precondition::None, true),
                        },
                        Condition::Stale => (Precondition::Version(u64::MAX), false),
                    };
                    if !holds && conflict.is_none() {
                        conflict = Some(index);
                    }
                    let value = len.map(|len| noise(len, salt));
                    match &value {
                        // The versions come with the answer; until then a number that is no version.
                        Some(value) => drop(next.insert(key.clone(), (u64::MAX - index as u64 - 1, value.clone()))),
                        None => drop(next.remove(&key)),
                    }
                    commit.push(DocWrite { key, precondition, value });
                }
                let keys: Vec<Vec<u8>> = commit.iter().map(|write| write.key.clone()).collect();
                match (buffer.transact_blocking(move |tx| tx.commit_docs(commit)), conflict) {
                    (Ok(versions), None) => {
                        for (key, version) in keys.into_iter().zip(versions) {
                            if let Some(doc) = next.get_mut(&key) {
                                doc.0 = version;
                            }
                        }
                        model.docs = next;
                    }
                    (Err(BufferError::DocConflict { index, .. }), Some(wanted)) => assert_eq!(index, wanted),
                    (outcome, wanted) => panic!("{outcome:?} instead of conflict {wanted:?}"),
                }
            }
            Operation::KvSet(number, len, ttl) => {
                let (name, value) = (number.to_string(), noise(len, salt));
                model.kv.insert(name.clone(), (ttl.map_or(u64::MAX, |ttl| model.now + ttl), value.clone()));
                buffer.transact_blocking(move |tx| tx.kv_set("plug", &name, &value, ttl)).unwrap();
            }
            Operation::KvSwap(number, right, len) => {
                let (name, value) = (number.to_string(), noise(len, salt));
                let present = model.kv(&name).cloned();
                let expected = if right { present.clone() } else { Some(b"something else".to_vec()) };
                let swaps = expected == present;
                if swaps {
                    model.kv.insert(name.clone(), (u64::MAX, value.clone()));
                }
                let swapped = buffer
                    .transact_blocking(move |tx| tx.kv_compare_and_set("plug", &name, expected.as_deref(), &value))
                    .unwrap();
                assert_eq!(swapped, swaps);
            }
            Operation::KvRemove(number) => {
                let name = number.to_string();
                let there = model.kv(&name).is_some();
                model.kv.remove(&name);
                assert_eq!(buffer.transact_blocking(move |tx| tx.kv_remove("plug", &name)).unwrap(), there);
            }
            Operation::Wait(time) => {
                model.now += time;
                clock.set(model.now);
            }
            Operation::Sweep => {
                let over = model.kv.values().filter(|(until, _)| *until <= model.now).count();
                let (swept, more) = buffer.transact_blocking::<_, BufferError, _>(|tx| tx.sweep(100)).unwrap();
                assert_eq!((swept.key_values, more), (over, false));
                model.kv.retain(|_, (until, _)| *until > model.now);
            }
            Operation::Reopen => {
                drop(buffer);
                buffer = Buffer::open(&options).unwrap().0;
            }
        }
        same(&buffer, &model);
    }
    let used: u64 = model.kv.iter().map(|(name, (_, value))| (name.len() + value.len()) as u64).sum();
    assert_eq!(buffer.kv_used("plug").unwrap(), used);
    // Nothing is left behind: removing everything leaves only what the buffer knows about itself.
    buffer
        .transact_blocking::<_, BufferError, _>(move |tx| {
            tx.kv_clear("plug")?;
            for doc in tx.scan_docs(b"", None, 1000)?.docs {
                tx.commit_docs(vec![DocWrite { key: doc.key, precondition: Precondition::None, value: None }])?;
            }
            Ok(())
        })
        .unwrap();
    let stats = buffer.stats().unwrap();
    assert_eq!(stats.records.iter().map(|(_, count)| count).sum::<u64>(), 2, "{:?}", stats.records);
}

proptest! {
    // Each case opens a store and syncs some dozens of times.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn documents_and_key_values_behave_like_a_map_across_restarts(operations in proptest::collection::vec(operation(), 1..50)) {
        run(operations);
    }
}
