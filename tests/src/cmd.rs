//! Running a program to its end or beside the test: cleared environment, every byte of output kept, a deadline.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::SOON;

/// A program about to run.
#[derive(Debug, Clone)]
#[must_use]
pub struct Cmd {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    cwd: PathBuf,
    stdin: Input,
    limit: Duration,
}

#[derive(Debug, Clone)]
enum Input {
    Null,
    Text(Vec<u8>),
    Open,
}

impl Cmd {
    /// `program` in `cwd` with nothing in its environment but `PATH`.
    pub fn new(program: impl Into<OsString>, cwd: impl Into<PathBuf>) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
        Self {
            program: program.into(),
            args: Vec::new(),
            env: vec![("PATH".into(), path)],
            cwd: cwd.into(),
            stdin: Input::Null,
            limit: SOON,
        }
    }

    /// With another argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// With more arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// With a variable in its environment; a later one of the same name wins.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// In another directory.
    pub fn cwd(mut self, cwd: impl Into<PathBuf>) -> Self {
        self.cwd = cwd.into();
        self
    }

    /// With this text on its standard input, then its end.
    pub fn stdin(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.stdin = Input::Text(text.into());
        self
    }

    /// With a pipe on its standard input that [`Running::write`] writes to.
    pub fn stdin_open(mut self) -> Self {
        self.stdin = Input::Open;
        self
    }

    /// With another deadline than [`SOON`].
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The same program and arguments run by another one: `wrapper… program args…`.
    pub fn wrapped<A: AsRef<OsStr>>(mut self, wrapper: impl IntoIterator<Item = A>) -> Self {
        let mut words = wrapper.into_iter().map(|word| word.as_ref().to_owned()).collect::<Vec<_>>();
        words.push(std::mem::take(&mut self.program));
        words.append(&mut self.args);
        self.program = words.remove(0);
        self.args = words;
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    ///
    /// When it cannot be started, or is not done at its deadline (it is killed then).
    pub fn run(self) -> Output {
        self.start().finish()
    }

    /// Starts it beside the test.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start(self) -> Running {
        let line = self.line();
        let mut command = self.command();
        command.stdin(match &self.stdin {
            Input::Null => Stdio::null(),
            Input::Text(_) | Input::Open => Stdio::piped(),
        });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => panic!("could not start `{line}`: {error}"),
        };
        let stdout = Sink::fill_from(child.stdout.take().expect("stdout was asked for"));
        let stderr = Sink::fill_from(child.stderr.take().expect("stderr was asked for"));
        let mut stdin = child.stdin.take();
        if let Input::Text(text) = self.stdin {
            let mut pipe = stdin.take().expect("stdin was asked for");
            // A program that ends without reading its input is no failure of the writer.
            std::thread::spawn(move || pipe.write_all(&text).ok());
        }
        let pid = child.id();
        let (send, exit) = channel();
        std::thread::spawn(move || send.send(child.wait()).ok());
        Running { line, pid, stdout, stderr, stdin, exit, status: None, limit: self.limit }
    }

    /// As the standard library has it, for whoever holds the pipes themselves.
    #[expect(clippy::disallowed_methods, reason = "the tests run the product from outside, as a shell would")]
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear().envs(self.env.iter().cloned()).current_dir(&self.cwd);
        command
    }

    fn line(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.args);
        words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }
}

/// A program that runs beside the test; killed when dropped.
#[derive(Debug)]
pub struct Running {
    line: String,
    pid: u32,
    stdout: Arc<Sink>,
    stderr: Arc<Sink>,
    stdin: Option<ChildStdin>,
    exit: Receiver<std::io::Result<ExitStatus>>,
    status: Option<ExitStatus>,
    limit: Duration,
}

impl Running {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Writes to its standard input.
    ///
    /// # Panics
    ///
    /// When it has none, or does not read.
    pub fn write(&mut self, text: &str) {
        let pipe = self.stdin.as_mut().expect("started with stdin_open()");
        pipe.write_all(text.as_bytes()).and_then(|()| pipe.flush()).expect("the program reads its input");
    }

    /// Ends its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Sends it a signal.
    ///
    /// # Panics
    ///
    /// When it is gone.
    pub fn signal(&self, signal: Signal) {
        assert!(self.status.is_none(), "`{}` has ended", self.line);
        kill(pid(self.pid), signal).expect("the program runs");
    }

    /// Waits until its standard output contains `text`.
    ///
    /// # Panics
    ///
    /// When it does not in time.
    pub fn wait_stdout(&self, text: &str) {
        self.wait_sink(&self.stdout, "standard output", text);
    }

    /// Waits until its standard error contains `text`.
    ///
    /// # Panics
    ///
    /// When it does not in time.
    pub fn wait_stderr(&self, text: &str) {
        self.wait_sink(&self.stderr, "standard error", text);
    }

    fn wait_sink(&self, sink: &Sink, name: &str, text: &str) {
        assert!(
            sink.wait(self.limit, |seen, _| find(seen, text.as_bytes())),
            "`{}` did not write {text:?} to its {name}\n{self}",
            self.line,
        );
    }

    /// What it has written to its standard output so far.
    #[must_use]
    pub fn stdout_so_far(&self) -> String {
        self.stdout.text()
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// When it does not end in time, or a process it left behind keeps its output open.
    pub fn finish(mut self) -> Output {
        let status = match self.wait_exit() {
            Ok(status) => status,
            Err(error) => panic!("{error}\n{self}"),
        };
        for (sink, name) in [(&self.stdout, "standard output"), (&self.stderr, "standard error")] {
            assert!(
                sink.wait(SOON, |_, ended| ended),
                "`{}` has ended, but a process that it left holds its {name}\n{self}",
                self.line,
            );
        }
        Output { line: self.line.clone(), status, stdout: self.stdout.text(), stderr: self.stderr.text() }
    }

    fn wait_exit(&mut self) -> Result<ExitStatus, String> {
        match self.exit.recv_timeout(self.limit) {
            Ok(Ok(status)) => {
                self.status = Some(status);
                Ok(status)
            }
            Ok(Err(error)) => Err(format!("cannot wait for `{}`: {error}", self.line)),
            Err(RecvTimeoutError::Timeout) => {
                Err(format!("`{}` still ran after {:?}", self.line, self.limit))
            }
            Err(RecvTimeoutError::Disconnected) => Err(format!("`{}` was already waited for", self.line)),
        }
    }
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--- stdout ---\n{}\n--- stderr ---\n{}", self.stdout.text(), self.stderr.text())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.status.is_none() && self.exit.try_recv().is_err() {
            kill(pid(self.pid), Signal::SIGKILL).ok();
            self.exit.recv_timeout(SOON).ok();
        }
    }
}

/// What a program printed and how it ended.
#[derive(Debug)]
#[must_use]
pub struct Output {
    line: String,
    status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// Its exit status; `128 + n` when signal n ended it.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// Asserts that it ended with `code`.
    ///
    /// # Panics
    ///
    /// When it did not; the message has everything that it printed.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert!(self.code() == code, "expected exit status {code}:\n{self}");
        self
    }

    /// Asserts that it ended with 0.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.exits(0)
    }

    /// Asserts that its standard output contains `text`.
    ///
    /// # Panics
    ///
    /// When it does not.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "expected {text:?} on standard output:\n{self}");
        self
    }

    /// Asserts that its standard error contains `text`.
    ///
    /// # Panics
    ///
    /// When it does not.
    #[track_caller]
    pub fn warns(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "expected {text:?} on standard error:\n{self}");
        self
    }

    /// Its standard output as JSON.
    ///
    /// # Panics
    ///
    /// When it is not JSON.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_str(&self.stdout) {
            Ok(value) => value,
            Err(error) => panic!("expected JSON on standard output ({error}):\n{self}"),
        }
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` ended with {}\n--- stdout ---\n{}\n--- stderr ---\n{}",
            self.line, self.status, self.stdout, self.stderr
        )
    }
}

/// Bytes that a thread collects from a pipe.
#[derive(Debug, Default)]
struct Sink {
    state: Mutex<SinkState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct SinkState {
    bytes: Vec<u8>,
    ended: bool,
}

impl Sink {
    fn fill_from(mut pipe: impl Read + Send + 'static) -> Arc<Self> {
        let sink = Arc::new(Self::default());
        let filled = Arc::clone(&sink);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let read = pipe.read(&mut buffer).unwrap_or(0);
                let mut state = filled.lock();
                state.bytes.extend_from_slice(&buffer[..read]);
                state.ended = read == 0;
                filled.changed.notify_all();
                if state.ended {
                    return;
                }
            }
        });
        sink
    }

    fn lock(&self) -> MutexGuard<'_, SinkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, limit: Duration, condition: impl Fn(&[u8], bool) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        let mut state = self.lock();
        loop {
            if condition(&state.bytes, state.ended) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock().bytes).into_owned()
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// The process id as the kernel's type.
///
/// # Panics
///
/// When it is no process id.
#[must_use]
pub fn pid(number: u32) -> Pid {
    assert!(number != 0, "0 would mean the whole group of the test");
    Pid::from_raw(i32::try_from(number).expect("a process id fits"))
}
