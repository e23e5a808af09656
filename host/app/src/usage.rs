//! What this host uses of the computer.

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::config::Config;

/// The configuration's gigabytes are those that operating systems show: 2^30 bytes.
const GB: f64 = 1_073_741_824.0;

/// Bytes of a number of gigabytes from the configuration, which has checked its range.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // at most 100,000 GB, never negative
pub fn gigabytes(number: f64) -> u64 {
    (number * GB) as u64
}

/// Measures, beside the bounds that the owner set.
#[derive(Debug, Clone)]
pub struct Meter {
    disk_allowed: u64,
    max_attempts: u32,
    total_memory: u64,
}

impl Meter {
    /// For a configuration.
    pub fn new(config: &Config) -> Self {
        let mut system = System::new();
        system.refresh_memory();
        Self {
            disk_allowed: gigabytes(config.resources.temp_storage_gb),
            max_attempts: config.tasks.max_attempts,
            total_memory: system.total_memory(),
        }
    }

    /// Bytes of memory of this process, which its plugins are a part of, and of its browsers; and of the computer.
    pub fn memory(&self, browsers: u64) -> (u64, u64) {
        let mut system = System::new();
        let own = Pid::from_u32(std::process::id());
        system.refresh_processes_specifics(
            ProcessesToUpdate::Some(&[own]),
            true,
            ProcessRefreshKind::nothing().with_memory(),
        );
        let host = system.process(own).map_or(0, sysinfo::Process::memory);
        (host.saturating_add(browsers), self.total_memory)
    }

    /// Bytes that the data folder may hold.
    pub fn disk_allowed(&self) -> u64 {
        self.disk_allowed
    }

    /// Tries of a task whose submitter does not say.
    pub fn max_attempts(&self) -> u32 {
        self.max_attempts
    }
}
