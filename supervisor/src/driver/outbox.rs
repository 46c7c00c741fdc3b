//! What a worker said and the pool's consumer has not taken yet. Pure.
//!
//! The consumer may lag; then the latest head and the latest snapshot of a session stand for the earlier ones, and
//! everything else keeps its place. When too much waits that cannot be coalesced, the outbox is full and the driver
//! stops reading from the worker.

use std::collections::{HashMap, VecDeque};

use skep_common::ids::SessionId;
use skep_common::protocol::Report;

use crate::pool::PoolEvent;

/// Entries that may wait before the driver stops reading.
const FULL: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    events: VecDeque<PoolEvent>,
    /// How many entries have left at the front, so that positions stay valid.
    left: usize,
    /// Where the latest coalescible entry of a session stands.
    latest: HashMap<(SessionId, Sort), usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Sort {
    Head,
    Snapshot,
}

impl Outbox {
    /// Puts an event behind the others, or in the place of the one that it outdates.
    pub(crate) fn push(&mut self, event: PoolEvent) {
        let key = match &event {
            PoolEvent::Report { report: Report::Head { session, .. }, .. } => Some((*session, Sort::Head)),
            PoolEvent::Report { report: Report::Session(snapshot), .. } => {
                Some((snapshot.id, Sort::Snapshot))
            }
            PoolEvent::Report { report: Report::Released(snapshot), .. } => {
                // What comes after the release of a session must not be shown before it.
                self.latest.remove(&(snapshot.id, Sort::Head));
                self.latest.remove(&(snapshot.id, Sort::Snapshot));
                None
            }
            PoolEvent::Up { .. } | PoolEvent::Down { .. } => {
                self.latest.clear();
                None
            }
            PoolEvent::Report { .. } | PoolEvent::Changed(_) | PoolEvent::Removed(_) => None,
        };
        if let Some(key) = key {
            let waiting = self.latest.get(&key).and_then(|at| at.checked_sub(self.left));
            if let Some(slot) = waiting.and_then(|index| self.events.get_mut(index)) {
                *slot = event;
                return;
            }
            self.latest.insert(key, self.left + self.events.len());
        }
        self.events.push_back(event);
    }

    pub(crate) fn pop(&mut self) -> Option<PoolEvent> {
        let event = self.events.pop_front()?;
        self.left += 1;
        if self.events.is_empty() {
            self.latest.clear();
        }
        Some(event)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.events.len() >= FULL
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;
    use skep_common::ids::{RequestId, WorkerId};
    use skep_common::protocol::Reply;
    use skep_common::session::{Head, SessionSnapshot, SessionState};

    use super::*;

    fn worker() -> WorkerId {
        "w".parse().unwrap()
    }

    fn report(report: Report) -> PoolEvent {
        PoolEvent::Report { worker: worker(), report }
    }

    fn head(session: SessionId, seq: u64) -> PoolEvent {
        report(Report::Head { session, head: Head { seq, ..Head::default() } })
    }

    fn snapshot(id: SessionId, seq: u64) -> SessionSnapshot {
        let head = Head { seq, ..Head::default() };
        SessionSnapshot { head, ..SessionSnapshot::blank(id, SessionState::Idle, Timestamp::UNIX_EPOCH) }
    }

    fn ack() -> PoolEvent {
        let reply = Reply::Done { head: Head::default() };
        report(Report::Ack { id: RequestId::random(), reply })
    }

    #[test]
    fn the_latest_head_stands_for_the_earlier_ones_and_a_release_separates() {
        let session = SessionId::random();
        let mut outbox = Outbox::default();
        outbox.push(head(session, 1));
        outbox.push(head(session, 2));
        outbox.push(report(Report::Released(snapshot(session, 2))));
        outbox.push(head(session, 3));
        let out: Vec<PoolEvent> = std::iter::from_fn(|| outbox.pop()).collect();
        assert_eq!(out, [head(session, 2), report(Report::Released(snapshot(session, 2))), head(session, 3)]);
    }

    proptest! {
        #[test]
        fn no_acknowledgement_is_lost_and_the_last_word_of_each_session_comes_last(
            steps in proptest::collection::vec((0u8..4, 0usize..3), 0..300),
        ) {
            let sessions = [SessionId::random(), SessionId::random(), SessionId::random()];
            let (mut outbox, mut acks, mut got, mut seq) = (Outbox::default(), Vec::new(), Vec::new(), 0);
            let mut last = HashMap::new();
            for (step, which) in steps {
                seq += 1;
                match step {
                    0 => {
                        let ack = ack();
                        acks.push(ack.clone());
                        outbox.push(ack);
                    }
                    1 => {
                        last.insert((which, 'h'), head(sessions[which], seq));
                        outbox.push(head(sessions[which], seq));
                    }
                    2 => {
                        let event = report(Report::Session(snapshot(sessions[which], seq)));
                        last.insert((which, 's'), event.clone());
                        outbox.push(event);
                    }
                    _ => got.extend(outbox.pop()),
                }
            }
            got.extend(std::iter::from_fn(|| outbox.pop()));
            let is_ack = |event: &&PoolEvent| matches!(event, PoolEvent::Report { report: Report::Ack { .. }, .. });
            prop_assert_eq!(got.iter().filter(is_ack).cloned().collect::<Vec<_>>(), acks);
            for ((which, sort), event) in last {
                let of_session = |found: &&PoolEvent| match found {
                    PoolEvent::Report { report: Report::Head { session, .. }, .. } => {
                        sort == 'h' && *session == sessions[which]
                    }
                    PoolEvent::Report { report: Report::Session(found), .. } => {
                        sort == 's' && found.id == sessions[which]
                    }
                    _ => false,
                };
                prop_assert_eq!(got.iter().rfind(of_session), Some(&event));
            }
        }
    }
}
