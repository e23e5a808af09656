//! A set of keys that numbers them in the order in which they come; used by all that finds equal rows.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use hashbrown::HashTable;

use crate::value::Value;

/// Keys of one or more values. Looking up does not copy the key; the hash is seeded, so that no input can make all
/// keys collide.
#[derive(Debug, Default)]
pub(crate) struct KeyTable {
    table: HashTable<(u64, usize)>,
    keys: Vec<Box<[Value]>>,
    hasher: RandomState,
}

/// Where a key is.
pub(crate) enum Place {
    Known(usize),
    /// Just added; `weight` bytes are held for it.
    New {
        at: usize,
        weight: usize,
    },
}

/// About what the table itself takes for one key.
const ENTRY: usize = size_of::<(u64, usize)>() * 2 + size_of::<Box<[Value]>>();

impl KeyTable {
    fn hash(&self, key: &[&Value]) -> u64 {
        let mut state = self.hasher.build_hasher();
        for part in key {
            part.hash(&mut state);
        }
        state.finish()
    }

    /// The number of a key that is there.
    pub(crate) fn find(&self, key: &[&Value]) -> Option<usize> {
        let hash = self.hash(key);
        self.table.find(hash, |&(other, at)| other == hash && same(&self.keys[at], key)).map(|&(_, at)| at)
    }

    /// The number of a key, adding it if it is new.
    pub(crate) fn place(&mut self, key: &[&Value]) -> Place {
        let hash = self.hash(key);
        let keys = &self.keys;
        if let Some(&(_, at)) = self.table.find(hash, |&(other, at)| other == hash && same(&keys[at], key)) {
            return Place::Known(at);
        }
        let at = self.keys.len();
        let owned: Box<[Value]> = key.iter().map(|&part| part.clone()).collect();
        let weight = ENTRY + owned.iter().map(Value::weight).sum::<usize>();
        self.keys.push(owned);
        self.table.insert_unique(hash, (hash, at), |&(hash, _)| hash);
        Place::New { at, weight }
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The keys in the order in which they came.
    pub(crate) fn into_keys(self) -> Vec<Box<[Value]>> {
        self.keys
    }
}

fn same(kept: &[Value], asked: &[&Value]) -> bool {
    kept.len() == asked.len() && kept.iter().zip(asked).all(|(a, b)| a == *b)
}
