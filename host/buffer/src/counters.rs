//! Running counts of what the buffer holds, and the numbers it gives out.
//!
//! They are written with every group, in the same batch as the records they count, so they are right after a crash
//! and nothing has to be counted at start.

use buddy_router::State;

use crate::{
    error::Result,
    key::{self, Space},
    value::corrupt,
};

const SPACES: usize = Space::ALL.len();
const STATES: usize = State::ALL.len();

/// Counts and next numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Groups written so far.
    pub(crate) groups: u64,
    /// The last id given to a set of pieces.
    pub(crate) pieces: u64,
    /// The last number given to an outbox entry.
    pub(crate) seq: u64,
    /// The last version given to a document.
    pub(crate) version: u64,
    records: [u64; SPACES],
    bytes: [u64; SPACES],
    states: [u64; STATES],
}

impl Counters {
    /// Records of a kind.
    pub(crate) fn records(&self, space: Space) -> u64 {
        Space::position(space as u8).map_or(0, |at| self.records[at])
    }

    /// Bytes of a kind: keys and values, large ones counted where they belong and not among the pieces.
    pub(crate) fn bytes(&self, space: Space) -> u64 {
        Space::position(space as u8).map_or(0, |at| self.bytes[at])
    }

    /// Tasks in a state.
    pub(crate) fn tasks(&self, state: State) -> u64 {
        self.states.get(usize::from(key::state_code(state))).copied().unwrap_or(0)
    }

    pub(crate) fn record_added(&mut self, tag: u8, bytes: usize) {
        if let Some(at) = Space::position(tag) {
            self.records[at] += 1;
            self.bytes[at] += bytes as u64;
        }
    }

    pub(crate) fn record_removed(&mut self, tag: u8, bytes: usize) {
        if let Some(at) = Space::position(tag) {
            // Saturating: a count that is wrong must not stop the writer.
            self.records[at] = self.records[at].saturating_sub(1);
            self.bytes[at] = self.bytes[at].saturating_sub(bytes as u64);
        }
    }

    pub(crate) fn task_entered(&mut self, state: State) {
        if let Some(count) = self.states.get_mut(usize::from(key::state_code(state))) {
            *count += 1;
        }
    }

    pub(crate) fn task_left(&mut self, state: State) {
        if let Some(count) = self.states.get_mut(usize::from(key::state_code(state))) {
            *count = count.saturating_sub(1);
        }
    }

    /// Four numbers, then each list with its length before it, so that a longer list can be read by a later version.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 * (7 + 2 * SPACES + STATES));
        let mut push = |number: u64| bytes.extend_from_slice(&number.to_be_bytes());
        push(self.groups);
        push(self.pieces);
        push(self.seq);
        push(self.version);
        for list in [&self.records[..], &self.bytes[..], &self.states[..]] {
            push(list.len() as u64);
            list.iter().copied().for_each(&mut push);
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut numbers =
            bytes.chunks_exact(8).map(|chunk| chunk.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)));
        let mut next = || numbers.next().ok_or_else(|| corrupt("count", "the list of counts is cut off"));
        let mut counters = Self { groups: next()?, pieces: next()?, seq: next()?, version: next()?, ..Self::default() };
        for list in [&mut counters.records[..], &mut counters.bytes[..], &mut counters.states[..]] {
            let len = usize::try_from(next()?).unwrap_or(usize::MAX);
            if len > list.len() {
                return Err(corrupt("count", "it counts kinds that are unknown here"));
            }
            for slot in &mut list[..len] {
                *slot = next()?;
            }
        }
        Ok(counters)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counters_come_back_as_they_were_written() {
        let mut counters = Counters { groups: 5, pieces: 7, seq: u64::MAX, version: 3, ..Counters::default() };
        counters.record_added(Space::Docs as u8, 10);
        counters.task_entered(State::Rejected);
        assert_eq!(Counters::decode(&counters.encode()).unwrap(), counters);
        assert_eq!(counters.records(Space::Docs), 1);
        assert_eq!(counters.bytes(Space::Docs), 10);
        assert_eq!(counters.tasks(State::Rejected), 1);
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = Counters::decode(&bytes);
        }
    }
}
