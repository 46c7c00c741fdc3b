use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;
use skep_common::ids::DeliveryId;

use super::*;
use crate::outbox::tests::{happened, history, replay};

fn lines(records: &[Record]) -> Vec<Vec<u8>> {
    records.iter().map(|record| encode(record).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn n2_a_crash_at_any_byte_loses_no_whole_line_and_invents_none(history in history()) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("outbox");
        let lines = lines(&history);
        let bytes = lines.concat();
        let mut whole = 0;
        let mut ends = lines.iter().scan(0, |end, line| { *end += line.len(); Some(*end) }).peekable();
        for cut in (0..=bytes.len()).step_by(7).chain([bytes.len()]) {
            while ends.next_if(|end| *end <= cut).is_some() {
                whole += 1;
            }
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let (mut store, outbox) = Store::open(&path).unwrap();
            prop_assert_eq!(&outbox, &replay(&history[..whole]), "cut at {}", cut);
            // And it goes on from there.
            let more = happened(DeliveryId::random(), "h0", "{}");
            store.append(std::slice::from_ref(&more), Durability::Written).unwrap();
            let mut records = history[..whole].to_vec();
            records.push(more);
            prop_assert_eq!(Store::open(&path).unwrap().1, replay(&records));
        }
    }
}

#[test]
fn every_byte_of_a_cut_line_is_tried() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox");
    let records = [happened(DeliveryId::random(), "h", "{}"), happened(DeliveryId::random(), "h", "{}")];
    let lines = lines(&records);
    let bytes = lines.concat();
    for cut in lines[0].len()..=bytes.len() {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let waiting = Store::open(&path).unwrap().1.waiting.len();
        assert_eq!(waiting, if cut == bytes.len() { 2 } else { 1 }, "cut at {cut}");
    }
}

#[test]
fn a_broken_line_costs_itself_alone_and_the_file_is_kept_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox");
    let ids: Vec<DeliveryId> = (0..3).map(|_| DeliveryId::random()).collect();
    let mut lines = lines(&ids.iter().map(|id| happened(*id, "h", "{}")).collect::<Vec<_>>());
    let middle = lines[1].len() / 2;
    lines[1][middle] ^= 1;
    // One that is longer than a line may be, and one of zeros.
    let huge = [vec![b'x'; 3 * MAX_LINE], vec![b'\n'], vec![0; 100], vec![b'\n']].concat();
    lines.insert(2, huge);
    std::fs::write(&path, lines.concat()).unwrap();
    let (_, outbox) = Store::open(&path).unwrap();
    let waiting: Vec<DeliveryId> = outbox.waiting.iter().map(|waiting| waiting.id).collect();
    assert_eq!(waiting, [ids[0], ids[2]]);
    assert!(dir.path().join("outbox.broken-1").exists());
    assert_eq!(Store::open(&path).unwrap().1, outbox, "the new file stands for the same");
    assert!(!dir.path().join("outbox.broken-2").exists());
}

#[test]
fn the_file_is_private_and_is_replaced_before_it_grows_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox");
    let (mut store, mut outbox) = Store::open(&path).unwrap();
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    for _ in 0..2_000 {
        let id = DeliveryId::random();
        let at = jiff::Timestamp::UNIX_EPOCH;
        let records = [happened(id, "h", &"x".repeat(500)), Record::Delivered { id, attempts: 1, at }];
        store.append(&records, Durability::Written).unwrap();
        records.iter().for_each(|record| outbox.apply(record));
        store.shorten(&outbox).unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() < 2 * REPLACE_AT);
    }
    assert_eq!(mode(), 0o600);
    assert_eq!(outbox.counts("h").delivered, 2_000);
    assert_eq!(Store::open(&path).unwrap().1, outbox);
}
