//! A disk that is slow, full or broken.

use std::sync::Arc;

use super::{Disk, Home, eventually, note, read_all, run, seqs};
use crate::writer::Options;
use crate::{Durability, JournalError, JournalThread, RecoveryNote, head_on_disk};

#[test]
fn a_sync_that_hangs_delays_no_other_session_and_not_its_own_writes() {
    let (slow, quick) = (Home::new(), Home::new());
    let disk = Arc::new(Disk::default());
    run(async {
        let (_thread, journals) = JournalThread::start_with(disk.options(&slow.session)).unwrap();
        let (a, b) = (slow.create(&journals).await, quick.create(&journals).await);
        disk.set(|disk| disk.sync_hangs = true);
        let hangs = a.append(vec![note("a")], Durability::Synced).await.unwrap();
        let mut hanging = std::pin::pin!(hangs.committed());
        assert!(futures_util::poll!(&mut hanging).is_pending());
        for _ in 0..50 {
            b.append(vec![note("b")], Durability::Synced).await.unwrap().committed().await.unwrap();
        }
        let written = a.append(vec![note("a")], Durability::Buffered).await.unwrap();
        assert_eq!(written.committed().await.unwrap().seq, 4);
        assert!(futures_util::poll!(&mut hanging).is_pending());
        eventually("stall", || (journals.oldest_wait_ms() > 0).then_some(()));
        disk.set(|disk| disk.sync_hangs = false);
        assert_eq!(hanging.await.unwrap().seq, 4);
        eventually("end of the stall", || (journals.oldest_wait_ms() == 0).then_some(()));
    });
}

#[test]
fn appends_that_come_during_a_sync_share_the_next_one() {
    let home = Home::new();
    let disk = Arc::new(Disk::default());
    run(async {
        let (_thread, journals) = JournalThread::start_with(disk.options(&home.session)).unwrap();
        let writer = home.create(&journals).await;
        let before = disk.get(|disk| disk.syncs);
        disk.set(|disk| disk.sync_hangs = true);
        let first = writer.append(vec![note("0")], Durability::Synced).await.unwrap();
        eventually("first sync", || disk.get(|disk| (disk.syncs == before + 1).then_some(())));
        let mut tickets = vec![first];
        for _ in 0..20 {
            tickets.push(writer.append(vec![note("n")], Durability::Synced).await.unwrap());
        }
        // Written, all of them, before the first sync ends.
        let mut head = writer.head();
        head.wait_for(|head| head.seq == 23).await.unwrap();
        disk.set(|disk| disk.sync_hangs = false);
        for ticket in tickets {
            ticket.committed().await.unwrap();
        }
        assert_eq!(disk.get(|disk| disk.syncs), before + 2);
    });
}

#[test]
fn a_failed_sync_makes_the_session_read_only_and_is_never_tried_again() {
    let home = Home::new();
    let disk = Arc::new(Disk::default());
    run(async {
        let (_thread, journals) = JournalThread::start_with(disk.options(&home.session)).unwrap();
        let writer = home.create(&journals).await;
        disk.set(|disk| disk.sync_fails = true);
        let before = disk.get(|disk| disk.syncs);
        let ticket = writer.append(vec![note("lost?")], Durability::Synced).await.unwrap();
        assert!(matches!(ticket.committed().await, Err(JournalError::Sync { .. })));
        // The disk is well again; the kernel would say so, and be wrong about the pages that it dropped.
        disk.set(|disk| disk.sync_fails = false);
        assert!(matches!(writer.failure(), Some(JournalError::Sync { .. })));
        let refused = writer.append(vec![note("more")], Durability::Buffered).await;
        assert!(matches!(refused, Err(JournalError::Sync { .. })));
        assert!(matches!(writer.close().await, Err(JournalError::Sync { .. })));
        assert_eq!(disk.get(|disk| disk.syncs), before + 1);
        let opened = home.open(&journals).await;
        let ticket = opened.writer.append(vec![note("again")], Durability::Synced).await.unwrap();
        ticket.committed().await.unwrap();
    });
}

#[test]
fn a_full_disk_leaves_whole_records_only_and_the_next_opening_goes_on() {
    for room in [0, 1, 50, 150, 400] {
        let home = Home::new();
        let disk = Arc::new(Disk::default());
        run(async {
            let (_thread, journals) = JournalThread::start_with(disk.options(&home.session)).unwrap();
            let writer = home.create(&journals).await;
            let head = writer.append(vec![note("kept")], Durability::Synced).await.unwrap();
            let head = head.committed().await.unwrap();
            disk.set(|disk| disk.room = Some(room));
            let ticket = writer.append(vec![note(&"x".repeat(1_000))], Durability::Buffered).await.unwrap();
            let error = ticket.committed().await.unwrap_err();
            assert!(
                matches!(&error, JournalError::Write { source, .. } if source.kind() == std::io::ErrorKind::StorageFull)
            );
            assert_eq!((*writer.head().borrow(), head_on_disk(&home.session).unwrap()), (head, head));
            assert_eq!(home.files()[0].1.len() as u64, head.bytes, "what was cut short is cut off");
            assert!(writer.append(vec![note("more")], Durability::Buffered).await.is_err());
            assert!(writer.close().await.is_err());

            disk.set(|disk| disk.room = None);
            let opened = home.open(&journals).await;
            assert_eq!(opened.notes, []);
            let ticket = opened.writer.append(vec![note("again")], Durability::Synced).await.unwrap();
            let head = ticket.committed().await.unwrap();
            assert_eq!(seqs(&read_all(&home.session, 0, head, 1 << 20)), [1, 2, 3, 4, 5]);
        });
    }
}

#[test]
fn a_disk_that_is_full_at_the_roll_over_keeps_what_came_before() {
    for room in [0, 40] {
        let home = Home::new();
        let disk = Arc::new(Disk::default());
        run(async {
            let options = Options { segment_bytes: 1_200, ..disk.options(&home.session) };
            let (_thread, journals) = JournalThread::start_with(options).unwrap();
            let writer = home.create(&journals).await;
            let filled = writer.append(vec![note(&"x".repeat(400))], Durability::Buffered).await.unwrap();
            let head = filled.committed().await.unwrap();
            disk.set(|disk| disk.room = Some(room));
            let ticket = writer.append(vec![note(&"x".repeat(900))], Durability::Buffered).await.unwrap();
            assert!(ticket.committed().await.is_err());
            assert!(writer.close().await.is_err());
            assert_eq!((home.files().len(), head_on_disk(&home.session).unwrap()), (1, head));
            disk.set(|disk| disk.room = None);
            let head = home.open(&journals).await.writer.close().await.unwrap();
            assert_eq!(seqs(&read_all(&home.session, 0, head, 1 << 20)), [1, 2, 3, 4]);
        });
    }
}

#[test]
fn a_full_disk_in_one_session_is_no_other_sessions_concern() {
    let (full, fine) = (Home::new(), Home::new());
    let disk = Arc::new(Disk::default());
    run(async {
        let (_thread, journals) = JournalThread::start_with(disk.options(&full.session)).unwrap();
        let (a, b) = (full.create(&journals).await, fine.create(&journals).await);
        disk.set(|disk| disk.room = Some(10));
        let failing = a.append(vec![note("a")], Durability::Synced).await.unwrap();
        let working = b.append(vec![note("b")], Durability::Synced).await.unwrap();
        assert!(failing.committed().await.is_err());
        assert_eq!(working.committed().await.unwrap().seq, 3);
    });
}

#[test]
fn many_segments_without_a_sync_do_not_pile_up_open_files() {
    let home = Home::new();
    let disk = Arc::new(Disk::default());
    run(async {
        let options = Options { segment_bytes: 500, ..disk.options(&home.session) };
        let (_thread, journals) = JournalThread::start_with(options).unwrap();
        let writer = home.create(&journals).await;
        for _ in 0..100 {
            let ticket = writer.append(vec![note(&"x".repeat(300))], Durability::Buffered).await.unwrap();
            ticket.committed().await.unwrap();
        }
        eventually("syncs of sealed segments", || disk.get(|disk| (disk.syncs > 10).then_some(())));
        writer.close().await.unwrap();
        assert!(home.files().len() > 50);
    });
}

#[test]
fn a_torn_write_of_a_dead_process_is_moved_aside() {
    let home = Home::new();
    let head = super::written(&home, 1 << 20, 3);
    let path = crate::segment::path(&home.journal(), 1);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend_from_slice(br#"{"seq":6,"at":"2026"#);
    std::fs::write(&path, &bytes).unwrap();
    run(async {
        let (_thread, journals) = JournalThread::start().unwrap();
        let opened = home.open(&journals).await;
        let kept_as = home.journal().join("torn-1");
        assert_eq!(std::fs::read(&kept_as).unwrap(), br#"{"seq":6,"at":"2026"#);
        assert_eq!(opened.notes, [RecoveryNote::TornTail { bytes: 19, kept_as }]);
        assert_eq!(opened.projection.seq, head.seq + 1);
        assert_eq!(opened.projection.epoch, 3, "the torn end may have held an epoch");
    });
}
