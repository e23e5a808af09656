//! Whom this host gives tasks to.

use std::collections::BTreeMap;

use buddy_router::agent::{Capacity, Role};
use buddy_router::{Agent as Document, BootId, Lease, SessionId};
use buddy_sync::{Coordinator, change};

use super::coordinator::gate;
use super::{Rig, rig, task};

/// A desktop that has just beaten.
async fn beats(rig: &Rig, name: &str, slots: u32, held: u32) -> Document {
    let agent = Document {
        name: name.parse().unwrap(),
        role: Role::Desktop,
        session: SessionId::from_random(u128::from(slots)),
        boot: BootId(1),
        seq: 1,
        draining: false,
        capabilities: vec![],
        task_types: BTreeMap::from([("noop".to_owned(), "1.0.0".to_owned())]),
        capacity: Capacity { tasks: slots, pages: 0 },
        held,
        running: vec![],
        status: BTreeMap::new(),
    };
    rig.coordinator.beat(agent.clone(), None).await.unwrap();
    agent
}

#[tokio::test]
async fn a_burst_goes_to_free_slots_first_and_then_where_a_slot_is_free_soonest() {
    let rig = rig(&[]).await;
    beats(&rig, "busy", 2, 2).await;
    beats(&rig, "large", 3, 0).await;
    beats(&rig, "small", 1, 0).await;
    let mut to = Vec::new();
    for number in 1..=8 {
        let routed = rig.agent.route_new(task(number, "noop", "null", None)).await.unwrap();
        to.push(routed.assigned.unwrap().agent.to_string());
    }
    // Four free slots; then one task more for each slot is the same for all, and names decide.
    to[..4].sort();
    assert_eq!(to[..4], ["large", "large", "large", "small"]);
    assert_eq!(to[4..], ["busy", "large", "small", "large"]);
}

#[tokio::test]
async fn a_task_that_another_router_gave_to_a_living_agent_meanwhile_is_left_there() {
    let rig = rig(&[]).await;
    let living = beats(&rig, "living", 1, 0).await;
    let orphan = task(1, "noop", "null", None);
    let dead = SessionId::from_random(77);
    let given = change::assign(&orphan, "dead".parse().unwrap(), dead, "test".into()).unwrap();
    rig.coordinator.create(given, None).await.unwrap();

    let (read, keeper) = gate();
    *rig.coordinator.agent_read.lock().unwrap() = Some(read);
    let other_router = async {
        keeper.reached.await.unwrap();
        let (name, session) = (living.name.clone(), living.session.clone());
        rig.alter(&orphan, |task| change::assign(task, name, session, "silent".into()).unwrap()).await;
        keeper.go.send(()).unwrap();
    };
    let (round, ()) = tokio::join!(rig.agent.route_round(), other_router);
    round.unwrap();
    assert_eq!(rig.read(&orphan).await.value.lease, Lease(2), "nobody took it once more");
}
