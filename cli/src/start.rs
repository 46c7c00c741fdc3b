//! The start of a turn by `run` and `bg`: what is asked of the daemon, and how the session is named to the person.

use std::path::{Path, PathBuf};

use skep_common::api::{CreateSession, PromptRequest, RunAccepted, RunRequest, SessionInfo};
use skep_common::code::Code;
use skep_common::ids::{PromptId, SessionId};
use skep_common::sanitise::one_line;
use skep_common::session::{Consent, ContentBlock, SessionKind, WhenBusy};

use crate::arguments::{NewSession, refuse_unbuilt};
use crate::client::Client;
use crate::error::CliError;
use crate::render::short;

/// So often a run is asked for again, with the same ids, when its worker went away before it answered.
const ATTEMPTS: u32 = 3;

/// Said of a prompt that waits.
pub(crate) const QUEUED: &str = "queued behind the turn that runs";

/// Said of a prompt that was steered.
pub(crate) const STEERED: &str = "given to the agent in the turn that runs";

/// What `run` and `bg` want differently.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// What starts the session.
    pub(crate) kind: SessionKind,
    /// Close it after its first turn.
    pub(crate) ephemeral: bool,
    /// Whose consent comes with the prompt.
    pub(crate) consent: Consent,
}

/// The request for a session and its prompt.
pub(crate) fn request(
    new: &NewSession,
    prompt: (&str, Vec<ContentBlock>),
    wanted: Wanted,
) -> Result<RunRequest, CliError> {
    refuse_unbuilt(new.sandbox, new.spawn_mode)?;
    let cwd = directory(new.dir.as_deref())?;
    let session = CreateSession {
        // A named session is found again by its name; an unnamed one by its id, should the answer be lost.
        id: new.name.is_none().then(SessionId::random),
        name: new.name.clone(),
        agent: new.agent.clone(),
        cwd,
        permission_mode: new.mode(),
        kind: wanted.kind,
        ephemeral: wanted.ephemeral,
        options: new.options.options()?,
        continue_open: new.name.is_some(),
        opener: None,
        sandbox: false,
        spawn_mode: new.spawn_mode.map(|_| String::from("same-dir")),
    };
    let prompt = self::prompt(prompt, wanted.consent, new.when_busy.wanted(), new.timeout);
    Ok(RunRequest { session, prompt })
}

/// A prompt with an id of its own: a text, and what is attached to it.
pub(crate) fn prompt(
    (text, attached): (&str, Vec<ContentBlock>),
    consent: Consent,
    when_busy: Option<WhenBusy>,
    timeout_seconds: Option<u64>,
) -> PromptRequest {
    PromptRequest {
        id: Some(PromptId::random()),
        content: std::iter::once(ContentBlock::Text { text: text.to_owned() }).chain(attached).collect(),
        when_busy,
        consent,
        timeout_seconds,
        environment: None,
        retry_interrupted: false,
    }
}

/// Asks the daemon, again if the worker went away before it answered: the ids make that safe.
pub(crate) async fn start(client: &Client, request: &RunRequest) -> Result<RunAccepted, CliError> {
    let mut attempt = 1;
    loop {
        match client.post("/runs", request).await {
            Ok(accepted) => return Ok(accepted),
            Err(error) if attempt < ATTEMPTS && error.code() == Some(Code::WorkerGone) => attempt += 1,
            Err(error) => {
                let conflict = error.code() == Some(Code::SessionConflict);
                let error = CliError::from(error);
                return Err(match &request.session.name {
                    Some(name) if conflict => {
                        error.hint(format!("`skep prompt {name}` continues it as it is; `skep ps` shows it"))
                    }
                    _ => error,
                });
            }
        }
    }
}

/// The line that names agent, session and directory.
pub(crate) fn headline(session: &SessionInfo) -> String {
    let name = match &session.name {
        Some(name) => format!("{name} ({})", short(session.id)),
        None => short(session.id),
    };
    format!("{} agent · session {name} · {}", one_line(&session.agent), one_line(&session.cwd))
}

/// The directory as the daemon takes it: absolute, symlinks resolved.
pub(crate) fn directory(dir: Option<&Path>) -> Result<String, CliError> {
    let dir = dir.map_or_else(|| PathBuf::from("."), Path::to_owned);
    let refuse = |why: String| CliError::usage(format!("cannot use the directory {}: {why}", dir.display()));
    let resolved = std::fs::canonicalize(&dir).map_err(|error| refuse(error.to_string()))?;
    if !resolved.is_dir() {
        return Err(refuse(String::from("it is not a directory")));
    }
    resolved.into_os_string().into_string().map_err(|_| refuse(String::from("its path is not valid UTF-8")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g6_a_directory_is_resolved_and_checked() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real");
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, dir.path().join("link")).unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let resolved = directory(Some(&dir.path().join("link"))).unwrap();
        assert_eq!(Path::new(&resolved), real.canonicalize().unwrap());
        for bad in ["file", "missing"] {
            assert_eq!(directory(Some(&dir.path().join(bad))).unwrap_err().exit().status(), 2);
        }
    }
}
