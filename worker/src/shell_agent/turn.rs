//! One prompt: announce the command, ask, run it, report its end.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use skep_common::code::with_causes;
use skep_sys::spawn::ExitCause;
use tokio_util::sync::CancellationToken;

use super::running::{Event, Haste, Job, Running, discard};
use super::serve::Host;
use super::session::{Session, Turn};
use super::state::Past;
use super::text::Output;
use super::wire::{self, Ended, Mode, PermissionAnswer, PermissionOutcome};
use crate::acp::message::{self, RpcError};
use crate::acp::peer::Closed;

/// Runs a prompt to its end and answers it, unless the agent ends first.
pub(super) async fn run(host: Arc<Host>, session: Arc<Session>, turn: Turn, command: String) {
    let call = format!("call-{}", uuid::Uuid::new_v4());
    let prompt = Prompt { host: &host, session: &session, cancel: &turn.cancel, call, command };
    let end = prompt.perform().await;
    if !matches!(end, Err(Stop::AgentEnds)) {
        prompt.keep(end.as_ref().ok()).await;
    }
    session.end();
    let answer = match end {
        Ok(done) => Ok(wire::answer(done.ended)),
        Err(Stop::Cancelled) => Ok(wire::stopped("cancelled")),
        Err(Stop::Denied) => Ok(wire::stopped("refusal")),
        Err(Stop::Broken(error)) => Err(error),
        Err(Stop::AgentEnds) => return,
    };
    if host.respond(&turn.request, answer.as_ref()).await.is_err() {
        tracing::debug!("the client is gone before it heard how its prompt ended");
    }
}

struct Prompt<'a> {
    host: &'a Host,
    session: &'a Session,
    cancel: &'a CancellationToken,
    call: String,
    command: String,
}

/// A command that ran to its end.
struct Done {
    ended: Ended,
    summary: String,
}

/// Why a command did not run to its end.
enum Stop {
    Cancelled,
    Denied,
    Broken(RpcError),
    AgentEnds,
}

impl From<Closed> for Stop {
    fn from(_: Closed) -> Self {
        Self::AgentEnds
    }
}

impl Prompt<'_> {
    async fn perform(&self) -> Result<Done, Stop> {
        let (cwd, gone) = standing(self.session.lock().state.cwd());
        let shown = cwd.to_string_lossy();
        self.update(wire::announced(&self.call, &self.command, &shown)).await?;
        let allowed = self.permission(&shown).await;
        let done = match allowed {
            Ok(()) => self.execute(&cwd, gone.as_deref()).await,
            Err(stop) => Err(stop),
        };
        if matches!(done, Err(Stop::Cancelled | Stop::Denied | Stop::Broken(_))) {
            self.update(wire::failed(&self.call)).await?;
        }
        done
    }

    /// Waits for the permission to run the command.
    async fn permission(&self, cwd: &str) -> Result<(), Stop> {
        {
            let inner = self.session.lock();
            if inner.mode == Mode::Bypass || inner.state.is_allowed(&self.command) {
                return Ok(());
            }
        }
        let params = wire::ask(&self.session.id, &self.call, &self.command, cwd);
        let answer = tokio::select! {
            biased;
            () = self.host.stop.cancelled() => return Err(Stop::AgentEnds),
            () = self.cancel.cancelled() => return Err(Stop::Cancelled),
            answer = self.host.calls.call(&self.host.writer, "session/request_permission", &params) => answer,
        };
        let answer = answer.map_err(Stop::Broken)?;
        match message::read::<PermissionAnswer>(&answer).map(|answer| answer.outcome) {
            Ok(PermissionOutcome::Selected { option_id }) if option_id == wire::ALLOW_ONCE => Ok(()),
            Ok(PermissionOutcome::Selected { option_id }) if option_id == wire::ALLOW_ALWAYS => {
                self.session.lock().state.allow(&self.command);
                Ok(())
            }
            Ok(PermissionOutcome::Selected { .. }) => Err(Stop::Denied),
            Ok(PermissionOutcome::Other) => Err(Stop::Cancelled),
            // An answer that cannot be read is no permission.
            Err(_) => Err(Stop::Denied),
        }
    }

    async fn execute(&self, cwd: &Path, gone: Option<&Path>) -> Result<Done, Stop> {
        let setup = &self.host.setup;
        let variables = self.session.lock().state.variables(&setup.variables);
        self.update(wire::started(&self.call)).await?;
        let job = Job {
            shell: &setup.shell,
            helper: &setup.helper,
            snapshot: setup.store.snapshot_path(),
            command: &self.command,
            cwd,
            variables,
        };
        let mut running = Running::start(job)
            .map_err(|error| Stop::Broken(RpcError::new(message::INTERNAL_ERROR, with_causes(&error))))?;
        let mut output = Pieces { prompt: self, sent: 0, text: Output::default() };
        if let Some(gone) = gone {
            let note = format!("[{} is gone; continuing in {}]\n", gone.display(), cwd.display());
            output.send(&note).await?;
        }
        let streamed = tokio::select! {
            biased;
            () = self.host.stop.cancelled() => Err(Stop::AgentEnds),
            () = self.cancel.cancelled() => Err(Stop::Cancelled),
            streamed = output.stream(&mut running) => streamed.map_err(Stop::from),
        };
        match streamed {
            Ok(cause) => {
                let tree = running.tree();
                let finished = running.finish();
                self.session.leave(tree);
                if let Some(held) = finished.held {
                    let stop = self.host.stop.clone();
                    self.host.turns.spawn(async move { stop.run_until_cancelled(discard(held)).await });
                }
                if let Some(snapshot) = finished.snapshot {
                    self.session.lock().state.apply(snapshot, &setup.variables);
                }
                let ended = ended(cause);
                let whole = (output.sent > 1).then(|| output.text.whole());
                self.update(wire::ended(&self.call, ended, whole.as_deref())).await?;
                Ok(Done { ended, summary: output.text.summary() })
            }
            Err(stop) => {
                let haste = if matches!(stop, Stop::Cancelled) { Haste::Grace } else { Haste::Now };
                running.kill(haste).await;
                Err(stop)
            }
        }
    }

    /// Writes the session down before the prompt is answered.
    async fn keep(&self, done: Option<&Done>) {
        let state = {
            let mut inner = self.session.lock();
            inner.state.remember(Past {
                command: self.command.clone(),
                exit_code: done.map(|done| done.ended.exit_code),
                summary: done.map(|done| done.summary.clone()).unwrap_or_default(),
            });
            inner.state.clone()
        };
        let (store, id) = (self.host.setup.store.clone(), self.session.uuid);
        // Off the runtime: a slow disk must not delay other sessions' output.
        let written = tokio::task::spawn_blocking(move || store.write(id, &state)).await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(session.id = %id, error = %error, "the session was not written down");
            }
            Err(error) => tracing::warn!(session.id = %id, error = %error, "writing the session panicked"),
        }
    }

    async fn update(&self, update: impl serde::Serialize) -> Result<(), Closed> {
        self.host.update(&self.session.id, update).await
    }
}

/// The output of a command on its way to the client.
struct Pieces<'a> {
    prompt: &'a Prompt<'a>,
    sent: u64,
    text: Output,
}

impl Pieces<'_> {
    async fn stream(&mut self, running: &mut Running) -> Result<ExitCause, Closed> {
        loop {
            match running.next().await {
                Event::Output(text) => self.send(&text).await?,
                Event::Exited(cause) => return Ok(cause),
            }
        }
    }

    async fn send(&mut self, text: &str) -> Result<(), Closed> {
        self.text.push(text);
        self.sent += 1;
        self.prompt.update(wire::piece(&self.prompt.call, text)).await
    }
}

/// Where the next command runs: the session's directory, or what is left of the way to it, and then what is gone.
fn standing(cwd: &Path) -> (PathBuf, Option<PathBuf>) {
    match cwd.ancestors().find(|directory| directory.is_dir()) {
        Some(found) => (found.to_owned(), (found != cwd).then(|| cwd.to_owned())),
        None => (PathBuf::from("/"), Some(cwd.to_owned())),
    }
}

fn ended(cause: ExitCause) -> Ended {
    match cause {
        ExitCause::Code(exit_code) => Ended { exit_code, signal: None },
        ExitCause::Signal(signal, _) => Ended { exit_code: 128 + signal, signal: Some(signal) },
        // Somebody else reaped the shell: nobody knows, which is no success.
        ExitCause::Unknown => Ended { exit_code: 255, signal: None },
    }
}
