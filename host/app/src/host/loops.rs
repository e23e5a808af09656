//! What goes on in a running host: its loops, and the wait for the moment to stop.
//!
//! None of the loops ends while the host runs. One that does, by a panic or a fault, ends the host with its name: a host
//! that goes on without its heartbeat or its scheduler would look alive and do nothing.

use std::collections::HashMap;
use std::time::Duration;

use buddy_buffer::{Buffer, BufferError};
use buddy_sync::Version;
use buddy_sync::embedded::Embedded;
use tokio::sync::watch;
use tokio::task::{Id, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::{DRAIN, HostError};
use crate::agent::{Agent, Displaced};
use crate::api::Stop;

/// How long the loops may take to end once they were told to: a step that waits for the coordinator is at most as long
/// as its time-out. Each of them can be cut off at any point; the next start goes on from the buffer.
const END: Duration = Duration::from_secs(10);

/// How long the last push may take: what does not get out by then is in the outbox at the next start.
const LAST_PUSH: Duration = Duration::from_secs(30);

/// The loops of one host.
pub(super) struct Loops {
    set: JoinSet<()>,
    names: HashMap<Id, &'static str>,
    /// Nothing once its end was seen.
    pusher: Option<JoinHandle<Result<(), BufferError>>>,
    beat: Option<JoinHandle<Displaced>>,
}

/// The end of a loop that may have been seen already.
async fn end_of<T>(handle: &mut Option<JoinHandle<T>>) -> Option<T> {
    let Some(running) = handle else { return std::future::pending().await };
    let ended = running.await.ok();
    *handle = None;
    ended
}

impl Loops {
    pub(super) fn start(
        agent: &Agent,
        ended: &CancellationToken,
        beat: Option<Version>,
        embedded: Embedded,
        buffer: Buffer,
    ) -> Self {
        let (pusher, stop) = (agent.pusher().clone(), ended.clone());
        let pusher = tokio::spawn(async move { pusher.run(stop).await });
        let own = agent.clone();
        let beat = tokio::spawn(async move { own.beat(beat).await });
        let mut loops = Self { set: JoinSet::new(), names: HashMap::new(), pusher: Some(pusher), beat: Some(beat) };
        let own = agent.clone();
        loops.add("listener", async move { own.listen().await });
        let own = agent.clone();
        loops.add("scheduler", async move { own.schedule().await });
        let own = agent.clone();
        loops.add("router", async move { own.route().await });
        let (stop, parts) = (ended.clone(), std::sync::Arc::clone(agent.parts()));
        loops.add("storage meter", async move {
            tokio::select! {
                () = parts.storage.watch(&parts.runtime, &parts.plugins) => {}
                () = stop.cancelled() => {}
            }
        });
        let (stop, artifacts) = (ended.clone(), agent.parts().artifacts.clone());
        loops.add("sweeper", async move {
            tokio::select! {
                () = super::sweep(&buffer, &embedded, &artifacts) => {}
                () = stop.cancelled() => {}
            }
        });
        loops
    }

    fn add(&mut self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let id = self.set.spawn(work).id();
        self.names.insert(id, name);
    }

    /// Until the host was asked to stop and its runs had their time, or another process has its place.
    pub(super) async fn until_stopped(
        &mut self,
        agent: &Agent,
        mut stop: watch::Receiver<Stop>,
    ) -> Result<Option<Displaced>, HostError> {
        if let Some(displaced) = self.until_asked(&mut stop).await? {
            return Ok(Some(displaced));
        }
        agent.drain();
        if *stop.borrow() == Stop::Now {
            return Ok(None);
        }
        let running = agent.running();
        if running > 0 {
            tracing::info!(
                running,
                seconds = DRAIN.as_secs(),
                "stopping: no more tasks are started, and what runs gets time to finish; Ctrl-C once more or `stop --now` \
                 interrupts it, and it goes on at the next start"
            );
        }
        tokio::select! {
            () = agent.idle() => {}
            () = tokio::time::sleep(DRAIN) => {}
            // A second wish is urgent.
            _ = stop.wait_for(|stop| *stop == Stop::Now) => {}
            _ = crate::platform::asked_to_end() => {}
        }
        Ok(None)
    }

    /// Until the host was asked to stop, or another process has its place.
    ///
    /// # Errors
    /// A loop ended, or the signals of the system cannot be heard.
    async fn until_asked(&mut self, stop: &mut watch::Receiver<Stop>) -> Result<Option<Displaced>, HostError> {
        let asked = async {
            // The sender lives as long as the control API.
            let _ = stop.wait_for(|stop| *stop != Stop::No).await;
        };
        tokio::select! {
            () = asked => Ok(None),
            signal = crate::platform::asked_to_end() => signal.map(|()| None).map_err(HostError::Signals),
            displaced = end_of(&mut self.beat) => displaced.map(Some).ok_or(HostError::LoopEnded("heartbeat")),
            ended = end_of(&mut self.pusher) => Err(match ended {
                Some(Err(error)) => error.into(),
                Some(Ok(())) | None => HostError::LoopEnded("pusher"),
            }),
            Some(ended) = self.set.join_next_with_id() => {
                let id = ended.map_or_else(|panicked| panicked.id(), |(id, ())| id);
                Err(HostError::LoopEnded(self.names.get(&id).copied().unwrap_or("task loop")))
            }
        }
    }

    /// Ends what still goes; results that wait are pushed once more.
    ///
    /// # Errors
    /// The pusher failed. What could not be pushed in time is no failure: it waits in the outbox.
    pub(super) async fn end(mut self) -> Result<(), HostError> {
        if let Some(beat) = self.beat.take() {
            beat.abort();
        }
        let all = async { while self.set.join_next().await.is_some() {} };
        if tokio::time::timeout(END, all).await.is_err() {
            tracing::warn!(seconds = END.as_secs(), "a loop of the host did not end in time and was cut off");
            self.set.shutdown().await;
        }
        let Some(mut pusher) = self.pusher.take() else { return Ok(()) };
        if let Ok(ended) = tokio::time::timeout(LAST_PUSH, &mut pusher).await {
            return Ok(ended.unwrap_or(Err(BufferError::Closed))?);
        }
        pusher.abort();
        tracing::warn!(
            seconds = LAST_PUSH.as_secs(),
            "the last results could not be pushed in time; they stay in the buffer until the next start"
        );
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    /// Loops none of which ends.
    fn loops() -> Loops {
        let mut loops = Loops {
            set: JoinSet::new(),
            names: HashMap::new(),
            pusher: Some(tokio::spawn(std::future::pending())),
            beat: Some(tokio::spawn(std::future::pending())),
        };
        loops.add("listener", std::future::pending());
        loops
    }

    /// What the host says at its end when nobody asked it to stop.
    async fn ends(mut loops: Loops) -> String {
        let (_asked, mut stop) = watch::channel(Stop::No);
        match loops.until_asked(&mut stop).await {
            Ok(displaced) => format!("displaced: {}", displaced.is_some()),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn a_host_whose_loop_ends_or_panics_ends_with_the_loops_name() {
        let mut ended = loops();
        ended.add("scheduler", async {});
        let sentence = "the host's scheduler ended by itself, which is a fault: start the host again; nothing that was \
                        accepted is lost";
        assert_eq!(ends(ended).await, sentence);

        let mut panicked = loops();
        panicked.add("router", async { panic!("on purpose") });
        assert_eq!(ends(panicked).await, sentence.replace("scheduler", "router"));

        let mut beat = loops();
        beat.beat = Some(tokio::spawn(async { panic!("on purpose") }));
        assert_eq!(ends(beat).await, sentence.replace("scheduler", "heartbeat"));

        let mut pusher = loops();
        pusher.pusher = Some(tokio::spawn(async { Ok(()) }));
        assert_eq!(ends(pusher).await, sentence.replace("scheduler", "pusher"));
    }

    #[tokio::test]
    async fn a_host_whose_pusher_fails_or_whose_place_is_taken_says_why() {
        let mut failed = loops();
        failed.pusher = Some(tokio::spawn(async { Err(BufferError::Degraded { reason: "no disk".into() }) }));
        assert!(ends(failed).await.contains("no disk"));

        let mut displaced = loops();
        displaced.beat = Some(tokio::spawn(async { Displaced::Younger("desk".to_owned()) }));
        assert_eq!(ends(displaced).await, "displaced: true");
    }

    #[tokio::test]
    async fn a_host_that_is_asked_to_stop_does_so_without_an_error() {
        let (asked, mut stop) = watch::channel(Stop::No);
        let mut loops = loops();
        asked.send_replace(Stop::Drain);
        assert!(loops.until_asked(&mut stop).await.unwrap().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_waits_for_no_loop_and_no_push_for_ever() {
        loops().end().await.unwrap();
    }

    #[tokio::test]
    async fn after_a_pusher_that_ended_the_end_waits_for_nothing_of_it() {
        let mut loops = loops();
        loops.pusher = Some(tokio::spawn(async { Ok(()) }));
        let (_asked, mut stop) = watch::channel(Stop::No);
        assert!(loops.until_asked(&mut stop).await.is_err());
        loops.set.abort_all();
        loops.end().await.unwrap();
    }
}
