//! The status of a host.

use super::table::facts;
use crate::control::views::StatusView;

/// The dashboard's fields, one a line.
pub fn status(view: &StatusView, width: u16) -> String {
    let latency =
        view.firebase_latency.clone().unwrap_or_else(|| "no Firebase: tasks are queued on this computer".to_owned());
    facts(
        width,
        [
            ("agent", view.agent.clone()),
            ("status", view.status.clone()),
            ("uptime", view.uptime.clone()),
            ("tasks completed today", view.tasks_completed_today.to_string()),
            ("active browsers", view.active_browsers.to_string()),
            ("pending sync", view.pending_sync.to_string()),
            ("memory usage", view.memory_usage.clone()),
            ("disk usage", view.disk_usage.clone()),
            ("last sync", view.last_sync.clone()),
            ("firebase latency", latency),
        ],
    )
}
