//! `skep daemon status`: the supervisor, its workers and every session (S1).

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use skep_common::api::{DaemonStatus, HookCounts, HookUse, TlsInfo};
use skep_common::sanitise::one_line;

use super::state::{self, State};
use crate::context::Context;
use crate::error::{CliError, Outcome};
use crate::exit::Exit;
use crate::render::screen::Stream;
use crate::render::table;
use crate::render::time::ago;

/// Shows the status.
pub(crate) async fn run(ctx: &Context) -> Outcome {
    match state::look(ctx).await? {
        State::Running(_) => running(ctx).await,
        State::Stopped => stopped(ctx, "stopped", String::from("the daemon is stopped")),
        State::Stale(remains) => {
            stopped(ctx, "stale", format!("the daemon is stopped ({remains}; its state file was cleaned up)"))
        }
        State::Silent(file, error) => Err(CliError::unreachable(format!(
            "the daemon (pid {}) does not answer: {error}",
            file.process.pid
        ))
        .hint("`skep daemon logs` needs an answer too; its files are in the state directory's `logs`")
        .hint("`skep daemon restart` stops it and starts a new one")),
    }
}

fn stopped(ctx: &Context, word: &str, text: String) -> Outcome {
    if ctx.screen.json() {
        ctx.screen.value(&serde_json::json!({"status": word}))?;
    } else {
        ctx.screen.line(text)?;
    }
    Ok(Exit::Unreachable)
}

async fn running(ctx: &Context) -> Outcome {
    let status: DaemonStatus = ctx.client().get("/daemon").await?;
    if ctx.screen.json() {
        ctx.screen.value(&status)?;
    } else {
        ctx.screen.line(text(ctx, &status, Timestamp::now()))?;
    }
    Ok(Exit::Completed)
}

/// The certificate over TCP, for people who compare fingerprints.
fn encryption(tls: &TlsInfo, out: Stream) -> Vec<String> {
    let whose = if tls.mode == "self" { "made by skep" } else { "given" };
    let mut lines = vec![
        format!("tls       {whose}, until {:.0} · {}", tls.expires_at, one_line(&tls.certificate)),
        format!("          SHA-256 {}", one_line(&tls.fingerprint)),
    ];
    if let Some(problem) = &tls.problem {
        let red = Style::new().fg_color(Some(AnsiColor::Red.into()));
        lines.push(format!("          {}", out.paint(red, &one_line(problem))));
    }
    lines
}

fn text(ctx: &Context, status: &DaemonStatus, now: Timestamp) -> String {
    let out = ctx.screen.out;
    let green = Style::new().fg_color(Some(AnsiColor::Green.into()));
    let mut lines = vec![
        format!(
            "daemon    {} · pid {} · skep {}",
            out.paint(green, &one_line(&status.status)),
            status.pid,
            one_line(&status.version)
        ),
        format!(
            "up        {} (since {})",
            ago(status.started_at, now),
            status.started_at.strftime("%Y-%m-%d %H:%M:%SZ")
        ),
        format!("endpoint  {}", one_line(&status.endpoints.join(", "))),
    ];
    lines.extend(status.tls.iter().flat_map(|tls| encryption(tls, out)));
    lines.extend([
        format!("directory {}", one_line(&status.cwd)),
        format!("state     {}", one_line(&status.state_dir)),
        format!("workers   {}", one_line(&status.worker_kinds.join(", "))),
        format!("contained {}", one_line(&status.containment)),
    ]);
    if let Some(problem) = &status.audit_problem {
        let red = Style::new().fg_color(Some(AnsiColor::Red.into()));
        lines.push(format!("audit     {}", out.paint(red, &one_line(problem))));
    }
    if let Some(error) = &status.config_error {
        let red = Style::new().fg_color(Some(AnsiColor::Red.into()));
        lines.push(format!("config    {}", out.paint(red, &one_line(error))));
    }
    for HookUse { hook, counts } in &status.hooks {
        if counts.pending + counts.dead + counts.dropped > 0 {
            let HookCounts { pending, dead, dropped, .. } = counts;
            lines.push(format!(
                "hook      {hook}: {pending} waiting, {dead} given up, {dropped} dropped (`skep hooks ls`)"
            ));
        }
    }
    lines.push(String::new());
    lines.push(table::workers(&status.workers, now, out));
    lines.push(String::new());
    lines.push(table::sessions(&status.sessions, table::Columns::Short, now, out));
    if status.closed_sessions > 0 {
        lines.push(format!("{} closed (`skep ps -a`)", status.closed_sessions));
    }
    lines.join("\n")
}
