//! The agent as a process: its pipes, its signals, its end.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::SystemTime;

use skep_config::env;
use skep_sys::subreaper;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::script;
use super::serve::{Setup, serve};
use super::state::{Place, Store, Variables};
use crate::acp::stdio;

/// Runs the agent on this process's stdin and stdout until stdin ends or a signal says so.
#[must_use]
pub fn run() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let result = runtime.block_on(agent());
    // A read of a terminal or a file may still hang in a thread; nothing waits for it.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// The one line that the agent says outside the protocol, for a person who looks why it did not start.
fn fail(error: &io::Error) -> ExitCode {
    drop(writeln!(io::stderr(), "skep agent shell: {error}"));
    ExitCode::FAILURE
}

async fn agent() -> io::Result<()> {
    // Away from a client's terminal: no command may stop for reading it.
    if nix::unistd::setsid().is_err() {
        tracing::debug!("the agent leads a session or group already");
    }
    subreaper::become_subreaper()?;
    let stop = CancellationToken::new();
    let mut ended = signal(SignalKind::child())?;
    let mut told =
        [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?];
    let setup = setup()?;
    let serving = serve(stdio::input()?, stdio::output()?, setup, stop.clone());
    tokio::pin!(serving);
    loop {
        tokio::select! {
            () = &mut serving => break,
            () = any(&mut told) => stop.cancel(),
            _ = ended.recv() => drop(subreaper::reap_orphans(&|_| false)),
        }
    }
    // Whoever escaped every command's tree is ours by adoption.
    if !subreaper::orphans(&|_| false).is_empty() {
        skep_sys::tree::kill_orphans(&|_| false).await;
    }
    Ok(())
}

async fn any(signals: &mut [Signal; 3]) {
    let [a, b, c] = signals;
    tokio::select! { _ = a.recv() => {}, _ = b.recv() => {}, _ = c.recv() => {} }
}

fn setup() -> io::Result<Setup> {
    let mut variables: Variables = std::env::vars_os().collect();
    let store = open_store(&variables)?;
    // Where the agent keeps its files is none of its commands' business.
    variables.remove(OsStr::new(env::SKEP_SHELL_STATE));
    let shell = script::shell(variables.get(OsStr::new(env::SHELL)).map(|shell| shell.as_os_str()));
    let helper = vec![std::env::current_exe()?.into_os_string(), "agent".into(), "shell-snapshot".into()];
    Ok(Setup { shell, helper, store, variables })
}

fn open_store(variables: &Variables) -> io::Result<Store> {
    match Store::place(variables).map_err(io::Error::other)? {
        Place::Given(place) => Store::open(place),
        Place::Own(place) => {
            let store = Store::open(place)?;
            if let Err(error) = store.sweep(SystemTime::now()) {
                tracing::warn!(error = %error, "old sessions of the shell agent were not deleted");
            }
            Ok(store)
        }
    }
}
