//! Cached pages, checkpoints, key-values, progress and logs.

use buddy_buffer::{Buffer, BufferError, CachedPage, Limits, LogLevel, LogLine, Progress, Space};
use buddy_router::TaskId;

use crate::kit::{TestClock, fresh, noise, options};

fn page(url: &str, body: &[u8], expires_at: u64) -> CachedPage {
    CachedPage {
        url: url.to_owned(),
        final_url: format!("{url}#end"),
        status: 200,
        headers: vec![("content-type".to_owned(), "text/html".to_owned())],
        body: body.to_vec(),
        cached_at: 1,
        expires_at,
    }
}

fn bounded(clock: &TestClock, limits: Limits) -> (tempfile::TempDir, Buffer) {
    let root = tempfile::tempdir().unwrap();
    let (buffer, _) = Buffer::open(&buddy_buffer::Options { limits, ..options(&root, clock) }).unwrap();
    (root, buffer)
}

#[tokio::test]
async fn a_page_comes_back_as_it_was_until_it_expires() {
    let clock = TestClock::at(10);
    let (_root, buffer) = fresh(&clock);
    // Does not compress: kept in pieces as it is.
    let noise = noise(100_000, 1);
    for body in [&b""[..], b"<p>short", &b"<p>long</p>".repeat(10_000), &noise] {
        let wanted = page("https://a.test/", body, 20);
        buffer.put_page(wanted.clone()).await.unwrap();
        assert_eq!(buffer.page("https://a.test/").unwrap(), Some(wanted));
    }
    assert_eq!(buffer.page("https://a.test/other").unwrap(), None);
    clock.set(20);
    assert_eq!(buffer.page("https://a.test/").unwrap(), None);
    assert_eq!(buffer.sweep().await.unwrap().pages, 1);
    let stats = buffer.stats().unwrap();
    for space in [Space::Pages, Space::Expiry, Space::Pieces] {
        assert!(stats.records.contains(&(space, 0)), "{space:?}");
    }
}

#[tokio::test]
async fn pages_that_expire_first_make_room_for_new_ones() {
    let (_root, buffer) = bounded(&TestClock::default(), Limits { page_cache_bytes: 5000, ..Limits::default() });
    for number in 0..20 {
        buffer.put_page(page(&format!("https://a.test/{number}"), &[7; 1000], 100 + number)).await.unwrap();
    }
    let stats = buffer.stats().unwrap();
    let (_, bytes) = stats.bytes.iter().find(|(space, _)| *space == Space::Pages).unwrap();
    assert!(*bytes <= 5000, "{bytes}");
    assert!(buffer.page("https://a.test/0").unwrap().is_none());
    assert!(buffer.page("https://a.test/19").unwrap().is_some());
    let noise = noise(9000, 1);
    let too_large = buffer.put_page(page("https://a.test/large", &noise, 500)).await;
    assert!(matches!(too_large, Err(BufferError::TooLarge { max: 5000, .. })));
    assert!(buffer.page("https://a.test/19").unwrap().is_some());
}

#[tokio::test]
async fn the_page_cache_makes_room_for_others_when_it_is_told_to() {
    let (_root, buffer) = fresh(&TestClock::default());
    // More than go at a time.
    for number in 0..200 {
        buffer.put_page(page(&format!("https://a.test/{number}"), &[7; 1000], 100 + number)).await.unwrap();
    }
    let left = buffer.shrink_pages(20_000).await.unwrap();
    assert!((18_000..=20_000).contains(&left), "{left}");
    assert!(buffer.page("https://a.test/150").unwrap().is_none());
    assert!(buffer.page("https://a.test/199").unwrap().is_some());
    assert_eq!(buffer.shrink_pages(20_000).await.unwrap(), left, "there is nothing to do");
    assert_eq!(buffer.shrink_pages(0).await.unwrap(), 0);
    let stats = buffer.stats().unwrap();
    for space in [Space::Pages, Space::Expiry] {
        assert!(stats.records.contains(&(space, 0)), "{space:?}");
    }
}

#[tokio::test]
async fn checkpoints_are_a_tasks_own_in_byte_order_and_bounded() {
    let limits = Limits { checkpoint_bytes_per_task: 10_000, checkpoints_per_task: 3, ..Limits::default() };
    let (_root, buffer) = bounded(&TestClock::default(), limits);
    let (one, other) = (TaskId::from_random(1), TaskId::from_random(2));
    for name in ["page/b", "page/a", "state"] {
        buffer.save_checkpoint(&one, name, name.as_bytes().to_vec()).await.unwrap();
    }
    buffer.save_checkpoint(&other, "page/c", b"other".to_vec()).await.unwrap();
    let found = buffer.checkpoints(&one, "page/").unwrap();
    assert_eq!(found, [("page/a".to_owned(), b"page/a".to_vec()), ("page/b".to_owned(), b"page/b".to_vec())]);
    let refused = buffer.save_checkpoint(&one, "fourth", vec![]).await;
    assert!(matches!(refused, Err(BufferError::Quota { unit: "checkpoints", wanted: 4, quota: 3, .. })));
    let refused = buffer.save_checkpoint(&one, "state", vec![0; 10_000]).await;
    assert!(matches!(refused, Err(BufferError::Quota { unit: "bytes", .. })));
    // Writing again in the place of what was there counts once.
    for _ in 0..3 {
        buffer.save_checkpoint(&one, "state", vec![1; 9_000]).await.unwrap();
    }
    assert_eq!(buffer.checkpoint(&one, "state").unwrap(), Some(vec![1; 9_000]));
    buffer.clear_checkpoints(&one).await.unwrap();
    assert_eq!(buffer.checkpoints(&one, "").unwrap(), []);
    assert_eq!(buffer.checkpoint(&other, "page/c").unwrap(), Some(b"other".to_vec()));
    for bad in ["", "a\0b", &"x".repeat(513)] {
        assert!(matches!(buffer.save_checkpoint(&one, bad, vec![]).await, Err(BufferError::BadKey { .. })));
    }
}

#[tokio::test]
async fn a_key_value_lives_for_its_time_and_compare_and_set_sees_an_expired_one_as_absent() {
    let clock = TestClock::at(100);
    let (_root, buffer) = fresh(&clock);
    buffer.kv_set("scraper", "seen", b"1".to_vec(), Some(50)).await.unwrap();
    assert!(!buffer.kv_compare_and_set("scraper", "seen", None, b"2".to_vec()).await.unwrap());
    assert!(!buffer.kv_compare_and_set("scraper", "seen", Some(b"9".to_vec()), b"2".to_vec()).await.unwrap());
    clock.set(150);
    assert_eq!(buffer.kv_get("scraper", "seen").unwrap(), None);
    assert_eq!(buffer.kv_keys("scraper", "", 10).unwrap(), [""; 0]);
    assert!(buffer.kv_compare_and_set("scraper", "seen", None, b"2".to_vec()).await.unwrap());
    assert!(buffer.kv_compare_and_set("scraper", "seen", Some(b"2".to_vec()), b"3".to_vec()).await.unwrap());
    assert_eq!(buffer.kv_get("scraper", "seen").unwrap(), Some(b"3".to_vec()));
    assert_eq!(buffer.sweep().await.unwrap().key_values, 0);
    assert!(buffer.kv_remove("scraper", "seen").await.unwrap());
    assert!(!buffer.kv_remove("scraper", "seen").await.unwrap());
    assert_eq!(buffer.kv_used("scraper").unwrap(), 0);
}

#[tokio::test]
async fn a_plugin_has_a_quota_and_what_has_expired_makes_room() {
    let clock = TestClock::at(0);
    let (_root, buffer) = bounded(&clock, Limits { kv_bytes_per_plugin: 100, ..Limits::default() });
    buffer.kv_set("a", "k1", vec![0; 58], Some(10)).await.unwrap();
    let refused = buffer.kv_set("a", "k2", vec![0; 58], None).await.unwrap_err();
    assert_eq!(refused.to_string(), "plugin a would keep 120 of bytes and its quota is 100: remove something first");
    buffer.kv_set("b", "k2", vec![0; 58], None).await.unwrap();
    clock.set(10);
    buffer.kv_set("a", "k2", vec![0; 58], None).await.unwrap();
    assert_eq!(buffer.kv_used("a").unwrap(), 60);
    assert_eq!(buffer.kv_clear("a").await.unwrap(), 1);
    assert_eq!((buffer.kv_used("a").unwrap(), buffer.kv_used("b").unwrap()), (0, 60));
}

#[tokio::test]
async fn a_log_keeps_its_last_lines_and_counts_the_dropped_ones() {
    let (_root, buffer) = bounded(&TestClock::default(), Limits { log_lines_per_task: 5, ..Limits::default() });
    let id = TaskId::from_random(1);
    let line = |number: u64| LogLine {
        at: number,
        level: LogLevel::Warn,
        message: format!("line {number}"),
        fields: vec![("n".to_owned(), number.to_string())],
    };
    assert!(buffer.append_log(&id, (0..3).map(line).collect()));
    assert!(buffer.append_log(&id, (3..12).map(line).collect()));
    assert!(buffer.set_progress(&id, Progress { done: 3, total: Some(9), message: "on it".to_owned(), at: 1 }));
    // A write that is waited for comes after them.
    buffer.kv_set("a", "k", vec![], None).await.unwrap();
    let log = buffer.log_tail(&id, 2).unwrap();
    assert_eq!(log.dropped, 7);
    assert_eq!(log.lines, [(10, line(10)), (11, line(11))]);
    let all: Vec<u64> = buffer.log(&id, 0, 100).unwrap().lines.iter().map(|(number, _)| *number).collect();
    assert_eq!(all, [7, 8, 9, 10, 11]);
    assert_eq!(buffer.progress(&id).unwrap().unwrap().done, 3);
}
