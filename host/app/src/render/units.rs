//! Durations and bytes as people say them.

use std::time::Duration;

use jiff::Timestamp;

fn count(number: u64, unit: &str) -> String {
    if number == 1 { format!("1 {unit}") } else { format!("{number} {unit}s") }
}

/// Two units at most: `14 hours, 32 minutes`; `3 days`; `0 seconds`.
pub fn long_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let parts = match (days, hours, minutes) {
        (0, 0, 0) => [count(seconds, "second"), String::new()],
        (0, 0, minutes) => [count(minutes, "minute"), second(seconds % 60, "second")],
        (0, hours, minutes) => [count(hours, "hour"), second(minutes, "minute")],
        (days, hours, _) => [count(days, "day"), second(hours, "hour")],
    };
    parts.concat()
}

fn second(number: u64, unit: &str) -> String {
    if number == 0 { String::new() } else { format!(", {}", count(number, unit)) }
}

/// The largest unit alone: `32 seconds ago`; `just now` within the first second.
pub fn ago(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => "just now".to_owned(),
        1..60 => format!("{} ago", count(seconds, "second")),
        60..3600 => format!("{} ago", count(seconds / 60, "minute")),
        3600..86_400 => format!("{} ago", count(seconds / 3600, "hour")),
        _ => format!("{} ago", count(seconds / 86_400, "day")),
    }
}

/// How long before `now` something was; a moment that seems to lie ahead, by another clock, is now.
pub fn since(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

/// For a narrow column: `450ms`, `1.5s`, `2m 5s`, `3h 20m`, `2d 4h`.
pub fn short_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{}.{}s", seconds, duration.subsec_millis() / 100),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// Gigabytes of 2^30 bytes with at most one decimal: `6.2 GB`, `16 GB`. (The unit of `max_memory_gb`.)
pub fn gigabytes(bytes: u64) -> String {
    const GIB: u128 = 1 << 30;
    // Rounded to tenths in whole numbers, so that no figure depends on how a float is printed.
    let tenths = (u128::from(bytes) * 10 + GIB / 2) / GIB;
    if tenths.is_multiple_of(10) {
        format!("{} GB", tenths / 10)
    } else {
        format!("{}.{} GB", tenths / 10, tenths % 10)
    }
}

/// Bytes in the unit that fits: `512 B`, `1.5 KiB`, `3.2 MiB`, `4.0 GiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Tenths again, and up a unit while they would show 1024 or more.
    let mut tenths = (u128::from(bytes) * 10 + 512) / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths = (tenths + 512) / 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        let long = |seconds| long_duration(Duration::from_secs(seconds));
        assert_eq!(long(14 * 3600 + 32 * 60), "14 hours, 32 minutes");
        assert_eq!(long(0), "0 seconds");
        assert_eq!(long(1), "1 second");
        assert_eq!(long(61), "1 minute, 1 second");
        assert_eq!(long(3600), "1 hour");
        assert_eq!(long(3 * 86_400 + 3600), "3 days, 1 hour");
        assert_eq!(ago(Duration::from_secs(32)), "32 seconds ago");
        assert_eq!(ago(Duration::from_millis(900)), "just now");
        assert_eq!(ago(Duration::from_hours(2)), "2 hours ago");
        assert_eq!(short_duration(Duration::from_millis(1540)), "1.5s");
        assert_eq!(short_duration(Duration::from_secs(125)), "2m 5s");
    }

    #[test]
    fn bytes_read_as_people_say_them() {
        const GIB: u64 = 1 << 30;
        assert_eq!(gigabytes(16 * GIB), "16 GB");
        assert_eq!(gigabytes(6 * GIB + GIB / 5), "6.2 GB");
        assert_eq!(gigabytes(0), "0 GB");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024), "1.0 KiB");
        assert_eq!(bytes((1 << 20) - 1), "1.0 MiB");
        assert_eq!(bytes(4 * GIB), "4.0 GiB");
    }

    #[test]
    fn a_moment_ahead_of_this_clock_is_now() {
        let now = Timestamp::from_second(100).unwrap();
        assert_eq!(since(now, Timestamp::from_second(200).unwrap()), Duration::ZERO);
        assert_eq!(since(now, Timestamp::from_second(40).unwrap()), Duration::from_mins(1));
    }

    proptest::proptest! {
        #[test]
        fn every_number_has_a_text(number: u64) {
            assert!(!bytes(number).is_empty() && !gigabytes(number).is_empty());
            assert!(!long_duration(Duration::from_secs(number)).is_empty());
        }
    }
}
