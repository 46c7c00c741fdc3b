//! What is told to whom, when it is tried, and when it is given up. Pure: time, chance and the configuration are
//! arguments; what follows is records, which [`Outbox::apply`] takes in once they are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use skep_common::backoff::Jitter;
use skep_common::ids::DeliveryId;
use skep_config::hooks::HookSettings;

use crate::outbox::{Outbox, Waiting};
use crate::record::Record;

/// Attempts of one hook at the same time.
pub(crate) const AT_ONCE: usize = 4;

/// A receiver may ask for no longer wait than this.
const LONGEST_WISH: Duration = Duration::from_secs(60 * 60);

/// Characters of an error that are kept.
const ERROR: usize = 300;

/// The hooks by name.
pub(crate) type HooksByName = BTreeMap<String, HookSettings>;

/// What decisions are made by.
#[derive(Debug)]
pub(crate) struct Ctx<'a> {
    pub(crate) now: Timestamp,
    pub(crate) jitter: Jitter,
    pub(crate) hooks: &'a HooksByName,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It arrived.
    Delivered {
        /// What the other side said.
        said: String,
    },
    /// It did not, and may with another attempt.
    Failed {
        why: String,
        /// The receiver wants so long a wait.
        wait: Option<Duration>,
    },
    /// It never will.
    Refused { why: String },
}

impl Outcome {
    /// It did not arrive, and may with another attempt.
    pub(crate) fn failed(why: impl Into<String>) -> Self {
        Self::Failed { why: why.into(), wait: None }
    }
}

/// Something to decide about.
#[derive(Debug)]
pub(crate) enum Input {
    /// An attempt has ended.
    Attempted(DeliveryId, Outcome),
    /// A person wants a delivery tried again.
    Retry(DeliveryId),
    /// The configuration was read, at start or anew.
    Configured,
}

/// What follows from it.
pub(crate) fn step(outbox: &Outbox, input: Input, ctx: &Ctx<'_>) -> Vec<Record> {
    match input {
        Input::Attempted(id, outcome) => {
            let waiting = outbox.waiting.iter().find(|waiting| waiting.id == id);
            if let (None, Outcome::Delivered { .. }) = (waiting, &outcome) {
                // It was given up while it was on its way.
                let dead = outbox.dead.iter().find(|dead| dead.id == id);
                return dead
                    .map(|dead| Record::Delivered { id, attempts: dead.attempts, at: ctx.now })
                    .into_iter()
                    .collect();
            }
            waiting.map(|waiting| attempted(waiting, outcome, ctx)).into_iter().collect()
        }
        Input::Retry(id) => {
            let hook = outbox.waiting.iter().find(|waiting| waiting.id == id).map(|waiting| &waiting.hook);
            let hook = hook.or_else(|| outbox.dead.iter().find(|dead| dead.id == id).map(|dead| &dead.hook));
            let known = hook.filter(|hook| ctx.hooks.contains_key(*hook));
            known.map(|_| Record::Revived { id, at: ctx.now }).into_iter().collect()
        }
        Input::Configured => configured(outbox, ctx),
    }
}

fn attempted(waiting: &Waiting, outcome: Outcome, ctx: &Ctx<'_>) -> Record {
    let (id, at, attempts) = (waiting.id, ctx.now, waiting.attempts.saturating_add(1));
    let dead = |why: String| Record::Dead { id, attempts, at, why: clip(&why) };
    let (why, wait) = match outcome {
        Outcome::Delivered { .. } => return Record::Delivered { id, attempts, at },
        Outcome::Refused { why } => return dead(why),
        Outcome::Failed { why, wait } => (why, wait),
    };
    let Some(hook) = ctx.hooks.get(&waiting.hook) else {
        return dead(String::from("its hook is not configured any more"));
    };
    if attempts >= hook.attempts() {
        return dead(format!("given up after {attempts} attempts: {why}"));
    }
    let wish = wait.unwrap_or_default().min(LONGEST_WISH);
    let delay = hook.delay_policy().delay(attempts, ctx.jitter).max(wish);
    let next = later(ctx.now, delay);
    if next > later(waiting.since, hook.give_up_after) {
        let tried = humantime(hook.give_up_after);
        return dead(format!("given up after {tried} (hooks.{}.give_up_after): {why}", waiting.hook));
    }
    Record::Failed { id, attempts, next, error: clip(&why) }
}

/// With hooks things are told from now on; without them nothing is kept. What a hook that is gone had to tell is
/// given up, so that it is seen and can be tried again when the hook is back.
fn configured(outbox: &Outbox, ctx: &Ctx<'_>) -> Vec<Record> {
    let orphans = outbox.waiting.iter().filter(|waiting| !ctx.hooks.contains_key(&waiting.hook));
    let mut records: Vec<Record> = orphans
        .map(|waiting| Record::Dead {
            id: waiting.id,
            attempts: waiting.attempts,
            at: ctx.now,
            why: String::from("its hook is not configured any more"),
        })
        .collect();
    if ctx.hooks.is_empty() && outbox.on.is_some() {
        records.push(Record::Off);
    }
    records
}

/// What is to be tried now, oldest first, and when something is due next. What is under way is not tried twice.
pub(crate) fn due(
    outbox: &Outbox,
    under_way: &BTreeSet<DeliveryId>,
    ctx: &Ctx<'_>,
) -> (Vec<DeliveryId>, Option<Timestamp>) {
    let mut places: BTreeMap<&str, usize> = ctx.hooks.keys().map(|name| (name.as_str(), AT_ONCE)).collect();
    for waiting in outbox.waiting.iter().filter(|waiting| under_way.contains(&waiting.id)) {
        if let Some(places) = places.get_mut(waiting.hook.as_str()) {
            *places = places.saturating_sub(1);
        }
    }
    let (mut now, mut next) = (Vec::new(), None::<Timestamp>);
    for waiting in outbox.waiting.iter().filter(|waiting| !under_way.contains(&waiting.id)) {
        let Some(places) = places.get_mut(waiting.hook.as_str()) else { continue };
        if waiting.next > ctx.now {
            next = Some(next.map_or(waiting.next, |earliest| earliest.min(waiting.next)));
        } else if *places > 0 {
            *places -= 1;
            now.push(waiting.id);
        }
        // What finds no place is looked at again when an attempt ends.
    }
    (now, next)
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| at.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

fn humantime(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds.is_multiple_of(3600) { format!("{} h", seconds / 3600) } else { format!("{seconds} s") }
}

fn clip(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(ERROR).collect()
}

#[cfg(test)]
mod tests;
