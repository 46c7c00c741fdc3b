//! The pool with real processes: small shell scripts that behave and misbehave as workers do.

mod hostile;
mod life;
mod upkeep;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use skep_common::api::WorkerState;
use skep_common::ids::Process;
use skep_sys::process::is_alive;
use skep_sys::signal::{Signal, send};
use tokio::time::timeout;

use super::*;

/// Long enough for a loaded machine; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(30);

/// What every script begins with. `hello` is the report of that name.
const PRELUDE: &str = r#"#!/bin/sh
id=$3
hello() {
    printf '{"type":"hello","protocol":1,"version":"test","epoch":1,"id":"%s","process":{"pid":1,"start_time":1,"boot_id":"b"},"sessions":[]}\n' "$id"
}
serve() { while read -r line; do :; done; }
"#;

/// Restarts without delay.
const NO_DELAY: &str = "restart.first_delay = '0 s'\nrestart.max_delay = '0 s'\n";

/// A pool in a directory of its own.
struct Bed {
    home: Home,
    pool: PoolHandle,
    events: mpsc::Receiver<PoolEvent>,
    tracker: TaskTracker,
}

struct Home {
    dir: tempfile::TempDir,
    paths: Paths,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::resolve(&Environment::of([("SKEP_HOME", dir.path())]), None).unwrap();
        Self { dir, paths }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Lines of a file that scripts write; none if it is not there.
    fn lines(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn start(self, script: &str, toml: &str) -> Bed {
        let exe = self.path("worker.sh");
        std::fs::write(&exe, format!("{PRELUDE}home='{}'\n{script}\n", self.dir.path().display())).unwrap();
        std::fs::set_permissions(&exe, std::fs::Permissions::from_mode(0o700)).unwrap();
        self.start_exe(exe, toml)
    }

    fn start_exe(self, exe: PathBuf, toml: &str) -> Bed {
        let tracker = TaskTracker::new();
        let (pool, events) = Pool::start(PoolOptions {
            settings: skep_config::parse(toml, "test").unwrap(),
            paths: self.paths.clone(),
            exe,
            epoch: 1,
            launch: LaunchOptions::default(),
            dir: self.dir.path().to_owned(),
            environment: Environment::capture(),
            tracker: tracker.clone(),
        })
        .unwrap();
        Bed { home: self, pool, events, tracker }
    }
}

impl Bed {
    fn start(script: &str, toml: &str) -> Self {
        Home::new().start(script, toml)
    }

    /// The next event that `pick` takes.
    async fn until<T>(&mut self, what: &str, mut pick: impl FnMut(&PoolEvent) -> Option<T>) -> T {
        let search = async {
            loop {
                let event = self.events.recv().await.expect("the pool lives");
                if let Some(found) = pick(&event) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
    }

    async fn up(&mut self, id: &str) -> Process {
        let id = worker(id);
        self.until("up", |event| match event {
            PoolEvent::Up { worker, hello } if *worker == id => Some(hello.process.clone()),
            _ => None,
        })
        .await
    }

    async fn down(&mut self, id: &str) -> (String, Cause) {
        let id = worker(id);
        self.until("down", |event| match event {
            PoolEvent::Down { worker, cause, kind } if *worker == id => Some((cause.clone(), *kind)),
            _ => None,
        })
        .await
    }

    /// The first time that the worker is seen in this state, from now on.
    async fn state(&mut self, id: &str, state: WorkerState) -> WorkerInfo {
        let id = worker(id);
        self.until("a state", |event| match event {
            PoolEvent::Changed(info) if info.id == id && info.state == state => Some(info.clone()),
            _ => None,
        })
        .await
    }

    /// Waits until the worker is in this state, now or later.
    async fn reaches(&mut self, id: &str, state: WorkerState) -> WorkerInfo {
        loop {
            if let Some(info) = self.pool.get(&worker(id)).filter(|info| info.state == state) {
                return info;
            }
            self.until("another state", |_| Some(())).await;
        }
    }

    fn info(&self, id: &str) -> WorkerInfo {
        self.pool.get(&worker(id)).expect("it is in the pool")
    }

    /// Ends the pool as the daemon does, and checks that nothing is left of it.
    async fn stop(self) -> Home {
        let Self { home, pool, events, tracker } = self;
        drop(events);
        timeout(PATIENCE, pool.shutdown(Cause::DaemonStopped)).await.expect("the pool ends");
        for info in pool.list() {
            assert!(info.process.is_none(), "{info:?}");
        }
        let runs = std::fs::read_dir(home.paths.workers()).unwrap();
        let runs = runs
            .filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|ending| ending == "run"));
        assert_eq!(runs.count(), 0, "an intent is left");
        drop(pool);
        tracker.close();
        timeout(PATIENCE, tracker.wait()).await.expect("every task ends");
        home
    }
}

fn worker(id: &str) -> WorkerId {
    id.parse().unwrap()
}

const FIRST: &str = "remote-control-1";

fn kill(process: &Process) {
    assert!(send(process, Signal::SIGKILL).unwrap());
}

/// The process whose pid a script wrote into a file.
async fn process_in(path: &Path) -> Process {
    let written = async {
        loop {
            let pid = std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok());
            if let Some(process) = pid.and_then(skep_sys::process::identity) {
                return process;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, written).await.expect("the script writes its pid")
}
