//! Case Q17: a full disk.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::time::Duration;

use buddy_buffer::{Buffer, BufferError, CachedPage, Options};
use buddy_router::Lease;

use crate::kit::{TestClock, options, success, task};

#[tokio::test]
async fn q17_below_the_floor_nothing_new_is_taken_in_results_still_are_and_it_resumes_by_itself() {
    let root = tempfile::tempdir().unwrap();
    let free = Arc::new(AtomicU64::new(2000));
    let probed = free.clone();
    let (buffer, _) = Buffer::open(&Options {
        free_floor: 1000,
        free_every: Duration::ZERO,
        probe: Arc::new(move |_| Ok(probed.load(Ordering::SeqCst))),
        ..options(&root, &TestClock::default())
    })
    .unwrap();
    let running = task(1, 1);
    buffer.take_task(running.clone()).await.unwrap();
    buffer.start_try(&running.id, Lease(1)).await.unwrap();

    free.store(999, Ordering::SeqCst);
    assert!(buffer.free_space().is_low());
    let refused = buffer.take_task(task(2, 1)).await;
    assert!(matches!(refused, Err(BufferError::DiskFull { free: 999, floor: 1000 })));
    let page = CachedPage {
        url: "https://a.test/".to_owned(),
        final_url: "https://a.test/".to_owned(),
        status: 200,
        headers: vec![],
        body: vec![],
        cached_at: 0,
        expires_at: 9,
    };
    assert!(matches!(buffer.put_page(page).await, Err(BufferError::DiskFull { .. })));
    buffer.save_checkpoint(&running.id, "page-1", b"{}".to_vec()).await.unwrap();
    buffer.finish_task(success(&running, "{}")).await.unwrap();
    assert_eq!(buffer.pending(), 1);

    free.store(1000, Ordering::SeqCst);
    buffer.take_task(task(2, 1)).await.unwrap();
}

/// Real failed writes: a child process whose files may not grow beyond a limit.
#[cfg(unix)]
mod failing {
    use std::process::Command;

    use buddy_buffer::{DocWrite, Precondition};

    use super::*;

    const FOLDER: &str = "BUDDY_BUFFER_FULL_DISK_CHILD";

    fn write(number: u64) -> Vec<DocWrite> {
        let key = number.to_be_bytes().to_vec();
        vec![DocWrite { key, precondition: Precondition::None, value: Some(vec![7; 3000]) }]
    }

    /// Not a test by itself: what the child does.
    #[test]
    fn child() {
        let Some(folder) = std::env::var_os(FOLDER) else { return };
        let (buffer, _) = Buffer::open(&Options { free_floor: 0, ..Options::new(folder) }).unwrap();
        for number in 0..100_000 {
            match buffer.transact_blocking(move |tx| tx.commit_docs(write(number))) {
                Ok(_) => println!("\nack {number}"),
                Err(first) => {
                    let then = buffer.transact_blocking(move |tx| tx.commit_docs(write(number))).unwrap_err();
                    assert!(matches!(first, BufferError::Degraded { .. }), "{first}");
                    assert!(matches!(then, BufferError::Degraded { .. }), "{then}");
                    assert!(buffer.check().is_err());
                    println!("\ndegraded");
                    return;
                }
            }
        }
    }

    #[test]
    fn q17_after_a_failed_write_nothing_is_accepted_and_every_acknowledged_write_is_there_when_reopened() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("buffer");
        // 4,096 blocks of 512 bytes; the signal that goes with the limit is ignored, so the write fails.
        let output = Command::new("sh")
            .args(["-c", r#"trap '' XFSZ; ulimit -f 4096; exec "$0" "$@""#])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "disk::failing::child", "--nocapture"])
            .env(FOLDER, &folder)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.lines().any(|line| line == "degraded"), "{text}{}", String::from_utf8_lossy(&output.stderr));
        let acknowledged: Vec<u64> = text.lines().filter_map(|line| line.strip_prefix("ack ")?.parse().ok()).collect();
        assert!(acknowledged.len() > 50, "{}", acknowledged.len());

        let (buffer, report) = Buffer::open(&Options { free_floor: 0, ..Options::new(folder) }).unwrap();
        assert_eq!(report.set_aside, None);
        for number in acknowledged {
            assert!(buffer.doc(&number.to_be_bytes()).unwrap().is_some(), "{number}");
        }
        buffer.transact_blocking(|tx| tx.commit_docs(write(7))).unwrap();
    }
}
