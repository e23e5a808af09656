//! What every coordinator promises.

use std::sync::atomic::Ordering;
use std::time::Duration;

use buddy_router::{BootId, State, Task};
use buddy_sync::embedded::Embedded;
use buddy_sync::{
    AssignmentEvent, BeatError, Coordinator, CoordinatorError, Notice, PushError, PushItem, Question, TaskQuery,
    Version, WriteError, change,
};

use crate::support::{Bench, agent, assigned, bench, bench_at, session, success, task};

#[tokio::test]
async fn the_same_task_created_twice_is_one_and_another_payload_is_a_conflict() {
    let bench = bench();
    assert!(!bench.coordinator.create(task(1), None).await.unwrap().existed);
    assert!(bench.coordinator.create(task(1), None).await.unwrap().existed);
    let mut other = task(2);
    other.id = task(1).id;
    assert!(matches!(bench.coordinator.create(other, None).await, Err(CoordinatorError::Conflict(_))));
}

#[tokio::test]
async fn q3_of_two_writers_that_read_the_same_version_one_wins() {
    let bench = bench();
    bench.coordinator.create(task(1), None).await.unwrap();
    let read = bench.read(&task(1)).await;
    let take = |name: &str| change::assign(&read.value, name.parse().unwrap(), session(1), "mine".into()).unwrap();
    let (first, second) = tokio::join!(
        bench.coordinator.write(take("a"), read.version, None),
        bench.coordinator.write(take("b"), read.version, None)
    );
    assert_eq!([first.is_ok(), second.is_ok()].iter().filter(|won| **won).count(), 1);
    assert!([first, second].into_iter().any(|end| matches!(end, Err(WriteError::Changed))));
}

#[tokio::test]
async fn an_agent_hears_a_snapshot_then_what_it_gets_and_what_it_loses() {
    let bench = bench();
    bench.coordinator.create(assigned(1, "desk", 1), None).await.unwrap();
    bench.coordinator.create(assigned(2, "other", 2), None).await.unwrap();
    // A lease of an older buffer folder of the same name is not this session's.
    bench.coordinator.create(assigned(3, "desk", 9), None).await.unwrap();
    let mut stream = bench.coordinator.assignments(&"desk".parse().unwrap(), &session(1)).await.unwrap();
    let Some(AssignmentEvent::Snapshot(held)) = stream.recv().await else { panic!("no snapshot first") };
    assert_eq!(held.iter().map(|task| task.value.id.clone()).collect::<Vec<_>>(), [task(1).id]);

    bench.coordinator.create(assigned(4, "desk", 1), None).await.unwrap();
    let Some(AssignmentEvent::Held(new)) = stream.recv().await else { panic!("not told of a new one") };
    assert_eq!(new.value.id, task(4).id);

    let read = bench.read(&task(4)).await;
    let cancelled = change::cancel(&read.value, "no more".into()).unwrap();
    bench.coordinator.write(cancelled, read.version, None).await.unwrap();
    assert_eq!(stream.recv().await, Some(AssignmentEvent::Lost(task(4).id)));

    let read = bench.read(&task(1)).await;
    let moved = change::assign(&read.value, "other".parse().unwrap(), session(2), "silent".into()).unwrap();
    bench.coordinator.write(moved, read.version, None).await.unwrap();
    assert_eq!(stream.recv().await, Some(AssignmentEvent::Lost(task(1).id)));
}

#[tokio::test]
async fn a_batch_lands_whole_or_not_at_all_and_says_which_item_changed() {
    let bench = bench();
    let mut batch = Vec::new();
    for number in 1..=3 {
        let task = assigned(number, "desk", 1);
        bench.coordinator.create(task.clone(), None).await.unwrap();
        let expected = bench.read(&task).await.version;
        batch.push(PushItem { result: success(&task, "1"), expected });
    }
    let good = batch.clone();
    batch[1].expected = Version(999_999);
    assert!(matches!(bench.coordinator.push(&batch).await, Err(PushError::Changed { index: 1 })));
    for number in 1..=3 {
        assert_eq!(bench.read(&task(number)).await.value.state, State::Assigned);
        assert_eq!(bench.coordinator.result(&task(number).id).await.unwrap(), None);
    }
    let applied = bench.coordinator.push(&good).await.unwrap();
    for (number, version) in (1..=3).zip(applied.versions) {
        let read = bench.read(&task(number)).await;
        assert_eq!((read.value.state, read.version), (State::Succeeded, version));
        assert_eq!(
            bench.coordinator.result(&task(number).id).await.unwrap().unwrap(),
            good[number as usize - 1].result
        );
    }
    // The same batch once more: its preconditions are over.
    assert!(matches!(bench.coordinator.push(&good).await, Err(PushError::Changed { index: 0 })));
}

#[tokio::test]
async fn a_beat_is_conditional_on_the_last_one_and_a_retired_agent_is_gone() {
    let bench = bench();
    let first = bench.coordinator.beat(agent("desk", 1, 7), None).await.unwrap();
    let second = bench.coordinator.beat(agent("desk", 1, 7), Some(first)).await.unwrap();
    assert!(matches!(bench.coordinator.beat(agent("desk", 1, 8), Some(first)).await, Err(BeatError::Changed)));
    assert!(matches!(bench.coordinator.beat(agent("desk", 1, 8), None).await, Err(BeatError::Changed)));
    let seen = bench.coordinator.agent(&"desk".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((seen.version, seen.agent.boot), (second, BootId(7)));
    bench.coordinator.retire(&"desk".parse().unwrap(), BootId(8)).await.unwrap();
    assert_eq!(bench.coordinator.fleet().await.unwrap().len(), 1);
    bench.coordinator.retire(&"desk".parse().unwrap(), BootId(7)).await.unwrap();
    assert!(bench.coordinator.fleet().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_question_asked_again_is_the_open_one_and_the_first_answer_counts() {
    let bench = bench();
    let question = Question {
        task: task(1).id,
        key: "code".into(),
        text: "The code?".into(),
        choices: vec![],
        picture: None,
        deadline: u64::MAX,
        answer: None,
    };
    bench.coordinator.ask(question.clone()).await.unwrap();
    assert_eq!(bench.coordinator.open_questions(&task(1).id).await.unwrap(), std::slice::from_ref(&question));
    bench.coordinator.answer(&task(1).id, "code", "42").await.unwrap();
    assert!(matches!(bench.coordinator.answer(&task(1).id, "code", "43").await, Err(WriteError::Changed)));
    let again = bench.coordinator.ask(question).await.unwrap();
    assert_eq!(again.answer.as_deref(), Some("42"));
    assert!(bench.coordinator.open_questions(&task(1).id).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_notice_comes_with_its_state_and_one_of_many_delivers_it() {
    let bench = bench();
    let deferred = change::defer(&task(1), "no desktop".into()).unwrap();
    let notice = Notice {
        task: deferred.id.clone(),
        lease: deferred.lease,
        event: "deferred".into(),
        text: "Will run when a desktop is online".into(),
        claimed: false,
    };
    bench.coordinator.create(deferred, Some(notice.clone())).await.unwrap();
    assert_eq!(bench.coordinator.notices(10).await.unwrap(), std::slice::from_ref(&notice));
    assert!(bench.coordinator.claim_notice(&notice.id()).await.unwrap());
    assert!(!bench.coordinator.claim_notice(&notice.id()).await.unwrap());
    assert!(bench.coordinator.notices(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn tasks_are_listed_newest_first_and_found_by_prefix_also_after_a_restart() {
    let bench = bench();
    for number in 1..=5 {
        let mut one = task(number << 120);
        one.created = u64::try_from(number).unwrap();
        bench.coordinator.create(one, None).await.unwrap();
    }
    let again = Embedded::open(bench.buffer.clone()).unwrap();
    for coordinator in [&bench.coordinator, &again] {
        let query = TaskQuery { limit: 2, ..TaskQuery::default() };
        let listed: Vec<u64> = coordinator.list(&query).await.unwrap().iter().map(|task| task.created).collect();
        assert_eq!(listed, [5, 4]);
        assert_eq!(coordinator.find("0300").await.unwrap(), task(3 << 120).id);
        assert!(coordinator.find("0").await.is_err());
    }
}

#[tokio::test]
async fn what_nobody_watches_is_not_reported() {
    let bench = bench();
    let live = buddy_sync::Live { done: 1, ..Default::default() };
    bench.coordinator.report(&task(1).id, live.clone()).await.unwrap();
    assert_eq!(bench.coordinator.live(&task(1).id).await.unwrap(), None);
    bench.coordinator.watch(&task(1).id, Duration::from_secs(60)).await.unwrap();
    assert!(bench.coordinator.is_watched(&task(1).id).await.unwrap());
    bench.coordinator.report(&task(1).id, live.clone()).await.unwrap();
    assert_eq!(bench.coordinator.live(&task(1).id).await.unwrap(), Some(live));
}

#[tokio::test]
async fn with_more_tasks_than_the_limit_the_oldest_come_when_they_are_asked_for() {
    let bench = bench();
    for number in 1..=5 {
        let mut one = if number == 2 { assigned(2, "desk", 1) } else { task(number) };
        one.created = u64::try_from(number).unwrap();
        bench.coordinator.create(one, None).await.unwrap();
    }
    let again = Embedded::open(bench.buffer.clone()).unwrap();
    for coordinator in [&bench.coordinator, &again] {
        let oldest = |state, limit| TaskQuery { state, limit, oldest_first: true, ..TaskQuery::default() };
        let listed = coordinator.list(&oldest(None, 3)).await.unwrap();
        assert_eq!(listed.iter().map(|task| task.created).collect::<Vec<_>>(), [1, 2, 3]);
        let listed = coordinator.list(&oldest(Some(State::Submitted), 3)).await.unwrap();
        assert_eq!(listed.iter().map(|task| task.created).collect::<Vec<_>>(), [1, 3, 4]);
    }
}

async fn succeed(bench: &Bench, number: u128) -> Task {
    let task = assigned(number, "desk", 1);
    bench.coordinator.create(task.clone(), None).await.unwrap();
    let expected = bench.read(&task).await.version;
    bench.coordinator.push(&[PushItem { result: success(&task, "1"), expected }]).await.unwrap();
    bench.read(&task).await.value
}

async fn cancel(bench: &Bench, number: u128) -> Task {
    bench.coordinator.create(task(number), None).await.unwrap();
    let read = bench.read(&task(number)).await;
    let cancelled = change::cancel(&read.value, "no more".into()).unwrap();
    bench.coordinator.write(cancelled, read.version, None).await.unwrap();
    bench.read(&task(number)).await.value
}

#[tokio::test]
async fn successes_since_a_moment_are_counted_and_other_ends_are_not() {
    let bench = bench_at(1_000);
    succeed(&bench, 1).await;
    bench.clock.store(2_000, Ordering::SeqCst);
    succeed(&bench, 2).await;
    succeed(&bench, 3).await;
    cancel(&bench, 4).await;
    bench.coordinator.create(assigned(5, "desk", 1), None).await.unwrap();
    let again = Embedded::open(bench.buffer.clone()).unwrap();
    for coordinator in [&bench.coordinator, &again] {
        for (moment, count) in [(0, 3), (1_000, 3), (1_001, 2), (2_000, 2), (2_001, 0)] {
            assert_eq!(Coordinator::succeeded_since(coordinator, moment).await.unwrap(), count, "since {moment}");
        }
    }
    assert_eq!(bench.coordinator.forget_before(2_000).await.unwrap(), [task(1).id]);
    assert_eq!(bench.coordinator.succeeded_since(0), 2);
}

#[tokio::test]
async fn a_batch_whose_second_item_cannot_be_stored_changes_no_list_and_is_told_to_nobody() {
    let bench = bench();
    let mut stream = bench.coordinator.assignments(&"desk".parse().unwrap(), &session(1)).await.unwrap();
    assert_eq!(stream.recv().await, Some(AssignmentEvent::Snapshot(vec![])));
    let mut batch = Vec::new();
    for number in [1, 2] {
        let task = assigned(number, "desk", 1);
        bench.coordinator.create(task.clone(), None).await.unwrap();
        assert!(matches!(stream.recv().await, Some(AssignmentEvent::Held(_))));
        let expected = bench.read(&task).await.version;
        // The second one is larger than any document may be.
        let text = if number == 1 { "1".to_owned() } else { "1".repeat(buddy_buffer::MAX_VALUE) };
        batch.push(PushItem { result: success(&task, &text), expected });
    }
    assert!(matches!(bench.coordinator.push(&batch).await, Err(PushError::Later { .. })));

    let assigned_now = TaskQuery { state: Some(State::Assigned), limit: 10, ..TaskQuery::default() };
    assert_eq!(bench.coordinator.list(&assigned_now).await.unwrap().len(), 2);
    assert_eq!(bench.coordinator.succeeded_since(0), 0);
    assert!(bench.coordinator.forget_before(u64::MAX).await.unwrap().is_empty());
    // The next thing that the agent hears is the next thing that happened.
    bench.coordinator.push(&batch[..1]).await.unwrap();
    bench.coordinator.create(assigned(3, "desk", 1), None).await.unwrap();
    assert_eq!(stream.recv().await, Some(AssignmentEvent::Lost(task(1).id)));
    let Some(AssignmentEvent::Held(third)) = stream.recv().await else { panic!("not told of a new one") };
    assert_eq!(third.value.id, task(3).id);
}

#[tokio::test]
async fn tasks_that_ended_long_ago_are_forgotten_with_what_belongs_to_them_and_others_stay() {
    let bench = bench_at(1_000);
    let done = succeed(&bench, 1).await;
    bench.clock.store(2_000, Ordering::SeqCst);
    let recent = succeed(&bench, 2).await;
    bench.coordinator.create(assigned(3, "desk", 1), None).await.unwrap();
    for number in 1..=3 {
        for key in ["code", "name"] {
            let question = Question {
                task: task(number).id,
                key: key.into(),
                text: "Which?".into(),
                choices: vec![],
                picture: None,
                deadline: u64::MAX,
                answer: None,
            };
            bench.coordinator.ask(question).await.unwrap();
        }
        let read = bench.read(&task(number)).await;
        let notice = Notice {
            task: read.value.id.clone(),
            lease: read.value.lease,
            event: "told".into(),
            text: "It is so".into(),
            claimed: false,
        };
        // Also of one that ended: a write with a notice, of the task as it is.
        if number == 1 {
            bench.clock.store(1_000, Ordering::SeqCst);
        }
        bench.coordinator.write(read.value, read.version, Some(notice)).await.unwrap();
        bench.clock.store(2_000, Ordering::SeqCst);
    }
    assert!(bench.coordinator.forget_before(1_000).await.unwrap().is_empty());
    assert_eq!(bench.coordinator.forget_before(2_000).await.unwrap(), std::slice::from_ref(&done.id));
    assert_eq!(bench.coordinator.task(&done.id).await.unwrap(), None);
    assert_eq!(bench.coordinator.result(&done.id).await.unwrap(), None);
    assert!(bench.coordinator.find(done.id.as_str()).await.is_err());
    let left = bench.buffer.scan_docs(b"", None, 100).unwrap().docs;
    assert!(left.iter().all(|doc| !String::from_utf8_lossy(&doc.key).contains(done.id.as_str())), "{left:?}");
    for kept in [&recent.id, &task(3).id] {
        assert!(bench.coordinator.task(kept).await.unwrap().is_some());
        assert_eq!(bench.coordinator.open_questions(kept).await.unwrap().len(), 2);
    }
    assert_eq!(bench.coordinator.notices(10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn more_old_tasks_than_one_transaction_takes_are_all_forgotten_at_once() {
    let bench = bench_at(1_000);
    let created: Vec<_> = (1..=1_001)
        .map(|number| {
            let mut ended = task(number);
            ended.state = State::Rejected;
            bench.coordinator.create(ended, None)
        })
        .collect();
    futures::future::try_join_all(created).await.unwrap();
    let forgotten = bench.coordinator.forget_before(1_001).await.unwrap();
    assert_eq!(forgotten, (1..=1_001).map(|number| task(number).id).collect::<Vec<_>>());
    assert!(bench.buffer.scan_docs(b"", None, 1).unwrap().docs.is_empty());
}

#[tokio::test]
async fn a_task_that_is_tried_again_while_old_ones_are_forgotten_is_either_whole_or_gone() {
    let bench = bench_at(1_000);
    for number in 1..=40 {
        let ended = cancel(&bench, number).await;
        let read = bench.read(&ended).await;
        let again = bench.coordinator.write(change::retry(&read.value).unwrap(), read.version, None);
        // Both are under way at once, in either order.
        let (retried, forgotten) = if number % 2 == 0 {
            tokio::join!(again, bench.coordinator.forget_before(u64::MAX))
        } else {
            let (forgotten, retried) = tokio::join!(bench.coordinator.forget_before(u64::MAX), again);
            (retried, forgotten)
        };
        let submitted = TaskQuery { state: Some(State::Submitted), limit: 100, ..TaskQuery::default() };
        let listed = bench.coordinator.list(&submitted).await.unwrap().iter().any(|task| task.id == ended.id);
        let found = bench.coordinator.task(&ended.id).await.unwrap().map(|task| task.value.state);
        match retried {
            Ok(_) => assert_eq!((found, listed, forgotten.unwrap()), (Some(State::Submitted), true, vec![])),
            Err(WriteError::Changed) => assert_eq!((found, listed, forgotten.unwrap()), (None, false, vec![ended.id])),
            Err(error) => panic!("{error}"),
        }
    }
}
