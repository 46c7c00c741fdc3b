//! What happens in sessions and to workers, found and put into the outbox.

use jiff::Timestamp;
use skep_common::api::{SessionInfo, WorkerState};
use skep_common::ids::{DeliveryId, SessionId};
use skep_common::session::{Head, SessionState};

use super::{Actor, Done, Durability, Scan, Store, ctx};
use crate::found::{self, About, Found};
use crate::policy::{HooksByName, Input, step};
use crate::record::{Cursor, Delivery, Happening, Mark, Record};
use crate::scan;

/// A session whose journal has grown.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    about: About,
    head: Head,
}

impl Seen {
    fn of(info: &SessionInfo) -> Self {
        let about = About {
            id: info.id,
            name: info.name.as_ref().map(ToString::to_string),
            agent: info.agent.clone(),
            cwd: info.cwd.clone(),
        };
        Self { about, head: info.head }
    }
}

impl Actor {
    /// Takes the configuration, at start, anew, or after the disk refused. The file is only touched once there are
    /// hooks, or where it is there already.
    pub(super) async fn configure(&mut self) {
        // Everything is looked at, now.
        self.look_again = None;
        let settings = self.settings.borrow_and_update().clone();
        if self.store.is_none() {
            let path = self.engine.paths().outbox();
            if settings.hooks.is_empty() && !path.exists() {
                return;
            }
            let opened = tokio::task::spawn_blocking(move || Store::open(&path)).await;
            match opened.unwrap_or_else(|_| Err(std::io::Error::other("the reading crashed"))) {
                Ok((store, outbox)) => (self.store, self.outbox, self.problem) = (Some(store), outbox, None),
                Err(error) => return self.refused(&error),
            }
        }
        let records = step(&self.outbox, Input::Configured, &ctx(&settings.hooks));
        if !self.keep(&records, Durability::Synced).await {
            return;
        }
        if settings.hooks.is_empty() {
            return self.grown.clear();
        }
        let (Ok(sessions), Ok(workers)) = (self.engine.sessions(true).await, self.engine.workers().await)
        else {
            return;
        };
        if self.outbox.on.is_none() && !self.begin(&sessions, &workers).await {
            return;
        }
        let gone = self.outbox.cursors.keys().filter(|id| !sessions.iter().any(|info| info.id == **id));
        let gone: Vec<Record> = gone.map(|session| Record::Forgotten { session: *session }).collect();
        self.keep(&gone, Durability::Written).await;
        for info in &sessions {
            self.look_at(info).await;
        }
        self.look_at_sessions().await;
        self.look_at_workers().await;
    }

    /// From now on things are told; what has happened before is not.
    async fn begin(&mut self, sessions: &[SessionInfo], workers: &[skep_common::api::WorkerInfo]) -> bool {
        let looked = |info: &SessionInfo| Record::Looked(Cursor { session: info.id, seq: info.head.seq });
        let mut records: Vec<Record> = sessions.iter().map(looked).collect();
        let marks = sessions.iter().flat_map(marks_of).filter(|(_, is)| *is).map(|(mark, _)| mark);
        let parked = workers.iter().filter(|worker| worker.state == WorkerState::Parked);
        let parked = parked.map(|worker| Mark::Parked { worker: worker.id.clone() });
        records.extend(marks.chain(parked).map(|what| Record::Marked { what }));
        // The last line makes it so.
        records.push(Record::On { at: Timestamp::now() });
        self.keep(&records, Durability::Synced).await
    }

    /// Looks at the sessions that have changed.
    pub(super) async fn look_at_sessions(&mut self) {
        let Ok(changes) = self.engine.changed_since(self.generation).await else { return };
        self.generation = changes.generation;
        for info in &changes.changed {
            self.look_at(info).await;
        }
        for session in changes.removed {
            self.grown.remove(&session);
            if self.outbox.cursors.contains_key(&session) {
                self.keep(&[Record::Forgotten { session }], Durability::Written).await;
            }
        }
    }

    async fn look_at(&mut self, info: &SessionInfo) {
        let seen = Seen::of(info);
        let (seq, at) = (info.head.seq, info.updated_at);
        for (mark, is) in marks_of(info) {
            let found = || match &mark {
                Mark::Keys { .. } => found::keys_missing(seq, &info.needed_keys().collect::<Vec<_>>(), at),
                _ => found::session_failed(seq, info.why.as_deref(), at),
            };
            match (is, self.outbox.marks.contains(&mark)) {
                (true, false) => {
                    let found = found();
                    self.tell(&[found], Some(&seen.about), Some(&mark), None).await;
                }
                (false, true) => {
                    self.keep(&[Record::Unmarked { what: mark }], Durability::Written).await;
                }
                _ => {}
            }
        }
        if self.outbox.cursors.get(&info.id).copied().unwrap_or(0) != seq {
            self.grown.insert(info.id, seen);
        }
    }

    /// Looks at the workers: which are parked that were not.
    pub(super) async fn look_at_workers(&mut self) {
        let Ok(workers) = self.engine.workers().await else { return };
        for worker in &workers {
            let mark = Mark::Parked { worker: worker.id.clone() };
            match (worker.state == WorkerState::Parked, self.outbox.marks.contains(&mark)) {
                (true, false) => {
                    let why = worker.why.as_deref();
                    let found = found::worker_parked(&worker.id, &worker.kind, why, Timestamp::now());
                    self.tell(&[found], None, Some(&mark), None).await;
                }
                (false, true) => {
                    self.keep(&[Record::Unmarked { what: mark }], Durability::Written).await;
                }
                _ => {}
            }
        }
    }

    /// Looks through the journal of the next session that has grown, unless one is being looked through.
    pub(super) fn look_through_next(&mut self) {
        if self.looking.is_some() || self.store.is_none() || self.look_again.is_some() {
            return;
        }
        let Some((session, seen)) = self.grown.iter().next().map(|(id, seen)| (*id, seen.clone())) else {
            return;
        };
        self.looking = Some(session);
        let after = self.outbox.cursors.get(&session).copied().unwrap_or(0);
        let (dir, report) = (self.engine.paths().session(&session), self.report.clone());
        let looking = move || scan::scan(&dir, after, seen.head);
        self.tracker.spawn(async move {
            let scan = tokio::task::spawn_blocking(looking).await;
            let scan = scan.unwrap_or_else(|_| Err(std::io::Error::other("the look crashed")));
            drop(report.send(Done::Looked(session, scan)).await);
        });
    }

    /// A journal was looked through.
    pub(super) async fn looked(&mut self, session: SessionId, scan: std::io::Result<Scan>) {
        self.looking = None;
        let Some(seen) = self.grown.remove(&session) else { return };
        let scan = match scan {
            Ok(scan) => scan,
            Err(error) => {
                // The next change of the session, and the next start, look again.
                if error.kind() != std::io::ErrorKind::NotFound {
                    tracing::warn!(session.id = %session, "the journal of {session} cannot be looked through: {error}");
                }
                return;
            }
        };
        if !self.tell(&scan.found, Some(&seen.about), None, Some(Cursor { session, seq: scan.upto })).await {
            self.grown.insert(session, seen);
            return;
        }
        // There may be more, by now or still.
        if seen.head.seq > scan.upto {
            self.grown.entry(session).or_insert(seen);
        }
    }

    /// Puts what was found into the outbox, each with its cursor and mark, so that it is told once.
    async fn tell(
        &mut self,
        found: &[Found],
        session: Option<&About>,
        mark: Option<&Mark>,
        looked: Option<Cursor>,
    ) -> bool {
        let settings = self.settings.borrow().clone();
        let mut records: Vec<Record> = Vec::with_capacity(found.len() + 1);
        for one in found {
            let looked = looked.map(|cursor| Cursor { seq: one.seq, ..cursor });
            match happened(one, session, mark, looked, &settings.hooks) {
                Some(record) => records.push(record),
                None => records.extend(mark.map(|what| Record::Marked { what: what.clone() })),
            }
        }
        // A cursor alone may be lost: what lies before it is looked through again, and has nothing to tell.
        let durability = if records.is_empty() { Durability::Written } else { Durability::Synced };
        records.extend(looked.map(Record::Looked));
        self.keep(&records, durability).await
    }
}

/// The line of what was found; none if nobody wants to hear of it.
fn happened(
    one: &Found,
    session: Option<&About>,
    mark: Option<&Mark>,
    looked: Option<Cursor>,
    hooks: &HooksByName,
) -> Option<Record> {
    let about = session.map(|about| (about.agent.as_str(), about.name.as_deref()));
    let wanting = hooks.iter().filter(|(_, hook)| hook.wants(one.event, about));
    let to: Vec<Delivery> =
        wanting.map(|(name, _)| Delivery { id: DeliveryId::random(), hook: name.clone() }).collect();
    if to.is_empty() {
        return None;
    }
    let worker = match mark {
        Some(Mark::Parked { worker }) => Some(worker.clone()),
        _ => None,
    };
    let what = Happening {
        event: one.event,
        session: session.map(|about| about.id),
        worker,
        at: one.at,
        body: found::body(one, session),
    };
    Some(Record::Happened { what: Box::new(what), to, looked, mark: mark.cloned(), since: Timestamp::now() })
}

/// What may last of a session, and whether it does now.
fn marks_of(info: &SessionInfo) -> [(Mark, bool); 2] {
    let session = info.id;
    [
        (Mark::Failed { session }, info.state == SessionState::Failed),
        (Mark::Keys { session }, info.needed_keys().next().is_some()),
    ]
}
