//! What skep and its workers use, in numbers.

use jiff::Timestamp;
use skep_common::api::{Metrics, ProcessUsage, SessionCount, TurnCount, WorkerInfo, WorkerUsage};
use skep_common::code::{ApiError, Code};
use skep_common::usage::Tokens;
use skep_sys::usage;

use super::Engine;
use super::actor::Call;
use crate::sessions::Index;

/// What is counted of sessions.
#[derive(Debug)]
pub(super) struct Counts {
    sessions: Vec<SessionCount>,
    turns: Vec<TurnCount>,
    tokens: Tokens,
    /// When each permission request that waits was asked, oldest first.
    asked: Vec<Timestamp>,
}

impl Counts {
    pub(super) fn of(index: &Index) -> Self {
        let states = index.states().into_iter().map(|(state, count)| SessionCount { state, count });
        let turns =
            index.turns().iter().map(|(outcome, count)| TurnCount { outcome: *outcome, count: *count });
        let (mut sessions, mut turns) = (Vec::from_iter(states), Vec::from_iter(turns));
        sessions.sort_by_key(|count| format!("{:?}", count.state));
        turns.sort_by_key(|count| format!("{:?}", count.outcome));
        let asked =
            index.waiting_permissions().iter().map(|waiting| waiting.permission.requested_at).collect();
        Self { sessions, turns, tokens: index.tokens(), asked }
    }
}

impl Engine {
    /// What skep and its workers use now.
    ///
    /// # Errors
    ///
    /// `shutting_down` when the engine has ended.
    pub async fn metrics(&self) -> Result<Metrics, ApiError> {
        let counts = self.ask(Call::Counts).await?;
        let workers = self.workers().await?;
        // The whole process table is read.
        let taken = tokio::task::spawn_blocking(move || measure(workers)).await;
        let (system, daemon, workers) =
            taken.map_err(|_| ApiError::new(Code::Internal, "the look at the process table crashed"))?;
        let at = Timestamp::now();
        let age = |asked: &Timestamp| at.duration_since(*asked).as_secs_f64().max(0.0);
        Ok(Metrics {
            at,
            system,
            daemon,
            workers,
            sessions: counts.sessions,
            turns: counts.turns,
            tokens: counts.tokens,
            // Whoever tells of them knows.
            hooks: Vec::new(),
            permissions_waiting: u64::try_from(counts.asked.len()).unwrap_or(u64::MAX),
            permissions_oldest_seconds: counts.asked.first().map(age),
        })
    }
}

type Measured = (Option<skep_common::api::SystemUsage>, Option<ProcessUsage>, Vec<WorkerUsage>);

fn measure(workers: Vec<WorkerInfo>) -> Measured {
    let table = usage::Table::read();
    let of_worker = |worker: WorkerInfo| WorkerUsage {
        usage: worker.process.as_ref().and_then(|process| table.tree(process.pid)),
        id: worker.id,
        kind: worker.kind,
        state: worker.state,
        process: worker.process,
        sessions: u64::try_from(worker.sessions.len()).unwrap_or(u64::MAX),
        restarts: worker.restarts,
        journal_stalled_ms: worker.journal_stalled_ms,
    };
    (usage::system(), table.process(std::process::id()), workers.into_iter().map(of_worker).collect())
}
