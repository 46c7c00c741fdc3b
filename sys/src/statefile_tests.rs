//! Promise 19: whatever happens to a state file, the outcome is the old state, the new one, or one quarantined record.

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct State {
    name: String,
    level: u32,
}

fn state(name: &str) -> State {
    State { name: name.to_owned(), level: 7 }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn p19_what_is_written_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.json");
    assert_eq!(read_json::<State>(&path).unwrap(), None);
    for name in ["one", "two", "ü\"\\\n\u{0}"] {
        write_json(&path, &state(name)).unwrap();
        assert_eq!(read_json(&path).unwrap(), Some(state(name)));
    }
    assert_eq!(names(dir.path()), ["w.json"]);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    // Any JSON reader takes it.
    let plain: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(plain["level"], 7);
}

#[test]
fn p19_an_empty_object_and_a_file_by_hand_are_states_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.json");
    write_json(&path, &serde_json::json!({})).unwrap();
    assert_eq!(read_json(&path).unwrap(), Some(serde_json::json!({})));
    write_atomic(&path, b" { \"name\" : \"hand\", \"level\": 7 }").unwrap();
    assert_eq!(read_json(&path).unwrap(), Some(state("hand")));
    assert!(write_json(&path, &[1, 2]).is_err());
    assert_eq!(read_json(&path).unwrap(), Some(state("hand")), "a refused write changes nothing");
}

#[test]
fn p19_truncated_at_every_byte_it_is_quarantined() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.json");
    let whole = to_bytes(&state("abc")).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        match read_json::<State>(&path) {
            // Without its last newline the file still is what was written.
            Ok(Some(found)) => assert_eq!((length, found), (whole.len() - 1, state("abc"))),
            Err(ReadError::Broken { moved_to, .. }) => {
                assert!(!path.exists());
                assert_eq!(std::fs::read(&moved_to).unwrap(), &whole[..length]);
                std::fs::remove_file(moved_to).unwrap();
            }
            other => panic!("truncated at {length}: {other:?}"),
        }
    }
}

#[test]
fn p19_a_flipped_bit_is_never_believed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.json");
    let whole = to_bytes(&state("abc")).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, &flipped).unwrap();
        match read_json::<State>(&path) {
            // Only a flip within the checksum field itself may leave the state readable.
            Ok(Some(found)) => assert_eq!(found, state("abc"), "bit {bit}"),
            Err(ReadError::Broken { moved_to, .. }) => std::fs::remove_file(moved_to).unwrap(),
            other => panic!("bit {bit}: {other:?}"),
        }
    }
}

#[test]
fn p19_broken_files_are_kept_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.json");
    for content in ["x", "y"] {
        std::fs::write(&path, content).unwrap();
        let error = read_json::<State>(&path).unwrap_err();
        assert!(error.to_string().contains("is broken"), "{error}");
    }
    assert_eq!(names(dir.path()), ["w.json.broken-1", "w.json.broken-2"]);
    assert_eq!(std::fs::read(dir.path().join("w.json.broken-2")).unwrap(), b"y");
}

#[test]
fn p19_what_is_no_file_is_an_error_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(read_json::<State>(dir.path()), Err(ReadError::Io { .. })));
    assert!(dir.path().is_dir());
}

#[test]
fn p19_unfinished_files_are_swept() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(".w.json.tmp-1-0"), "half").unwrap();
    write_unsynced(&dir.path().join("w.json"), b"{}").unwrap();
    sweep_unfinished(dir.path()).unwrap();
    assert_eq!(names(dir.path()), ["w.json"]);
}

proptest! {
    #[test]
    fn p19_no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), tail in any::<bool>()) {
        let mut bytes = bytes;
        if tail {
            bytes.extend_from_slice(b"\"crc32c\":\"00000000\"}\n");
        }
        drop(parse::<State>(&bytes));
    }
}
