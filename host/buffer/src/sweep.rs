//! Removing what has expired, and saying what is there.

use std::collections::BTreeMap;

use buddy_router::{State, TaskId};

use crate::{
    Buffer,
    error::Result,
    key::{self, Space},
    kv, pages,
    read::Read,
    space::FreeSpace,
    tx::Tx,
};

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Key-values whose time was over.
    pub key_values: usize,
    /// Cached pages.
    pub pages: usize,
    /// Superseded results.
    pub results: usize,
    /// Finished tasks, with their logs.
    pub tasks: usize,
}

/// What the buffer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Tasks by state, also those that are none.
    pub tasks: BTreeMap<State, u64>,
    /// Results that wait to be pushed.
    pub pending: u64,
    /// Results that were set aside or superseded.
    pub aside: u64,
    /// Records by kind.
    pub records: Vec<(Space, u64)>,
    /// Bytes of keys and values by kind, before sled's own overhead.
    pub bytes: Vec<(Space, u64)>,
    /// Bytes that the folder takes on the disk.
    pub bytes_on_disk: u64,
    /// Free space.
    pub space: FreeSpace,
}

impl Tx<'_> {
    /// Removes at most `limit` expired records. The flag says whether there may be more.
    pub fn sweep(&mut self, limit: usize) -> Result<(Swept, bool)> {
        let mut swept = Swept::default();
        let now = self.now();
        let mut left = limit;
        for space in [Space::Kv, Space::Pages, Space::Aside, Space::Tasks] {
            let tag = [space as u8];
            let from = key::of(Space::Expiry, &[&tag]);
            let end = key::of(Space::Expiry, &[&tag, &now.saturating_add(1).to_be_bytes()]);
            for expiry in self.keys(&from, Some(&end), left)? {
                left -= 1;
                let Some((at, record)) = key::parse_expiry(&expiry) else { continue };
                let record = record.to_vec();
                match space {
                    Space::Kv if kv::expires_at(self, &record)? == Some(at) => {
                        swept.key_values += usize::from(self.drop_kv(&record)?);
                    }
                    Space::Pages if pages::expires_at(self, &record)? == Some(at) => {
                        swept.pages += usize::from(self.drop_page(&record)?);
                    }
                    Space::Aside => swept.results += usize::from(self.remove(&record)?),
                    Space::Tasks => swept.tasks += usize::from(self.sweep_task(&record, at)?),
                    _ => {}
                }
                self.remove(&expiry)?;
            }
        }
        Ok((swept, left == 0))
    }

    fn sweep_task(&mut self, record: &[u8], at: u64) -> Result<bool> {
        let Some(id) = key::trailing_task(record) else { return Ok(false) };
        if self.task(&id)?.is_none_or(|task| task.goes_at != Some(at)) {
            return Ok(false);
        }
        self.clear_task(&id)?;
        Ok(true)
    }
}

impl std::ops::AddAssign for Swept {
    fn add_assign(&mut self, other: Self) {
        self.key_values += other.key_values;
        self.pages += other.pages;
        self.results += other.results;
        self.tasks += other.tasks;
    }
}

impl Buffer {
    /// Removes everything that has expired, a little at a time, so that other writers get their turn.
    pub async fn sweep(&self) -> Result<Swept> {
        // A few milliseconds of the writer's time.
        const AT_A_TIME: usize = 256;
        let mut swept = Swept::default();
        loop {
            let (some, more) = self.transact::<_, crate::BufferError, _>(|tx| tx.sweep(AT_A_TIME)).await?;
            swept += some;
            if !more {
                return Ok(swept);
            }
        }
    }

    /// What is there. Counts are kept, so this reads no records.
    pub fn stats(&self) -> Result<Stats> {
        let counters = self.store().counters();
        Ok(Stats {
            tasks: State::ALL.into_iter().map(|state| (state, counters.tasks(state))).collect(),
            pending: counters.records(Space::Outbox),
            aside: counters.records(Space::Aside),
            records: Space::ALL.into_iter().map(|space| (space, counters.records(space))).collect(),
            bytes: Space::ALL.into_iter().map(|space| (space, counters.bytes(space))).collect(),
            bytes_on_disk: self.store().size_on_disk()?,
            space: self.free_space(),
        })
    }

    /// Whether a task is here.
    pub fn has_task(&self, id: &TaskId) -> Result<bool> {
        Ok(self.store().raw(&key::of_task(Space::Tasks, id))?.is_some())
    }
}
