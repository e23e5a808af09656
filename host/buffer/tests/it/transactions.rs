//! Transactions: whole or not at all, one after the other.

use buddy_buffer::{Buffer, BufferError, DocWrite, Precondition};

use crate::kit::{TestClock, fresh, options, success, task};

fn write(key: &str, precondition: Precondition, value: Option<&str>) -> DocWrite {
    DocWrite { key: key.into(), precondition, value: value.map(Into::into) }
}

#[tokio::test]
async fn a_commit_with_one_conflict_writes_nothing_and_names_the_write() {
    let (_root, buffer) = fresh(&TestClock::default());
    let versions = buffer.commit_docs(vec![write("a", Precondition::Exists(false), Some("1"))]).await.unwrap();
    let conflict = buffer
        .commit_docs(vec![
            write("b", Precondition::None, Some("2")),
            write("a", Precondition::Version(versions[0] + 1), Some("3")),
        ])
        .await
        .unwrap_err();
    assert!(matches!(conflict, BufferError::DocConflict { index: 1, found: Some(found) } if found == versions[0]));
    assert_eq!(buffer.doc(b"b").unwrap(), None);
    assert_eq!(buffer.doc(b"a").unwrap().unwrap().value, b"1");
}

#[tokio::test]
async fn a_version_is_never_used_again_even_after_a_removal() {
    let (_root, buffer) = fresh(&TestClock::default());
    let mut last = 0;
    for value in [Some("1"), None, Some("2"), Some("3")] {
        let version = buffer.commit_docs(vec![write("a", Precondition::None, value)]).await.unwrap()[0];
        assert!(version > last);
        last = version;
    }
    let stale = buffer.commit_docs(vec![write("a", Precondition::Version(1), Some("4"))]).await;
    assert!(matches!(stale, Err(BufferError::DocConflict { index: 0, .. })));
}

#[tokio::test]
async fn of_many_writers_of_one_version_exactly_one_wins() {
    let (_root, buffer) = fresh(&TestClock::default());
    let version = buffer.commit_docs(vec![write("a", Precondition::None, Some("0"))]).await.unwrap()[0];
    let tries = (0..50).map(|number| {
        let buffer = buffer.clone();
        let value = number.to_string();
        tokio::spawn(async move {
            buffer.commit_docs(vec![write("a", Precondition::Version(version), Some(&value))]).await.is_ok()
        })
    });
    let mut winners = 0;
    for one in tries.collect::<Vec<_>>() {
        winners += usize::from(one.await.unwrap());
    }
    assert_eq!(winners, 1);
}

#[tokio::test]
async fn a_task_and_a_document_are_written_together_or_not_at_all() {
    let clock = TestClock::default();
    let (root, buffer) = fresh(&clock);
    let wanted = task(1, 1);
    let id = wanted.id.clone();
    let refused: Result<(), BufferError> = buffer
        .transact(move |tx| {
            tx.take_task(wanted)?;
            tx.commit_docs(vec![write("a", Precondition::Exists(true), Some("1"))])?;
            Ok(())
        })
        .await;
    assert!(matches!(refused, Err(BufferError::DocConflict { .. })));
    assert!(!buffer.has_task(&id).unwrap());
    assert_eq!(buffer.count_tasks(buddy_router::State::Assigned), 0);

    let wanted = task(1, 1);
    buffer
        .transact::<_, BufferError, _>(move |tx| {
            tx.take_task(wanted)?;
            tx.commit_docs(vec![write("a", Precondition::Exists(false), Some("1"))])
        })
        .await
        .unwrap();
    drop(buffer);
    let (buffer, _) = Buffer::open(&options(&root, &clock)).unwrap();
    assert!(buffer.has_task(&id).unwrap());
    assert!(buffer.doc(b"a").unwrap().is_some());
}

#[tokio::test]
async fn a_panic_inside_a_transaction_is_an_error_of_its_caller_only() {
    let (_root, buffer) = fresh(&TestClock::default());
    let broken = buffer
        .transact::<(), BufferError, _>(|tx| {
            tx.commit_docs(vec![write("a", Precondition::None, Some("1"))])?;
            panic!("on purpose")
        })
        .await;
    assert!(matches!(broken, Err(BufferError::Panicked { message }) if &*message == "on purpose"));
    assert_eq!(buffer.doc(b"a").unwrap(), None);
    buffer.commit_docs(vec![write("b", Precondition::None, Some("2"))]).await.unwrap();
}

#[tokio::test]
async fn a_transaction_sees_its_own_writes_in_scans_and_reads() {
    let (_root, buffer) = fresh(&TestClock::default());
    buffer.commit_docs(["a", "c", "e"].map(|key| write(key, Precondition::None, Some("old"))).to_vec()).await.unwrap();
    let seen = buffer
        .transact::<_, BufferError, _>(|tx| {
            tx.commit_docs(vec![
                write("b", Precondition::None, Some("new")),
                write("c", Precondition::None, None),
                write("e", Precondition::None, Some("new")),
            ])?;
            tx.scan_docs(b"", None, 10)
        })
        .await
        .unwrap();
    let seen: Vec<(&[u8], &[u8])> = seen.docs.iter().map(|doc| (&doc.key[..], &doc.value[..])).collect();
    assert_eq!(seen, [(&b"a"[..], &b"old"[..]), (b"b", b"new"), (b"e", b"new")]);
}

#[test]
fn a_blocking_write_works_inside_and_outside_of_a_runtime() {
    let (_root, buffer) = fresh(&TestClock::default());
    let put = |key: &'static str| {
        buffer.transact_blocking(move |tx| tx.commit_docs(vec![write(key, Precondition::None, Some("1"))]))
    };
    put("outside").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { put("inside") }).unwrap();
    assert!(buffer.doc(b"inside").unwrap().is_some());
}

#[tokio::test]
async fn after_close_writes_are_refused_and_what_was_handed_in_before_is_there() {
    let clock = TestClock::default();
    let (root, buffer) = fresh(&clock);
    let wanted = task(1, 1);
    buffer.take_task(wanted.clone()).await.unwrap();
    buffer.close().await;
    assert!(matches!(buffer.take_task(task(2, 1)).await, Err(BufferError::Closed)));
    buffer.close().await;
    drop(buffer);
    let (buffer, report) = Buffer::open(&options(&root, &clock)).unwrap();
    assert!(!report.fresh);
    assert!(buffer.has_task(&wanted.id).unwrap());
}

#[tokio::test]
async fn a_handle_dropped_inside_a_job_does_not_hang_the_writer() {
    let clock = TestClock::default();
    let (root, buffer) = fresh(&clock);
    let inside = buffer.clone();
    let last = buffer.transact::<_, BufferError, _>(move |tx| {
        drop(inside);
        tx.enqueue_result(&success(&task(1, 1), "{}"), false)
    });
    assert_eq!(last.await.unwrap(), 1);
    drop(buffer);
    assert_eq!(Buffer::open(&options(&root, &clock)).unwrap().0.pending(), 1);
}
