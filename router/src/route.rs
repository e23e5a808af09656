//! Where a task goes: a pure function over the task, the fleet and the policy, explained in one sentence.
//!
//! Desktops first, because their work costs nothing: among those that have the plugin, are not draining and have
//! room, the one with the fewest tasks takes it (names break ties, so that every router decides alike). A task that
//! no desktop can take goes to the cloud if that is allowed, else it waits.

use crate::agent::Role;
use crate::{Agent, AgentName, Demand};

/// One agent that lives, as the router sees it.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The agent.
    pub agent: &'a Agent,
    /// Tasks that it holds.
    pub held: usize,
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
            && agent.task_types.contains_key(task_type)
            && (demand.pages == 0 || agent.capacity.pages > 0)
            && (agent.role == Role::Desktop || (policy.cloud_fallback && !demand.desktop_only))
    };
    let best = fleet
        .iter()
        .filter(fits)
        .min_by_key(|candidate| (candidate.agent.role == Role::Cloud, candidate.held, &candidate.agent.name));
    match best {
        Some(best) if best.agent.role == Role::Desktop => Decision {
            to: Some(best.agent.name.clone()),
            reason: format!("desktop `{}` is online and has a plugin for {task_type}", best.agent.name),
        },
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
        let cloud = agent("cloud/1", Role::Cloud);
        let reasons = [
            route("web_navigate", &PAGES, &[], FALLBACK).reason,
            route("other", &PAGES, &[Candidate { agent: &cloud, held: 0 }], FALLBACK).reason,
            route("web_navigate", &PAGES, &[Candidate { agent: &draining, held: 0 }], FALLBACK).reason,
            route("web_navigate", &PAGES, &[Candidate { agent: &no_pages, held: 0 }], FALLBACK).reason,
            route("web_navigate", &PAGES, &[Candidate { agent: &cloud, held: 0 }], Policy { cloud_fallback: false })
                .reason,
        ];
        insta::assert_snapshot!(reasons.join("\n"));
    }

    proptest! {
        #[test]
        fn a_task_never_goes_to_an_agent_that_drains_or_lacks_its_plugin(flags in proptest::collection::vec((any::<bool>(), any::<bool>(), any::<bool>(), 0usize..9), 0..8), fallback in any::<bool>()) {
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
