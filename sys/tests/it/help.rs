//! What every test here needs.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use skep_sys::spawn::{Child, SpawnSpec, Stdio3, spawn};
use tokio::io::AsyncReadExt as _;

/// Longer than any of this takes on a loaded machine.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// The zoo's keeper.
pub(crate) const ZOO: &str = env!("CARGO_BIN_EXE_skep-zoo");

/// `program args…` with a harmless environment and pipes for both outputs.
pub(crate) fn spec(program: &str, args: &[&str]) -> SpawnSpec {
    SpawnSpec {
        program: PathBuf::from(program),
        args: args.iter().map(OsString::from).collect(),
        cwd: PathBuf::from("/"),
        env: vec![(OsString::from("PATH"), OsString::from("/usr/bin:/bin"))],
        stdin: Stdio3::Null,
        stdout: Stdio3::Pipe,
        stderr: Stdio3::Inherit,
        new_group: true,
    }
}

pub(crate) fn sh(script: &str) -> SpawnSpec {
    spec("sh", &["-c", script])
}

pub(crate) fn start(spec: SpawnSpec) -> Child {
    spawn(spec).unwrap()
}

/// Everything that the child prints until nobody holds the pipe.
pub(crate) async fn output(child: &mut Child) -> String {
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
    text
}

/// Waits until the child has printed one line.
pub(crate) async fn first_line(child: &mut Child) -> String {
    let pipe = child.stdout.as_mut().unwrap();
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        line.push(tokio::time::timeout(LONG, pipe.read_u8()).await.unwrap().unwrap());
    }
    String::from_utf8(line).unwrap().trim().to_owned()
}

/// Waits for a condition that no event tells of.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Makes this process adopt every orphan; [`no_zombies`] reaps them, so that the test leaves none to the system.
pub(crate) fn adopt() {
    skep_sys::subreaper::become_subreaper().unwrap();
}

/// Reaps until nobody is left; everybody must be dead or dying by now.
pub(crate) async fn no_zombies() {
    until("no orphan, no zombie", || {
        skep_sys::subreaper::reap_orphans(&|_| false);
        skep_sys::subreaper::orphans(&|_| false).is_empty()
    })
    .await;
}
