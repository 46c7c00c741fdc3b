//! Damage and dead writers.

use proptest::prelude::*;
use skep_common::event::{AgentStarted, Event, PermissionRequested, PromptQueued, StateChanged, TurnStarted};
use skep_common::ids::{PermissionId, PromptId};
use skep_common::session::{Cause, Consent, ContentBlock, Head, Resolution, SessionState, TurnOutcome};

use super::{Home, note, read_all, run, seqs, written};
use crate::{
    Durability, Fate, JournalError, JournalThread, Lease, Line, Projection, RecoverError, RecoveryNote,
    head_on_disk, recover, segment,
};

/// Everything that the journal's files hold of `session`, by plain means.
fn texts(home: &Home, head: Head) -> Vec<(u64, String)> {
    read_all(&home.session, 0, head, 1 << 20)
        .into_iter()
        .filter_map(|line| match line {
            Line::Record(record) => Some((record.seq, String::from_utf8(record.json.to_vec()).unwrap())),
            Line::Corrupt { .. } => None,
        })
        .collect()
}

fn copy(from: &Home) -> Home {
    let to = Home::new();
    std::fs::create_dir(to.journal()).unwrap();
    for (first, bytes) in from.files() {
        std::fs::write(segment::path(&to.journal(), first), bytes).unwrap();
    }
    to
}

fn reopen(home: &Home) -> Head {
    run(async {
        let (_thread, journals) = JournalThread::start().unwrap();
        let opened = home.open(&journals).await;
        opened
            .writer
            .append(vec![note("after")], Durability::Synced)
            .await
            .unwrap()
            .committed()
            .await
            .unwrap();
        opened.writer.close().await.unwrap()
    })
}

#[test]
fn p19_a_journal_cut_at_any_byte_yields_its_whole_records_and_goes_on() {
    let original = Home::new();
    let head = written(&original, 700, 8);
    let before = texts(&original, head);
    let (last, bytes) = original.files().pop().unwrap();
    assert!(last > 1, "more than one segment");
    for cut in 0..=bytes.len() {
        let home = copy(&original);
        std::fs::write(segment::path(&home.journal(), last), &bytes[..cut]).unwrap();
        let (projection, torn_head) = Projection::load(&home.session).unwrap();
        let whole: Vec<_> = before
            .iter()
            .filter(|(seq, text)| {
                *seq < last
                    || memchr::memmem::find(&bytes[..cut], &text.as_bytes()[..text.len() - 1])
                        .is_some_and(|at| memchr::memchr(b'\n', &bytes[at..cut]).is_some())
            })
            .cloned()
            .collect();
        assert_eq!(projection.seq, whole.last().unwrap().0);
        let head = reopen(&home);
        let after = texts(&home, head);
        assert_eq!(after[..whole.len()], whole, "cut at {cut}");
        assert_eq!(after.len(), whole.len() + 2);
        assert_eq!(after.last().unwrap().0, head.seq);
        let kept: u64 = std::fs::read_dir(home.journal())
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("torn-"))
            .map(|entry| entry.metadata().unwrap().len())
            .sum();
        let good = if torn_head.segment == last { torn_head.bytes } else { 0 };
        let lone_header = good == 0 && bytes[..cut].ends_with(b"\n");
        assert_eq!(kept, if lone_header { 0 } else { cut as u64 - good }, "cut at {cut}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]
    #[test]
    fn p19_flipped_bits_cost_no_record_that_they_did_not_hit(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..6),
    ) {
        let original = Home::new();
        let head = written(&original, 900, 12);
        let before = texts(&original, head);
        let home = copy(&original);
        let mut files = original.files();
        let total: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        let mut hit = std::collections::BTreeSet::new();
        for (at, bit) in flips {
            let mut at = at.index(total);
            for (_, bytes) in &mut files {
                if at < bytes.len() {
                    bytes[at] ^= 1 << bit;
                    break;
                }
                at -= bytes.len();
            }
        }
        for ((first, changed), (_, sound)) in files.iter().zip(original.files()) {
            std::fs::write(segment::path(&home.journal(), *first), changed).unwrap();
            let mut start = 0;
            for line in sound.split_inclusive(|b| *b == b'\n') {
                let end = start + line.len();
                let damaged = changed[start.saturating_sub(1)..end] != sound[start.saturating_sub(1)..end];
                if let Some(prefix) = crate::record::prefix(line).filter(|_| damaged) {
                    hit.insert(prefix.seq);
                }
                start = end;
            }
        }
        let head = reopen(&home);
        let lines = read_all(&home.session, 0, head, 300);
        prop_assert_eq!(lines.iter().map(Line::seq).collect::<Vec<_>>(), (1..=head.seq).collect::<Vec<_>>());
        let after = texts(&home, head);
        for (seq, text) in &before {
            let found = after.iter().find(|(s, _)| s == seq);
            if !hit.contains(seq) {
                prop_assert_eq!(found.map(|(_, t)| t), Some(text), "record {} was not hit", seq);
            } else if let Some((_, found)) = found {
                // Its seq went with the torn end and was given to a new epoch's record.
                prop_assert!(found != text);
                prop_assert!(found.contains("writer_opened") || found.contains("after"));
            }
        }
        prop_assert_eq!(Projection::load(&home.session).unwrap().1, head);
    }
}

#[test]
fn p19_zeros_at_the_end_are_moved_aside() {
    let home = Home::new();
    let head = written(&home, 1 << 20, 3);
    let path = segment::path(&home.journal(), 1);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend_from_slice(&[0; 5_000]);
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(head_on_disk(&home.session).unwrap(), head);
    let recovered = recover(&home.session, Cause::Unknown).unwrap();
    assert!(matches!(recovered.notes[..], [RecoveryNote::TornTail { bytes: 5_000, .. }]));
    assert_eq!(seqs(&read_all(&home.session, 0, recovered.head, 1_000)), [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_damaged_record_in_the_middle_is_shown_and_nothing_is_cut() {
    let home = Home::new();
    written(&home, 1 << 20, 6);
    let path = segment::path(&home.journal(), 1);
    let mut bytes = std::fs::read(&path).unwrap();
    for text in ["number 1", "number 3"] {
        let at = memchr::memmem::find(&bytes, text.as_bytes()).unwrap();
        bytes[at] ^= 1;
    }
    std::fs::write(&path, &bytes).unwrap();
    let recovered = recover(&home.session, Cause::WorkerCrashed).unwrap();
    let corrupt = |seq| RecoveryNote::Corrupt { first_seq: seq, last_seq: seq };
    assert_eq!(recovered.notes, [corrupt(4), corrupt(6)]);
    assert_eq!(recovered.notes[0].to_string(), "record 4 is damaged");
    assert_eq!(seqs(&read_all(&home.session, 0, recovered.head, 1_000)), [1, 2, 3, -4, 5, -6, 7, 8, 9, 10]);
    assert!(std::fs::read(&path).unwrap().starts_with(&bytes));
}

#[test]
fn a_lost_segment_is_shown_record_by_record_and_its_numbers_stay_taken() {
    let home = Home::new();
    let head = written(&home, 600, 30);
    let segments = segment::list(&home.journal()).unwrap();
    let (lost, next) = (segments[2], segments[3]);
    std::fs::remove_file(segment::path(&home.journal(), lost)).unwrap();
    let lines = read_all(&home.session, 0, head, 1 << 20);
    assert_eq!(lines.iter().map(Line::seq).collect::<Vec<_>>(), (1..=head.seq).collect::<Vec<_>>());
    let damaged: Vec<_> = lines.iter().filter(|l| matches!(l, Line::Corrupt { .. })).map(Line::seq).collect();
    assert_eq!(damaged, (lost..next).collect::<Vec<_>>());
    assert_eq!(reopen(&home).seq, head.seq + 2);
}

#[test]
fn a_segment_that_is_damaged_from_end_to_end_does_not_free_its_numbers() {
    let home = Home::new();
    let head = written(&home, 600, 12);
    let last = *segment::list(&home.journal()).unwrap().last().unwrap();
    let garbage = b"garbage\n\xff".repeat(9);
    std::fs::write(segment::path(&home.journal(), last), &garbage).unwrap();
    let after = reopen(&home);
    assert_eq!(after.seq, last + 1, "the writer goes on at the number that the segment was named for");
    assert!(after.epoch > head.epoch + 1);
    assert_eq!(std::fs::read(home.journal().join("torn-1")).unwrap(), garbage);
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let home = Home::new();
    written(&home, 1 << 20, 2);
    let path = segment::path(&home.journal(), 1);
    let mut body = format!(r#"{{"skep_journal":2,"session":"{}","epoch":1"#, home.id).into_bytes();
    body.extend(format!(r#","crc":"{:08x}"}}"#, crc32c::crc32c(&body)).into_bytes());
    body.extend_from_slice(b"\nwhatever they write then");
    std::fs::write(&path, &body).unwrap();
    let error = recover(&home.session, Cause::Unknown).unwrap_err();
    assert!(matches!(error, RecoverError::Journal(JournalError::NewerFormat { version: 2, .. })), "{error}");
    let reader =
        crate::Reader::open(&home.session, 0, None, Head { seq: 9, segment: 1, bytes: 10, epoch: 1 });
    assert!(matches!(reader, Err(crate::CursorError::NewerFormat { version: 2, .. })));
    assert_eq!(std::fs::read(&path).unwrap(), body);
}

#[test]
fn a_session_that_died_before_its_first_record_opens_empty() {
    let home = Home::new();
    let recovered = recover(&home.session, Cause::Unknown).unwrap();
    assert_eq!((recovered.head, recovered.appended), (Head::default(), false));
    std::fs::create_dir(home.journal()).unwrap();
    std::fs::write(segment::path(&home.journal(), 1), "{\"skep").unwrap();
    run(async {
        let (_thread, journals) = JournalThread::start().unwrap();
        let opened = home.open(&journals).await;
        assert_eq!((opened.projection.spec, opened.projection.seq), (None, 1));
    });
}

/// A worker that dies in the middle of a turn, with a prompt in the queue and a question open.
fn dead_in_a_turn(home: &Home) -> (PromptId, PromptId, PermissionId) {
    let (running, queued, permission) = (PromptId::random(), PromptId::random(), PermissionId::random());
    run(async {
        let (_thread, journals) = JournalThread::start().unwrap();
        let writer = home.create(&journals).await;
        let events = vec![
            Event::State(StateChanged { state: SessionState::Running, why: None }),
            Event::AgentStarted(AgentStarted {
                title: "shell".to_owned(),
                pid: 7,
                agent_session: "s-1".to_owned(),
                context: "new".to_owned(),
                keys: Vec::new(),
            }),
            prompt(running),
            Event::TurnStarted(TurnStarted { prompt: running, content: None }),
            prompt(queued),
            asks(permission, running),
        ];
        writer.append(events, Durability::Synced).await.unwrap().committed().await.unwrap();
    });
    drop(home.lease());
    (running, queued, permission)
}

pub(super) fn prompt(prompt: PromptId) -> Event {
    Event::PromptQueued(PromptQueued {
        prompt,
        content: vec![ContentBlock::Text { text: "do it".to_owned() }],
        via: "test".to_owned(),
        consent: Consent::None,
        timeout_seconds: Some(9),
        retry_of: None,
    })
}

pub(super) fn asks(permission: PermissionId, prompt: PromptId) -> Event {
    Event::PermissionRequested(PermissionRequested {
        permission,
        prompt,
        tool_kind: "execute".to_owned(),
        title: "rm -rf /".to_owned(),
        options: Vec::new(),
        tool_call: serde_json::value::RawValue::from_string("{}".to_owned()).unwrap(),
    })
}

#[test]
fn recovery_ends_what_a_dead_worker_left_open_and_does_it_once() {
    let home = Home::new();
    let (running, queued, permission) = dead_in_a_turn(&home);
    let before = head_on_disk(&home.session).unwrap();
    let recovered = recover(&home.session, Cause::WorkerCrashed).unwrap();
    assert!(recovered.appended);
    let lines = read_all(&home.session, before.seq, recovered.head, 1 << 20);
    let kinds: Vec<_> = lines.iter().map(|l| if let Line::Record(r) = l { r.kind() } else { "" }).collect();
    let expected =
        ["writer_opened", "agent_exited", "turn_ended", "permission_resolved", "queue_held", "state"];
    assert_eq!(kinds, expected);

    let projection = &recovered.projection;
    assert_eq!(projection.state, SessionState::Interrupted);
    assert_eq!(projection.why.as_deref(), Some("the worker crashed"));
    assert_eq!(projection.prompt(running).unwrap().fate, Fate::Ended(TurnOutcome::Interrupted));
    assert_eq!(projection.prompt(queued).unwrap().fate, Fate::Queued);
    assert_eq!(projection.held, Some(Cause::WorkerCrashed));
    assert_eq!(projection.queue[0].timeout_seconds, Some(9));
    assert_eq!(projection.resolution(permission).unwrap().resolution, Resolution::Withdrawn);
    assert_eq!((projection.turn.is_none(), projection.waiting.is_empty()), (true, true));
    assert_eq!(projection.agent_session.as_deref(), Some("s-1"));
    let (read, head) = Projection::load(&home.session).unwrap();
    assert_eq!((head, read.epoch, read.updated_at), (recovered.head, 2, projection.updated_at));
    assert_eq!(
        (&read.queue, &read.last_turn, &read.why),
        (&projection.queue, &projection.last_turn, &projection.why)
    );

    let again = recover(&home.session, Cause::DaemonStopped).unwrap();
    assert_eq!((again.appended, again.head), (false, recovered.head));
    assert_eq!(head_on_disk(&home.session).unwrap(), recovered.head);
}

#[test]
fn recovery_leaves_a_held_session_alone() {
    let home = Home::new();
    run(async {
        let (_thread, journals) = JournalThread::start().unwrap();
        let writer = home.create(&journals).await;
        assert!(matches!(recover(&home.session, Cause::Unknown), Err(RecoverError::Leased)));
        writer.close().await.unwrap();
    });
    let recovered = recover(&home.session, Cause::DaemonStopped).unwrap();
    assert_eq!(recovered.projection.state, SessionState::Hibernated);
    assert!(Lease::acquire(&home.session).is_ok());
}

#[test]
fn recovery_takes_the_sessions_id_from_its_directory_when_no_header_is_left() {
    let home = Home::new();
    dead_in_a_turn(&home);
    let path = segment::path(&home.journal(), 1);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[3] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let recovered = recover(&home.session, Cause::Killed).unwrap();
    assert_eq!(recovered.projection.state, SessionState::Interrupted);
}
