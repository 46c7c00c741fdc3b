//! `skep doctor`: looks for what may be wrong here, and says what to do about it.

mod leftovers;

use std::os::unix::fs::MetadataExt as _;

use anstyle::{AnsiColor, Style};
use clap::Args;
use serde::Serialize;
use skep_common::api::{HookInfo, HookList};
use skep_common::sanitise::one_line;
use skep_config::Settings;
use skep_supervisor::instance::{DaemonFound, Token, TokenError, find_daemon};

use crate::context::Context;
use crate::error::{CliError, Outcome};
use crate::exit::Exit;
use crate::settings;

/// Check this installation: files, permissions, the daemon, leftovers, the configuration, the agents.
#[derive(Debug, Clone, Args)]
pub(crate) struct DoctorArgs {}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Note,
    Problem,
}

/// One check.
#[derive(Debug, Serialize)]
struct Check {
    check: &'static str,
    verdict: Verdict,
    text: String,
}

/// Runs every check. Problems end with status 1.
pub(crate) async fn run(ctx: &Context) -> Outcome {
    let settings = settings::load(ctx);
    let mut checks = vec![state_directory(ctx), token(ctx), configuration(ctx, &settings)];
    checks.push(daemon(ctx).await);
    checks.push(socket(ctx).await);
    checks.push(processes(ctx).await);
    if let Ok(settings) = &settings {
        checks.push(agents(ctx, settings));
        if !settings.hooks.is_empty() {
            checks.push(hooks(ctx).await);
        }
    }
    checks.push(Check {
        check: "containment",
        verdict: Verdict::Ok,
        text: skep_sys::tree::active_tier().to_owned(),
    });
    show(ctx, &checks)?;
    let problems = checks.iter().any(|check| check.verdict == Verdict::Problem);
    Ok(if problems { Exit::Failed } else { Exit::Completed })
}

fn show(ctx: &Context, checks: &[Check]) -> Result<(), CliError> {
    if ctx.screen.json() {
        return ctx.screen.value(&checks);
    }
    for check in checks {
        let (word, colour) = match check.verdict {
            Verdict::Ok => ("ok     ", AnsiColor::Green),
            Verdict::Note => ("note   ", AnsiColor::Yellow),
            Verdict::Problem => ("PROBLEM", AnsiColor::Red),
        };
        let word = ctx.screen.out.paint(Style::new().fg_color(Some(colour.into())), word);
        ctx.screen.line(format!("{word}  {:<15}  {}", check.check, one_line(&check.text)))?;
    }
    Ok(())
}

const fn check(name: &'static str, verdict: Verdict, text: String) -> Check {
    Check { check: name, verdict, text }
}

fn state_directory(ctx: &Context) -> Check {
    let name = "state directory";
    let dir = ctx.paths.state_dir();
    let shown = dir.display();
    match std::fs::symlink_metadata(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            check(name, Verdict::Note, format!("{shown} is not there yet; the first start makes it"))
        }
        Err(error) => check(name, Verdict::Problem, format!("{shown}: {error}")),
        Ok(meta) if !meta.is_dir() => check(name, Verdict::Problem, format!("{shown} is not a directory")),
        Ok(meta) if meta.uid() != nix::unistd::geteuid().as_raw() => {
            check(name, Verdict::Problem, format!("{shown} belongs to user {}", meta.uid()))
        }
        Ok(meta) if meta.mode() & 0o077 != 0 => {
            let mode = meta.mode() & 0o777;
            check(
                name,
                Verdict::Problem,
                format!("{shown} is open to others (mode {mode:03o}); chmod 700 {shown}"),
            )
        }
        Ok(_) => check(name, Verdict::Ok, shown.to_string()),
    }
}

fn token(ctx: &Context) -> Check {
    match Token::load(&ctx.paths) {
        Ok(_) => check("token", Verdict::Ok, ctx.paths.token().display().to_string()),
        Err(error @ TokenError::Missing { .. }) => check("token", Verdict::Note, error.to_string()),
        Err(error) => check("token", Verdict::Problem, error.to_string()),
    }
}

fn configuration(ctx: &Context, settings: &Result<Settings, CliError>) -> Check {
    let file = ctx.paths.config_file();
    match settings {
        Ok(_) if file.exists() => check("configuration", Verdict::Ok, file.display().to_string()),
        Ok(_) => check("configuration", Verdict::Ok, format!("the defaults; there is no {}", file.display())),
        Err(error) => {
            let text = std::iter::once(&error.message).chain(&error.hints).cloned().collect::<Vec<_>>();
            check("configuration", Verdict::Problem, text.join("; "))
        }
    }
}

async fn daemon(ctx: &Context) -> Check {
    let name = "daemon";
    let health = ctx.client().health().await;
    match (health, find_daemon(&ctx.paths)) {
        (Ok(health), _) if health.version == crate::commands::version::VERSION => {
            check(name, Verdict::Ok, format!("{}, pid {}", health.status, health.process.pid))
        }
        (Ok(health), _) => {
            let text =
                format!("skep {} runs as pid {}; `skep daemon restart`", health.version, health.process.pid);
            check(name, Verdict::Note, text)
        }
        (Err(_), DaemonFound::None) => check(name, Verdict::Note, String::from("stopped")),
        (Err(error), DaemonFound::Running(file)) => {
            let pid = file.process.pid;
            check(
                name,
                Verdict::Problem,
                format!("pid {pid} does not answer: {error}; `skep daemon restart`"),
            )
        }
        (Err(_), DaemonFound::Stale(file)) => {
            let text = format!("pid {} died; `skep daemon status` cleans up after it", file.process.pid);
            check(name, Verdict::Problem, text)
        }
        (Err(_), DaemonFound::Invalid(invalid)) => {
            check(name, Verdict::Problem, format!("{invalid}; `skep daemon status` cleans it up"))
        }
    }
}

async fn socket(ctx: &Context) -> Check {
    let client = ctx.client();
    let socket = client.socket().display().to_string();
    match client.health().await {
        Ok(_) => check("socket", Verdict::Ok, socket),
        Err(crate::client::ClientError::NotRunning { .. }) if client.socket().exists() => {
            check("socket", Verdict::Note, format!("nobody listens at {socket}; the next start replaces it"))
        }
        Err(crate::client::ClientError::NotRunning { .. }) => {
            check("socket", Verdict::Ok, format!("{socket} (free)"))
        }
        Err(error) => check("socket", Verdict::Problem, error.to_string()),
    }
}

async fn processes(ctx: &Context) -> Check {
    let held = match ctx.client().sessions(false).await {
        Ok(list) => {
            list.sessions.into_iter().filter(|s| s.worker.is_some()).map(|s| s.id.to_string()).collect()
        }
        // Nobody holds a session where no daemon answers.
        Err(_) => Vec::new(),
    };
    let left = leftovers::find(&ctx.paths.sessions(), &held);
    if left.is_empty() {
        return check("leftovers", Verdict::Ok, String::from("no process of an ended session is left"));
    }
    let pids: Vec<String> = left.iter().map(ToString::to_string).collect();
    check(
        "leftovers",
        Verdict::Problem,
        format!("processes of ended sessions are alive: {}", pids.join(", ")),
    )
}

fn agents(ctx: &Context, settings: &Settings) -> Check {
    let path = ctx.environment.get(skep_config::env::PATH).unwrap_or_default();
    let found: Vec<&str> = settings
        .agents
        .iter()
        .filter(|(_, agent)| agent.find(path).is_some())
        .map(|(name, _)| name.as_str())
        .collect();
    let default = &settings.session.default_agent;
    if found.iter().any(|name| name == default) || default == "shell" {
        return check("agents", Verdict::Ok, format!("found: {}; default: {default}", found.join(", ")));
    }
    check(
        "agents",
        Verdict::Problem,
        format!("the default agent {default} was not found; `skep agents` says more"),
    )
}

async fn hooks(ctx: &Context) -> Check {
    let name = "hooks";
    let list: HookList = match ctx.client().get("/hooks").await {
        Ok(list) => list,
        Err(_) => {
            return check(name, Verdict::Note, String::from("the daemon tells how they do, once it runs"));
        }
    };
    if let Some(problem) = list.problem {
        return check(name, Verdict::Problem, problem);
    }
    let told = |hook: &HookInfo| {
        let counts = hook.counts;
        let error = hook.last_error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
        format!("{} has {} waiting and {} given up{error}", hook.name, counts.pending, counts.dead)
    };
    let failing = |hook: &&HookInfo| hook.counts.dead > 0 || hook.last_error.is_some();
    let failing: Vec<String> = list.hooks.iter().filter(failing).map(told).collect();
    if failing.is_empty() {
        return check(name, Verdict::Ok, format!("{} configured; nothing was given up", list.hooks.len()));
    }
    check(name, Verdict::Problem, format!("{}; `skep hooks deliveries` says more", failing.join("; ")))
}
