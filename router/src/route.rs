//! Where a task goes: a pure function over the task, the fleet and the policy, explained in one sentence.
//!
//! Desktops first, because their work costs nothing: among those that have the plugin and are not draining, the one
//! with the fewest tasks for its slots takes it, so that none waits for a slot while another desktop has one free (names
//! break ties, so that every router decides alike). A task that no desktop can take goes to the cloud if that is
//! allowed, else it waits.
//!
//! Slots order the agents and are no bound: when all are taken, a task waits *at* the desktop where it comes up
//! soonest, in its durable buffer and by its priority. To defer it instead would cost two more writes a task, and the
//! time until a router looks again, and it would gain nothing but a later choice of the desktop.

use std::collections::BTreeMap;

use crate::agent::Role;
use crate::{Agent, AgentName, BootId, Demand};

/// One agent that lives, as the router sees it.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The agent.
    pub agent: &'a Agent,
    /// Tasks that it holds and has not finished: see [`Given::held`].
    pub held: u32,
}

impl Candidate<'_> {
    /// Tasks for each slot, in thousandths: below 1,000 a slot is free.
    fn load(&self) -> u64 {
        u64::from(self.held) * 1_000 / u64::from(self.agent.capacity.tasks.max(1))
    }
}

/// What a router gave to whom since that agent last beat. A heartbeat tells how much an agent holds, and is as old as
/// the interval: without this, a burst of tasks between two beats would go to one agent alone.
#[derive(Debug, Clone, Default)]
pub struct Given(BTreeMap<AgentName, Since>);

#[derive(Debug, Clone, Copy)]
struct Since {
    boot: BootId,
    seq: u64,
    tasks: u32,
}

impl Given {
    /// Another task goes to this agent.
    pub fn note(&mut self, agent: &Agent) {
        let fresh = Since { boot: agent.boot, seq: agent.seq, tasks: 0 };
        let since = self.0.entry(agent.name.clone()).or_insert(fresh);
        if (since.boot, since.seq) != (agent.boot, agent.seq) {
            *since = fresh;
        }
        since.tasks = since.tasks.saturating_add(1);
    }

    /// How many tasks an agent holds: those of its last beat, and those given to it since. One that it finished since
    /// still counts, until it beats again.
    pub fn held(&self, agent: &Agent) -> u32 {
        let since = self.0.get(&agent.name).filter(|since| (since.boot, since.seq) == (agent.boot, agent.seq));
        agent.held.saturating_add(since.map_or(0, |since| since.tasks))
    }

    /// Forgets agents that are gone, so that this grows no larger than the fleet.
    pub fn keep(&mut self, is_there: impl Fn(&AgentName) -> bool) {
        self.0.retain(|name, _| is_there(name));
    }
}

/// What may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Work may fall back to the cloud (`CLOUD_FALLBACK_ENABLED`).
    pub cloud_fallback: bool,
}

/// Where it goes and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// To this agent; nothing: it waits.
    pub to: Option<AgentName>,
    /// One sentence for people that names the deciding rule.
    pub reason: String,
}

/// Decides it.
pub fn route(task_type: &str, demand: &Demand, fleet: &[Candidate<'_>], policy: Policy) -> Decision {
    let fits = |candidate: &&Candidate<'_>| {
        let agent = candidate.agent;
        !agent.draining
            && agent.capacity.tasks > 0
            && agent.task_types.contains_key(task_type)
            && (demand.pages == 0 || agent.capacity.pages > 0)
            && (agent.role == Role::Desktop || (policy.cloud_fallback && !demand.desktop_only))
    };
    let best = fleet
        .iter()
        .filter(fits)
        .min_by_key(|candidate| (candidate.agent.role == Role::Cloud, candidate.load(), &candidate.agent.name));
    match best {
        Some(best) if best.agent.role == Role::Desktop => {
            let (name, slots) = (&best.agent.name, best.agent.capacity.tasks);
            let reason = format!("desktop `{name}` is online and has a plugin for {task_type}");
            let reason = if best.held < slots {
                reason
            } else {
                format!("{reason}; it is the least busy one, and the task waits there for one of its {slots} slots")
            };
            Decision { to: Some(name.clone()), reason }
        }
        Some(best) => Decision {
            to: Some(best.agent.name.clone()),
            reason: format!("no desktop can take {task_type} now, so the cloud does"),
        },
        None => Decision { to: None, reason: why_not(task_type, demand, fleet) },
    }
}

/// The first rule that kept everyone out.
fn why_not(task_type: &str, demand: &Demand, fleet: &[Candidate<'_>]) -> String {
    let has_plugin = |candidate: &&Candidate<'_>| candidate.agent.task_types.contains_key(task_type);
    if fleet.is_empty() {
        "no agent is online: the task runs when one is".to_owned()
    } else if !fleet.iter().any(|candidate| has_plugin(&candidate)) {
        format!("no agent that is online has a plugin for {task_type}: it runs when one has")
    } else if fleet.iter().filter(has_plugin).all(|candidate| candidate.agent.draining) {
        "every agent that could take it is stopping: it runs when one is back".to_owned()
    } else if fleet.iter().filter(has_plugin).all(|candidate| candidate.agent.capacity.tasks == 0) {
        "no agent that could take it has a slot for tasks: it runs when one has".to_owned()
    } else if demand.pages > 0 && fleet.iter().filter(has_plugin).all(|candidate| candidate.agent.capacity.pages == 0) {
        "it needs browser pages and no agent that is online has any: it runs when one has".to_owned()
    } else {
        "only a desktop may take it and none is online: it runs when one is".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::agent::Capacity;
    use crate::{BootId, SessionId};

    fn agent(name: &str, role: Role) -> Agent {
        Agent {
            name: name.parse().unwrap(),
            role,
            session: SessionId::from_random(1),
            boot: BootId(1),
            seq: 0,
            draining: false,
            capabilities: vec![],
            task_types: BTreeMap::from([("web_navigate".to_owned(), "1.0.0".to_owned())]),
            capacity: Capacity { tasks: 4, pages: 10 },
            held: 0,
            running: vec![],
            status: BTreeMap::new(),
        }
    }

    const PAGES: Demand = Demand { pages: 10, bytes: 0, seconds: 60, desktop_only: false };
    const FALLBACK: Policy = Policy { cloud_fallback: true };

    #[test]
    fn heavy_browser_work_goes_to_a_desktop_that_is_online_and_falls_back_to_the_cloud() {
        let (desk, cloud) = (agent("desk", Role::Desktop), agent("cloud/1", Role::Cloud));
        let both = [Candidate { agent: &cloud, held: 0 }, Candidate { agent: &desk, held: 50 }];
        assert_eq!(route("web_navigate", &PAGES, &both, FALLBACK).to, Some(desk.name.clone()));
        assert_eq!(route("web_navigate", &PAGES, &both[..1], FALLBACK).to, Some(cloud.name.clone()));
        assert_eq!(route("web_navigate", &PAGES, &both[..1], Policy { cloud_fallback: false }).to, None);
    }

    #[test]
    fn the_reason_names_the_rule_that_kept_everyone_out() {
        let mut draining = agent("desk", Role::Desktop);
        draining.draining = true;
        let mut no_pages = agent("desk", Role::Desktop);
        no_pages.capacity.pages = 0;
        let mut no_slots = agent("desk", Role::Desktop);
        no_slots.capacity.tasks = 0;
        let cloud = agent("cloud/1", Role::Cloud);
        let reasons = [
            route("web_navigate", &PAGES, &[], FALLBACK).reason,
            route("other", &PAGES, &[Candidate { agent: &cloud, held: 0 }], FALLBACK).reason,
            route("web_navigate", &PAGES, &[Candidate { agent: &draining, held: 0 }], FALLBACK).reason,
            route("web_navigate", &PAGES, &[Candidate { agent: &no_slots, held: 0 }], FALLBACK).reason,
            route("web_navigate", &PAGES, &[Candidate { agent: &no_pages, held: 0 }], FALLBACK).reason,
            route("web_navigate", &PAGES, &[Candidate { agent: &cloud, held: 0 }], Policy { cloud_fallback: false })
                .reason,
        ];
        insta::assert_snapshot!(reasons.join("\n"));
    }

    #[test]
    fn a_task_that_has_to_wait_for_a_slot_says_so() {
        let desk = agent("desk", Role::Desktop);
        let reason = |held| route("web_navigate", &PAGES, &[Candidate { agent: &desk, held }], FALLBACK).reason;
        assert_eq!(reason(3), "desktop `desk` is online and has a plugin for web_navigate");
        assert_eq!(
            reason(4),
            "desktop `desk` is online and has a plugin for web_navigate; it is the least busy one, and the task waits \
             there for one of its 4 slots"
        );
    }

    #[test]
    fn what_was_given_counts_until_the_agent_beats_again_or_is_another_process() {
        let mut desk = agent("desk", Role::Desktop);
        desk.held = 2;
        let mut given = Given::default();
        given.note(&desk);
        given.note(&desk);
        assert_eq!(given.held(&desk), 4);
        let mut later = desk.clone();
        later.seq += 1;
        later.held = 3;
        assert_eq!(given.held(&later), 3, "its own word is newer");
        let mut restarted = desk.clone();
        restarted.boot = BootId(2);
        assert_eq!(given.held(&restarted), 2);
        given.note(&later);
        assert_eq!((given.held(&later), given.held(&desk)), (4, 2));
        given.keep(|name| *name != desk.name);
        assert_eq!(given.held(&later), 3);
    }

    proptest! {
        #[test]
        fn a_burst_between_two_beats_fills_every_slot_before_any_task_waits(slots in proptest::collection::vec((0u32..6, 0u32..8), 1..6), tasks in 0usize..60) {
            let agents: Vec<Agent> = slots.iter().enumerate().map(|(index, (slots, held))| {
                let mut agent = agent(&format!("a{index}"), Role::Desktop);
                agent.capacity.tasks = *slots;
                agent.held = *held;
                agent
            }).collect();
            let mut given = Given::default();
            for _ in 0..tasks {
                let fleet: Vec<Candidate<'_>> = agents.iter().map(|agent| Candidate { agent, held: given.held(agent) }).collect();
                let free = fleet.iter().any(|one| one.held < one.agent.capacity.tasks);
                let Some(to) = route("web_navigate", &PAGES, &fleet, FALLBACK).to else {
                    prop_assert!(agents.iter().all(|agent| agent.capacity.tasks == 0));
                    break;
                };
                let chosen = fleet.iter().find(|one| one.agent.name == to).unwrap();
                prop_assert!(chosen.agent.capacity.tasks > 0);
                if free {
                    prop_assert!(chosen.held < chosen.agent.capacity.tasks, "it waits though a slot is free");
                } else {
                    // It comes up soonest: nobody who runs tasks has fewer for each of its slots.
                    let fewest = fleet.iter().filter(|one| one.agent.capacity.tasks > 0).map(Candidate::load).min();
                    prop_assert_eq!(Some(chosen.load()), fewest);
                }
                given.note(chosen.agent);
            }
        }

        #[test]
        fn a_task_never_goes_to_an_agent_that_drains_or_lacks_its_plugin(flags in proptest::collection::vec((any::<bool>(), any::<bool>(), any::<bool>(), 0u32..9), 0..8), fallback in any::<bool>()) {
            let agents: Vec<Agent> = flags.iter().enumerate().map(|(index, (draining, lacks, cloud, _))| {
                let mut agent = agent(&format!("a{index}"), if *cloud { Role::Cloud } else { Role::Desktop });
                agent.draining = *draining;
                if *lacks { agent.task_types.clear(); }
                agent
            }).collect();
            let fleet: Vec<Candidate<'_>> = agents.iter().zip(&flags).map(|(agent, flag)| Candidate { agent, held: flag.3 }).collect();
            let policy = Policy { cloud_fallback: fallback };
            let decision = route("web_navigate", &PAGES, &fleet, policy);
            if let Some(to) = &decision.to {
                let chosen = agents.iter().find(|agent| agent.name == *to).unwrap();
                prop_assert!(!chosen.draining && chosen.task_types.contains_key("web_navigate"));
                prop_assert!(fallback || chosen.role == Role::Desktop);
            }
            // One more agent never turns an assignable task into a deferred one.
            let extra = agent("z", Role::Desktop);
            let mut more = fleet.clone();
            more.push(Candidate { agent: &extra, held: 0 });
            prop_assert!(route("web_navigate", &PAGES, &more, policy).to.is_some());
        }
    }
}
