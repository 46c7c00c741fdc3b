//! Reading: cursors, bisecting, following, epochs.

use skep_common::event::{Event, TurnStarted};
use skep_common::ids::PromptId;
use skep_common::session::Head;

use super::recovery::prompt;
use super::{Home, note, read_all, run, seqs, update, written};
use crate::writer::Options;
use crate::{CursorError, Durability, JournalThread, Line, Reader, head_on_disk, segment, tail_turns};

fn refused(result: Result<Reader, CursorError>) -> String {
    match result {
        Ok(reader) => format!("ok {}", reader.position()),
        Err(CursorError::Expired { first_seq }) => format!("expired {first_seq}"),
        Err(CursorError::Invalid { resume_from }) => format!("invalid {resume_from}"),
        Err(other) => other.to_string(),
    }
}

#[test]
fn every_cursor_finds_its_place_as_a_scan_from_the_start_would() {
    let home = Home::new();
    let head = run(async {
        let options = Options { segment_bytes: 400_000, ..Options::default() };
        let (_thread, journals) = JournalThread::start_with(options).unwrap();
        let writer = home.create(&journals).await;
        for number in 0..1_500usize {
            // A long one now and then, longer than a step of the search.
            let len = if number % 400 == 399 { 150_000 } else { number % 700 };
            drop(writer.append(vec![update(&"x".repeat(len))], Durability::Buffered).await.unwrap());
        }
        writer.close().await.unwrap()
    });
    // Damage: single records, and a stretch that a search may land in.
    for (first, mut bytes) in home.files() {
        for at in (5_000..bytes.len()).step_by(90_000) {
            let end = (at + if at % 4 == 0 { 20_000 } else { 10 }).min(bytes.len() - 1);
            bytes[at..end].fill(b'#');
        }
        std::fs::write(segment::path(&home.journal(), first), bytes).unwrap();
    }
    let all = read_all(&home.session, 0, head, 1 << 20);
    assert_eq!(all.iter().map(Line::seq).collect::<Vec<_>>(), (1..=head.seq).collect::<Vec<_>>());
    assert!(all.iter().filter(|line| matches!(line, Line::Corrupt { .. })).count() > 20);
    for after in 0..=head.seq {
        let mut reader = Reader::open(&home.session, after, None, head).unwrap();
        let lines = reader.read(head, 1).unwrap();
        let expected = &all[usize::try_from(after).unwrap()..];
        assert_eq!(seqs(&lines), seqs(&expected[..lines.len()]), "after {after}");
        assert_eq!(lines.is_empty(), expected.is_empty());
    }
}

#[test]
fn a_cursor_beyond_the_head_is_invalid() {
    let home = Home::new();
    let head = written(&home, 1 << 20, 3);
    assert_eq!(refused(Reader::open(&home.session, 5, None, head)), "ok 5");
    assert_eq!(refused(Reader::open(&home.session, 6, None, head)), "invalid 5");
    assert_eq!(refused(Reader::open(&home.session, u64::MAX, Some(1), head)), "invalid 5");
    assert_eq!(refused(Reader::open(&home.session, 4, Some(2), head)), "invalid 4");
}

#[test]
fn a_cursor_before_the_oldest_record_is_expired() {
    let home = Home::new();
    let head = written(&home, 600, 20);
    let segments = segment::list(&home.journal()).unwrap();
    for first in &segments[..2] {
        std::fs::remove_file(segment::path(&home.journal(), *first)).unwrap();
    }
    let kept = segments[2];
    assert_eq!(refused(Reader::open(&home.session, 0, None, head)), format!("expired {kept}"));
    assert_eq!(refused(Reader::open(&home.session, kept - 2, None, head)), format!("expired {kept}"));
    assert_eq!(refused(Reader::open(&home.session, kept - 1, None, head)), format!("ok {}", kept - 1));
    assert_eq!(read_all(&home.session, kept - 1, head, 100).len() as u64, head.seq + 1 - kept);
}

#[test]
fn a_reader_that_retention_overtakes_is_told_so() {
    let home = Home::new();
    let head = written(&home, 600, 30);
    let segments = segment::list(&home.journal()).unwrap();
    let mut reader = Reader::open(&home.session, 0, None, head).unwrap();
    assert!(!reader.read(head, 1).unwrap().is_empty());
    for first in &segments[..4] {
        std::fs::remove_file(segment::path(&home.journal(), *first)).unwrap();
    }
    let error = loop {
        match reader.read(head, 1 << 20) {
            Ok(lines) => assert!(lines.iter().all(|line| line.seq() < segments[1])),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, CursorError::Expired { first_seq } if first_seq == segments[4]), "{error}");
}

#[test]
fn a_cursor_of_an_epoch_whose_end_was_lost_goes_back_to_where_it_was_true() {
    let home = Home::new();
    for segment_bytes in [1 << 20, 500] {
        let home = if segment_bytes > 500 { &home } else { &Home::new() };
        let head = written(home, segment_bytes, 10);
        assert_eq!((head.seq, head.epoch), (12, 1));
        // Power loss: the last three records never reached the disk.
        let (last, bytes) = home.files().pop().unwrap();
        let lines: Vec<_> = bytes.split_inclusive(|b| *b == b'\n').collect();
        let lost = 3.min(lines.len() - 2);
        std::fs::write(segment::path(&home.journal(), last), lines[..lines.len() - lost].concat()).unwrap();
        let survived = 12 - lost as u64;
        let head = run(async {
            let options = Options { segment_bytes, ..Options::default() };
            let (_thread, journals) = JournalThread::start_with(options).unwrap();
            let writer = home.open(&journals).await.writer;
            for _ in 0..10 {
                drop(writer.append(vec![note("new")], Durability::Buffered).await.unwrap());
            }
            writer.close().await.unwrap()
        });
        assert_eq!((head.seq, head.epoch), (survived + 11, 2));
        let open = |after, epoch| refused(Reader::open(&home.session, after, epoch, head));
        assert_eq!(open(12, Some(1)), format!("invalid {survived}"));
        assert_eq!(open(survived + 1, Some(1)), format!("invalid {survived}"));
        assert_eq!(open(survived, Some(1)), format!("ok {survived}"));
        assert_eq!(open(3, Some(1)), "ok 3");
        assert_eq!(open(12, Some(2)), "ok 12");
        assert_eq!(open(12, None), "ok 12");
    }
}

#[test]
fn a_reader_never_goes_beyond_the_committed_byte() {
    let home = Home::new();
    let head = written(&home, 1 << 20, 4);
    let path = segment::path(&home.journal(), 1);
    let bytes = std::fs::read(&path).unwrap();
    let ends: Vec<u64> = memchr::memchr_iter(b'\n', &bytes).map(|newline| newline as u64 + 1).collect();
    let mut reader = Reader::open(&home.session, 0, None, Head::default()).unwrap();
    assert!(reader.read(Head::default(), 1_000).unwrap().is_empty());
    for seq in 1..=head.seq {
        let upto = Head { seq, segment: 1, bytes: ends[usize::try_from(seq).unwrap()], epoch: 1 };
        assert_eq!(seqs(&reader.read(upto, 1 << 20).unwrap()), [i64::try_from(seq).unwrap()]);
        assert!(reader.read(upto, 1 << 20).unwrap().is_empty());
    }
    // An older bell that comes late rings for nothing.
    let older = Head { seq: 2, segment: 1, bytes: ends[2], epoch: 1 };
    assert!(reader.read(older, 1 << 20).unwrap().is_empty());
}

#[test]
fn n2_a_live_follower_sees_every_record_once_across_roll_overs() {
    let home = Home::new();
    run(async {
        let options = Options { segment_bytes: 2_000, ..Options::default() };
        let (_thread, journals) = JournalThread::start_with(options).unwrap();
        let writer = home.create(&journals).await;
        let mut bell = writer.head();
        let follow = async {
            let mut reader = Reader::open(&home.session, 0, None, Head::default()).unwrap();
            let mut seen = Vec::new();
            while reader.position() < 502 {
                let head = *bell.borrow_and_update();
                let lines = reader.read(head, 700).unwrap();
                if lines.is_empty() {
                    bell.changed().await.unwrap();
                }
                seen.extend(seqs(&lines));
            }
            seen
        };
        let write = async {
            for number in 0..500usize {
                let ticket =
                    writer.append(vec![update(&"x".repeat(number % 90))], Durability::Buffered).await;
                if number % 5 == 0 {
                    ticket.unwrap().committed().await.unwrap();
                }
            }
        };
        let (seen, ()) = futures_util::join!(follow, write);
        assert_eq!(seen, (1..=502).collect::<Vec<_>>());
    });
}

#[test]
fn a_follower_of_the_head_of_an_empty_journal_waits_for_its_first_segment() {
    let home = Home::new();
    let mut reader = Reader::open(&home.session, 0, None, Head::default()).unwrap();
    let head = written(&home, 1 << 20, 1);
    assert_eq!(seqs(&reader.read(head, 1_000).unwrap()), [1, 2, 3]);
}

#[test]
fn a_record_that_is_longer_than_asked_for_comes_whole() {
    let home = Home::new();
    let text = "y".repeat(700_000);
    let head = run(async {
        let (_thread, journals) = JournalThread::start().unwrap();
        let writer = home.create(&journals).await;
        drop(writer.append(vec![note("a"), note(&text), note("b")], Durability::Buffered).await.unwrap());
        writer.close().await.unwrap()
    });
    let lines = read_all(&home.session, 2, head, 10);
    assert_eq!(seqs(&lines), [3, 4, 5]);
    let Line::Record(record) = &lines[1] else { panic!("a record") };
    assert!(matches!(record.decode().unwrap().event, Event::Note(note) if note.text == text));
    assert_eq!(record.raw().unwrap().kind, "note");
}

#[test]
fn a_file_that_lost_its_end_under_a_known_head_is_shown_as_damage() {
    let home = Home::new();
    let head = written(&home, 1 << 20, 5);
    let path = segment::path(&home.journal(), 1);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 200]).unwrap();
    assert_eq!(seqs(&read_all(&home.session, 0, head, 100)), [1, 2, 3, 4, 5, -6, -7]);
}

#[test]
fn the_last_turns_begin_with_their_prompts() {
    let home = Home::new();
    let head = run(async {
        let options = Options { segment_bytes: 900, ..Options::default() };
        let (_thread, journals) = JournalThread::start_with(options).unwrap();
        let writer = home.create(&journals).await;
        for _ in 0..4 {
            let id = PromptId::random();
            let turn = vec![
                prompt(id),
                Event::TurnStarted(TurnStarted { prompt: id, content: None }),
                note("output"),
            ];
            drop(writer.append(turn, Durability::Buffered).await.unwrap());
        }
        writer.close().await.unwrap()
    });
    // Turns begin at 3, 6, 9 and 12; a segment may end between a prompt and its turn.
    for (turns, begins) in [(1, 12), (2, 9), (3, 6), (4, 3)] {
        let after = tail_turns(&home.session, head, turns).unwrap();
        assert!((begins - 1..=begins).contains(&after), "{turns} turns: after {after}");
    }
    assert_eq!(tail_turns(&home.session, head, 5).unwrap(), 0);
    assert_eq!(tail_turns(&home.session, head, 0).unwrap(), head.seq);
    assert_eq!(head_on_disk(&home.session).unwrap(), head);
}
