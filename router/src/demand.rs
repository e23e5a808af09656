//! What a task will probably need. The router decides by it.

use serde::{Deserialize, Serialize};

/// An estimate, by the plugin, plus the sizes that the host adds for what the input refers to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// Pages to open in a browser.
    pub pages: u32,
    /// Bytes of input to work through.
    pub bytes: u64,
    /// Seconds of work.
    pub seconds: u32,
    /// Needs something that only the owner's computer has: a local file, a logged-in profile.
    pub desktop_only: bool,
}
