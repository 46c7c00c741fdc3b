//! The command line: every command, option and help text. The doc comments are the help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands;

/// Keeps coding agents running in the background.
///
/// `skep run 'make test'` opens a session with the built-in shell agent, streams its output and ends with its outcome;
/// `skep bg` does the same in the background. Sessions are found again with `skep ps`, `skep logs` and `skep attach`.
#[derive(Debug, Parser)]
#[command(
    name = "skep",
    version,
    max_term_width = 110,
    after_long_help = crate::exit::HELP,
    disable_help_subcommand = false,
    propagate_version = false
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Globals {
    /// The daemon's socket (also: SKEP_SOCKET).
    #[arg(long, global = true, value_name = "PATH", help_heading = "Global options")]
    pub(crate) socket: Option<PathBuf>,
    /// Say more.
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub(crate) verbose: bool,
    /// Write debug logs too.
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) debug: bool,
    /// Print facts as JSON.
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
}

/// The commands, in the order of the help.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(commands::run::RunArgs),
    Bg(commands::bg::BgArgs),
    Prompt(commands::prompt::PromptArgs),
    Attach(commands::attach::AttachArgs),
    Ps(commands::ps::PsArgs),
    Logs(commands::logs::LogsArgs),
    Wait(commands::wait::WaitArgs),
    Inbox(commands::inbox::InboxArgs),
    Allow(commands::answer::AllowArgs),
    Deny(commands::answer::DenyArgs),
    Set(commands::set::SetArgs),
    Cancel(commands::cancel::CancelArgs),
    Release(commands::release::ReleaseArgs),
    Close(commands::close::CloseArgs),
    Kill(commands::kill::KillArgs),
    Rm(commands::rm::RmArgs),
    Worker(commands::worker::WorkerArgs),
    Daemon(commands::daemon::DaemonArgs),
    Agents(commands::agents::AgentsArgs),
    Config(commands::config::ConfigArgs),
    Doctor(commands::doctor::DoctorArgs),
    Open(commands::open::OpenArgs),
    Token(commands::token::TokenArgs),
    Password(commands::password::PasswordArgs),
    Audit(commands::audit::AuditArgs),
    Hooks(commands::hooks::HooksArgs),
    Acp(commands::acp::AcpArgs),
    Mcp(commands::mcp::McpArgs),
    Api(commands::api::ApiArgs),
    #[command(name = "openapi")]
    OpenApi(commands::openapi::OpenApiArgs),
    Completions(commands::completions::CompletionsArgs),
    Man(commands::man::ManArgs),
    Version(commands::version::VersionArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn g16_the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn g16_combinations_that_make_no_sense_are_refused() {
        let refused: &[&[&str]] = &[
            &["run", "-y", "--permission-mode", "ask", "x"],
            &["run", "--keep", "--name", "a", "x"],
            &["run", "--timeout", "0", "x"],
            &["run", "--timeout", "soon", "x"],
            &["run", "--name", "../x", "x"],
            &["run", "--nonsense", "x"],
            &["run", "a", "b"],
            &["close"],
            &["close", "a/b"],
            &["kill"],
            &["logs"],
            &["prompt"],
            &["wait", "a", "--for", "ever"],
            &["daemon", "start", "--capacity", "0"],
            &["daemon", "start", "--capacity", "many"],
            &["daemon", "start", "--spawn-mode", "elsewhere"],
            &["worker", "restart"],
            &["token", "create"],
            &["token", "create", "--scope", "everything"],
            &["token", "create", "--scope", "read", "--ttl", "2y"],
            &["token", "revoke", "../daemon"],
            &["hooks", "retry", "x"],
            &["hooks", "retry"],
            &["hooks", "dismiss", "--dead", "00000000-0000-4000-8000-000000000001"],
            &["hooks", "test", "a/b"],
            &["open", "--url", "nowhere"],
            &["open", "../x"],
            &["open", "--scope", "everything"],
            &["audit", "--since", "soon"],
            &["audit", "-n", "-1"],
            &["password"],
            &["password", "set", "secret-in-the-arguments"],
            &["password", "set", "--generate", "--file", "x"],
            &["token", "create", "--scope", "prompt", "--session", "a", "--children-of", "a"],
            &["mcp", "extra"],
            &["logs", "a", "--tail", "-1"],
            &["set"],
            &["set", "a", "--max-turns", "many"],
            &["set", "a", "--reset", "name"],
        ];
        for args in refused {
            let line = std::iter::once("skep").chain(args.iter().copied());
            assert!(Cli::try_parse_from(line).is_err(), "{args:?} must be refused");
        }
    }

    #[test]
    fn s3_both_spellings_of_an_option_are_taken() {
        let lines: &[&[&str]] = &[
            &[
                "daemon",
                "start",
                "--dir",
                "/tmp",
                "--capacity",
                "3",
                "--permission-mode",
                "plan",
                "--name",
                "n",
            ],
            &["daemon", "start", "--dir=/tmp", "--capacity=3", "--permission-mode=plan", "--name=n"],
            &["daemon", "start", "--spawn-mode", "same-dir", "--sandbox"],
            &["run", "--agent=shell", "--name=n", "-C/tmp", "--timeout=5m", "x"],
            &["run", "--agent", "shell", "--name", "n", "-C", "/tmp", "--timeout", "300", "x"],
            &["daemon", "ps"],
            &["daemon"],
            &["--json", "ps"],
            &["ps", "--json", "-v"],
        ];
        for args in lines {
            let line = std::iter::once("skep").chain(args.iter().copied());
            assert!(Cli::try_parse_from(line).is_ok(), "{args:?}");
        }
    }
}
