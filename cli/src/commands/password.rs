//! `skep password`: the password with which browsers sign in on addresses beyond this machine (C8). Only its argon2id
//! hash is kept. A daemon that runs looks at it whenever somebody signs in.

use std::io::Read as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use skep_gateway::PasswordError;

use crate::context::Context;
use crate::error::{CliError, Outcome};
use crate::exit::Exit;
use crate::first_password;
use crate::settings;

/// More than this is read of no password, in bytes.
const MAX_INPUT: u64 = 4096;

/// Set or remove the password with which browsers sign in on addresses beyond this machine.
#[derive(Debug, Clone, Args)]
pub(crate) struct PasswordArgs {
    #[command(subcommand)]
    command: PasswordCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum PasswordCommand {
    /// Set it: typed at a terminal, or the first line of standard input or of a file. Only a hash of it is kept.
    Set(SetArgs),
    /// Remove it. A daemon that listens beyond this machine lets nobody sign in by password then, and does not start again.
    Rm,
}

#[derive(Debug, Clone, Args)]
struct SetArgs {
    /// Read it from this file.
    #[arg(long, value_name = "FILE", conflicts_with = "generate")]
    file: Option<PathBuf>,
    /// Make one, and print it, this once.
    #[arg(long)]
    generate: bool,
}

/// Runs the subcommand.
pub(crate) fn run(ctx: &Context, args: &PasswordArgs) -> Outcome {
    let path = settings::load(ctx)?.api.password_file.unwrap_or_else(|| ctx.paths.password());
    match &args.command {
        PasswordCommand::Set(args) => set(ctx, args, &path),
        PasswordCommand::Rm => remove(ctx, &path),
    }
}

fn set(ctx: &Context, args: &SetArgs, path: &std::path::Path) -> Outcome {
    skep_sys::socket::private_directory(ctx.paths.state_dir())
        .map_err(|error| CliError::failed(format!("cannot use the state directory: {error}")))?;
    let password = match (&args.file, args.generate) {
        (_, true) => first_password::generate()?,
        (Some(file), false) => {
            let failed =
                |error| CliError::usage(format!("cannot read the password from {}: {error}", file.display()));
            first_line(std::fs::File::open(file).map_err(failed)?).map_err(failed)?
        }
        (None, false) if ctx.screen.can_ask() => typed(ctx)?,
        (None, false) => first_line(std::io::stdin().lock())
            .map_err(|error| CliError::usage(format!("cannot read the password: {error}")))?,
    };
    skep_gateway::set_password(path, &password).map_err(|error| match error {
        PasswordError::Short => CliError::usage(format!("cannot {error}")),
        _ => CliError::failed(format!("cannot {error}")),
    })?;
    if ctx.screen.json() {
        let told = args.generate.then_some(&password);
        ctx.screen.value(&serde_json::json!({"file": path, "password": told}))?;
    } else {
        if args.generate {
            ctx.screen.line(&password)?;
        }
        ctx.screen.say(format!("the password's hash is in {}", path.display()));
        ctx.screen.say_more("browsers that are signed in stay so: `skep token ls`, `skep token revoke ID`");
    }
    Ok(Exit::Completed)
}

/// Typed twice, without an echo.
fn typed(ctx: &Context) -> Result<String, CliError> {
    let ask = |text: &str| {
        // First of all: who types as soon as the question is there must not see it.
        let _silent = Silent::begin();
        ctx.screen.ask(text);
        let typed = rpassword::read_password();
        typed.map_err(|error| CliError::failed(format!("cannot read the password: {error}")))
    };
    let first = ask("new password: ")?;
    if first == ask("again: ")? {
        Ok(first)
    } else {
        Err(CliError::usage("the two passwords differ; nothing was changed"))
    }
}

/// Standard input's terminal while it echoes nothing.
struct Silent(Option<Termios>);

impl Silent {
    fn begin() -> Self {
        let Ok(before) = tcgetattr(std::io::stdin()) else { return Self(None) };
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        let changed = tcsetattr(std::io::stdin(), SetArg::TCSADRAIN, &silent);
        Self(changed.is_ok().then_some(before))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // The terminal may be gone, and then there is nothing to restore.
            tcsetattr(std::io::stdin(), SetArg::TCSADRAIN, before).ok();
        }
    }
}

fn first_line(from: impl std::io::Read) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    from.take(MAX_INPUT).read_to_end(&mut bytes)?;
    let text = String::from_utf8(bytes).map_err(|_| std::io::Error::other("it is not valid UTF-8"))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn remove(ctx: &Context, path: &std::path::Path) -> Outcome {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(CliError::new(Exit::NotFound, "there is no password"));
        }
        Err(error) => {
            return Err(CliError::failed(format!("cannot remove {}: {error}", path.display())));
        }
    }
    if ctx.screen.json() {
        ctx.screen.value(&serde_json::json!({"file": path, "removed": true}))?;
    } else {
        ctx.screen.line("removed: the password")?;
    }
    Ok(Exit::Completed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c8_a_password_is_the_first_line_without_its_end() {
        for (text, password) in [("secret\nmore\n", "secret"), ("two words\r\n", "two words"), ("", "")] {
            assert_eq!(first_line(text.as_bytes()).unwrap(), password);
        }
        assert!(first_line(&b"\xff"[..]).is_err());
    }
}
