//! Sessions that come back by themselves after a death (`resume = always`): the engine asks a worker to open them again,
//! and the worker goes on with what was queued or starts their agent with its context.
//!
//! Only those whose turn was cut off by the death of their worker, of the daemon or of the machine. What a person stopped
//! stays so, and what was idle wakes with its next prompt as ever.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use skep_common::ids::{PromptId, SessionId};
use skep_common::session::{Cause, Resume, SessionState, TurnOutcome};

use super::core::{Core, Intake};
use crate::sessions::{Entry, Place};

/// A session that dies again so soon, and has ended no turn meanwhile, is not brought back again.
const SOON: SignedDuration = SignedDuration::from_mins(5);

/// When sessions were brought back, and after which turn.
#[derive(Debug, Default)]
pub(super) struct Returns {
    last: HashMap<SessionId, (PromptId, Timestamp)>,
}

impl Returns {
    /// Whether the session may come back after this turn was cut off; remembers that it does.
    fn admit(&mut self, session: SessionId, cut_off: PromptId, now: Timestamp) -> bool {
        let again = self
            .last
            .get(&session)
            .is_some_and(|(turn, at)| *turn == cut_off && now.duration_since(*at) < SOON);
        if !again {
            self.last.insert(session, (cut_off, now));
        }
        !again
    }
}

impl Core {
    /// What a death cut off before this daemon was there comes back.
    pub(crate) fn bring_all_back(&mut self, now: Timestamp) {
        let ids: Vec<SessionId> = self.index.iter().map(|entry| entry.spec().id).collect();
        for id in ids {
            self.bring_back(id, now);
        }
    }

    /// Seats the session if it comes back by itself.
    pub(super) fn bring_back(&mut self, id: SessionId, now: Timestamp) {
        let default = self.policy.resume;
        let Some(entry) = self.index.get(id) else { return };
        let Some(cut_off) = cut_off_by_a_death(entry) else { return };
        if entry.spec().options.resume.unwrap_or(default) != Resume::Always
            || self.intake == Intake::Stopping
            || self.index.counted() >= self.policy.max_sessions
        {
            return;
        }
        let Self { returns, index, .. } = self;
        returns.last.retain(|session, _| index.get(*session).is_some());
        if !returns.admit(id, cut_off, now) {
            tracing::warn!(session.id = %id, "session {id} died again as soon as it was back; its next prompt wakes it");
            return;
        }
        match self.seat(id) {
            Ok(_) => tracing::info!(session.id = %id, "session {id} comes back (resume = always)"),
            Err(error) => {
                tracing::warn!(session.id = %id, "session {id} does not come back by itself: {error}");
            }
        }
    }
}

/// The prompt whose turn was cut off, if that was no person's doing and nobody holds the session since.
fn cut_off_by_a_death(entry: &Entry) -> Option<PromptId> {
    let now = entry.snapshot();
    let turn = now.last_turn.as_ref().filter(|turn| turn.outcome == TurnOutcome::Interrupted)?;
    let died = matches!(turn.cause, Some(Cause::WorkerCrashed | Cause::SupervisorGone | Cause::Unknown));
    let lies = *entry.place() == Place::Stored && now.state == SessionState::Interrupted;
    (died && lies).then_some(turn.prompt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_dies_again_at_once_with_nothing_done_stays_down() {
        let (mut returns, session) = (Returns::default(), SessionId::random());
        let (first, second) = (PromptId::random(), PromptId::random());
        let at = |minutes| Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes);
        assert!(returns.admit(session, first, at(0)));
        assert!(!returns.admit(session, first, at(4)));
        assert!(returns.admit(session, second, at(4)), "another turn was cut off");
        assert!(returns.admit(session, second, at(9)), "it was back for some time");
        assert!(returns.admit(SessionId::random(), second, at(9)));
    }
}
