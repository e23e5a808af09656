//! Keys: how every record is named, so that each listing is a scan of one range. The table is in the crate's docs.

use buddy_router::{State, TaskId, id::TASK_ID_LEN};

use crate::error::{BufferError, Result};

/// Longest key that a plugin or the coordinator may choose, in bytes: the plugin contract's bound.
pub const MAX_KEY: usize = 512;

/// Longest name of a plugin, in bytes: the plugin contract's bound.
pub const MAX_PLUGIN: usize = 64;

/// The kinds of records. The number is the first byte of their keys, a letter, so that a dump can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Space {
    /// What the buffer knows about itself.
    Meta = b'm',
    /// Tasks.
    Tasks = b't',
    /// Tasks by state.
    ByState = b'i',
    /// Tasks that wait to run, in the order in which they should.
    Next = b'n',
    /// Results to push.
    Outbox = b'o',
    /// Results that were set aside or superseded.
    Aside = b'a',
    /// Checkpoints of tasks.
    Checkpoints = b'c',
    /// What the checkpoints of a task take.
    CheckpointUse = b'C',
    /// Plugins' key-values.
    Kv = b'k',
    /// What the key-values of a plugin take.
    KvUse = b'K',
    /// Cached pages.
    Pages = b'p',
    /// Records by the time at which they go.
    Expiry = b'e',
    /// Progress of tasks.
    Progress = b'r',
    /// Log lines of tasks.
    Logs = b'l',
    /// How many log lines a task has and lost.
    LogUse = b'L',
    /// The coordinator's documents.
    Docs = b'x',
    /// Pieces of values too large for one record.
    Pieces = b'b',
    /// Payloads of tasks, when they are large.
    Payloads = b'y',
}

impl Space {
    /// Every kind; the position is the kind's place in the counters, so it never changes and new kinds go last.
    pub(crate) const ALL: [Self; 18] = [
        Self::Meta,
        Self::Tasks,
        Self::ByState,
        Self::Next,
        Self::Outbox,
        Self::Aside,
        Self::Checkpoints,
        Self::CheckpointUse,
        Self::Kv,
        Self::KvUse,
        Self::Pages,
        Self::Expiry,
        Self::Progress,
        Self::Logs,
        Self::LogUse,
        Self::Docs,
        Self::Pieces,
        Self::Payloads,
    ];

    pub(crate) fn position(tag: u8) -> Option<usize> {
        Self::ALL.iter().position(|space| *space as u8 == tag)
    }

    /// The first key of the space after it: the open end of a scan.
    pub(crate) fn end(self) -> Vec<u8> {
        vec![self as u8 + 1]
    }
}

/// A key of `space` from its parts.
pub(crate) fn of(space: Space, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    key.push(space as u8);
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

/// The open end of the range of all keys that begin with `prefix`; `None` when the range has no end.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

/// A key of `space` that belongs to a task. Task ids have one length, so no separator is needed.
pub(crate) fn of_task(space: Space, task: &TaskId) -> Vec<u8> {
    of(space, &[task.as_str().as_bytes()])
}

/// The code of a state in keys: the position in [`State::ALL`], which only grows at its end.
pub(crate) fn state_code(state: State) -> u8 {
    State::ALL.iter().position(|other| *other == state).and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

/// `ByState`: state, creation time, task.
pub(crate) fn by_state(state: State, created: u64, task: &TaskId) -> Vec<u8> {
    of(Space::ByState, &[&[state_code(state)], &created.to_be_bytes(), task.as_str().as_bytes()])
}

/// `Next`, ready now: higher priority first, then older first.
pub(crate) fn next_ready(priority: i32, created: u64, task: &TaskId) -> Vec<u8> {
    // Flipping the sign bit orders signed numbers as unsigned ones; the complement puts the highest first.
    let rank = !(priority.cast_unsigned() ^ (1 << 31));
    of(Space::Next, &[b"r", &rank.to_be_bytes(), &created.to_be_bytes(), task.as_str().as_bytes()])
}

/// `Next`, not before a moment: by that moment.
pub(crate) fn next_timed(not_before: u64, task: &TaskId) -> Vec<u8> {
    of(Space::Next, &[b"t", &not_before.to_be_bytes(), task.as_str().as_bytes()])
}

/// `Expiry`: kind of the record, moment, the record's own key.
pub(crate) fn expiry(record: &[u8], at: u64) -> Vec<u8> {
    of(Space::Expiry, &[&record[..1], &at.to_be_bytes(), record])
}

/// Moment and record of an `Expiry` key.
pub(crate) fn parse_expiry(key: &[u8]) -> Option<(u64, &[u8])> {
    let at = u64::from_be_bytes(key.get(2..10)?.try_into().ok()?);
    Some((at, key.get(10..)?))
}

/// The task id at the end of an index key.
pub(crate) fn trailing_task(key: &[u8]) -> Option<TaskId> {
    let id = key.get(key.len().checked_sub(TASK_ID_LEN)?..)?;
    std::str::from_utf8(id).ok()?.parse().ok()
}

/// The big-endian number at the end of a key.
pub(crate) fn trailing_number(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(key.len().checked_sub(8)?..)?.try_into().ok()?))
}

/// A key of a plugin's key-values: the name ends with a zero byte, so that `a`'s keys are not among `ab`'s.
pub(crate) fn of_plugin(plugin: &str, key: &str) -> Result<Vec<u8>> {
    check("plugin name", plugin, MAX_PLUGIN)?;
    check("key", key, MAX_KEY)?;
    Ok(of(Space::Kv, &[plugin.as_bytes(), &[0], key.as_bytes()]))
}

/// Refuses what is empty, too long or would break a separator.
pub(crate) fn check(what: &'static str, text: &str, max: usize) -> Result<()> {
    if text.is_empty() || text.len() > max || text.as_bytes().contains(&0) {
        return Err(BufferError::BadKey { what, max });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_kind_of_record_has_its_own_tag_and_place() {
        for (position, space) in Space::ALL.into_iter().enumerate() {
            assert_eq!(Space::position(space as u8), Some(position));
        }
    }

    proptest! {
        #[test]
        fn ready_tasks_are_ordered_by_priority_then_age(a in any::<(i32, u64, u128)>(), b in any::<(i32, u64, u128)>()) {
            let key = |(priority, created, id): (i32, u64, u128)| next_ready(priority, created, &TaskId::from_random(id));
            let wanted = (std::cmp::Reverse(a.0), a.1, a.2).cmp(&(std::cmp::Reverse(b.0), b.1, b.2));
            prop_assert_eq!(key(a).cmp(&key(b)), wanted);
        }

        #[test]
        fn a_prefix_range_holds_exactly_the_keys_with_that_prefix(prefix in proptest::collection::vec(any::<u8>(), 1..6), key in proptest::collection::vec(any::<u8>(), 0..8)) {
            let inside = key >= prefix && after_prefix(&prefix).is_none_or(|end| key < end);
            prop_assert_eq!(inside, key.starts_with(&prefix));
        }

        #[test]
        fn one_plugins_keys_are_never_among_anothers(a in "[a-z-]{1,6}", b in "[a-z-]{1,6}", key in "[a-z\u{1}]{1,6}") {
            prop_assume!(a != b);
            let of_a = of_plugin(&a, &key).unwrap();
            let all_of_b = of(Space::Kv, &[b.as_bytes(), &[0]]);
            prop_assert!(!of_a.starts_with(&all_of_b));
        }

        #[test]
        fn an_expiry_key_gives_back_what_went_in(record in proptest::collection::vec(any::<u8>(), 1..40), at in any::<u64>()) {
            let key = expiry(&record, at);
            prop_assert_eq!(parse_expiry(&key), Some((at, &record[..])));
        }
    }
}
