//! What the handle asks.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use skep_common::api::{DeliveryInfo, DeliveryQuery, DeliveryState, HookInfo, HookList, HookTested};
use skep_common::code::{ApiError, Code};
use skep_common::ids::DeliveryId;
use skep_config::hooks::HookSettings;

use super::{Actor, Call, Done, Durability, REMEMBERED, ctx};
use crate::attempt::Parcel;
use crate::found;
use crate::handle::ReplyTo;
use crate::outbox::{Dead, Waiting};
use crate::policy::{Input, Outcome, step};
use crate::record::Record;

impl Actor {
    pub(super) async fn answer(&mut self, call: Call) {
        // Whoever asked may have gone, here and below.
        match call {
            Call::List(reply) => drop(reply.send(Ok(self.list()))),
            Call::Deliveries(query, limit, reply) => {
                drop(reply.send(Ok(self.deliveries(&query, limit))));
            }
            Call::Retry(id, reply) => drop(reply.send(self.retry(id).await)),
            Call::Dismiss(id, reply) => drop(reply.send(self.dismiss(id).await)),
            Call::Test(hook, reply) => self.test(hook, reply),
        }
    }

    fn list(&self) -> HookList {
        let settings = self.settings.borrow().clone();
        let hooks = settings.hooks.iter().map(|(name, hook)| self.info(name, hook)).collect();
        HookList { hooks, problem: self.problem.clone() }
    }

    fn info(&self, name: &str, hook: &HookSettings) -> HookInfo {
        let waiting = || self.outbox.waiting.iter().filter(|waiting| waiting.hook == name);
        let failing = waiting().filter(|waiting| waiting.attempts > 0).max_by_key(|waiting| waiting.next);
        let dead = self.outbox.dead.iter().rev().find(|dead| dead.hook == name);
        HookInfo {
            name: name.to_owned(),
            on: hook.on.clone(),
            target: hook.target().map(|target| target.to_string()).unwrap_or_default(),
            counts: self.outbox.counts(name),
            next_at: waiting().map(|waiting| waiting.next).min(),
            last_error: failing
                .and_then(|waiting| waiting.error.clone())
                .or_else(|| dead.map(|dead| dead.why.clone())),
        }
    }

    fn deliveries(&self, query: &DeliveryQuery, limit: usize) -> Vec<DeliveryInfo> {
        let waiting = self.outbox.waiting.iter().map(of_waiting);
        let dead = self.outbox.dead.iter().map(of_dead);
        let mut all: Vec<DeliveryInfo> = waiting
            .chain(dead)
            .chain(self.arrived.iter().cloned())
            .filter(|delivery| query.state.is_none_or(|state| delivery.state == state))
            .filter(|delivery| query.hook.as_ref().is_none_or(|hook| delivery.hook == *hook))
            .collect();
        all.sort_by_key(|delivery| std::cmp::Reverse(delivery.at));
        all.truncate(limit);
        all
    }

    async fn retry(&mut self, id: DeliveryId) -> Result<DeliveryInfo, ApiError> {
        let settings = self.settings.borrow().clone();
        let records = step(&self.outbox, Input::Retry(id), &ctx(&settings.hooks));
        if records.is_empty() {
            return Err(match self.outbox.dead.iter().find(|dead| dead.id == id) {
                Some(dead) => no_hook(&dead.hook),
                None => no_delivery(id),
            });
        }
        if !self.keep(&records, Durability::Written).await {
            return Err(not_kept());
        }
        let waiting = self.outbox.waiting.iter().find(|waiting| waiting.id == id);
        waiting.map(of_waiting).ok_or_else(|| ApiError::new(Code::Internal, "the delivery vanished"))
    }

    async fn dismiss(&mut self, id: DeliveryId) -> Result<(), ApiError> {
        let known = self.outbox.waiting.iter().any(|waiting| waiting.id == id)
            || self.outbox.dead.iter().any(|dead| dead.id == id);
        if !known {
            return Err(no_delivery(id));
        }
        let kept = self.keep(&[Record::Dismissed { id }], Durability::Written).await;
        if kept { Ok(()) } else { Err(not_kept()) }
    }

    /// One attempt, beside the outbox.
    fn test(&mut self, name: String, reply: ReplyTo<HookTested>) {
        let settings = self.settings.borrow().clone();
        let Some(hook) = settings.hooks.get(&name).cloned() else {
            return drop(reply.send(Err(no_hook(&name))));
        };
        if !self.testing.insert(name.clone()) {
            let why = format!("another test of the hook `{name}` runs");
            return drop(reply.send(Err(ApiError::new(Code::Overloaded, why))));
        }
        let found = found::test(&name, Timestamp::now());
        let id = DeliveryId::random();
        let parcel = Parcel { id, hook: name.clone(), event: found.event, body: found::body(&found, None) };
        let (attempts, report) = (Arc::clone(&self.attempts), self.report.clone());
        self.tracker.spawn(async move {
            let begun = Instant::now();
            let gone = report.clone();
            let outcome = tokio::select! {
                outcome = attempts.attempt(&hook, &parcel) => outcome,
                () = gone.closed() => return,
            };
            let (delivered, detail) = match outcome {
                Outcome::Delivered { said } => (true, said),
                Outcome::Failed { why, .. } | Outcome::Refused { why } => (false, why),
            };
            let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            drop(reply.send(Ok(HookTested { id, delivered, detail, took_ms })));
            drop(report.send(Done::Tested(name)).await);
        });
    }

    /// Keeps in mind what has arrived, for lists.
    pub(super) fn remember(&mut self, id: DeliveryId, attempts: u32) {
        let Some(waiting) = self.outbox.waiting.iter().find(|waiting| waiting.id == id) else { return };
        let state = DeliveryState::Delivered;
        let (next_at, last_error) = (None, None);
        self.arrived.push_back(DeliveryInfo { state, attempts, next_at, last_error, ..of_waiting(waiting) });
        if self.arrived.len() > REMEMBERED {
            self.arrived.pop_front();
        }
    }
}

fn no_delivery(id: DeliveryId) -> ApiError {
    ApiError::new(Code::DeliveryNotFound, format!("no delivery `{id}` waits or was given up"))
}

fn not_kept() -> ApiError {
    ApiError::new(Code::StorageFailed, "the outbox cannot be written; the log says why")
}

fn no_hook(name: &str) -> ApiError {
    let shown: String = name.chars().take(80).flat_map(char::escape_debug).collect();
    ApiError::new(Code::HookNotFound, format!("no hook `{shown}` is configured"))
}

fn of_waiting(waiting: &Waiting) -> DeliveryInfo {
    let Waiting { id, hook, what, attempts, next, error, .. } = waiting;
    DeliveryInfo {
        id: *id,
        hook: hook.clone(),
        event: what.event,
        session: what.session,
        worker: what.worker.clone(),
        at: what.at,
        state: DeliveryState::Pending,
        attempts: *attempts,
        next_at: Some(*next),
        last_error: error.clone(),
    }
}

fn of_dead(dead: &Dead) -> DeliveryInfo {
    let Dead { id, hook, what, attempts, why, .. } = dead;
    DeliveryInfo {
        id: *id,
        hook: hook.clone(),
        event: what.event,
        session: what.session,
        worker: what.worker.clone(),
        at: what.at,
        state: DeliveryState::Dead,
        attempts: *attempts,
        next_at: None,
        last_error: Some(why.clone()),
    }
}
