use proptest::prelude::*;

use super::*;
use crate::outbox::tests::{happened, history, replay};

fn hooks(settings: &[(&str, HookSettings)]) -> HooksByName {
    settings.iter().map(|(name, hook)| ((*name).to_owned(), hook.clone())).collect()
}

fn url() -> HookSettings {
    let secret_env = Some(String::from("S"));
    HookSettings { url: Some(String::from("https://h")), secret_env, ..HookSettings::default() }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Lets a receiver fail with every attempt; when each was made, and how it ended.
fn fail_for_ever(hook: HookSettings, wait: Option<Duration>) -> (Vec<i64>, Record) {
    let (id, hooks) = (DeliveryId::random(), hooks(&[("h", hook)]));
    let mut outbox = replay(&[happened(id, "h", "{}")]);
    let (mut now, mut tried) = (at(0), Vec::new());
    loop {
        let ctx = Ctx { now, jitter: Jitter::NONE, hooks: &hooks };
        let (ready, next) = due(&outbox, &BTreeSet::new(), &ctx);
        if ready.is_empty() {
            now = next.expect("it waits");
            continue;
        }
        tried.push(now.as_second());
        let outcome = Outcome::Failed { why: String::from("HTTP 500"), wait };
        let records = step(&outbox, Input::Attempted(id, outcome), &ctx);
        records.iter().for_each(|record| outbox.apply(record));
        if let Some(record @ Record::Dead { .. }) = records.first() {
            return (tried, record.clone());
        }
    }
}

#[test]
fn attempts_double_their_distance_until_the_delivery_is_given_up() {
    let (tried, end) = fail_for_ever(url(), None);
    assert_eq!(tried[..8], [0, 5, 15, 35, 75, 155, 315, 635]);
    assert!(tried.windows(2).all(|pair| pair[1] - pair[0] <= 3600), "{tried:?}");
    assert!(*tried.last().unwrap() <= 86_400 && tried.len() < 40, "{tried:?}");
    assert!(
        matches!(end, Record::Dead { ref why, .. } if why.contains("24 h") && why.contains("HTTP 500")),
        "{end:?}"
    );
    let (tried, end) = fail_for_ever(HookSettings { max_attempts: Some(3), ..url() }, None);
    assert_eq!(tried, [0, 5, 15]);
    assert!(
        matches!(end, Record::Dead { attempts: 3, ref why, .. } if why.contains("3 attempts")),
        "{end:?}"
    );
    let command = HookSettings { command: vec![String::from("x")], ..HookSettings::default() };
    assert_eq!(fail_for_ever(command, None).0, [0, 5, 15], "a command is tried three times");
}

#[test]
fn a_receiver_may_ask_for_a_longer_wait_but_not_for_any() {
    let hour = || HookSettings { max_attempts: Some(2), ..url() };
    assert_eq!(fail_for_ever(hour(), Some(Duration::from_secs(60))).0, [0, 60]);
    assert_eq!(fail_for_ever(hour(), Some(Duration::from_secs(1))).0, [0, 5]);
    assert_eq!(fail_for_ever(hour(), Some(Duration::from_secs(u64::MAX))).0, [0, 3600]);
}

#[test]
fn what_can_never_arrive_is_given_up_at_once_and_can_be_tried_again() {
    let (id, hooks) = (DeliveryId::random(), hooks(&[("h", url())]));
    let mut outbox = replay(&[happened(id, "h", "{}")]);
    let ctx = Ctx { now: at(7), jitter: Jitter::NONE, hooks: &hooks };
    let gone = Outcome::Refused { why: String::from("HTTP 410") };
    for record in step(&outbox, Input::Attempted(id, gone), &ctx) {
        outbox.apply(&record);
    }
    assert_eq!((outbox.waiting.len(), outbox.dead.len()), (0, 1));
    for record in step(&outbox, Input::Retry(id), &ctx) {
        outbox.apply(&record);
    }
    assert_eq!(due(&outbox, &BTreeSet::new(), &ctx).0, [id]);
    let none = HooksByName::new();
    assert_eq!(step(&outbox, Input::Retry(id), &Ctx { hooks: &none, ..ctx }), [], "its hook is not there");
    assert_eq!(step(&outbox, Input::Retry(DeliveryId::random()), &ctx), []);
}

#[test]
fn a_hook_that_is_gone_leaves_nothing_waiting_and_without_hooks_nothing_is_watched() {
    let (kept, orphan) = (DeliveryId::random(), DeliveryId::random());
    let mut outbox =
        replay(&[Record::On { at: at(0) }, happened(kept, "h", "{}"), happened(orphan, "gone", "{}")]);
    let one = hooks(&[("h", url())]);
    let ctx = Ctx { now: at(1), jitter: Jitter::NONE, hooks: &one };
    for record in step(&outbox, Input::Configured, &ctx) {
        outbox.apply(&record);
    }
    assert_eq!((outbox.waiting[0].id, outbox.dead[0].id, outbox.on), (kept, orphan, Some(at(0))));
    let none = HooksByName::new();
    for record in step(&outbox, Input::Configured, &Ctx { hooks: &none, ..ctx }) {
        outbox.apply(&record);
    }
    assert_eq!((outbox.waiting.len(), outbox.dead.len(), outbox.on), (0, 2, None));
}

#[test]
fn a_hook_has_so_many_attempts_at_once_and_holds_up_no_other() {
    let ids: Vec<DeliveryId> = (0..8).map(|_| DeliveryId::random()).collect();
    let mut records: Vec<Record> = ids[..7].iter().map(|id| happened(*id, "slow", "{}")).collect();
    records.push(happened(ids[7], "other", "{}"));
    let outbox = replay(&records);
    let both = hooks(&[("slow", url()), ("other", url())]);
    let ctx = Ctx { now: at(0), jitter: Jitter::NONE, hooks: &both };
    let (ready, next) = due(&outbox, &BTreeSet::new(), &ctx);
    assert_eq!((ready, next), (vec![ids[0], ids[1], ids[2], ids[3], ids[7]], None));
    let under_way = ids[..3].iter().copied().collect();
    assert_eq!(due(&outbox, &under_way, &ctx).0, [ids[3], ids[7]]);
}

proptest! {
    #[test]
    fn whatever_happened_a_decision_is_about_what_waits_and_nothing_is_tried_early(
        history in history(), now in 0_i64..200, under_way in 0_usize..3,
    ) {
        let outbox = replay(&history);
        let all = hooks(&[("h0", url()), ("h1", url())]);
        let ctx = Ctx { now: at(now), jitter: Jitter::NONE, hooks: &all };
        let under_way: BTreeSet<_> = outbox.waiting.iter().take(under_way).map(|waiting| waiting.id).collect();
        let (ready, next) = due(&outbox, &under_way, &ctx);
        for id in &ready {
            let waiting = outbox.waiting.iter().find(|waiting| waiting.id == *id).unwrap();
            prop_assert!(waiting.next <= ctx.now && !under_way.contains(id));
        }
        prop_assert!(next.is_none_or(|next| next > ctx.now));
        for id in ready {
            let mut after = outbox.clone();
            for record in step(&outbox, Input::Attempted(id, Outcome::failed("no")), &ctx) {
                after.apply(&record);
            }
            let (waiting, dead) = (after.waiting.iter().any(|w| w.id == id), after.dead.iter().any(|d| d.id == id));
            prop_assert!(waiting != dead, "a failure loses nothing");
        }
    }
}
