use proptest::prelude::*;
use skep_common::api::HookEvent;

use super::*;

pub(crate) fn happening(body: &str) -> Box<Happening> {
    let at = Timestamp::UNIX_EPOCH;
    Box::new(Happening {
        event: HookEvent::TurnEnded,
        session: None,
        worker: None,
        at,
        body: body.to_owned(),
    })
}

pub(crate) fn happened(id: DeliveryId, hook: &str, body: &str) -> Record {
    let to = vec![Delivery { id, hook: hook.to_owned() }];
    Record::Happened { what: happening(body), to, looked: None, mark: None, since: Timestamp::UNIX_EPOCH }
}

/// Any history over a few deliveries, sessions and hooks, sensible or not.
pub(crate) fn history() -> impl Strategy<Value = Vec<Record>> {
    let ids: Vec<DeliveryId> = (0..6).map(|_| DeliveryId::random()).collect();
    let sessions: Vec<SessionId> = (0..3).map(|_| SessionId::random()).collect();
    let at = |second: i64| Timestamp::from_second(second).unwrap();
    let one = (0_usize..10, 0_usize..6, 0_usize..3, 1_u32..5, 0_i64..100, "[a-z]{0,8}");
    let record = move |(kind, id, other, attempts, second, text): (usize, usize, usize, u32, i64, String)| {
        let (id, session, hook) = (ids[id], sessions[other], format!("h{other}"));
        let seq = u64::from(attempts);
        match kind {
            0 => Record::On { at: at(second) },
            1 => Record::Looked(Cursor { session, seq }),
            2 => Record::Forgotten { session },
            3 => Record::Happened {
                what: happening(&text),
                // A delivery belongs to one hook for ever.
                to: vec![Delivery { id, hook: format!("h{}", id.to_string().len() % 3) }],
                looked: Some(Cursor { session, seq }),
                mark: Some(Mark::Failed { session }),
                since: at(second),
            },
            4 => Record::Failed { id, attempts, next: at(second), error: text },
            5 => Record::Delivered { id, attempts, at: at(second) },
            6 => Record::Dead { id, attempts, at: at(second), why: text },
            7 => Record::Revived { id, at: at(second) },
            8 => Record::Dismissed { id },
            _ => Record::Counted { hook, counts: HookCounts { dropped: seq, ..HookCounts::default() } },
        }
    };
    proptest::collection::vec(one.prop_map(record), 0..60)
}

pub(crate) fn replay(records: &[Record]) -> Outbox {
    let mut outbox = Outbox::default();
    records.iter().for_each(|record| outbox.apply(record));
    outbox
}

proptest! {
    #[test]
    fn what_a_long_file_is_replaced_by_stands_for_the_same(history in history()) {
        let outbox = replay(&history);
        prop_assert_eq!(&replay(&outbox.snapshot()), &outbox);
        prop_assert_eq!(&replay(&replay(&outbox.snapshot()).snapshot()), &outbox);
    }

    #[test]
    fn no_delivery_is_in_two_places_and_what_arrived_or_was_dismissed_is_in_none(history in history()) {
        let outbox = replay(&history);
        let mut seen = BTreeSet::new();
        let all = outbox.waiting.iter().map(|w| w.id).chain(outbox.dead.iter().map(|d| d.id));
        for id in all {
            prop_assert!(seen.insert(id), "{} twice", id);
        }
        for (at, record) in history.iter().enumerate() {
            let (Record::Delivered { id, .. } | Record::Dismissed { id }) = record else { continue };
            let again = history[at..].iter().any(|record| matches!(record, Record::Happened { to, .. } if to[0].id == *id));
            prop_assert!(again || !seen.contains(id));
        }
    }
}

#[test]
fn too_many_deliveries_drop_the_oldest_of_their_hook_visibly() {
    let mut outbox = Outbox::default();
    let other = DeliveryId::random();
    outbox.apply(&happened(other, "other", "{}"));
    let ids: Vec<DeliveryId> = (0..MAX_WAITING + 3).map(|_| DeliveryId::random()).collect();
    for id in &ids {
        outbox.apply(&happened(*id, "full", "{}"));
    }
    assert_eq!(outbox.waiting.len(), MAX_WAITING + 1);
    let counts = outbox.counts("full");
    assert_eq!((counts.pending, counts.dropped), (MAX_WAITING as u64, 3));
    assert_eq!((outbox.counts("other").pending, outbox.counts("other").dropped), (1, 0));
    assert_eq!(outbox.waiting.iter().find(|waiting| waiting.hook == "full").unwrap().id, ids[3]);
    // Those that were given up are bounded, too.
    for id in &ids[3..] {
        outbox.apply(&Record::Dead { id: *id, attempts: 1, at: Timestamp::UNIX_EPOCH, why: String::new() });
    }
    let counts = outbox.counts("full");
    assert_eq!((counts.pending, counts.dead), (0, MAX_DEAD as u64));
    assert_eq!(counts.dropped, 3 + (MAX_WAITING - MAX_DEAD) as u64);
}

#[test]
fn large_deliveries_are_bounded_by_their_bytes() {
    let mut outbox = Outbox::default();
    let body = "x".repeat(MAX_BYTES / 4);
    for _ in 0..10 {
        outbox.apply(&happened(DeliveryId::random(), "h", &body));
    }
    let counts = outbox.counts("h");
    assert_eq!((counts.pending, counts.dropped), (4, 6));
}
