//! Promise 20, the pure part: bytes in are bytes out or counted, however they were cut and whenever they were taken.

use proptest::prelude::*;

use super::*;

fn take(ring: &mut Ring) -> Vec<u8> {
    let mut batch = Vec::new();
    ring.take(&mut batch);
    batch
}

/// What was logged without our own words, and what those say was dropped.
fn strip_notices(log: &[u8]) -> (Vec<u8>, Dropped) {
    let (mut kept, mut dropped) = (Vec::new(), Dropped::default());
    for line in log.split_inclusive(|byte| *byte == b'\n') {
        match std::str::from_utf8(line).ok().and_then(|line| line.strip_prefix("[skep: ")) {
            Some(words) if words.contains("dropped: the log could not keep up") => {
                let mut numbers =
                    words.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<u64>().ok());
                dropped.lines += numbers.next().unwrap();
                dropped.bytes += numbers.next().unwrap();
            }
            _ => kept.extend_from_slice(line.strip_suffix(SPLIT_MARK).unwrap_or(line)),
        }
    }
    (kept, dropped)
}

#[test]
fn p20_only_whole_lines_leave_until_the_end() {
    let mut ring = Ring::default();
    ring.push(b"one\ntw");
    assert_eq!(take(&mut ring), b"one\n");
    ring.push(b"o\nhalf");
    assert_eq!(take(&mut ring), b"two\n");
    assert!(!ring.has_work());
    ring.finish();
    assert_eq!(take(&mut ring), b"half");
}

#[test]
fn p20_a_line_of_the_limit_is_whole_and_one_over_it_is_split() {
    for (length, marks) in [(LINE_MAX, 0), (LINE_MAX + 1, 1), (2 * LINE_MAX, 1), (2 * LINE_MAX + 1, 2)] {
        for step in [1000, LINE_MAX, 3 * LINE_MAX] {
            let line = [vec![b'x'; length], b"\n".to_vec()].concat();
            let mut ring = Ring::default();
            line.chunks(step).for_each(|chunk| ring.push(chunk));
            let log = take(&mut ring);
            assert_eq!(memchr::memmem::find_iter(&log, SPLIT_MARK).count(), marks, "{length} {step}");
            assert_eq!(strip_notices(&log), (line, Dropped::default()));
        }
    }
}

#[test]
fn p20_what_does_not_fit_is_dropped_by_whole_lines_and_counted() {
    let mut ring = Ring::default();
    let line = [&[b'x'; 99][..], b"\n"].concat();
    let pushed = 2 * CAPACITY / 100;
    for _ in 0..pushed {
        ring.push(&line);
    }
    assert!(ring.front.len() <= CAPACITY);
    let (kept, dropped) = strip_notices(&take(&mut ring));
    assert_eq!(kept.len() / 100 + usize::try_from(dropped.lines).unwrap(), pushed);
    assert_eq!(dropped.bytes, dropped.lines * 100);
    assert_eq!(ring.dropped_in_all(), dropped);
    ring.push(&line);
    ring.written();
    ring.push(b"after\n");
    let log = take(&mut ring);
    assert_eq!(log, b"[skep: 1 line (100 bytes) dropped: the log could not keep up]\nafter\n");
}

#[test]
fn p20_an_endless_line_is_bounded_and_counted_when_it_ends() {
    let mut ring = Ring::default();
    for _ in 0..100 {
        ring.push(&[b'x'; LINE_MAX]);
        assert!(ring.front.len() <= CAPACITY);
    }
    ring.finish();
    let (kept, dropped) = strip_notices(&take(&mut ring));
    assert_eq!(dropped.lines, 1);
    assert_eq!(kept.len() as u64 + dropped.bytes, 100 * LINE_MAX as u64);
}

#[test]
fn p8_the_last_bytes_are_remembered() {
    let mut ring = Ring::default();
    assert_eq!(ring.last(10), b"");
    let all: Vec<u8> = (0..40_000u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    for (at, chunk) in all.chunks(977).enumerate() {
        ring.push(chunk);
        let end = (at * 977 + chunk.len()).min(all.len());
        assert_eq!(ring.last(TAIL), &all[end.saturating_sub(TAIL)..end]);
    }
    ring.push(&all);
    assert_eq!(ring.last(usize::MAX), &all[all.len() - TAIL..]);
    assert_eq!(ring.last(3), &all[all.len() - 3..]);
}

/// Line lengths around every limit, and what the writer does between.
fn lines() -> impl Strategy<Value = Vec<usize>> {
    let length = prop_oneof![4 => 0usize..200, 1 => LINE_MAX - 2..LINE_MAX + 3, 1 => 0usize..300_000];
    proptest::collection::vec(length, 0..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn p20_bytes_in_are_bytes_out_or_counted(
        lines in lines(),
        last_newline in any::<bool>(),
        cuts in proptest::collection::vec((1usize..200_000, 0u8..4), 1..40),
    ) {
        let mut input = Vec::new();
        for (number, length) in lines.iter().enumerate() {
            input.extend(std::iter::repeat_n(b'a' + u8::try_from(number % 26).unwrap(), *length));
            input.push(b'\n');
        }
        if !last_newline {
            input.pop();
        }
        let (mut ring, mut log, mut rest) = (Ring::default(), Vec::new(), &input[..]);
        for (cut, action) in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            rest = later;
            ring.push(now);
            prop_assert!(ring.front.len() + ring.in_flight <= CAPACITY + 2 * NOTICE);
            match action {
                0 if !ring.is_being_written() => log.extend(take(&mut ring)),
                1 => ring.written(),
                _ => {}
            }
        }
        ring.finish();
        ring.written();
        log.extend(take(&mut ring));
        let (kept, told) = strip_notices(&log);
        prop_assert_eq!(told, ring.dropped_in_all());
        prop_assert_eq!(kept.len() as u64 + told.bytes, input.len() as u64);
        if told.lines == 0 {
            prop_assert!(kept == input);
        }
    }
}
