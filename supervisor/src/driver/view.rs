//! A worker's state as others see it, and as its file keeps it.

use std::collections::BTreeMap;

use skep_common::api::WorkerInfo;

use super::{Driver, Ending, Wish, answer};
use crate::clock::Stamp;
use crate::lifecycle::{Moment, Phase};
use crate::pool::PoolEvent;
use crate::worker_file::{Desired, WorkerFile};

/// What was kept last.
#[derive(Debug, Default)]
pub(super) struct Kept {
    file: Option<WorkerFile>,
    /// The stamps of failures, made once, so that the same failure is always kept in the same words.
    stamps: BTreeMap<Moment, Stamp>,
}

impl Driver {
    /// Takes over what the file of a former daemon says.
    pub(super) fn restore(&mut self, file: WorkerFile) {
        self.state.record = file.record(&self.shared.clock);
        self.kept.stamps =
            file.failures.iter().map(|stamp| (self.shared.clock.moment(stamp), stamp.clone())).collect();
        self.restarts = file.restarts;
        self.last_exit.clone_from(&file.last_exit);
        match &file.desired {
            Desired::Running => {}
            Desired::Stopped => {
                self.wish = Wish::Stop;
                self.state.phase = Phase::Stopped { why: "stopped by a person".to_owned() };
            }
            Desired::Parked { why, stderr } => {
                self.last_stderr.clone_from(stderr);
                self.state.phase = Phase::Parked { why: why.clone() };
            }
        }
        self.kept.file = Some(file);
    }

    /// Keeps a worker down whose former process cannot be ended.
    pub(crate) fn hold_back(&mut self, why: String) {
        self.state.phase = Phase::Parked { why };
    }

    /// Shows the state, tells of it, keeps it, and answers those who waited for it.
    pub(super) fn publish(&mut self) {
        let info = self.info();
        self.shared.directory.show(info.clone());
        self.tell(PoolEvent::Changed(info));
        // On the way to a new process nothing may take time.
        if !matches!(self.state.phase, Phase::Sweeping { .. } | Phase::Starting(None)) {
            self.keep();
        }
        if self.state.at_rest() {
            self.forget_run();
        }
        let stopping = matches!(self.state.phase, Phase::Sweeping { .. } | Phase::Stopping { .. });
        if !stopping && self.ending == Ending::Stay {
            for waiter in self.waiters.drain(..) {
                answer(Some(waiter), Ok(()));
            }
        }
    }

    /// Shows the state without telling of it.
    pub(crate) fn show(&self) {
        self.shared.directory.show(self.info());
    }

    fn info(&self) -> WorkerInfo {
        let clock = self.shared.clock;
        let parked = matches!(self.state.phase, Phase::Parked { .. });
        let live = self.live.as_ref();
        WorkerInfo {
            id: self.spec.id.clone(),
            kind: self.spec.kind.clone(),
            state: self.state.shown(),
            why: self.state.why().map(str::to_owned),
            process: self.state.run().map(|run| run.process.clone()),
            started_at: live.map(|live| live.started_at),
            restart_at: match self.state.phase {
                Phase::Backoff { until, .. } => Some(clock.timestamp(until)),
                _ => self.spawn_at.map(|at| clock.timestamp(at)),
            },
            restarts: self.restarts,
            rapid_failures: self.state.record.rapid(),
            backoff_level: self.state.record.level(),
            last_exit: self.last_exit.clone(),
            last_stderr: (parked && !self.last_stderr.is_empty()).then(|| self.last_stderr.clone()),
            capacity: self.spec.capacity,
            sessions: live.map(|live| live.sessions.held().copied().collect()).unwrap_or_default(),
            dir: self.spec.dir.to_string_lossy().into_owned(),
            usage: None,
            journal_stalled_ms: live.map_or(0, |live| live.journal_stalled_ms),
            version: live.and_then(|live| live.version.clone()),
        }
    }

    /// Leaves the state to the saver if it is worth keeping and has changed.
    fn keep(&mut self) {
        let file = self.file();
        let fresh = file.added.is_none()
            && file.desired == Desired::Running
            && file.failures.is_empty()
            && (file.rapid, file.level, file.restarts) == (0, 0, 0);
        let changed = match &self.kept.file {
            Some(kept) => *kept != file,
            None => !fresh,
        };
        if changed && self.ending != Ending::Remove {
            self.shared.saver.save(file.clone());
            self.kept.file = Some(file);
        }
    }

    fn file(&mut self) -> WorkerFile {
        let clock = self.shared.clock;
        let failures = self.state.record.failures();
        let stamps = &mut self.kept.stamps;
        stamps.retain(|moment, _| failures.binary_search(moment).is_ok());
        let failures = failures
            .iter()
            .map(|moment| stamps.entry(*moment).or_insert_with(|| clock.stamp(*moment)).clone())
            .collect();
        let desired = match (&self.state.phase, self.wish) {
            (Phase::Parked { why }, _) => {
                Desired::Parked { why: why.clone(), stderr: self.last_stderr.clone() }
            }
            (_, Wish::Stop) => Desired::Stopped,
            (_, Wish::Run) => Desired::Running,
        };
        WorkerFile {
            id: self.spec.id.clone(),
            kind: self.spec.kind.clone(),
            desired,
            rapid: self.state.record.rapid(),
            level: self.state.record.level(),
            failures,
            restarts: self.restarts,
            last_exit: self.last_exit.clone(),
            added: self.added.clone(),
        }
    }
}
