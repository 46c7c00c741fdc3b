//! Under whose token the tools act: one that was given, one for the children of the session in which this runs, or the
//! user's own.

use std::io::Read as _;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use skep_common::api::SessionInfo;
use skep_common::ids::SessionId;
use skep_common::keys::{CreateToken, Scope, TokenCreated};
use skep_config::env;
use skep_sys::process::{ancestors, environ_value};
use tokio::sync::Mutex;

use crate::autostart;
use crate::client::{Bearer, Client};
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;

/// How long a token lives that is made here: a process that is killed leaves no more than that behind.
const TTL: u64 = 12 * 60 * 60;

/// So long before its end it is replaced.
const MARGIN: SignedDuration = SignedDuration::from_mins(10);

/// The largest file with a token, in bytes.
const MAX_FILE: u64 = 4096;

/// Under whose token the tools act.
#[derive(Debug)]
pub(super) enum Authority {
    /// The user's.
    User,
    /// One that was given.
    Given(Bearer),
    /// One for the sessions that this session opens.
    Children(Children),
}

/// The session in which this runs, and the token that was made for it.
#[derive(Debug)]
pub(super) struct Children {
    session: SessionId,
    made: Mutex<Option<Made>>,
}

/// A token that was made here.
#[derive(Debug)]
struct Made {
    bearer: Bearer,
    id: String,
    expires_at: Option<Timestamp>,
    cwd: String,
}

impl Authority {
    /// What is given, or follows from where this runs.
    pub(super) fn find(ctx: &Context, token_file: Option<&Path>) -> Result<Self, CliError> {
        if let Some(path) = token_file {
            return read(path).map(Self::Given);
        }
        if let Some(token) = ctx.environment.get(env::SKEP_TOKEN) {
            let bearer = token.to_str().and_then(Bearer::new);
            let wrong = || CliError::usage(format!("{} holds no token", env::SKEP_TOKEN));
            return bearer.map(Self::Given).ok_or_else(wrong);
        }
        Ok(match enclosing(ctx)? {
            Some(session) => Self::Children(Children { session, made: Mutex::new(None) }),
            None => Self::User,
        })
    }

    /// A client that acts under it. Only with the user's own authority a daemon is started that does not run.
    pub(super) async fn client(&self, ctx: &Context) -> Result<Client, CliError> {
        match self {
            Self::User => autostart::client_apart(ctx).await,
            Self::Given(bearer) => Ok(ctx.client().with(bearer.clone())),
            Self::Children(children) => Ok(ctx.client().with(children.bearer(ctx).await?)),
        }
    }

    /// The directory of the session in which this runs; none outside of sessions.
    pub(super) async fn directory(&self) -> Option<String> {
        match self {
            Self::Children(children) => children.made.lock().await.as_ref().map(|made| made.cwd.clone()),
            Self::User | Self::Given(_) => None,
        }
    }

    /// Takes back what was made.
    pub(super) async fn end(&self, ctx: &Context) {
        let Self::Children(children) = self else { return };
        if let Some(made) = children.made.lock().await.take()
            && let Err(error) = ctx.client().delete(&format!("/tokens/{}", made.id)).await
        {
            tracing::info!(%error, "the token of this server was not revoked; it ends by itself");
        }
    }
}

impl Children {
    /// The token; made when it is needed first, and again when its time is over. One that was revoked stays so.
    async fn bearer(&self, ctx: &Context) -> Result<Bearer, CliError> {
        let mut made = self.made.lock().await;
        let is_good = |made: &Made| made.expires_at.is_none_or(|end| Timestamp::now() + MARGIN < end);
        if let Some(made) = made.as_ref().filter(|made| is_good(made)) {
            return Ok(made.bearer.clone());
        }
        let client = ctx.client();
        let own: SessionInfo = client.get(&format!("/sessions/{}", self.session)).await?;
        let wanted = CreateToken {
            scopes: vec![Scope::Prompt],
            session: None,
            children_of: Some(self.session.to_string()),
            name: Some(String::from("skep mcp")),
            ttl_seconds: Some(TTL),
        };
        let created: TokenCreated = client.post("/tokens", &wanted).await?;
        let bearer = Bearer::new(&created.token)
            .ok_or_else(|| CliError::failed("the daemon made a token that cannot be shown"))?;
        let (id, expires_at) = (created.info.id, created.info.expires_at);
        *made = Some(Made { bearer: bearer.clone(), id, expires_at, cwd: own.cwd });
        Ok(bearer)
    }
}

/// The session in which this runs: by this process's own mark, else by the nearest one above it, since agents start
/// servers with few variables.
fn enclosing(ctx: &Context) -> Result<Option<SessionId>, CliError> {
    let own = |name: &str| ctx.environment.get(name).map(std::ffi::OsStr::to_owned);
    let mut mark = own(env::SKEP_SESSION);
    let mut shared = own(env::SKEP_AGENT_PROCESS).is_some();
    for pid in ancestors(std::process::id()) {
        if mark.is_some() || shared {
            break;
        }
        mark = environ_value(pid, env::SKEP_SESSION).ok().flatten();
        shared = matches!(environ_value(pid, env::SKEP_AGENT_PROCESS), Ok(Some(_)));
    }
    match mark {
        Some(mark) => {
            let session = mark.to_str().and_then(|mark| mark.parse().ok());
            let wrong = || CliError::usage(format!("{} is not a session's id", env::SKEP_SESSION));
            session.map(Some).ok_or_else(wrong)
        }
        None if shared => Err(CliError::new(
            Exit::Failed,
            "this runs inside an agent that serves several sessions, and nobody can say for which of them",
        )
        .hint("`--delegate` and `--mcp-config` give it to one session's agent, with that session's mark")),
        None => Ok(None),
    }
}

fn read(path: &Path) -> Result<Bearer, CliError> {
    let refuse = |why: &str| CliError::usage(format!("cannot use the token file {}: {why}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| refuse(&error.to_string()))?;
    if !file.metadata().is_ok_and(|found| found.is_file()) {
        return Err(refuse("it is not a file"));
    }
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text).map_err(|error| refuse(&error.to_string()))?;
    Bearer::new(&text).ok_or_else(|| refuse("it holds no token"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g13_a_token_file_holds_one_token_or_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a token");
        for (text, good) in
            [("skep_0123\n", true), ("", false), ("a b", false), ("a\nb", false), ("ä", false)]
        {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read(&path).is_ok(), good, "{text:?}");
        }
        assert!(read(dir.path()).is_err() && read(&dir.path().join("missing")).is_err());
        assert!(!format!("{:?}", Bearer::new("skep_0123")).contains("0123"));
    }
}
