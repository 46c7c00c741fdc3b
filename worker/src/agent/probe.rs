//! A look at an agent: the version that its program says, and what it says of itself at `initialize`.
//!
//! It is started as for a session, with its declared environment and nothing else, in an empty directory of its own.
//! Nothing of it is left afterwards: its whole tree is killed and the directory removed.

use std::convert::Infallible;
use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;
use skep_common::api::AgentProbe;
use skep_common::ids::SessionId;
use skep_common::session::PermissionMode;
use skep_config::{AgentPreset, Driver, env};
use skep_sys::shim;
use skep_sys::spawn::{Child, SpawnSpec, Stdio3, spawn};
use skep_sys::tree::{self, Tree};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::client::uses::Offers;
use super::environment::{self, Sources};
use super::{DRAIN, launch, wire};
use crate::acp::message::{self, METHOD_NOT_FOUND, Message, RpcError, clip, read};
use crate::acp::peer::{Reader, Writer, writer};

/// How long a program may take to say its version.
const VERSION: Duration = Duration::from_secs(10);

/// How long an agent may take to answer `initialize`.
const INITIALIZE: Duration = Duration::from_secs(15);

/// How much of what a program says as its version is looked at.
const VERSION_BYTES: u64 = 4096;

/// How much of an agent's standard error is kept for the reason of a failure.
const STDERR_BYTES: usize = 4096;

/// Capabilities, and where `initialize` tells them.
const CAPABILITIES: [(&str, &str); 9] = [
    ("load", "/agentCapabilities/loadSession"),
    ("resume", "/agentCapabilities/sessionCapabilities/resume"),
    ("list", "/agentCapabilities/sessionCapabilities/list"),
    ("close", "/agentCapabilities/sessionCapabilities/close"),
    ("image", "/agentCapabilities/promptCapabilities/image"),
    ("audio", "/agentCapabilities/promptCapabilities/audio"),
    ("embedded_context", "/agentCapabilities/promptCapabilities/embeddedContext"),
    ("mcp_http", "/agentCapabilities/mcpCapabilities/http"),
    ("mcp_sse", "/agentCapabilities/mcpCapabilities/sse"),
];

/// Looks at an agent. `exe` is our own binary, for its shim; `state_dir` gets the agent's directory while it runs. `stop`
/// ends it early, and still leaves nothing behind.
pub async fn probe(
    preset: &AgentPreset,
    exe: &Path,
    state_dir: &Path,
    stop: &CancellationToken,
) -> AgentProbe {
    match Place::new(preset, exe, state_dir, stop.clone()) {
        Ok(place) => place.look(preset).await,
        Err(error) => problem(format!("it cannot be started here: {error}")),
    }
}

fn problem(why: String) -> AgentProbe {
    AgentProbe { problem: Some(why), ..AgentProbe::default() }
}

/// Where and with what a probed agent runs.
struct Place {
    exe: PathBuf,
    dir: PathBuf,
    env: Vec<(OsString, OsString)>,
    mark: (String, String),
    stop: CancellationToken,
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be removed stays behind as an empty directory at worst; the tree that wrote there is dead.
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

impl Place {
    fn new(preset: &AgentPreset, exe: &Path, state_dir: &Path, stop: CancellationToken) -> io::Result<Self> {
        let mark = (env::SKEP_SESSION.to_owned(), SessionId::random().to_string());
        let dir = state_dir.join(format!("probe-{}", mark.1));
        std::fs::DirBuilder::new().mode(0o700).create(&dir)?;
        let sources = Sources { captured: None, listed: &[] };
        let mut env =
            environment::declared(preset, PermissionMode::Ask, sources).map_err(io::Error::other)?;
        env.push((mark.0.clone().into(), mark.1.clone().into()));
        if preset.private_home {
            env.push((env::HOME.into(), dir.clone().into()));
        }
        Ok(Self { exe: exe.to_owned(), dir, env, mark, stop })
    }

    async fn look(&self, preset: &AgentPreset) -> AgentProbe {
        let search = Sources { captured: None, listed: &[] }.search_path();
        let argv = match launch::command(preset, &search) {
            Ok(argv) => argv,
            Err(error) => return problem(error.to_string()),
        };
        let version = self.version(&argv[0], &preset.version_args).await;
        let found = match preset.driver {
            Driver::Acp => self.initialize(argv).await,
            Driver::Oneshot | Driver::ClaudeStream => AgentProbe::default(),
        };
        AgentProbe { version: version.or(found.version), ..found }
    }

    /// What comes of `work` within `limit`; none if that is over, or the look is.
    async fn within<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        self.stop.run_until_cancelled(timeout(limit, work)).await?.ok()
    }

    fn spawn(&self, argv: Vec<OsString>, stdin: Stdio3) -> Result<(Child, Tree), String> {
        let (program, args) = shim::command(&self.exe, argv);
        let child = spawn(SpawnSpec {
            program,
            args,
            cwd: self.dir.clone(),
            env: self.env.clone(),
            stdin,
            stdout: Stdio3::Pipe,
            stderr: Stdio3::Pipe,
            new_group: false,
        })
        .map_err(|error| error.to_string())?;
        let tree = Tree { root: child.process.clone(), mark: Some(self.mark.clone()) };
        Ok((child, tree))
    }

    /// What the program says as its version; none if it does not say it in time, or says nothing of the kind.
    async fn version(&self, program: &OsString, args: &[String]) -> Option<String> {
        if args.is_empty() {
            return None;
        }
        let argv = std::iter::once(program.clone()).chain(args.iter().map(OsString::from)).collect();
        let (mut child, tree) = self.spawn(argv, Stdio3::Null).ok()?;
        let stdout = child.stdout.take()?;
        // What goes to standard error must not be in the way.
        let mut stderr = child.stderr.take()?;
        let (mut said, mut errors) = (Vec::new(), Vec::new());
        let mut head = stdout.take(VERSION_BYTES);
        let reading = beside(head.read_to_end(&mut said), tail(&mut stderr, &mut errors));
        // What it said until then counts, in time or not.
        let _in_time = self.within(VERSION, reading).await;
        tree::kill(&[tree]).await;
        version_in(&String::from_utf8_lossy(&said))
    }

    async fn initialize(&self, argv: Vec<OsString>) -> AgentProbe {
        let (mut child, tree) = match self.spawn(argv, Stdio3::Pipe) {
            Ok(spawned) => spawned,
            Err(why) => return problem(why),
        };
        let (Some(stdin), Some(stdout), Some(mut stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return problem(String::from("a pipe to the agent is missing"));
        };
        let began = Instant::now();
        let mut said = Vec::new();
        let asking = beside(ask(&mut child, stdin, stdout), tail(&mut stderr, &mut said));
        let answer = self.within(INITIALIZE, asking).await;
        let took = began.elapsed();
        tree::kill(&[tree]).await;
        let why = match answer {
            Some(Ok(result)) => {
                let answered_ms = Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
                return AgentProbe { answered_ms, ..told(&result) };
            }
            Some(Err(why)) => why,
            None => format!("it did not answer within {} s", INITIALIZE.as_secs()),
        };
        // The tree is dead, so the pipe ends.
        drop(timeout(DRAIN, drain(&mut stderr, &mut said)).await);
        let said = String::from_utf8_lossy(&said);
        problem(match said.trim().lines().next_back() {
            Some(line) => format!("{why}: {}", clip(line, 400)),
            None => why,
        })
    }
}

/// Sends `initialize` and waits for its answer, or the agent's end.
async fn ask(
    child: &mut Child,
    stdin: pipe::Sender,
    stdout: pipe::Receiver,
) -> Result<Box<RawValue>, String> {
    let (writer, write_loop) = writer(stdin);
    let mut reader = Reader::new(stdout);
    let mut asking = std::pin::pin!(beside(handshake(&writer, &mut reader), async {
        // A write that fails is seen by the reader, as the agent's end.
        drop(write_loop.await);
        std::future::pending().await
    }));
    tokio::select! {
        biased;
        answer = &mut asking => match answer {
            Some(answer) => answer,
            None => match timeout(DRAIN, child.exited()).await {
                Ok(cause) => Err(format!("it ended: {cause}")),
                Err(_) => Err(String::from("it closed its output and went on running")),
            },
        },
        cause = child.exited() => match timeout(DRAIN, asking).await {
            Ok(Some(answer)) => answer,
            Ok(None) | Err(_) => Err(format!("it ended: {cause}")),
        },
    }
}

/// The answer to `initialize`; none at the end of the agent's output.
async fn handshake(
    writer: &Writer,
    reader: &mut Reader<pipe::Receiver>,
) -> Option<Result<Box<RawValue>, String>> {
    let line = match message::request(1, "initialize", &wire::initialize(Offers::default())) {
        Ok(line) => line,
        Err(error) => return Some(Err(error.to_string())),
    };
    writer.send(line).await.ok()?;
    loop {
        for message in reader.read().await.ok()??.messages {
            match message {
                Message::Response { id, result } if id.number() == Some(1) => {
                    return Some(result.map_err(|error| format!("it answered: {error}")));
                }
                Message::Request { id, .. } => {
                    let error = RpcError::new(METHOD_NOT_FOUND, "this is only a look");
                    writer.respond(&id, Err::<&(), _>(&error)).await.ok()?;
                }
                Message::Response { .. } | Message::Notification { .. } => {}
            }
        }
    }
}

/// Reads an agent's answer to `initialize`.
fn told(result: &RawValue) -> AgentProbe {
    let value: Value = read(result).unwrap_or_default();
    let has =
        |at: &str| value.pointer(at).is_some_and(|found| found.is_object() || *found == Value::Bool(true));
    let problem = match value["protocolVersion"].as_u64() {
        Some(wire::PROTOCOL) => None,
        Some(version) => {
            Some(format!("it speaks ACP version {version}, skep speaks version {}", wire::PROTOCOL))
        }
        None => Some(String::from("it does not say which version of ACP it speaks")),
    };
    let methods = value["authMethods"].as_array().map(Vec::as_slice).unwrap_or_default();
    AgentProbe {
        version: value["agentInfo"]["version"].as_str().map(|version| clip(version, 100)),
        capabilities: CAPABILITIES
            .into_iter()
            .filter(|(_, at)| has(at))
            .map(|(name, _)| name.to_owned())
            .collect(),
        auth_methods: methods.iter().take(32).filter_map(|it| Some(clip(it["id"].as_str()?, 100))).collect(),
        answered_ms: None,
        problem,
    }
}

/// The version in what a program said: the first word like `1.2` or `v1.2.3`.
fn version_in(said: &str) -> Option<String> {
    let word = said.split_whitespace().find_map(|word| {
        let word = word.trim_start_matches('v').trim_end_matches([',', ';', ')']);
        (word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.')).then_some(word)
    })?;
    Some(clip(word, 100))
}

/// Drives `beside`, which never ends, while `main` runs.
async fn beside<T>(main: impl Future<Output = T>, beside: impl Future<Output = Infallible>) -> T {
    tokio::select! {
        biased;
        done = main => done,
        never = beside => match never {},
    }
}

/// Reads everything and keeps the end.
async fn drain(from: &mut pipe::Receiver, kept: &mut Vec<u8>) {
    let mut buffer = [0; STDERR_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..count]);
        kept.drain(..kept.len().saturating_sub(STDERR_BYTES));
    }
}

/// The same beside something else, which is not to end with it.
async fn tail(from: &mut pipe::Receiver, kept: &mut Vec<u8>) -> Infallible {
    drain(from, kept).await;
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n1_a_version_is_found_in_what_programs_say() {
        for (said, version) in [
            ("2.1.328 (Claude Code)\n", Some("2.1.328")),
            ("codex-cli 0.99.0\n", Some("0.99.0")),
            ("v1.18.33", Some("1.18.33")),
            ("opencode version v1.2, built today", Some("1.2")),
            ("usage: agent [options]", None),
            ("", None),
        ] {
            assert_eq!(version_in(said).as_deref(), version, "{said}");
        }
    }

    #[test]
    fn n1_capabilities_are_read_and_nonsense_is_none() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let probe = told(&raw(
            r#"{"protocolVersion":1,"agentInfo":{"version":"2"},"authMethods":[{"id":"key"},{},7],
            "agentCapabilities":{"loadSession":true,"sessionCapabilities":{"resume":{},"close":null},
            "promptCapabilities":{"image":true,"audio":false}}}"#,
        ));
        assert_eq!(probe.capabilities, ["load", "resume", "image"]);
        assert_eq!(
            (probe.version.as_deref(), &probe.auth_methods[..]),
            (Some("2"), &[String::from("key")][..])
        );
        assert_eq!(probe.problem, None);
        for nonsense in ["null", "[]", r#"{"protocolVersion":"1","agentCapabilities":7}"#] {
            let probe = told(&raw(nonsense));
            assert!(probe.problem.is_some() && probe.capabilities.is_empty(), "{nonsense}");
        }
        assert!(told(&raw(r#"{"protocolVersion":2}"#)).problem.unwrap().contains("version 2"));
    }
}
