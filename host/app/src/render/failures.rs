//! What a full result could not get, for people who see its digest: that has no word of it.
//!
//! Any result is taken that has the scraper's shape: `failures`, a list of objects with `url` and `reason`.

use std::fmt::Write as _;

use serde::Deserialize;

use super::table::line;

/// Failures that are shown; the others are counted.
const SHOWN: usize = 5;

/// Characters of an address and of a reason that are shown.
const LONGEST: usize = 300;

#[derive(Deserialize)]
struct Full {
    failures: Vec<Failure>,
    stats: Option<Stats>,
}

#[derive(Deserialize)]
struct Failure {
    url: String,
    reason: String,
}

/// The list is bounded, so it may be shorter than the count.
#[derive(Deserialize)]
struct Stats {
    failed: u64,
}

/// How many pages failed, and why the first of them did; `None` when none did, or the text has another shape.
pub fn failures(full: &[u8]) -> Option<String> {
    let Full { failures, stats } = serde_json::from_slice(full).ok()?;
    let count = stats.map_or(0, |stats| stats.failed).max(failures.len() as u64);
    if failures.is_empty() {
        return None;
    }
    let mut text = if count == 1 { "1 page failed:\n".to_owned() } else { format!("{count} pages failed:\n") };
    for Failure { url, reason } in failures.into_iter().take(SHOWN) {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "  {}: {}", line(&url, LONGEST), line(&reason, LONGEST));
    }
    let others = count.saturating_sub(SHOWN as u64);
    if others > 0 {
        let _ = writeln!(text, "  and {others} more, see `failures` in the full result");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_five_pages_that_failed_are_told_with_their_reasons_and_the_others_counted() {
        let failure = |n: u32| serde_json::json!({ "url": format!("http://a/{n}"), "code": "dns", "reason": "no\u{1b}[2J name\nx" });
        let full = |n: u32| {
            let failures: Vec<_> = (0..n).map(failure).collect();
            serde_json::json!({ "pages": [{ "url": "http://a/" }], "failures": failures, "stats": { "failed": n } })
        };
        let shown = |n: u32| failures(full(n).to_string().as_bytes());
        assert_eq!(shown(0), None);
        assert_eq!(shown(1).as_deref(), Some("1 page failed:\n  http://a/0: no[2J name…\n"));
        let many = shown(7).unwrap_or_default();
        assert!(many.starts_with("7 pages failed:\n  http://a/0: no"), "{many}");
        assert!(
            many.ends_with("  http://a/4: no[2J name…\n  and 2 more, see `failures` in the full result\n"),
            "{many}"
        );
    }

    #[test]
    fn a_result_of_another_shape_has_no_failures_to_tell() {
        for other in [r#"{"failures":"none"}"#, r#"{"failures":[1]}"#, r#"{"rows":[]}"#, "[]", "{"] {
            assert_eq!(failures(other.as_bytes()), None, "{other}");
        }
    }
}
