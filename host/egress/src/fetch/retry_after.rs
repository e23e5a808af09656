//! `Retry-After`, in both its forms.

use std::time::{Duration, SystemTime};

use http::StatusCode;
use http::header::{self, HeaderMap};

/// How long the server of a 429 or 503 wants to be left alone; `None` when it does not say.
///
/// A date is compared with the answer's own `Date`, so that a clock that differs from the server's does no harm;
/// `now` serves when there is none. A date that has passed is no wait.
pub(super) fn delay(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    if !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        return None;
    }
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than a u64 holds is still a number: the longest there is.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    let date = headers.get(header::DATE).and_then(|d| d.to_str().ok()).and_then(|d| httpdate::parse_http_date(d).ok());
    Some(at.duration_since(date.unwrap_or(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn b15_retry_after_is_read_in_seconds_and_as_a_date() {
        let now = httpdate::parse_http_date("Wed, 21 Oct 2015 07:00:00 GMT").unwrap();
        let table: &[(u16, &str, Option<&str>, Option<u64>)] = &[
            (429, "120", None, Some(120)),
            (503, " 0 ", None, Some(0)),
            (429, "99999999999999999999999", None, Some(u64::MAX)),
            (429, "Wed, 21 Oct 2015 07:28:00 GMT", None, Some(28 * 60)),
            (429, "Wed, 21 Oct 2015 06:28:00 GMT", None, Some(0)),
            // The server's clock is an hour ahead: its own date counts.
            (503, "Wed, 21 Oct 2015 08:01:00 GMT", Some("Wed, 21 Oct 2015 08:00:00 GMT"), Some(60)),
            (503, "Wednesday, 21-Oct-15 07:00:05 GMT", None, Some(5)),
            (503, "Wed Oct 21 07:00:07 2015", None, Some(7)),
            (429, "-1", None, None),
            (429, "1.5", None, None),
            (429, "soon", None, None),
            (429, "", None, None),
            (200, "120", None, None),
            (404, "120", None, None),
        ];
        for (status, value, date, expected) in table {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, value.parse().unwrap());
            if let Some(date) = date {
                headers.insert(header::DATE, date.parse().unwrap());
            }
            let got = delay(StatusCode::from_u16(*status).unwrap(), &headers, now);
            assert_eq!(got, expected.map(Duration::from_secs), "{status} {value:?}");
        }
    }
}
