//! Tasks and results: from pulled to pushed.

use buddy_buffer::{Buffer, BufferError, LogLevel, LogLine, StepNotes, Taken};
use buddy_router::{DigestSpec, Event, Lease, Outcome, State, TaskId, TaskResult};

use crate::kit::{TestClock, fresh, options, success, task};

fn ids(tasks: &[buddy_buffer::LocalTask]) -> Vec<u128> {
    tasks.iter().map(|local| u128::from_str_radix(local.task.id.as_str(), 16).unwrap()).collect()
}

#[tokio::test]
async fn the_most_urgent_and_then_the_oldest_runs_first_and_none_before_its_time() {
    let (_root, buffer) = fresh(&TestClock::at(100));
    for (number, priority, created, not_before) in [
        (1, 0, 5, None),
        (2, 0, 4, None),
        (3, 9, 6, None),
        (4, -9, 1, None),
        (5, 9, 9, Some(150)),
        (6, 9, 1, Some(100)),
    ] {
        let mut wanted = task(number, 1);
        (wanted.priority, wanted.created, wanted.not_before) = (priority, created, not_before);
        buffer.take_task(wanted).await.unwrap();
    }
    assert_eq!(ids(&buffer.next_runnable(100, 10).unwrap()), [6, 3, 2, 1, 4]);
    assert_eq!(ids(&buffer.next_runnable(150, 3).unwrap()), [6, 3, 5]);
    assert_eq!(buffer.next_due().unwrap(), Some(100));
}

#[tokio::test]
async fn q9_a_try_is_counted_on_disk_before_it_begins_and_runs_out() {
    let clock = TestClock::default();
    let root = tempfile::tempdir().unwrap();
    let id = task(1, 1).id;
    for started in 1..=3 {
        let (buffer, _) = Buffer::open(&options(&root, &clock)).unwrap();
        if started == 1 {
            buffer.take_task(task(1, 1)).await.unwrap();
        } else {
            // The host died in the middle of the try before.
            assert_eq!(buffer.interrupt_all().await.unwrap().len(), 1);
        }
        assert_eq!(buffer.start_try(&id, Lease(1)).await.unwrap().task.tries, started);
    }
    let (buffer, _) = Buffer::open(&options(&root, &clock)).unwrap();
    buffer.interrupt_all().await.unwrap();
    let refused = buffer.start_try(&id, Lease(1)).await;
    assert!(matches!(refused, Err(BufferError::NoTriesLeft { tries: 3, .. })));
}

#[tokio::test]
async fn a_run_whose_lease_is_over_changes_nothing() {
    let (_root, buffer) = fresh(&TestClock::default());
    let old = task(1, 1);
    assert_eq!(buffer.take_task(old.clone()).await.unwrap(), Taken::New);
    assert_eq!(buffer.take_task(old.clone()).await.unwrap(), Taken::Same);
    buffer.start_try(&old.id, Lease(1)).await.unwrap();
    assert_eq!(buffer.take_task(task(1, 2)).await.unwrap(), Taken::NewLease);
    let late = buffer.finish_task(success(&old, "{}")).await;
    assert!(matches!(late, Err(BufferError::StaleLease { given: Lease(1), found: Lease(2), .. })));
    assert!(matches!(buffer.take_task(old.clone()).await, Err(BufferError::StaleLease { .. })));
    let now = buffer.task(&old.id).unwrap().unwrap();
    assert_eq!((now.task.state, now.task.tries, buffer.pending()), (State::Assigned, 1, 0));
}

#[tokio::test]
async fn a_hand_back_that_never_reached_the_coordinator_is_resumed_by_the_same_assignment() {
    let clock = TestClock::default();
    let (root, buffer) = fresh(&clock);
    let wanted = task(1, 1);
    buffer.take_task(wanted.clone()).await.unwrap();
    buffer.start_try(&wanted.id, Lease(1)).await.unwrap();
    buffer.save_checkpoint(&wanted.id, "page-1", b"{}".to_vec()).await.unwrap();
    let notes = StepNotes { reason: Some("a long wait".to_owned()), not_before: Some(50) };
    buffer.step_task(&wanted.id, Lease(1), Event::HandBack, notes).await.unwrap();
    // The host ends before it tells the coordinator.
    drop(buffer);
    let (buffer, _) = Buffer::open(&options(&root, &clock)).unwrap();
    assert!(buffer.interrupt_all().await.unwrap().is_empty());
    assert!(buffer.next_runnable(50, 10).unwrap().is_empty());

    assert_eq!(buffer.take_task(wanted.clone()).await.unwrap(), Taken::Resumed);
    assert_eq!(buffer.take_task(wanted.clone()).await.unwrap(), Taken::Same);
    assert_eq!((buffer.count_tasks(State::Assigned), buffer.count_tasks(State::Submitted)), (1, 0));
    assert!(buffer.next_runnable(49, 10).unwrap().is_empty());
    assert_eq!(buffer.next_due().unwrap(), Some(50));
    let resumed = buffer.next_runnable(50, 10).unwrap().remove(0).task;
    assert_eq!((resumed.tries, resumed.reason.as_str()), (1, "a long wait"));
    assert_eq!(buffer.checkpoints(&wanted.id, "").unwrap().len(), 1);
    assert_eq!(buffer.start_try(&wanted.id, Lease(1)).await.unwrap().task.tries, 2);
}

#[tokio::test]
async fn a_task_that_was_handed_back_and_never_comes_again_goes_in_time_and_one_that_comes_again_stays() {
    let clock = TestClock::at(1);
    let (_root, buffer) = fresh(&clock);
    let keep = buddy_buffer::Limits::default().keep_finished_ms;
    for (number, not_before) in [(1, Some(50)), (2, Some(50)), (3, None)] {
        let wanted = task(number, 1);
        buffer.take_task(wanted.clone()).await.unwrap();
        buffer.save_checkpoint(&wanted.id, "page-1", b"{}".to_vec()).await.unwrap();
        let notes = StepNotes { reason: None, not_before };
        buffer.step_task(&wanted.id, Lease(1), Event::HandBack, notes).await.unwrap();
    }
    // One comes again under a new lease, one under the old one, as its hand-back never landed.
    assert_eq!(buffer.take_task(task(2, 2)).await.unwrap(), Taken::NewLease);
    assert_eq!(buffer.take_task(task(3, 1)).await.unwrap(), Taken::Resumed);
    clock.set(50 + keep - 1);
    assert_eq!(buffer.sweep().await.unwrap().tasks, 0);
    clock.set(50 + keep);
    assert_eq!(buffer.sweep().await.unwrap().tasks, 1);
    let left = |number: u128| {
        (
            buffer.task(&task(number, 1).id).unwrap().is_some(),
            buffer.checkpoints(&task(number, 1).id, "").unwrap().len(),
        )
    };
    assert_eq!([left(1), left(2), left(3)], [(false, 0), (true, 1), (true, 1)]);
}

#[tokio::test]
async fn giving_up_under_an_old_lease_leaves_the_new_one_its_record_and_checkpoints() {
    let (_root, buffer) = fresh(&TestClock::default());
    buffer.take_task(task(1, 1)).await.unwrap();
    let id = task(1, 1).id;
    buffer.save_checkpoint(&id, "page-1", b"{}".to_vec()).await.unwrap();
    buffer.take_task(task(1, 2)).await.unwrap();
    let late = buffer.give_up_task(&id, Lease(1), "lost").await;
    assert!(matches!(late, Err(BufferError::StaleLease { .. })), "{late:?}");
    assert_eq!(buffer.task(&id).unwrap().unwrap().goes_at, None);
    assert_eq!(buffer.checkpoints(&id, "").unwrap().len(), 1);

    buffer.give_up_task(&id, Lease(2), "lost").await.unwrap();
    let over = buffer.task(&id).unwrap().unwrap();
    assert_eq!((over.task.state, over.task.reason.as_str()), (State::Cancelled, "lost"));
    assert!(over.goes_at.is_some() && buffer.checkpoints(&id, "").unwrap().is_empty());
}

#[tokio::test]
async fn a_task_that_ended_is_not_resumed_by_the_assignment_it_ended_under() {
    let (_root, buffer) = fresh(&TestClock::default());
    let wanted = task(1, 1);
    buffer.take_task(wanted.clone()).await.unwrap();
    buffer.start_try(&wanted.id, Lease(1)).await.unwrap();
    buffer.finish_task(success(&wanted, "{}")).await.unwrap();
    assert_eq!(buffer.take_task(wanted.clone()).await.unwrap(), Taken::Same);
    assert_eq!(buffer.task(&wanted.id).unwrap().unwrap().task.state, State::Succeeded);
    assert!(buffer.next_runnable(u64::MAX, 10).unwrap().is_empty());
}

#[tokio::test]
async fn a_step_that_the_state_table_does_not_have_is_an_error() {
    let (_root, buffer) = fresh(&TestClock::default());
    let wanted = task(1, 1);
    buffer.take_task(wanted.clone()).await.unwrap();
    let refused = buffer.finish_task(success(&wanted, "{}")).await.unwrap_err();
    assert_eq!(refused.to_string(), "task 00000000000000000000000000000001: a task that is assigned cannot succeed");
    assert_eq!(buffer.pending(), 0);
}

#[tokio::test]
async fn a_backed_off_task_waits_for_its_time_and_starts_again() {
    let (_root, buffer) = fresh(&TestClock::default());
    let wanted = task(1, 1);
    buffer.take_task(wanted.clone()).await.unwrap();
    buffer.start_try(&wanted.id, Lease(1)).await.unwrap();
    let notes = StepNotes { reason: Some("the site was down".to_owned()), not_before: Some(50) };
    buffer.step_task(&wanted.id, Lease(1), Event::BackOff, notes).await.unwrap();
    assert!(buffer.next_runnable(49, 1).unwrap().is_empty());
    assert_eq!(buffer.next_runnable(50, 1).unwrap()[0].task.reason, "the site was down");
    let again = buffer.start_try(&wanted.id, Lease(1)).await.unwrap();
    assert_eq!((again.task.tries, again.task.not_before), (2, None));
    assert_eq!(again.task.reason, "", "it does not wait any more");
    assert!(buffer.next_runnable(99, 1).unwrap().is_empty());
}

#[tokio::test]
async fn only_a_try_that_kept_something_new_is_spared_and_only_as_often_as_it_does() {
    let clock = TestClock::default();
    let (root, buffer) = fresh(&clock);
    let id = task(1, 1).id;
    buffer.take_task(task(1, 1)).await.unwrap();
    let notes = || StepNotes { reason: Some("it goes on".to_owned()), not_before: Some(70) };
    let keeps = async |buffer: &Buffer, name: &str| buffer.save_checkpoint(&id, name, b"{}".to_vec()).await.unwrap();

    // It keeps one page after the other, in more tries than it has.
    for page in 0..5 {
        assert_eq!(buffer.start_try(&id, Lease(1)).await.unwrap().task.tries, 1);
        keeps(&buffer, &format!("page-{page}")).await;
        let spared = buffer.spare_try(&id, Lease(1), notes()).await.unwrap().unwrap();
        assert_eq!((spared.task.state, spared.task.tries, spared.task.not_before), (State::Assigned, 0, Some(70)));
    }
    // A try that only writes again what was there is none that came further.
    buffer.start_try(&id, Lease(1)).await.unwrap();
    keeps(&buffer, "page-0").await;
    assert_eq!(buffer.spare_try(&id, Lease(1), notes()).await.unwrap(), None);
    let counted = buffer.task(&id).unwrap().unwrap().task;
    assert_eq!((counted.state, counted.tries), (State::Running, 1), "nothing was written");

    // What a try kept that a kill ended is not the next one's, and the kill stays counted.
    keeps(&buffer, "page-5").await;
    drop(buffer);
    let (buffer, _) = Buffer::open(&options(&root, &clock)).unwrap();
    buffer.interrupt_all().await.unwrap();
    assert_eq!(buffer.start_try(&id, Lease(1)).await.unwrap().task.tries, 2);
    assert_eq!(buffer.spare_try(&id, Lease(1), notes()).await.unwrap(), None);
    keeps(&buffer, "page-6").await;
    let late = buffer.spare_try(&id, Lease(2), notes()).await;
    assert!(matches!(late, Err(BufferError::StaleLease { .. })), "{late:?}");
}

#[tokio::test]
async fn the_checkpoints_of_a_dead_letter_are_there_for_its_retry_and_go_with_its_record_or_its_success() {
    let clock = TestClock::at(1);
    let (_root, buffer) = fresh(&clock);
    let failed = |task: &buddy_router::Task| TaskResult {
        outcome: Outcome::Failed { reason: "given up".to_owned() },
        ..success(task, "")
    };
    let kept = |number: u128| buffer.checkpoints(&task(number, 1).id, "").unwrap().len();
    for number in [1, 2] {
        let one = task(number, 1);
        buffer.take_task(one.clone()).await.unwrap();
        buffer.start_try(&one.id, Lease(1)).await.unwrap();
        buffer.save_checkpoint(&one.id, "page-1", b"{}".to_vec()).await.unwrap();
        let seq = buffer.finish_task(failed(&one)).await.unwrap();
        buffer.acknowledge(vec![seq]).await.unwrap();
        assert_eq!(kept(number), 1);
    }
    // A person retries one of them.
    buffer.take_task(task(1, 2)).await.unwrap();
    assert_eq!(buffer.start_try(&task(1, 2).id, Lease(2)).await.unwrap().task.tries, 1);
    assert_eq!(kept(1), 1);
    let seq = buffer.finish_task(success(&task(1, 2), "{}")).await.unwrap();
    buffer.acknowledge(vec![seq]).await.unwrap();
    assert_eq!((kept(1), kept(2)), (0, 1));

    clock.set(1 + buffer.limits().keep_finished_ms);
    assert_eq!(buffer.sweep().await.unwrap().tasks, 2);
    assert_eq!(kept(2), 0);
    let left: u64 = buffer.stats().unwrap().records.iter().map(|(_, count)| count).sum();
    assert_eq!(left, 2, "only schema and session are left");
}

#[tokio::test]
async fn a_finished_task_is_in_the_outbox_until_acknowledged_and_then_goes_after_a_while() {
    let clock = TestClock::at(1000);
    let (root, buffer) = fresh(&clock);
    let wanted = task(1, 1);
    buffer.take_task(wanted.clone()).await.unwrap();
    buffer.start_try(&wanted.id, Lease(1)).await.unwrap();
    buffer.save_checkpoint(&wanted.id, "page-1", b"{}".to_vec()).await.unwrap();
    let line = LogLine { at: 1, level: LogLevel::Info, message: "went".to_owned(), fields: vec![] };
    assert!(buffer.append_log(&wanted.id, vec![line]));
    let large = format!(r#"{{"text":"{}"}}"#, "a long text ".repeat(20_000));
    let result = success(&wanted, &large);
    let seq = buffer.finish_task(result.clone()).await.unwrap();
    drop(buffer);

    let (buffer, _) = Buffer::open(&options(&root, &clock)).unwrap();
    let entry = &buffer.peek_outbox(None, 50, 8 << 20).unwrap()[0];
    assert_eq!((entry.seq, &entry.result, entry.queued), (seq, &result, 1000));
    assert_eq!(buffer.task(&wanted.id).unwrap().unwrap().task.result_hash, Some(result.hash()));
    assert_eq!(buffer.acknowledge(vec![seq, seq + 1]).await.unwrap(), 1);
    assert_eq!(buffer.pending(), 0);
    assert_eq!(buffer.checkpoints(&wanted.id, "").unwrap(), []);
    assert_eq!(buffer.log_tail(&wanted.id, 10).unwrap().lines.len(), 1);

    clock.set(1000 + buffer.limits().keep_finished_ms);
    assert_eq!(buffer.sweep().await.unwrap().tasks, 1);
    assert_eq!(buffer.task(&wanted.id).unwrap(), None);
    assert_eq!(buffer.log_tail(&wanted.id, 10).unwrap().lines, []);
    let left: u64 = buffer.stats().unwrap().records.iter().map(|(_, count)| count).sum();
    assert_eq!(left, 2, "only schema and session are left");
}

#[tokio::test]
async fn a_batch_is_bounded_by_count_and_bytes_and_names_no_task_twice() {
    let (_root, buffer) = fresh(&TestClock::default());
    buffer
        .transact::<_, BufferError, _>(|tx| {
            for number in [1, 2, 1, 3] {
                tx.enqueue_result(&success(&task(number, 1), &"x".repeat(1000)), false)?;
            }
            Ok(())
        })
        .await
        .unwrap();
    let seqs = |after, count, bytes| -> Vec<u64> {
        buffer.peek_outbox(after, count, bytes).unwrap().iter().map(|entry| entry.seq).collect()
    };
    assert_eq!(seqs(None, 50, usize::MAX), [1, 2, 4]);
    assert_eq!(seqs(None, 2, usize::MAX), [1, 2]);
    assert_eq!(seqs(None, 50, 1), [1]);
    assert_eq!(seqs(None, 50, 5000), [1, 2]);
    assert_eq!(seqs(Some(1), 50, usize::MAX), [2, 3, 4]);
    assert_eq!(seqs(Some(u64::MAX), 50, usize::MAX), [0; 0]);
    assert_eq!(buffer.pending(), 4);
}

#[tokio::test]
async fn a_result_that_cannot_be_applied_is_kept_with_its_reason_and_can_go_back() {
    let clock = TestClock::at(10);
    let (_root, buffer) = fresh(&clock);
    buffer
        .transact::<_, BufferError, _>(|tx| {
            tx.enqueue_result(&success(&task(1, 1), "{}"), false)?;
            tx.enqueue_result(&success(&task(2, 1), "{}"), true)
        })
        .await
        .unwrap();
    assert!(buffer.set_aside(1, "the task was deleted").await.unwrap());
    assert!(buffer.supersede(2, "another finish was applied").await.unwrap());
    assert!(!buffer.set_aside(3, "not there").await.unwrap());
    let aside = buffer.aside(None, 10).unwrap();
    assert_eq!(aside.iter().map(|one| (one.entry.seq, one.superseded)).collect::<Vec<_>>(), [(1, false), (2, true)]);
    assert!(aside[1].entry.urgent);
    assert_eq!((aside[0].reason.as_str(), buffer.pending()), ("the task was deleted", 0));

    clock.set(10 + buffer.limits().keep_superseded_ms);
    assert_eq!(buffer.sweep().await.unwrap().results, 1);
    assert!(buffer.requeue_aside(1).await.unwrap());
    assert_eq!(buffer.peek_outbox(None, 10, 1).unwrap()[0].seq, 1);
    assert_eq!(buffer.aside(None, 10).unwrap(), []);
}

#[tokio::test]
async fn a_large_payload_survives_every_step_and_goes_with_its_task() {
    let (_root, buffer) = fresh(&TestClock::default());
    let mut wanted = task(1, 1);
    wanted.payload = format!(r#"{{"text":"{}"}}"#, "ä".repeat(300_000));
    wanted.digest = Some(DigestSpec { task_type: "data_processing".to_owned(), input: "[1]".repeat(10_000) });
    buffer.take_task(wanted.clone()).await.unwrap();
    buffer.start_try(&wanted.id, Lease(1)).await.unwrap();
    let running = buffer.tasks_in(State::Running, 10).unwrap().remove(0).task;
    assert_eq!((&running.payload, &running.digest), (&wanted.payload, &wanted.digest));
    let mut small = task(1, 2);
    small.payload = "{}".to_owned();
    buffer.take_task(small).await.unwrap();
    assert_eq!(buffer.task(&wanted.id).unwrap().unwrap().task.payload, "{}");
    buffer.clear_task(&wanted.id).await.unwrap();
    let left: u64 = buffer.stats().unwrap().records.iter().map(|(_, count)| count).sum();
    assert_eq!(left, 2, "only schema and session are left");
}

#[tokio::test]
async fn tasks_are_listed_by_state_by_id_and_by_prefix() {
    let (_root, buffer) = fresh(&TestClock::default());
    for number in [3, 1, 2] {
        buffer.take_task(task(number, 1)).await.unwrap();
    }
    buffer.start_try(&TaskId::from_random(2), Lease(1)).await.unwrap();
    assert_eq!(ids(&buffer.tasks_in(State::Assigned, 10).unwrap()), [1, 3]);
    assert_eq!(ids(&buffer.tasks_in(State::Running, 10).unwrap()), [2]);
    assert_eq!(ids(&buffer.tasks_after(Some(&TaskId::from_random(1)), 10).unwrap()), [2, 3]);
    assert_eq!(buffer.task_ids("0000", 2).unwrap().len(), 2);
    assert_eq!(buffer.task_ids("00000000000000000000000000000003", 2).unwrap(), [TaskId::from_random(3)]);
    assert_eq!((buffer.count_tasks(State::Assigned), buffer.count_tasks(State::Running)), (2, 1));
}

#[tokio::test]
async fn a_task_that_nobody_holds_is_not_taken_in() {
    let (_root, buffer) = fresh(&TestClock::default());
    let mut wanted = task(1, 1);
    wanted.state = State::Succeeded;
    assert!(matches!(buffer.take_task(wanted).await, Err(BufferError::NotHeld { state: State::Succeeded, .. })));
}
