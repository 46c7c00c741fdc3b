//! Agent processes that are ready before anybody needs them (N6), so that a new session's first prompt pays no start-up.
//!
//! ```text
//!   a turn ends ─▶ starting ─▶ ready ─▶ taken by a session
//!                     └── dies: later again ──┤
//!                              idle for long, settings changed, another kind needed, worker stops ─▶ ended
//! ```
//!
//! Nothing is started because a daemon or worker started: a session's own prompt says what its next neighbour will need.
//! One task keeps each process; the shelf only knows where they are. What waits here has been told nothing but to open
//! an empty session, so it has spent nothing.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use skep_common::backoff::{DelayPolicy, Jitter};
use skep_common::protocol::SPARE_MEMORY;
use skep_config::{AgentPreset, Directories, Settings};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Connection;
use super::host::{Host, Of};
use super::hosts::{Hosts, Kind};
use super::launch::Launch;
use super::start::{Started, introduce, open};
use super::stop::{self, Stop};

/// How often in a row a process may die or fail to start before the next turn's end is waited for.
const TRIES: u32 = 5;

/// How long after a turn's end a process is started for the next. Starting one holds the worker's thread for a
/// millisecond, and what the turn said last goes out first.
const ASIDE: Duration = Duration::from_millis(20);

/// How long a process must have been ready for its death to count as the first.
const STEADY: Duration = Duration::from_secs(60);

/// A process that waited, and now serves a session.
#[derive(Debug)]
pub(super) struct Warmed {
    /// The seat there.
    pub(super) connection: Connection,
    /// What its start told; none if the session is still to be opened.
    pub(super) started: Option<Started>,
}

/// What keeping one more process takes.
#[derive(Debug, Clone)]
pub(super) struct Template {
    pub(super) launch: Launch,
    pub(super) kind: Kind,
    pub(super) exe: PathBuf,
    pub(super) hosts: Hosts,
    pub(super) tracker: TaskTracker,
}

/// The processes that wait.
#[derive(Debug, Clone)]
pub(crate) struct Shelf {
    state: Arc<Mutex<State>>,
    stop: watch::Sender<Stop>,
}

#[derive(Debug, Default)]
struct State {
    slots: Vec<Slot>,
    last: u64,
    settings: Option<Arc<Settings>>,
    /// Until when nothing is kept: memory is short.
    spared: Option<Instant>,
}

#[derive(Debug)]
struct Slot {
    id: u64,
    kind: Kind,
    /// While it starts or is ready. Whoever takes it early waits for it: it began before another would.
    take: Option<oneshot::Sender<oneshot::Sender<Warmed>>>,
    end: CancellationToken,
}

/// Resolves when a session takes the process: where it is to be handed over.
type Taken = oneshot::Receiver<oneshot::Sender<Warmed>>;

/// What became of a process that was to wait.
enum Kept {
    /// It was taken, or is not needed any more.
    Over,
    /// It died or did not start; how long it had been ready.
    Died(Duration),
}

impl Default for Shelf {
    fn default() -> Self {
        Self { state: Arc::default(), stop: watch::channel(Stop::No).0 }
    }
}

impl Shelf {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The settings by which agents are started from now on. What was started by others goes.
    pub(crate) fn configure(&self, settings: Arc<Settings>) {
        let mut state = self.state();
        let same = state.settings.as_ref().is_some_and(|old| {
            old.agents == settings.agents && old.session.warm_timeout == settings.session.warm_timeout
        });
        state.settings = Some(settings);
        drop(state);
        if !same {
            self.empty();
        }
    }

    /// Ends everything that waits.
    pub(super) fn empty(&self) {
        for slot in self.state().slots.drain(..) {
            slot.end.cancel();
        }
    }

    /// Ends everything that waits, and keeps nothing for a while.
    pub(super) fn spare_memory(&self) {
        self.state().spared = Some(Instant::now() + SPARE_MEMORY);
        self.empty();
    }

    /// Ends everything; nothing is kept any more.
    pub(crate) fn close(&self, how: Stop) {
        self.stop.send_if_modified(|now| now.raise(how));
    }

    /// A process of this kind that is ready or about to be, if there is one.
    pub(super) async fn take(&self, kind: &Kind) -> Option<Warmed> {
        loop {
            let slot = {
                let mut state = self.state();
                let at = state.slots.iter().position(|slot| slot.take.is_some() && slot.kind == *kind)?;
                state.slots.remove(at)
            };
            let (give, given) = oneshot::channel();
            // One that dies at this moment gives nothing; there may be another.
            if slot.take.is_some_and(|take| take.send(give).is_ok())
                && let Ok(warmed) = given.await
            {
                return Some(warmed);
            }
        }
    }

    /// Sees to it that as many processes of this kind wait as its preset says. The kind that was needed last is kept.
    pub(super) fn fill(&self, template: &Template) {
        let Some(common) = &template.launch.common else { return };
        let wanted = usize::try_from(common.warm).unwrap_or(usize::MAX);
        let mut state = self.state();
        let short = state.spared.is_some_and(|until| Instant::now() < until);
        if *self.stop.borrow() != Stop::No || short || !state.still_meant(&common.preset) {
            return;
        }
        loop {
            let of_kind = state.slots.iter().filter(|slot| slot.kind == template.kind).count();
            if of_kind >= wanted {
                return;
            }
            let of_agent = state.slots.iter().filter(|slot| slot.kind.agent == template.kind.agent).count();
            if of_agent >= wanted {
                let other =
                    |slot: &Slot| slot.kind.agent == template.kind.agent && slot.kind != template.kind;
                let Some(at) = state.slots.iter().position(other) else { return };
                state.slots.remove(at).end.cancel();
            }
            state.last += 1;
            let (id, end) = (state.last, CancellationToken::new());
            state.slots.push(Slot { id, kind: template.kind.clone(), take: None, end: end.clone() });
            let keeper = Keeper { shelf: self.clone(), template: template.clone(), id, end };
            template.tracker.spawn(keeper.run());
        }
    }
}

impl State {
    /// Whether the agent is still configured as it was when the process was asked for.
    fn still_meant(&self, preset: &AgentPreset) -> bool {
        let now = self.settings.as_ref().and_then(|settings| settings.agents.get(&preset.name));
        now.is_some_and(|now| now == preset)
    }
}

/// The task that keeps one process.
struct Keeper {
    shelf: Shelf,
    template: Template,
    id: u64,
    end: CancellationToken,
}

impl Keeper {
    async fn run(self) {
        let mut stop = self.shelf.stop.subscribe();
        let mut deaths = 0;
        while let Kept::Died(after) = self.keep(&mut stop).await {
            deaths = if after >= STEADY { 1 } else { deaths + 1 };
            let agent = &self.template.kind.agent;
            if deaths >= TRIES {
                tracing::warn!(agent.name = %agent, "agent `{agent}` cannot be kept ready; it is tried again after the next turn");
                break;
            }
            let delay = DelayPolicy::CONTRACT.delay(deaths, Jitter::NONE);
            tracing::info!(agent.name = %agent, delay.ms = delay.as_millis(), "an agent that was kept ready died");
            if timeout(delay, over(&self.end, &mut stop)).await.is_ok() {
                break;
            }
        }
        self.shelf.state().slots.retain(|slot| slot.id != self.id);
    }

    async fn keep(&self, stop: &mut watch::Receiver<Stop>) -> Kept {
        let launch = &self.template.launch;
        let Some(taken) = self.offer() else { return Kept::Over };
        if timeout(ASIDE, over(&self.end, stop)).await.is_ok() {
            return Kept::Over;
        }
        let Ok(host) = Host::start(launch, Of::Anybody, &self.template.exe, &self.template.tracker) else {
            return Kept::Died(Duration::ZERO);
        };
        self.template.hosts.add(&host);
        let Some(mut connection) = host.join(None) else { return Kept::Died(Duration::ZERO) };
        let begun = tokio::select! {
            biased;
            () = over(&self.end, stop) => None,
            begun = timeout(launch.start_timeout, begin(&mut connection, launch)) => Some(begun),
        };
        let started = match begun {
            Some(Ok(Ok(started))) => started,
            Some(failed) => {
                if let Ok(Err(why)) = failed {
                    tracing::info!(agent.name = %launch.agent, "an agent cannot be kept ready: {why}");
                }
                stop::kill_process(&connection).await;
                return Kept::Died(Duration::ZERO);
            }
            None => {
                stop::kill_process(&connection).await;
                return Kept::Over;
            }
        };
        self.wait(connection, started, taken, stop).await
    }

    /// Waits until somebody needs it.
    async fn wait(
        &self,
        mut connection: Connection,
        started: Option<Started>,
        mut taken: Taken,
        stop: &mut watch::Receiver<Stop>,
    ) -> Kept {
        let since = Instant::now();
        let patience = self.template.launch.common.as_ref().map(|common| common.warm_timeout);
        let idle = since + patience.unwrap_or_default();
        loop {
            tokio::select! {
                biased;
                () = over(&self.end, stop) => break,
                taker = &mut taken => {
                    let Ok(taker) = taker else { break };
                    return match taker.send(Warmed { connection, started }) {
                        Ok(()) => Kept::Over,
                        Err(Warmed { mut connection, .. }) => {
                            stop::ladder(&mut connection, stop.clone()).await;
                            Kept::Over
                        }
                    };
                }
                read = connection.read() => {
                    let heard = read.map(|batch| {
                        batch.messages.into_iter().try_for_each(|message| connection.overhear(message).map(drop))
                    });
                    if !matches!(heard, Ok(Ok(()))) {
                        stop::kill_process(&connection).await;
                        return Kept::Died(since.elapsed());
                    }
                }
                () = sleep_until(idle) => break,
            }
        }
        drop(taken);
        stop::ladder(&mut connection, stop.clone()).await;
        Kept::Over
    }

    /// Puts it where sessions look; nothing if its place is gone.
    fn offer(&self) -> Option<Taken> {
        let (take, taken) = oneshot::channel();
        let mut state = self.shelf.state();
        let slot = state.slots.iter_mut().find(|slot| slot.id == self.id)?;
        slot.take = Some(take);
        Some(taken)
    }
}

/// Up to an open session, where the process serves one directory only.
async fn begin(connection: &mut Connection, launch: &Launch) -> Result<Option<Started>, String> {
    introduce(connection, launch).await?;
    let one = launch.common.as_ref().is_some_and(|common| common.directories == Directories::One);
    if one { open(connection, launch).await.map(Some) } else { Ok(None) }
}

/// Resolves when the process is not needed any more.
async fn over(end: &CancellationToken, stop: &mut watch::Receiver<Stop>) {
    tokio::select! {
        () = end.cancelled() => {}
        _ = stop.wait_for(|how| *how != Stop::No) => {}
    }
}
