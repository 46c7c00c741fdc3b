//! Telling a person that a session needs them, is done, or failed: `notify.command`.
//!
//! A task of its own with a bounded queue; it runs one command at a time, at a limited rate, and never holds anybody
//! up. What does not fit is dropped and logged.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::time::Duration;

use skep_common::ids::SessionId;
use skep_common::session::{SessionSnapshot, SessionState, TurnOutcome};
use skep_config::Environment;
use skep_config::notify::{NotifySettings, Occasion};
use skep_sys::spawn::{SpawnSpec, Stdio3, spawn};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::sessions::Entry;

/// Notices that may wait.
const QUEUE: usize = 64;

/// Commands per [`WINDOW`] at most.
const RATE: usize = 20;
const WINDOW: Duration = Duration::from_secs(60);

/// How long a command may take.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// The variables that a notify command inherits.
const INHERITED: [&str; 12] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "TZ",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
];

/// Something that a person should hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    /// What kind of thing.
    pub(crate) occasion: Occasion,
    session: SessionId,
    name: String,
    agent: String,
    cwd: String,
    text: String,
}

/// What a person should hear of a session's new state.
pub(super) fn notice(before: &SessionSnapshot, entry: &Entry) -> Option<Notice> {
    let now = entry.snapshot();
    let asked = now.waiting.iter().find(|new| !before.waiting.iter().any(|old| old.id == new.id));
    let ended = now.last_turn.as_ref().filter(|turn| before.last_turn.as_ref() != Some(turn));
    let (occasion, text) = if let Some(permission) = asked {
        (Occasion::NeedsYou, permission.title.clone())
    } else if now.needed_keys().next().is_some() && before.needed_keys().next().is_none() {
        (Occasion::NeedsYou, now.why.clone().unwrap_or_default())
    } else if let Some(turn) = ended {
        let occasion = match turn.outcome {
            TurnOutcome::Completed => Occasion::Done,
            TurnOutcome::Suspect
            | TurnOutcome::Refused
            | TurnOutcome::Failed
            | TurnOutcome::Interrupted
            | TurnOutcome::Limit => Occasion::Failed,
            TurnOutcome::Cancelled | TurnOutcome::Unknown => return None,
        };
        (occasion, turn.detail.clone().unwrap_or_default())
    } else if now.state == SessionState::Failed && before.state != SessionState::Failed {
        (Occasion::Failed, now.why.clone().unwrap_or_default())
    } else {
        return None;
    };
    let spec = entry.spec();
    Some(Notice {
        occasion,
        session: spec.id,
        name: spec.name.as_ref().map_or_else(|| spec.id.to_string(), ToString::to_string),
        agent: spec.agent.clone(),
        cwd: spec.cwd.clone(),
        text,
    })
}

/// Where notices go.
#[derive(Debug, Clone)]
pub(crate) struct Notifier {
    queue: mpsc::Sender<Notice>,
}

impl Notifier {
    /// A notifier and the task that serves it until `stop`.
    pub(crate) fn new(
        settings: watch::Receiver<NotifySettings>,
        environment: Environment,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()>) {
        let (queue, notices) = mpsc::channel(QUEUE);
        let serve = async move {
            stop.run_until_cancelled(serve(notices, settings, environment)).await;
        };
        (Self { queue }, serve)
    }

    /// Passes a notice on; drops it if too many wait.
    pub(crate) fn tell(&self, notice: Notice) {
        if let Err(mpsc::error::TrySendError::Full(notice)) = self.queue.try_send(notice) {
            tracing::warn!(session.id = %notice.session, "dropped a notice: too many wait");
        }
    }
}

async fn serve(
    mut notices: mpsc::Receiver<Notice>,
    settings: watch::Receiver<NotifySettings>,
    environment: Environment,
) {
    let mut recent: VecDeque<Instant> = VecDeque::new();
    while let Some(notice) = notices.recv().await {
        let command = {
            let settings = settings.borrow();
            if !settings.on.contains(&notice.occasion) {
                continue;
            }
            settings.command.clone()
        };
        let Some((program, args)) = command.split_first() else { continue };
        let now = Instant::now();
        recent.retain(|at| now.duration_since(*at) < WINDOW);
        if recent.len() >= RATE {
            tracing::warn!(session.id = %notice.session, "dropped a notice: {RATE} were sent within a minute");
            continue;
        }
        recent.push_back(now);
        run(program, args, &notice, &environment).await;
    }
}

async fn run(program: &str, args: &[String], notice: &Notice, environment: &Environment) {
    let spec = SpawnSpec {
        program: program.into(),
        args: args.iter().map(OsString::from).collect(),
        cwd: "/".into(),
        env: variables(notice, environment),
        stdin: Stdio3::Null,
        stdout: Stdio3::Null,
        stderr: Stdio3::Null,
        new_group: true,
    };
    let child = match spawn(spec) {
        Ok(child) => child,
        Err(error) => {
            tracing::warn!("the notify command cannot be started: {error}");
            return;
        }
    };
    if tokio::time::timeout(TIME_LIMIT, child.exited()).await.is_err() {
        tracing::warn!("the notify command took longer than {} s and was killed", TIME_LIMIT.as_secs());
    }
    // Dropping the child kills what is left of its group and reaps it.
    drop(child);
}

/// The declared environment of a notify command. Not `SKEP_SESSION`: that would make it a part of the session.
fn variables(notice: &Notice, environment: &Environment) -> Vec<(OsString, OsString)> {
    let occasion = match notice.occasion {
        Occasion::NeedsYou => "needs-you",
        Occasion::Done => "done",
        Occasion::Failed => "failed",
    };
    let told = [
        ("SKEP_NOTIFY_EVENT", occasion.to_owned()),
        ("SKEP_NOTIFY_SESSION", notice.session.to_string()),
        ("SKEP_NOTIFY_NAME", notice.name.clone()),
        ("SKEP_NOTIFY_AGENT", notice.agent.clone()),
        ("SKEP_NOTIFY_CWD", notice.cwd.clone()),
        ("SKEP_NOTIFY_TEXT", printable(&notice.text)),
    ];
    let inherited =
        INHERITED.iter().filter_map(|name| Some((OsString::from(name), environment.get(name)?.to_owned())));
    inherited.chain(told.map(|(name, value)| (name.into(), value.into()))).collect()
}

/// At most 500 characters of an agent's text, without control characters.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect()
}
