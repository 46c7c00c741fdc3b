use std::os::unix::fs::PermissionsExt as _;

use skep_common::api::DaemonFile;
use skep_common::ids::Process;
use skep_config::Environment;

use super::*;

fn home() -> (tempfile::TempDir, Paths) {
    let dir = tempfile::tempdir().unwrap();
    let paths = Paths::resolve(&Environment::of([("SKEP_HOME", dir.path())]), None).unwrap();
    (dir, paths)
}

fn daemon_file(process: Process) -> DaemonFile {
    DaemonFile {
        urls: Vec::new(),
        tls: None,
        process,
        socket: "/home/p/skepd.sock".into(),
        version: "0.1.0".into(),
        epoch: 7,
        started_at: Timestamp::now(),
        args: vec!["daemon".into(), "run".into()],
    }
}

fn dead() -> Process {
    Process { start_time: 1, ..skep_sys::process::current() }
}

#[test]
fn p18_one_daemon_per_state_directory() {
    let (_dir, paths) = home();
    let lock = DaemonLock::acquire(&paths).unwrap();
    for _ in 0..100 {
        assert!(matches!(DaemonLock::acquire(&paths), Err(LockError::Held { .. })));
    }
    drop(lock);
    drop(DaemonLock::acquire(&paths).unwrap());
    assert!(paths.lock().exists(), "a lock file is never unlinked");
}

#[test]
fn the_epoch_only_rises_whatever_happens_to_its_file() {
    let (_dir, paths) = home();
    let lock = DaemonLock::acquire(&paths).unwrap();
    let mut last = 0;
    for breakage in [None, Some(&b""[..]), Some(b"{\"epoch\":1,"), Some(b"{\"epoch\":-4}"), None] {
        if let Some(bytes) = breakage {
            std::fs::write(paths.epoch(), bytes).unwrap();
        }
        let epoch = lock.next_epoch().unwrap();
        assert!(epoch > last, "{epoch} after {last}");
        last = epoch;
    }
}

#[test]
fn an_epoch_file_that_was_lost_goes_on_above_the_last_daemon() {
    let (_dir, paths) = home();
    let lock = DaemonLock::acquire(&paths).unwrap();
    lock.write_daemon_file(&daemon_file(dead())).unwrap();
    assert_eq!(lock.next_epoch().unwrap(), 8);
}

#[test]
fn s7_running_stopped_and_stale_are_told_apart() {
    let (_dir, paths) = home();
    assert_eq!(find_daemon(&paths), DaemonFound::None);
    let lock = DaemonLock::acquire(&paths).unwrap();
    let own = daemon_file(skep_sys::process::current());
    lock.write_daemon_file(&own).unwrap();
    assert_eq!(find_daemon(&paths), DaemonFound::Running(own));
    assert!(!clean_stale(&paths).unwrap(), "a live daemon holds the lock");
    let gone = daemon_file(dead());
    lock.write_daemon_file(&gone).unwrap();
    assert_eq!(find_daemon(&paths), DaemonFound::Stale(gone));
    assert!(!clean_stale(&paths).unwrap(), "somebody is becoming the daemon");
    drop(lock);
    assert!(clean_stale(&paths).unwrap());
    assert_eq!(find_daemon(&paths), DaemonFound::None);
    assert!(!clean_stale(&paths).unwrap());
}

#[test]
fn q4_fields_of_the_daemon_file_are_checked_before_they_are_believed() {
    let (_dir, paths) = home();
    drop(DaemonLock::acquire(&paths).unwrap());
    let good = daemon_file(skep_sys::process::current());
    let process = good.process.clone();
    let bad = [
        DaemonFile { process: Process { pid: 0, ..process.clone() }, ..good.clone() },
        DaemonFile { process: Process { pid: u32::MAX, ..process.clone() }, ..good.clone() },
        DaemonFile { process: Process { boot_id: String::new(), ..process }, ..good.clone() },
        DaemonFile { socket: "relative.sock".into(), ..good.clone() },
        DaemonFile { socket: "/a\n/b".into(), ..good.clone() },
        DaemonFile { urls: vec!["ftp://127.0.0.1:1".into()], ..good.clone() },
        DaemonFile { urls: vec!["http://\u{1b}[31m".into()], ..good.clone() },
        DaemonFile { urls: vec!["http://127.0.0.1:1".into(); 100], ..good.clone() },
        DaemonFile { version: "1\u{1b}[31m".into(), ..good.clone() },
        DaemonFile { args: vec![String::new(); 5_000], ..good.clone() },
    ];
    for file in bad {
        std::fs::write(paths.daemon_file(), serde_json::to_vec(&file).unwrap()).unwrap();
        assert!(matches!(find_daemon(&paths), DaemonFound::Invalid(_)), "{file:?}");
    }
    let whole = serde_json::to_vec(&good).unwrap();
    for at in 0..whole.len() {
        std::fs::write(paths.daemon_file(), &whole[..at]).unwrap();
        assert!(matches!(find_daemon(&paths), DaemonFound::Invalid(_)), "cut at {at}");
    }
    assert!(clean_stale(&paths).unwrap(), "what nobody can believe is no obstacle (G21)");
}

#[test]
fn g4_the_token_is_random_private_and_stays() {
    let (_dir, paths) = home();
    assert!(matches!(Token::load(&paths), Err(TokenError::Missing { .. })));
    let lock = DaemonLock::acquire(&paths).unwrap();
    let token = Token::load_or_create(&lock).unwrap();
    assert_eq!(Token::load_or_create(&lock).unwrap(), token);
    assert_eq!(Token::load(&paths).unwrap(), token);
    assert_eq!(token.as_str().len(), 64);
    assert_eq!(std::fs::metadata(paths.token()).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!format!("{token:?}").contains(token.as_str()));
    let (_other, others) = home();
    assert_ne!(Token::load_or_create(&DaemonLock::acquire(&others).unwrap()).unwrap(), token);
}

#[test]
fn g4_a_token_that_others_may_know_is_refused_with_the_remedy() {
    let (_dir, paths) = home();
    let lock = DaemonLock::acquire(&paths).unwrap();
    Token::load_or_create(&lock).unwrap();
    for mode in [0o640, 0o604, 0o622, 0o660] {
        std::fs::set_permissions(paths.token(), std::fs::Permissions::from_mode(mode)).unwrap();
        for result in [Token::load(&paths), Token::load_or_create(&lock)] {
            let error = result.unwrap_err();
            assert!(matches!(error, TokenError::Loose { .. }), "{error}");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
    }
    std::fs::remove_file(paths.token()).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", paths.token()).unwrap();
    assert!(matches!(Token::load(&paths), Err(TokenError::Foreign { .. })));
}

#[test]
fn p19_a_broken_token_is_replaced_by_the_daemon_and_refused_by_clients() {
    let (_dir, paths) = home();
    let lock = DaemonLock::acquire(&paths).unwrap();
    for broken in [&b""[..], b"short", &[b'x'; 64], &[0xff; 64], &[b'a'; 100_000]] {
        std::fs::write(paths.token(), broken).unwrap();
        std::fs::set_permissions(paths.token(), std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(Token::load(&paths), Err(TokenError::Broken { .. })));
        assert_eq!(Token::load_or_create(&lock).unwrap().as_str().len(), 64);
    }
}
