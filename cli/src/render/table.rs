//! Tables: aligned columns, coloured states. Plain text in, plain text out where nobody looks at it.

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use jiff::Timestamp;
use skep_common::api::{
    AgentInfo, AgentProbe, ProcessUsage, SessionInfo, WaitingPermission, WorkerInfo, WorkerState,
};
use skep_common::sanitise::one_line;
use skep_common::session::SessionState;
use skep_common::usage::Used;
use skep_common::words;

use super::screen::Stream;
use super::time::ago;

use super::short;

/// A session's name, or the beginning of its id.
pub(crate) fn label(session: &SessionInfo) -> String {
    session.name.as_ref().map_or_else(|| short(session.id), ToString::to_string)
}

/// How much a table of sessions shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Columns {
    /// What they are doing.
    Short,
    /// What they have used, too.
    Long,
}

/// The table of sessions.
pub(crate) fn sessions(sessions: &[SessionInfo], columns: Columns, now: Timestamp, stream: Stream) -> String {
    if sessions.is_empty() {
        return String::from("no sessions");
    }
    let rows = sessions.iter().map(|session| {
        let mut row = vec![
            plain(short(session.id)),
            plain(session.name.as_ref().map_or("-", |name| name.as_str())),
            (state_text(session, now), state_colour(session.state)),
            plain(session.agent.as_str()),
            plain(ago(session.updated_at, now)),
        ];
        if columns == Columns::Long {
            row.push(plain(words::mode(session.permission_mode)));
            row.push(plain(session.options.model.as_deref().map_or_else(|| "-".into(), one_line)));
            row.extend(used(&session.used).map(plain));
            row.extend(taken(session.agent_usage).map(plain));
            row.push(plain(session.parent().map_or_else(|| String::from("-"), short)));
        }
        let branch = session.git_branch.as_ref().filter(|_| columns == Columns::Long);
        row.push(plain(match branch {
            Some(branch) => format!("{} ({branch})", session.cwd),
            None => session.cwd.clone(),
        }));
        row
    });
    let mut header = vec!["ID", "NAME", "STATE", "AGENT", "AGE"];
    if columns == Columns::Long {
        header.extend(["MODE", "MODEL", "TURNS", "TOKENS", "COST", "MEMORY", "CPU", "OPENED BY"]);
    }
    header.push("DIRECTORY");
    aligned(&header, rows, stream)
}

/// Turns, tokens and cost.
fn used(used: &Used) -> [String; 3] {
    let known = |text: String, known: bool| if known { text } else { String::from("-") };
    [
        used.turns.to_string(),
        known(used.tokens.total.to_string(), !used.tokens.is_empty()),
        used.cost.as_ref().map_or_else(|| String::from("-"), ToString::to_string),
    ]
}

/// Memory and processor time.
fn taken(usage: Option<ProcessUsage>) -> [String; 2] {
    let none = || String::from("-");
    usage.map_or_else(|| [none(), none()], |usage| [bytes(usage.memory_bytes), seconds(usage.cpu_seconds)])
}

fn bytes(bytes: u64) -> String {
    match bytes >> 20 {
        0 => format!("{} KiB", bytes >> 10),
        mib => format!("{mib} MiB"),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
fn seconds(seconds: f64) -> String {
    match seconds as u64 {
        0..60 => format!("{seconds:.1}s"),
        whole @ 60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        whole => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
    }
}

/// The table of workers.
pub(crate) fn workers(workers: &[WorkerInfo], now: Timestamp, stream: Stream) -> String {
    if workers.is_empty() {
        return String::from("no workers");
    }
    let rows = workers.iter().map(|worker| {
        let [memory, cpu] = taken(worker.usage);
        vec![
            plain(worker.id.as_str()),
            (words::worker_state(worker.state).to_owned(), worker_colour(worker.state)),
            plain(
                worker.process.as_ref().map_or_else(|| String::from("-"), |process| process.pid.to_string()),
            ),
            plain(worker.started_at.map_or_else(|| String::from("-"), |then| ago(then, now))),
            plain(format!("{}/{}", worker.sessions.len(), worker.capacity)),
            plain(worker.restarts.to_string()),
            plain(memory),
            plain(cpu),
            plain(worker.why.as_deref().unwrap_or_default()),
        ]
    });
    aligned(&["WORKER", "STATE", "PID", "UP", "SESSIONS", "RESTARTS", "MEMORY", "CPU", "WHY"], rows, stream)
}

/// The table of what waits for a person.
pub(crate) fn inbox(permissions: &[WaitingPermission], now: Timestamp, stream: Stream) -> String {
    if permissions.is_empty() {
        return String::from("nothing waits for you");
    }
    let rows = permissions.iter().map(|waiting| {
        vec![
            plain(short(waiting.permission.id)),
            plain(waiting.session_name.as_ref().map_or_else(|| short(waiting.session), ToString::to_string)),
            plain(waiting.agent.as_str()),
            plain(ago(waiting.permission.requested_at, now)),
            plain(format!("{}: {}", words::verb(&waiting.permission.tool_kind), waiting.permission.title)),
        ]
    });
    aligned(&["REQUEST", "SESSION", "AGENT", "AGE", "WANTS TO"], rows, stream)
}

/// The table of sessions whose agents' keys are missing; none where there are none.
pub(crate) fn needy(sessions: &[SessionInfo], now: Timestamp, stream: Stream) -> Option<String> {
    let mut needy = sessions.iter().filter(|session| session.needed_keys().next().is_some()).peekable();
    needy.peek()?;
    let rows = needy.map(|session| {
        vec![
            plain(label(session)),
            plain(session.agent.as_str()),
            plain(ago(session.updated_at, now)),
            plain(session.why.as_deref().unwrap_or_default()),
        ]
    });
    Some(aligned(&["SESSION", "AGENT", "AGE", "NEEDS"], rows, stream))
}

/// The table of agents.
pub(crate) fn agents(agents: &[AgentInfo], stream: Stream) -> String {
    let rows = agents.iter().map(|agent| {
        vec![
            plain(agent_name(agent)),
            found(agent),
            plain(agent.title.as_str()),
            plain(agent.source.as_str()),
            plain(place_or_hint(agent)),
        ]
    });
    aligned(&["AGENT", "FOUND", "WHAT", "FROM", "WHERE"], rows, stream)
}

/// The table of agents that were probed.
pub(crate) fn probed_agents(agents: &[AgentInfo], stream: Stream) -> String {
    let rows = agents.iter().map(|agent| {
        let probe = agent.probe.as_ref();
        let version = probe.and_then(|probe| probe.version.as_deref());
        let shown = match (version, agent.tested.as_deref()) {
            (Some(version), Some(tested)) if version != tested => format!("{version} (tested: {tested})"),
            (version, _) => version.unwrap_or("-").to_owned(),
        };
        let can = match probe {
            Some(AgentProbe { problem: Some(problem), .. }) => (problem.clone(), Some(Color::Red)),
            Some(probe) if !probe.capabilities.is_empty() => plain(probe.capabilities.join(", ")),
            _ => plain("-"),
        };
        vec![plain(agent_name(agent)), found(agent), plain(shown), can, plain(place_or_hint(agent))]
    });
    aligned(&["AGENT", "FOUND", "VERSION", "CAN", "WHERE"], rows, stream)
}

fn agent_name(agent: &AgentInfo) -> String {
    if agent.default { format!("{} (default)", agent.name) } else { agent.name.clone() }
}

fn found(agent: &AgentInfo) -> (String, Option<Color>) {
    let found = if agent.found { "yes" } else { "no" };
    (found.to_owned(), agent.found.then_some(Color::Green))
}

/// Where an agent is, or what to do to get it.
fn place_or_hint(agent: &AgentInfo) -> &str {
    match (&agent.path, &agent.hint) {
        (Some(path), _) if agent.found => path,
        (_, Some(hint)) => hint,
        _ => "",
    }
}

fn state_text(session: &SessionInfo, now: Timestamp) -> String {
    let mut text = String::from(words::state(session.state));
    if let Some(since) = session.agent_silent_since {
        text = format!("{text} (silent {})", ago(since, now));
    }
    if let (SessionState::Idle | SessionState::Closed, Some(last)) = (session.state, &session.last_turn) {
        text = format!("{text} ({})", words::outcome(last.outcome));
    }
    if let (SessionState::Hibernated, Some(why)) = (session.state, &session.why) {
        text = format!("{text} ({why})");
    }
    if let Some(by) = &session.kept_awake {
        text = format!("{text}, kept awake: {by}");
    }
    if session.needed_keys().next().is_some() {
        text = format!("{text} ({})", session.why.as_deref().unwrap_or_default());
    }
    if !session.queued.is_empty() {
        let held = if session.queue_held { " held" } else { "" };
        text = format!("{text} +{}{held}", session.queued.len());
    }
    text
}

const fn state_colour(state: SessionState) -> Option<Color> {
    match state {
        SessionState::NeedsYou | SessionState::Interrupted => Some(Color::Yellow),
        SessionState::Running | SessionState::Starting => Some(Color::Green),
        SessionState::Failed => Some(Color::Red),
        SessionState::Queued => Some(Color::Cyan),
        SessionState::Closed | SessionState::Unknown => Some(Color::DarkGrey),
        SessionState::Idle | SessionState::Hibernated => None,
    }
}

const fn worker_colour(state: WorkerState) -> Option<Color> {
    match state {
        WorkerState::Running => Some(Color::Green),
        WorkerState::Starting | WorkerState::Stopping | WorkerState::Backoff => Some(Color::Yellow),
        WorkerState::Parked => Some(Color::Red),
        WorkerState::Idle | WorkerState::Stopped | WorkerState::Unknown => Some(Color::DarkGrey),
    }
}

pub(super) fn plain(text: impl Into<String>) -> (String, Option<Color>) {
    (text.into(), None)
}

/// Aligned columns. Every cell is made safe for a terminal here.
pub(super) fn aligned(
    header: &[&str],
    rows: impl Iterator<Item = Vec<(String, Option<Color>)>>,
    stream: Stream,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if stream.colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table.set_header(header.iter().map(|title| Cell::new(title).add_attribute(Attribute::Bold)));
    for row in rows {
        table.add_row(row.into_iter().map(|(text, colour)| {
            let cell = Cell::new(one_line(&text));
            match colour {
                Some(colour) => cell.fg(colour),
                None => cell,
            }
        }));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Stream = Stream { terminal: false, colour: false };

    fn now() -> Timestamp {
        "2026-11-20T12:00:00Z".parse().unwrap()
    }

    fn session(name: &str, state: &str) -> SessionInfo {
        let name = if name.is_empty() { serde_json::Value::Null } else { name.into() };
        serde_json::from_value(serde_json::json!({
            "id": "1a2b3c4d-0000-4000-8000-000000000000", "name": name, "agent": "shell", "cwd": "/srv/a",
            "kind": "bg", "state": state, "permission_mode": "ask", "queued": [], "queue_held": false,
            "waiting": [], "head": {"seq": 4, "segment": 1, "bytes": 9, "epoch": 1},
            "created_at": "2026-11-20T11:00:00Z", "updated_at": "2026-11-20T11:55:00Z",
        }))
        .unwrap()
    }

    #[test]
    fn sessions_are_plain_columns_when_piped() {
        let mut evil = session("", "needs_you");
        evil.cwd = "/tmp/\u{1b}[31mx\n".into();
        insta::assert_snapshot!(sessions(&[session("build", "running"), evil], Columns::Short, now(), PLAIN), @r"
        ID        NAME   STATE      AGENT  AGE  DIRECTORY
        1a2b3c4d  build  running    shell  5m   /srv/a
        1a2b3c4d  -      needs you  shell  5m   /tmp/x
        ");
        insta::assert_snapshot!(sessions(&[], Columns::Short, now(), PLAIN), @"no sessions");
    }

    #[test]
    fn a_silent_agent_is_told_with_its_state() {
        let mut silent = session("build", "running");
        silent.agent_silent_since = Some("2026-11-20T11:57:00Z".parse().unwrap());
        insta::assert_snapshot!(sessions(&[silent], Columns::Short, now(), PLAIN), @r"
        ID        NAME   STATE                AGENT  AGE  DIRECTORY
        1a2b3c4d  build  running (silent 3m)  shell  5m   /srv/a
        ");
    }

    #[test]
    fn n5_what_an_agent_takes_and_why_it_sleeps_or_does_not_is_told() {
        let (mut awake, mut asleep) = (session("server", "idle"), session("old", "hibernated"));
        awake.kept_awake = Some(String::from("1 background process (node)"));
        awake.agent_usage = Some(ProcessUsage { processes: 3, memory_bytes: 412 << 20, cpu_seconds: 3723.4 });
        asleep.why = Some(String::from("idle while memory was short"));
        insta::assert_snapshot!(sessions(&[awake, asleep], Columns::Long, now(), PLAIN), @r"
        ID        NAME    STATE                                          AGENT  AGE  MODE  MODEL  TURNS  TOKENS  COST  MEMORY   CPU    OPENED BY  DIRECTORY
        1a2b3c4d  server  idle, kept awake: 1 background process (node)  shell  5m   ask   -      0      -       -     412 MiB  1h02m  -          /srv/a
        1a2b3c4d  old     hibernated (idle while memory was short)       shell  5m   ask   -      0      -       -     -        -      -          /srv/a
        ");
        assert_eq!([seconds(0.04), seconds(59.95), seconds(61.0)], ["0.0s", "60.0s", "1m01s"]);
        assert_eq!([bytes(1023), bytes(1 << 20)], ["0 KiB", "1 MiB"]);
    }

    #[test]
    fn states_are_coloured_where_colours_are_wanted() {
        let colour = Stream { terminal: true, colour: true };
        let text = sessions(&[session("build", "running")], Columns::Short, now(), colour);
        assert!(text.contains("\u{1b}[") && text.contains("running"), "{text:?}");
    }

    #[test]
    fn n1_probed_agents_show_their_version_what_they_can_and_what_is_wrong() {
        let agents: Vec<AgentInfo> = serde_json::from_value(serde_json::json!([
            {"name": "gemini", "title": "Gemini CLI", "found": true, "path": "/bin/gemini", "command": ["gemini"],
             "tested": "0.61.0", "default": false, "source": "built-in",
             "probe": {"version": "0.62.0", "capabilities": ["load", "image"]}},
            {"name": "mine", "title": "mine", "found": true, "path": "/bin/mine", "command": ["mine"],
             "default": true, "source": "/c.toml", "probe": {"problem": "it ended: exit status 1: no key"}},
            {"name": "qwen", "title": "Qwen Code", "found": false, "command": ["qwen"], "hint": "npm install qwen",
             "default": false, "source": "built-in"},
        ]))
        .unwrap();
        insta::assert_snapshot!(probed_agents(&agents, PLAIN), @r"
        AGENT           FOUND  VERSION                  CAN                              WHERE
        gemini          yes    0.62.0 (tested: 0.61.0)  load, image                      /bin/gemini
        mine (default)  yes    -                        it ended: exit status 1: no key  /bin/mine
        qwen            no     -                        -                                npm install qwen
        ");
    }

    #[test]
    fn workers_show_why_they_are_parked() {
        let worker: WorkerInfo = serde_json::from_value(serde_json::json!({
            "id": "remote-control-1", "kind": "remote-control", "state": "parked", "why": "exit status 78",
            "restarts": 5, "rapid_failures": 5, "backoff_level": 3, "capacity": 4, "sessions": [], "dir": "/",
        }))
        .unwrap();
        insta::assert_snapshot!(workers(&[worker], now(), PLAIN), @r"
        WORKER            STATE   PID  UP  SESSIONS  RESTARTS  MEMORY  CPU  WHY
        remote-control-1  parked  -    -   0/4       5         -       -    exit status 78
        ");
    }
}
