//! The durable buffer of a host: tasks, results on their way out, checkpoints, plugins' key-values, cached pages,
//! logs, and the embedded coordinator's documents. Nothing but this crate names sled.
//!
//! # What holds
//!
//! - What an `async` write acknowledged is on the disk, synced, and survives a crash and a power cut.
//! - A transaction ([`Buffer::transact`]) is there whole or not at all, whatever it combines.
//! - Transactions run one after the other: a condition that one checks holds when it writes.
//! - One process uses a folder at a time; a second one is refused by name ([`OpenError::InUse`]).
//! - A folder that cannot be read is set aside, never deleted ([`OpenReport::set_aside`]).
//! - After a failed write nothing more is accepted ([`BufferError::Degraded`]); below the floor of free space no new
//!   work is ([`BufferError::DiskFull`]).
//! - Everything has a bound: see [`Limits`], [`MAX_VALUE`], [`MAX_KEY`].
//! - A store that lost acknowledged writes without saying so is noticed when it is opened (`mark.rs`).
//!
//! What does not: a read may see a write that is not synced yet, a few milliseconds before its caller is told; and
//! progress and log lines may lose their last second in a crash.
//!
//! # Keys
//!
//! One sled tree; the first byte is the kind, numbers are big-endian, task ids are 32 hexadecimal digits.
//!
//! | kind | key after the first byte | value |
//! | --- | --- | --- |
//! | `m` meta | `schema`, `session`, `counters` | the schema's number; the session; counts and next numbers |
//! | `t` task | task | JSON of [`LocalTask`] |
//! | `y` payload | task | JSON of payload and digest input, when they are large |
//! | `i` by state | state(1) created(8) task | - |
//! | `n` next, ready | `r` priority(4, highest first) created(8) task | - |
//! | `n` next, timed | `t` not-before(8) task | - |
//! | `o` outbox | number(8) | JSON of the result, then its text, compressed from 32 KiB on |
//! | `a` aside | number(8) | JSON of the reason, then the outbox record |
//! | `c` checkpoint | task key | the plugin's bytes |
//! | `C` checkpoints' use | task | JSON of count and bytes |
//! | `k` key-value | plugin `00` key | expiry(8), then the plugin's bytes |
//! | `K` key-values' use | plugin | bytes, as JSON |
//! | `p` page | SHA-256 of the address | JSON of the head, then the body, compressed |
//! | `e` expiry | kind(1) moment(8) key of the record | - |
//! | `r` progress | task | JSON of [`Progress`] |
//! | `l` log line | task number(8) | JSON of [`LogLine`] |
//! | `L` log's use | task | JSON of the next number and the count |
//! | `x` document | the coordinator's key | version(8), then the coordinator's bytes |
//! | `b` piece | id(8) number(4) | 4 KiB of a value above 4 KiB, without a head |
//!
//! Every other value has a head of two bytes: the version of the layout and how the value is kept (`value.rs`).

mod buffer;
mod checkpoints;
mod counters;
mod docs;
mod error;
mod journal;
mod key;
mod kv;
mod lock;
mod mark;
mod open;
mod options;
mod outbox;
mod pages;
mod platform;
mod read;
mod schema;
mod space;
mod store;
mod sweep;
mod tasks;
mod tx;
mod value;
mod writer;

pub use buffer::Buffer;
pub use docs::{Doc, DocPage, DocWrite, Precondition};
pub use error::{BufferError, OpenError};
pub use journal::{LogLevel, LogLine, LogPage, Progress};
pub use key::{MAX_KEY, MAX_PLUGIN, Space};
pub use lock::{Holder, holder, path as lock_file};
pub use open::{OpenReport, SetAsideFolder, set_aside_folders};
pub use options::{Clock, Limits, Options};
pub use outbox::{AsideEntry, OutboxEntry};
pub use pages::CachedPage;
pub use schema::SCHEMA;
pub use space::{FreeSpace, Probe};
pub use sweep::{Stats, Swept};
pub use tasks::{LocalTask, StepNotes, Taken};
pub use tx::Tx;
pub use value::MAX_VALUE;
