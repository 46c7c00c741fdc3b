//! Appending: order, batches, roll-over, back-pressure, closing.

use std::sync::Arc;

use futures_util::future::join_all;
use proptest::prelude::*;
use skep_common::session::Head;

use super::{Disk, Home, eventually, note, read_all, run, seqs, update, written};
use crate::writer::Options;
use crate::{
    Durability, JournalError, JournalThread, Lease, LeaseError, Line, Projection, first_seq, head_on_disk,
};

#[test]
fn a_new_journal_begins_with_its_session_and_its_writer() {
    let home = Home::new();
    let head = written(&home, 1 << 20, 1);
    let lines = read_all(&home.session, 0, head, 1 << 20);
    let kinds: Vec<_> = lines.iter().map(|l| if let Line::Record(r) = l { r.kind() } else { "" }).collect();
    assert_eq!(kinds, ["session_opened", "writer_opened", "note"]);
    assert_eq!(first_seq(&home.session).unwrap(), Some(1));
    assert_eq!((head.seq, head.epoch, head_on_disk(&home.session).unwrap()), (3, 1, head));
    let (projection, loaded) = Projection::load(&home.session).unwrap();
    assert_eq!((projection.spec, loaded), (Some(home.spec()), head));
}

#[test]
fn a_journal_is_created_once() {
    let home = Home::new();
    written(&home, 1 << 20, 0);
    run(async {
        let (_thread, journals) = JournalThread::start().unwrap();
        let opened = skep_common::event::SessionOpened { spec: home.spec() };
        let again = journals.create(home.lease(), home.opener(), opened).await;
        assert!(matches!(again, Err(JournalError::Exists { .. })));
        let opened = home.open(&journals).await;
        assert_eq!((opened.projection.epoch, opened.projection.seq), (2, 3));
        assert_eq!(*opened.writer.head().borrow(), head_on_disk(&home.session).unwrap());
    });
}

#[test]
fn seqs_are_given_in_the_order_of_the_calls_without_gaps() {
    let home = Home::new();
    run(async {
        let (_thread, journals) = JournalThread::start().unwrap();
        let writer = home.create(&journals).await;
        let appends = (0..200u64).map(|number| {
            let durability = if number % 7 == 0 { Durability::Synced } else { Durability::Buffered };
            let events = (0..=number % 3).map(|_| update(&number.to_string())).collect();
            writer.append(events, durability)
        });
        let mut next = 3;
        for ticket in join_all(appends).await {
            let ticket = ticket.unwrap();
            assert_eq!(ticket.seqs().start, next);
            next = ticket.seqs().end;
            assert!(ticket.committed().await.unwrap().seq >= next - 1);
        }
        let head = writer.close().await.unwrap();
        assert_eq!(head.seq, next - 1);
        let all: Vec<i64> = (1..i64::try_from(next).unwrap()).collect();
        assert_eq!(seqs(&read_all(&home.session, 0, head, 5_000)), all);
    });
}

#[test]
fn an_append_waits_while_too_much_is_unwritten_and_none_overtakes_it() {
    let home = Home::new();
    let disk = Arc::new(Disk::default());
    run(async {
        let options = Options { unwritten: 1_000, ..disk.options(&home.session) };
        let (_thread, journals) = JournalThread::start_with(options).unwrap();
        let writer = home.create(&journals).await;
        disk.set(|disk| disk.write_hangs = true);
        let big = || vec![note(&"x".repeat(800))];
        let first = writer.append(big(), Durability::Buffered).await.unwrap();
        let second = writer.append(big(), Durability::Buffered).await.unwrap();
        let mut waits = std::pin::pin!(writer.append(big(), Durability::Buffered));
        let mut behind = std::pin::pin!(writer.append(vec![note("small")], Durability::Buffered));
        assert!(futures_util::poll!(&mut waits).is_pending());
        assert!(futures_util::poll!(&mut behind).is_pending());
        eventually("stall", || (journals.oldest_wait_ms() > 0).then_some(()));
        disk.set(|disk| disk.write_hangs = false);
        let (third, fourth) = (waits.await.unwrap(), behind.await.unwrap());
        assert_eq!([&first, &second, &third, &fourth].map(|ticket| ticket.seqs().start), [3, 4, 5, 6]);
        assert_eq!(fourth.committed().await.unwrap().seq, 6);
        eventually("end of the stall", || (journals.oldest_wait_ms() == 0).then_some(()));
    });
}

#[test]
fn an_append_that_is_given_up_while_it_waits_has_appended_nothing() {
    let home = Home::new();
    let disk = Arc::new(Disk::default());
    run(async {
        let options = Options { unwritten: 100, ..disk.options(&home.session) };
        let (_thread, journals) = JournalThread::start_with(options).unwrap();
        let writer = home.create(&journals).await;
        disk.set(|disk| disk.write_hangs = true);
        drop(writer.append(vec![note(&"x".repeat(200))], Durability::Buffered).await.unwrap());
        {
            let mut waits = std::pin::pin!(writer.append(vec![note("given up")], Durability::Buffered));
            assert!(futures_util::poll!(&mut waits).is_pending());
        }
        disk.set(|disk| disk.write_hangs = false);
        let next = writer.append(vec![note("next")], Durability::Synced).await.unwrap();
        assert_eq!(next.seqs(), 4..5);
        next.committed().await.unwrap();
    });
}

#[test]
fn a_ticket_without_events_stands_for_all_before_it() {
    let home = Home::new();
    let disk = Arc::new(Disk::default());
    run(async {
        let (_thread, journals) = JournalThread::start_with(disk.options(&home.session)).unwrap();
        let writer = home.create(&journals).await;
        drop(writer.append(vec![note("a")], Durability::Buffered).await.unwrap());
        let before = disk.get(|disk| disk.syncs);
        let barrier = writer.append(Vec::new(), Durability::Synced).await.unwrap();
        assert!(barrier.seqs().is_empty());
        assert_eq!(barrier.committed().await.unwrap().seq, 3);
        assert_eq!(disk.get(|disk| disk.syncs), before + 1);
        let nothing = writer.append(Vec::new(), Durability::Buffered).await.unwrap();
        assert_eq!(nothing.committed().await.unwrap().seq, 3);
    });
}

#[test]
fn closing_frees_the_lease_and_dropping_does_too() {
    let home = Home::new();
    run(async {
        let (_thread, journals) = JournalThread::start().unwrap();
        let writer = home.create(&journals).await;
        assert!(matches!(Lease::acquire(&home.session), Err(LeaseError::Held)));
        drop(writer.append(vec![note("last words")], Durability::Buffered).await.unwrap());
        assert_eq!(writer.close().await.unwrap().seq, 3);
        let opened = journals.open(Lease::acquire(&home.session).unwrap(), home.opener()).await.unwrap();
        drop(opened.writer.append(vec![note("and more")], Durability::Buffered).await.unwrap());
        drop(opened);
        drop(home.lease());
        assert_eq!(head_on_disk(&home.session).unwrap().seq, 5);
    });
}

#[test]
fn the_end_of_the_thread_writes_what_is_pending_and_refuses_the_rest() {
    let home = Home::new();
    run(async {
        let (thread, journals) = JournalThread::start().unwrap();
        let writer = home.create(&journals).await;
        let tickets = join_all((0..100).map(|_| writer.append(vec![note("n")], Durability::Buffered))).await;
        drop(thread);
        for ticket in tickets {
            ticket.unwrap().committed().await.unwrap();
        }
        assert!(matches!(
            writer.append(vec![note("late")], Durability::Buffered).await,
            Err(JournalError::Closed)
        ));
        assert!(matches!(writer.close().await, Err(JournalError::Closed)));
        assert_eq!(head_on_disk(&home.session).unwrap().seq, 102);
        drop(home.lease());
    });
}

#[test]
fn an_opening_that_nobody_awaits_leaves_the_lease_free() {
    let home = Home::new();
    written(&home, 1 << 20, 3);
    run(async {
        let (_thread, journals) = JournalThread::start().unwrap();
        {
            let mut open = std::pin::pin!(journals.open(home.lease(), home.opener()));
            drop(futures_util::poll!(&mut open));
        }
        assert!(home.open(&journals).await.projection.epoch >= 2);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn n2_what_is_appended_is_read_exactly_once_from_any_cursor(
        batches in prop::collection::vec(
            (prop::collection::vec((any::<bool>(), 0usize..600), 1..6), prop::bool::weighted(0.1), prop::bool::weighted(0.05)),
            1..40,
        ),
        segment_bytes in 200u64..6_000,
        bite in prop::option::of(1usize..400),
        max_bytes in 1usize..20_000,
        cursor in any::<prop::sample::Index>(),
    ) {
        let home = Home::new();
        let disk = Arc::new(Disk::default());
        let mut expected = vec!["session_opened".to_owned(), "writer_opened".to_owned()];
        let head = run(async {
            disk.set(|disk| disk.bite = bite);
            let options = Options { segment_bytes, ..disk.options(&home.session) };
            let (_thread, journals) = JournalThread::start_with(options).unwrap();
            let mut writer = home.create(&journals).await;
            for (events, synced, reopen) in batches {
                if reopen {
                    writer.close().await.unwrap();
                    writer = home.open(&journals).await.writer;
                    expected.push("writer_opened".to_owned());
                }
                let durability = if synced { Durability::Synced } else { Durability::Buffered };
                let events: Vec<_> = events.into_iter().map(|(is_note, len)| {
                    let text = "x".repeat(len);
                    if is_note { note(&text) } else { update(&text) }
                }).collect();
                expected.extend(events.iter().map(|event| event.kind().to_owned()));
                let ticket = writer.append(events, durability).await.unwrap();
                assert_eq!(ticket.seqs().end, expected.len() as u64 + 1);
                if synced {
                    ticket.committed().await.unwrap();
                }
            }
            writer.close().await.unwrap()
        });
        check_round_trip(&home, head, &expected, cursor.index(expected.len() + 1) as u64, max_bytes);
        for (first, bytes) in home.files() {
            let lines = memchr::memchr_iter(b'\n', &bytes).count();
            prop_assert!(bytes.len() as u64 <= segment_bytes || lines == 2, "segment {} has {} bytes", first, bytes.len());
        }
    }
}

fn check_round_trip(home: &Home, head: Head, expected: &[String], after: u64, max_bytes: usize) {
    let plain = home.plainly();
    assert_eq!(
        plain.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(),
        (1..=expected.len() as u64).collect::<Vec<_>>()
    );
    assert_eq!(head, head_on_disk(&home.session).unwrap());
    let lines = read_all(&home.session, after, head, max_bytes);
    assert_eq!(lines.len() as u64, head.seq - after);
    for (line, (seq, value)) in lines.iter().zip(&plain[usize::try_from(after).unwrap()..]) {
        let Line::Record(record) = line else { panic!("{line:?}") };
        assert_eq!((record.seq, record.kind()), (*seq, expected[usize::try_from(seq - 1).unwrap()].as_str()));
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&record.json).unwrap(), *value);
        assert_eq!(record.decode().unwrap().event.kind(), record.kind());
    }
}
