//! The pusher's decisions against a model of a service that loses answers, refuses, and is written by others.

use std::collections::BTreeMap;

use buddy_router::{State, Task};
use buddy_sync::push::machine::{Action, Effect, Item, Machine};
use buddy_sync::{PushError, PushItem, Version, Versioned, change};
use proptest::prelude::*;

use crate::support::{assigned, session, success};

/// What goes wrong with the next commit.
#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    LostAnswer,
    NotSent,
    /// Somebody else writes the task of this index first.
    OtherWrites(usize),
}

#[derive(Default)]
struct Service {
    tasks: BTreeMap<String, Versioned<Task>>,
    /// How often each task's result was applied.
    applied: BTreeMap<String, u32>,
    poison: Vec<String>,
    clock: u64,
}

impl Service {
    fn commit(&mut self, batch: &[PushItem]) -> Result<(), PushError> {
        if batch.iter().any(|item| self.poison.contains(&item.result.task.to_string())) {
            return Err(PushError::Refused { reason: "invalid".into() });
        }
        let fresh = |item: &PushItem| {
            self.tasks.get(item.result.task.as_str()).is_some_and(|task| task.version == item.expected)
        };
        if let Some(index) = batch.iter().position(|item| !fresh(item)) {
            return Err(PushError::Changed { index });
        }
        for item in batch {
            self.clock += 1;
            let task = self.tasks.get_mut(item.result.task.as_str()).unwrap();
            task.value = change::finish(&task.value, &item.result).unwrap();
            task.version = Version(self.clock);
            *self.applied.entry(item.result.task.to_string()).or_default() += 1;
        }
        Ok(())
    }
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        3 => Just(Fault::None),
        2 => Just(Fault::LostAnswer),
        1 => Just(Fault::NotSent),
        2 => (0usize..8).prop_map(Fault::OtherWrites),
    ]
}

proptest! {
    #[test]
    fn q5_q6_q13_every_result_is_applied_once_superseded_or_set_aside_with_its_reason(
        count in 1usize..12,
        poisoned in proptest::collection::vec(any::<prop::sample::Index>(), 0..3),
        known in proptest::collection::vec(any::<bool>(), 12),
        faults in proptest::collection::vec(fault(), 0..12),
    ) {
        let mut service = Service { clock: 1, ..Service::default() };
        let mut items = Vec::new();
        for (index, known) in (0..count).zip(known) {
            let task = assigned(index as u128 + 1, "desk", 1);
            let result = success(&task, &index.to_string());
            service.tasks.insert(task.id.to_string(), Versioned { value: task, version: Version(1) });
            items.push(Item { seq: index as u64, result, expected: known.then_some(Version(1)) });
        }
        for index in poisoned {
            service.poison.push(items[index.index(count)].result.task.to_string());
        }
        let mut faults = faults.into_iter();
        let mut left: BTreeMap<u64, Item> = items.into_iter().map(|item| (item.seq, item)).collect();
        let mut ends: BTreeMap<u64, &'static str> = BTreeMap::new();
        // Rounds until the outbox is empty; faults run out, so it ends.
        for _ in 0..100 {
            if left.is_empty() { break; }
            let mut machine = Machine::new(left.values().cloned().collect());
            loop {
                let effects = match machine.action() {
                    Action::Done => break,
                    Action::Read(id) => machine.was_read(service.tasks.get(id.as_str())),
                    Action::Commit(batch) => {
                        let answer = match faults.next().unwrap_or(Fault::None) {
                            Fault::None => service.commit(&batch),
                            Fault::LostAnswer => {
                                let _ = service.commit(&batch);
                                Err(PushError::Unknown { reason: "lost".into() })
                            }
                            Fault::NotSent => Err(PushError::Later { reason: "cut".into() }),
                            Fault::OtherWrites(index) => {
                                let id = batch[index % batch.len()].result.task.to_string();
                                service.clock += 1;
                                let version = Version(service.clock);
                                let task = service.tasks.get_mut(&id).unwrap();
                                if !task.value.state.is_final() {
                                    let to = "cloud/1".parse().unwrap();
                                    task.value = change::assign(&task.value, to, session(2), "silent".into()).unwrap();
                                    task.version = version;
                                }
                                service.commit(&batch)
                            }
                        };
                        machine.committed(answer)
                    }
                };
                for effect in effects {
                    let (seq, end) = match effect {
                        Effect::Clear { seq, .. } => (seq, "cleared"),
                        Effect::Supersede { seq, .. } => (seq, "superseded"),
                        Effect::SetAside { seq, .. } => (seq, "aside"),
                    };
                    prop_assert!(left.remove(&seq).is_some(), "an entry left twice");
                    ends.insert(seq, end);
                }
            }
        }
        prop_assert!(left.is_empty(), "never ends: {:?}", left.keys());
        for (index, end) in ends {
            let id = assigned(u128::from(index) + 1, "desk", 1).id.to_string();
            let times = service.applied.get(&id).copied().unwrap_or_default();
            let expected = u32::from(!service.poison.contains(&id));
            prop_assert_eq!(times, expected, "{} {}", id, end);
            prop_assert_eq!(end == "aside", expected == 0);
            if expected == 1 {
                prop_assert_eq!(service.tasks[&id].value.state, State::Succeeded);
            }
        }
    }
}

#[test]
fn q13_one_bad_document_of_fifty_is_set_aside_and_forty_nine_land() {
    let mut service = Service { clock: 1, ..Service::default() };
    let mut items = Vec::new();
    for index in 0..50u64 {
        let task = assigned(u128::from(index) + 1, "desk", 1);
        let result = success(&task, "1");
        service.tasks.insert(task.id.to_string(), Versioned { value: task, version: Version(1) });
        items.push(Item { seq: index, result, expected: Some(Version(1)) });
    }
    service.poison.push(items[31].result.task.to_string());
    let mut machine = Machine::new(items);
    let (mut cleared, mut aside) = (0, Vec::new());
    while let Action::Commit(batch) = machine.action() {
        for effect in machine.committed(service.commit(&batch)) {
            match effect {
                Effect::Clear { .. } => cleared += 1,
                Effect::SetAside { seq, reason, .. } => aside.push((seq, reason)),
                Effect::Supersede { .. } => panic!("nobody else finished anything"),
            }
        }
    }
    assert_eq!(cleared, 49);
    assert_eq!(aside, [(31, "invalid".to_owned())]);
}
