use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use tempfile::TempDir;

use super::*;

/// A directory `root` with a file in it, beside a secret.
fn world() -> (TempDir, PathBuf, Roots) {
    let dir = tempfile::Builder::new().prefix("with spaces ").tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("file"), "one\ntwo\r\nthree").unwrap();
    fs::write(root.with_file_name("secret"), "secret").unwrap();
    let roots = Roots::new(std::slice::from_ref(&root)).unwrap();
    (dir, root, roots)
}

fn code<T>(result: Result<T, FileError>) -> &'static str {
    match result {
        Ok(_) => "done",
        Err(error) => error.code(),
    }
}

#[test]
fn only_what_is_below_a_root_has_a_place() {
    let (_dir, root, roots) = world();
    for (path, expected) in [
        (root.join("file"), "done"),
        (root.join("not/there/yet"), "done"),
        (root.clone(), "done"),
        (root.join("../secret"), "outside_roots"),
        (root.with_file_name("secret"), "outside_roots"),
        (root.with_file_name("rooted"), "outside_roots"),
        (PathBuf::from("/etc/passwd"), "outside_roots"),
        (PathBuf::from("file"), "outside_roots"),
    ] {
        assert_eq!(code(roots.place(&path)), expected, "{}", path.display());
    }
    assert!(Roots::new(&[root.join("missing")]).is_err());
}

#[test]
fn lines_are_read_with_their_ends() {
    let (_dir, root, roots) = world();
    let place = roots.place(&root.join("file")).unwrap();
    for (skip, limit, expected) in [
        (0, None, "one\ntwo\r\nthree"),
        (1, None, "two\r\nthree"),
        (0, Some(1), "one\n"),
        (1, Some(1), "two\r\n"),
        (2, Some(9), "three"),
        (0, Some(0), ""),
        (3, None, ""),
        (u64::MAX, Some(u64::MAX), ""),
    ] {
        assert_eq!(place.read(Lines { skip, limit }).unwrap(), expected, "{skip} {limit:?}");
    }
}

#[test]
fn what_is_no_text_file_is_refused_by_name() {
    let (_dir, root, roots) = world();
    fs::create_dir(root.join("directory")).unwrap();
    nix::unistd::mkfifo(&root.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    fs::write(root.join("binary"), b"a\xffb").unwrap();
    File::create(root.join("large")).unwrap().set_len(FILE_MAX + 1).unwrap();
    File::create(root.join("long")).unwrap().set_len(TEXT_MAX as u64 + 1).unwrap();
    for (name, read, written) in [
        ("directory", "not_a_file", "not_a_file"),
        ("fifo", "not_a_file", "not_a_file"),
        ("socket", "not_a_file", "not_a_file"),
        ("missing", "not_found", "done"),
        ("no/such/directory", "not_found", "done"),
        ("file/below", "path_changed", "path_changed"),
        ("binary", "not_text", "done"),
        ("large", "too_large", "done"),
        ("long", "too_large", "done"),
    ] {
        let place = roots.place(&root.join(name)).unwrap();
        assert_eq!(code(place.read(Lines::default())), read, "read {name}");
        assert_eq!(code(place.write("text")), written, "write {name}");
    }
    assert_eq!(code(roots.place(&root).unwrap().write("text")), "not_a_file");
    let place = roots.place(&root.join("file")).unwrap();
    assert_eq!(code(place.write(&"x".repeat(TEXT_MAX + 1))), "too_large");
    assert_eq!(place.read(Lines::default()).unwrap(), "one\ntwo\r\nthree", "it is as it was");
}

#[test]
fn n7_a_directory_or_file_that_becomes_a_link_after_the_look_leads_nowhere() {
    let (_dir, root, roots) = world();
    fs::create_dir(root.join("inner")).unwrap();
    fs::write(root.join("inner/secret"), "harmless").unwrap();
    let inner = roots.place(&root.join("inner/secret")).unwrap();
    let file = roots.place(&root.join("file")).unwrap();
    fs::rename(root.join("inner"), root.join("moved")).unwrap();
    symlink("..", root.join("inner")).unwrap();
    fs::remove_file(root.join("file")).unwrap();
    symlink("../secret", root.join("file")).unwrap();
    for place in [inner, file] {
        assert_eq!(code(place.read(Lines::default())), "path_changed");
        assert_eq!(code(place.write("overwritten")), "path_changed");
    }
    assert_eq!(fs::read_to_string(root.with_file_name("secret")).unwrap(), "secret");
}

#[cfg(target_os = "linux")]
#[test]
fn n7_a_race_of_links_never_reaches_outside() {
    let (_dir, root, roots) = world();
    fs::create_dir(root.join("a")).unwrap();
    fs::write(root.join("a/secret"), "inside").unwrap();
    symlink("..", root.join("link")).unwrap();
    let place = roots.place(&root.join("a/secret")).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let (one, other) = (root.join("a"), root.join("link"));
                let swap = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(rustix::fs::CWD, &one, rustix::fs::CWD, &other, swap).unwrap();
            }
        });
        let mut reached = 0;
        for round in 0..2000 {
            match place.read(Lines::default()) {
                Ok(text) => {
                    assert!(text.starts_with("inside"), "{text}");
                    reached += 1;
                }
                Err(error) => assert_eq!(error.code(), "path_changed", "{error}"),
            }
            if round % 10 == 0 {
                drop(place.write("inside, anew"));
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert!(reached > 0, "it was there now and then");
    });
    assert_eq!(fs::read_to_string(root.with_file_name("secret")).unwrap(), "secret");
}

#[test]
fn a_rewritten_file_keeps_its_permissions_and_is_replaced_in_one_step() {
    let (_dir, root, roots) = world();
    let path = root.join("file");
    let place = roots.place(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4751)).unwrap();
    let reader = File::open(&path).unwrap();
    let number = fs::metadata(&path).unwrap().ino();
    place.write("new").unwrap();
    let now = fs::metadata(&path).unwrap();
    assert_eq!(now.mode() & 0o7777, 0o751, "and nobody becomes its owner by running it");
    assert_ne!(now.ino(), number);
    assert_eq!(io::read_to_string(reader).unwrap(), "one\ntwo\r\nthree", "who had it open reads on");
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    let left: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["file"], "no temporary file stays");
    roots.place(&root.join("made/by/the/way")).unwrap().write("x").unwrap();
    assert_eq!(fs::read_to_string(root.join("made/by/the/way")).unwrap(), "x");
}
