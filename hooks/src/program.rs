//! One run of a hook's command: the event on its standard input, a declared environment, a time limit for all that it
//! starts, and what it says in the daemon's log, cut short.

use std::ffi::OsString;
use std::time::Duration;

use skep_common::api::HookEvent;
use skep_common::ids::DeliveryId;
use skep_config::Environment;
use skep_config::env::{
    SKEP_DELIVERY, SKEP_EVENT, SKEP_HOME, SKEP_HOOK, SKEP_SOCKET, XDG_CONFIG_HOME, XDG_STATE_HOME,
};
use skep_sys::spawn::{Child, ExitCause, SpawnSpec, Stdio3, spawn};
use skep_sys::tree::{self, Tree};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use crate::policy::Outcome;

/// The variables that a command inherits from the daemon. Never `SKEP_SESSION`: that would make it a part of one.
const INHERITED: [&str; 15] = [
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
    SKEP_HOME,
    SKEP_SOCKET,
    XDG_CONFIG_HOME,
    XDG_STATE_HOME,
];

/// Of what it writes, so many bytes are kept for the log.
const KEPT: usize = 2 * 1024;

/// How long the last of what it wrote is waited for when it has ended: somebody else may hold the pipe.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// What is run.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(crate) hook: &'a str,
    pub(crate) program: &'a str,
    pub(crate) args: &'a [String],
    pub(crate) id: DeliveryId,
    pub(crate) event: HookEvent,
    pub(crate) body: &'a str,
    pub(crate) timeout: Duration,
}

/// Runs a command to its end, and ends whatever it has started.
pub(crate) async fn run(run: &Run<'_>, environment: &Environment) -> Outcome {
    let mut child = match start(run, environment) {
        Ok(child) => child,
        Err(error) => return Outcome::failed(skep_common::code::with_causes(&error)),
    };
    let tree =
        Tree { root: child.process.clone(), mark: Some((SKEP_DELIVERY.to_owned(), run.id.to_string())) };
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let ended = {
        let feed = async {
            if let Some(mut stdin) = stdin {
                // One that does not read its input says so by closing it.
                drop(stdin.write_all(run.body.as_bytes()).await);
            }
        };
        let mut listen = std::pin::pin!(async {
            tokio::join!(feed, keep(stdout, &mut out), keep(stderr, &mut err));
        });
        let mut quiet = false;
        let watched = tokio::time::timeout(run.timeout, async {
            tokio::select! {
                cause = child.exited() => cause,
                () = &mut listen => {
                    quiet = true;
                    child.exited().await
                }
            }
        });
        let ended = watched.await.ok();
        if !quiet && ended.is_some() {
            drop(tokio::time::timeout(LAST_WORDS, &mut listen).await);
        }
        ended
    };
    let left = tree::kill(&[tree]).await;
    if !left.is_empty() {
        tracing::warn!(hook.name = run.hook, "processes of the hook `{}` cannot be ended", run.hook);
    }
    let cause = child.reap();
    say(run.hook, "stdout", &out);
    say(run.hook, "stderr", &err);
    match ended {
        None => Outcome::failed(format!("it took longer than {} ms and was killed", run.timeout.as_millis())),
        Some(_) if cause == ExitCause::Code(0) => Outcome::Delivered { said: cause.to_string() },
        Some(_) => Outcome::failed(cause.to_string()),
    }
}

fn start(run: &Run<'_>, environment: &Environment) -> Result<Child, skep_sys::spawn::SpawnError> {
    let inherited =
        INHERITED.iter().filter_map(|name| Some((OsString::from(name), environment.get(name)?.to_owned())));
    let told = [
        (SKEP_EVENT, run.event.word().to_owned()),
        (SKEP_HOOK, run.hook.to_owned()),
        (SKEP_DELIVERY, run.id.to_string()),
    ];
    spawn(SpawnSpec {
        program: run.program.into(),
        args: run.args.iter().map(OsString::from).collect(),
        cwd: "/".into(),
        env: inherited.chain(told.map(|(name, value)| (name.into(), value.into()))).collect(),
        stdin: Stdio3::Pipe,
        stdout: Stdio3::Pipe,
        stderr: Stdio3::Pipe,
        new_group: true,
    })
}

/// Reads to the end, and keeps the beginning.
async fn keep(pipe: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    let mut block = [0; 4096];
    while let Ok(count) = pipe.read(&mut block).await
        && count > 0
    {
        let room = KEPT.saturating_sub(kept.len()).min(count);
        kept.extend_from_slice(&block[..room]);
    }
}

fn say(hook: &str, stream: &str, said: &[u8]) {
    let text = String::from_utf8_lossy(said);
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let line = skep_common::sanitise::one_line(line);
        tracing::info!(hook.name = hook, "hook `{hook}` {stream}: {line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    async fn sh(script: &str, timeout: Duration) -> Outcome {
        let args = [String::from("-c"), script.to_owned()];
        let environment = Environment::of([("PATH", "/usr/bin:/bin"), ("HOME", "/h"), ("SECRET", "no")]);
        let body = r#"{"type":"test"}"#;
        let (id, event) = (DeliveryId::random(), HookEvent::Test);
        let this = Run { hook: "h", program: "sh", args: &args, id, event, body, timeout };
        run(&this, &environment).await
    }

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_command_hears_the_event_and_gets_a_declared_environment_only() {
        let script = r#"read -r line; [ "$line" = '{"type":"test"}' ] && [ "$SKEP_EVENT" = test ] && [ "$SKEP_HOOK" = h ] \
            && [ -n "$SKEP_DELIVERY" ] && [ "$HOME" = /h ] && [ -z "$SECRET$SKEP_SESSION" ]"#;
        assert_eq!(sh(script, LONG).await, Outcome::Delivered { said: "exit status 0".into() });
        // Whether it reads or not, and however much it says.
        assert!(matches!(sh("exit 0", LONG).await, Outcome::Delivered { .. }));
        let loud = sh("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2", LONG).await;
        assert!(matches!(loud, Outcome::Delivered { .. }), "{loud:?}");
        assert_eq!(sh("exit 3", LONG).await, Outcome::failed("exit status 3"));
    }

    #[tokio::test]
    async fn n4_the_whole_tree_of_a_command_ends_with_its_time_and_with_itself() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let forked = format!("setsid sh -c 'echo $$ > \"{0}\"; exec sleep 1000' & ", file.display());
        let begun = Instant::now();
        let hung = sh(&format!("{forked} sleep 1000"), Duration::from_millis(500)).await;
        assert!(matches!(&hung, Outcome::Failed { why, .. } if why.contains("500 ms")), "{hung:?}");
        for script in ["", "while [ ! -s \"FILE\" ]; do :; done"] {
            if !script.is_empty() {
                std::fs::remove_file(&file).unwrap();
                let script = format!("{forked} {}", script.replace("FILE", &file.display().to_string()));
                assert!(matches!(sh(&script, LONG).await, Outcome::Delivered { .. }));
            }
            let pid: u32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
            let alive = std::fs::read_to_string(format!("/proc/{pid}/stat"));
            let gone = alive.map_or(true, |stat| stat.contains(") Z "));
            assert!(gone, "{pid} lives on");
        }
        assert!(begun.elapsed() < LONG, "nothing was waited for");
    }
}
