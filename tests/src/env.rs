//! A private world for one test: its own home, its own daemon, its own configuration, and a check at the end that
//! nothing of it is left.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use serde_json::Value;
use tempfile::TempDir;

use crate::api::Api;
use crate::cmd::{Cmd, Output, pid};
use crate::procs::{self, Trace};
use crate::wait::{SOON, try_for, wait_for};

/// A temporary home whose path has a space in it, with `SKEP_HOME` inside and an empty directory to work in.
///
/// When it is dropped, it stops its daemon and asserts that no process, socket or open file of it remains.
#[derive(Debug)]
pub struct TestEnv {
    dir: TempDir,
    bin: PathBuf,
}

impl Default for TestEnv {
    fn default() -> Self {
        Self::new()
    }
}

impl TestEnv {
    /// A home with the default configuration, and the scripted agent as the agent `fake`.
    #[must_use]
    pub fn new() -> Self {
        Self::with_config("")
    }

    /// A home with this configuration, and the scripted agent as the agent `fake`.
    ///
    /// # Panics
    ///
    /// When it cannot be made, or the `skep` binary is not built.
    #[must_use]
    pub fn with_config(config: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("skep e2e ").tempdir().expect("a temporary directory");
        let env = Self { dir, bin: built("skep") };
        for made in [env.home(), env.state(), env.work()] {
            DirBuilder::new().mode(0o700).create(made).expect("a directory");
        }
        env.configure(config);
        env
    }

    /// The same, with a copy of the `skep` binary of its own that the test may replace under the daemon.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    #[must_use]
    pub fn with_own_binary(config: &str) -> Self {
        let mut env = Self::with_config(config);
        env.bin = env.root().join("skep");
        fs::copy(built("skep"), &env.bin).expect("a copy of the binary");
        env
    }

    /// Puts another program in the place of the test's own binary, as an update does.
    ///
    /// # Panics
    ///
    /// When there is none of its own.
    pub fn replace_binary(&self, with: &Path) {
        let new = self.root().join("skep.new");
        fs::copy(with, &new).and_then(|_| fs::rename(&new, &self.bin)).expect("the binary is replaced");
    }

    /// Removes the test's own binary.
    ///
    /// # Panics
    ///
    /// When there is none of its own.
    pub fn remove_binary(&self) {
        assert!(self.bin.starts_with(self.root()), "only a copy may be removed");
        fs::remove_file(&self.bin).expect("the binary is removed");
    }

    /// `skep` as it was built, whatever was put in the place of the test's own binary.
    pub fn original<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Cmd {
        self.program(&built("skep")).args(args)
    }

    /// Writes the configuration file: `config`, and the agent `fake`.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn configure(&self, config: &str) {
        let command = toml_string(&built("fake-agent"));
        let text = format!("{config}\n[agents.fake]\ncommand = [{command}]\n");
        fs::write(self.config_file(), text).expect("the configuration is written");
    }

    /// The user's home directory.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// `SKEP_HOME`: all of skep's files.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.dir.path().join("skep home")
    }

    /// The directory in which commands run.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// The test's whole directory, the mark of all that belongs to it.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// The configuration file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.state().join("config.toml")
    }

    /// The binary that is tested.
    #[must_use]
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// `skep` with arguments, in this home.
    pub fn skep<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Cmd {
        self.program(&self.bin).args(args)
    }

    /// Any program in this home.
    pub fn program(&self, program: &Path) -> Cmd {
        Cmd::new(program, self.work())
            .env("HOME", self.home())
            .env("SKEP_HOME", self.state())
            .env("LANG", "C.UTF-8")
            .env("SHELL", "/bin/sh")
    }

    /// Starts the daemon.
    pub fn start_daemon(&self) {
        let _started: Output = self.skep(["daemon", "start"]).run().ok();
    }

    /// What the daemon's file says.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[must_use]
    pub fn daemon_file(&self) -> Value {
        self.find_daemon_file().expect("the daemon's file is there")
    }

    fn find_daemon_file(&self) -> Option<Value> {
        serde_json::from_slice(&fs::read(self.state().join("daemon.json")).ok()?).ok()
    }

    /// The daemon's pid, if its file names one.
    #[must_use]
    pub fn find_daemon_pid(&self) -> Option<u32> {
        self.find_daemon_file().map(|file| number(&file["process"]["pid"]))
    }

    /// The daemon's pid.
    ///
    /// # Panics
    ///
    /// When no daemon runs.
    #[must_use]
    pub fn daemon_pid(&self) -> u32 {
        number(&self.daemon_file()["process"]["pid"])
    }

    /// A client of the daemon's API.
    ///
    /// # Panics
    ///
    /// When no daemon runs.
    #[must_use]
    pub fn api(&self) -> Api {
        let file = self.daemon_file();
        let socket = file["socket"].as_str().expect("the daemon's file names the socket");
        Api::new(socket.into(), Some(self.token()))
    }

    /// The daemon's token.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[must_use]
    pub fn token(&self) -> String {
        fs::read_to_string(self.state().join("token")).expect("the token is there").trim().to_owned()
    }

    /// The workers, as the API lists them, once `condition` holds for the list.
    ///
    /// # Panics
    ///
    /// When it does not hold in time.
    pub fn wait_workers(&self, what: &str, condition: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let api = self.api();
        wait_for(what, || {
            let workers = api.get("/workers").is(200).json()["workers"].as_array()?.clone();
            condition(&workers).then_some(workers)
        })
    }

    /// The session, as the API shows it, once `condition` holds for it.
    ///
    /// # Panics
    ///
    /// When it does not hold in time.
    pub fn wait_session(&self, name: &str, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let api = self.api();
        wait_for(what, || {
            let response = api.get(&format!("/sessions/{name}"));
            let session = (response.status == 200).then(|| response.json())?;
            condition(&session).then_some(session)
        })
    }

    /// The whole journal of a session, as the API pages it.
    ///
    /// # Panics
    ///
    /// When it has a gap, or the daemon does not answer.
    #[must_use]
    pub fn events(&self, name: &str) -> Vec<Value> {
        let api = self.api();
        let mut events: Vec<Value> = Vec::new();
        loop {
            let path = format!("/sessions/{name}/events?limit=1000&after={}", events.len());
            let page = api.get(&path).is(200).json();
            let page = page["events"].as_array().expect("a page of events");
            if page.is_empty() {
                break;
            }
            events.extend(page.iter().cloned());
        }
        for (index, event) in events.iter().enumerate() {
            assert_eq!(event["seq"], index + 1, "the journal of `{name}` has a gap: {event}");
        }
        events
    }

    /// What of this home is still alive: processes, and the daemon's socket in the kernel's list.
    #[must_use]
    pub fn remains(&self) -> Vec<Trace> {
        let mut traces = procs::carrying(self.root());
        let root = self.root().to_string_lossy().into_owned();
        let sockets = fs::read_to_string("/proc/net/unix").unwrap_or_default();
        traces.extend(sockets.lines().filter(|line| line.contains(&root)).map(|line| Trace {
            pid: 0,
            command: line.to_owned(),
            found: "socket".to_owned(),
        }));
        traces
    }

    /// Asserts that nothing of this home is alive.
    ///
    /// # Panics
    ///
    /// When something is.
    #[track_caller]
    pub fn nothing_remains(&self) {
        let left = try_for(Duration::from_secs(5), || self.remains().is_empty().then_some(()));
        assert!(left.is_some(), "left behind: {:#?}", self.remains());
    }

    /// Stops the daemon, if one runs, and everything else of this home; says what had to be killed.
    fn tear_down(&self) -> Vec<Trace> {
        if self.find_daemon_file().is_some() {
            // How it ends is judged by what it leaves.
            let _ended: Output = self.original(["daemon", "stop"]).limit(SOON * 2).run();
        }
        if try_for(Duration::from_secs(5), || self.remains().is_empty().then_some(())).is_some() {
            return Vec::new();
        }
        let left = self.remains();
        for trace in left.iter().filter(|trace| trace.pid != 0) {
            kill(pid(trace.pid), Signal::SIGKILL).ok();
        }
        left
    }

    /// What the daemon logged, for a test that failed.
    fn daemon_log(&self) -> String {
        let mut logs = Vec::new();
        let mut dirs = vec![self.state().join("logs")];
        while let Some(dir) = dirs.pop() {
            for path in fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()) {
                if path.is_dir() {
                    dirs.push(path);
                } else {
                    let log = fs::read(&path).unwrap_or_default();
                    let tail = &log[log.len().saturating_sub(8 * 1024)..];
                    logs.push(format!("--- {} ---\n{}", path.display(), String::from_utf8_lossy(tail)));
                }
            }
        }
        logs.join("\n")
    }
}

impl Drop for TestEnv {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprint_log(&self.daemon_log());
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.tear_down())).ok();
        } else {
            let left = self.tear_down();
            assert!(left.is_empty(), "the test left behind: {left:#?}\n{}", self.daemon_log());
        }
    }
}

#[expect(clippy::print_stderr, reason = "the test harness shows it with the failed test")]
fn eprint_log(text: &str) {
    eprintln!("{text}");
}

/// A program that this workspace builds, beside the test's own executable.
///
/// # Panics
///
/// When it is not built, naming the command that builds it.
#[must_use]
pub fn built(name: &str) -> PathBuf {
    let path = target_dir().join(name);
    assert!(
        path.is_file(),
        "{} is missing: `cargo xtask check` builds it, or `cargo build --workspace --bins`",
        path.display(),
    );
    path
}

/// The directory of the profile that this program was built in, such as `target/debug`.
///
/// # Panics
///
/// When the executable lies where cargo would not put it.
#[must_use]
pub fn target_dir() -> PathBuf {
    let program = std::env::current_exe().expect("the program's own path");
    let dir = program.parent().expect("a program lies in a directory");
    // Tests are built into `deps`, programs beside it.
    let profile = if dir.ends_with("deps") { dir.parent() } else { Some(dir) };
    profile.expect("cargo builds into target/<profile>").to_owned()
}

/// A path as a TOML string.
///
/// # Panics
///
/// When it is not UTF-8.
#[must_use]
pub fn toml_string(path: &Path) -> String {
    let text = path.to_str().expect("a path in UTF-8");
    Value::from(text).to_string()
}

/// A JSON number as a process id.
///
/// # Panics
///
/// When it is none.
#[must_use]
#[track_caller]
pub fn number(value: &Value) -> u32 {
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    number.unwrap_or_else(|| panic!("expected a process id, got {value}"))
}
