//! opencode's server, from the same installation as the agents of the tests.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, killpg};
use skep_tests::agents::programs;
use skep_tests::cmd::{Cmd, pid};
use skep_tests::recipes::OPENCODE;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep_until};

use super::client::{Target, answer};
use crate::agents::install;
use crate::bench::table::wall_nanos;

/// The server; it and its process group are killed when dropped.
pub(super) struct Opencode {
    child: Child,
    target: Target,
    _home: tempfile::TempDir,
}

impl Opencode {
    pub(super) fn start() -> Result<Self> {
        install()?;
        let home = tempfile::tempdir()?;
        let words = OPENCODE.words(&programs());
        let server = Cmd::new(&words[0], home.path()).args(["serve", "--port", "0"]).env("HOME", home.path());
        let variables = OPENCODE.variables(&programs(), "http://127.0.0.1:9");
        let server = variables.iter().fold(server, |server, (name, value)| server.env(name, value));
        let mut command = server.command();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().context("a pipe")?;
        let mut lines = BufReader::new(stdout).lines();
        let at = lines.find_map(|line| Some(line.ok()?.split_once("http://")?.1.trim().to_owned()));
        let at = at.context("opencode does not say where it listens")?.parse()?;
        let target = Target { at, authorization: None, pid: child.id() };
        Ok(Self { child, target, _home: home })
    }

    pub(super) fn target(&self) -> Target {
        self.target.clone()
    }

    /// Has it tell the time so many times, then that this is the end.
    pub(super) async fn tell(&self, times: usize, apart: Duration) -> Result<()> {
        let mut stream = self.target.connect().await?;
        let mut due = Instant::now();
        for n in 0..=times {
            sleep_until(due).await;
            due += apart;
            let message = if n == times { String::from("end") } else { wall_nanos().to_string() };
            let body = format!(r#"{{"message":"{message}","variant":"info"}}"#);
            let more = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
            let request = self.target.head("POST", "/tui/show-toast", &more);
            stream.write_all(format!("{request}{body}").as_bytes()).await?;
            let status = answer(&mut stream).await?;
            ensure!(status == 200, "opencode answered {status}");
        }
        Ok(())
    }
}

impl Drop for Opencode {
    fn drop(&mut self) {
        if let Err(error) = killpg(pid(self.child.id()), Signal::SIGKILL) {
            crate::run::say(&format!("opencode is not killed: {error}"));
        }
        drop(self.child.wait());
    }
}
