//! `skep token`: tokens that may do less than the daemon's own, for one session or for all, and can be revoked (Q3).

use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use jiff::{Span, SpanRelativeTo, Timestamp};
use skep_common::keys::{CreateToken, KeyInfo, KeyList, Scope, TokenCreated};

use crate::arguments::SessionRef;
use crate::autostart;
use crate::client::Target;
use crate::context::Context;
use crate::error::{CliError, Outcome};
use crate::exit::Exit;
use crate::render::keys;

/// The daemon keeps no token longer, in seconds: 366 days.
const MAX_TTL: i64 = 366 * 24 * 60 * 60;

/// Make, list and revoke tokens for the API. Browsers that are signed in are listed and revoked as well.
#[derive(Debug, Clone, Args)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum TokenCommand {
    /// Make a token and print it; it is told this once.
    Create(CreateArgs),
    /// List the tokens and the browsers that are signed in, without their secrets.
    #[command(visible_alias = "list")]
    Ls,
    /// Revoke a token, or sign a browser out: at once, and the streams that it opened end too.
    Revoke(RevokeArgs),
    /// Print the daemon's own token, which may do everything.
    Show,
}

#[derive(Debug, Clone, Args)]
struct CreateArgs {
    /// What it allows; several with commas. Each of the others includes `read`; `admin` includes all.
    #[arg(long = "scope", value_name = "SCOPE", value_enum, required = true, value_delimiter = ',')]
    scopes: Vec<ScopeWord>,
    /// For this session alone: name, id, or the beginning of either.
    #[arg(long, value_name = "SESSION")]
    session: Option<SessionRef>,
    /// Only for sessions that are opened from inside this one, and for opening such.
    #[arg(long, value_name = "SESSION", conflicts_with = "session")]
    children_of: Option<SessionRef>,
    /// It ends by itself after this time: `90s`, `5m`, `12h`, `7d`, at most 366 days. Without it: never.
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    ttl: Option<u64>,
    /// What it is for, to tell it from others.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
}

#[derive(Debug, Clone, Args)]
struct RevokeArgs {
    /// The token: its id, as `skep token ls` shows it.
    #[arg(value_name = "ID")]
    id: KeyId,
}

/// A scope, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ScopeWord {
    /// See sessions, their events and logs, and what waits.
    Read,
    /// Open sessions, prompt, cancel and close.
    Prompt,
    /// Answer permission requests.
    Approve,
    /// Everything else: workers, the daemon, tokens, deletion.
    Admin,
}

impl From<ScopeWord> for Scope {
    fn from(word: ScopeWord) -> Self {
        match word {
            ScopeWord::Read => Self::Read,
            ScopeWord::Prompt => Self::Prompt,
            ScopeWord::Approve => Self::Approve,
            ScopeWord::Admin => Self::Admin,
        }
    }
}

/// The id of a token: it goes into a path, so it is letters and digits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct KeyId(String);

impl FromStr for KeyId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_id = (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if is_id { Ok(Self(text.to_owned())) } else { Err(String::from("an id is letters and digits")) }
    }
}

/// A lifetime in seconds: a number of them, or numbers with units up to weeks; a day is 24 hours.
pub(super) fn lifetime(text: &str) -> Result<u64, String> {
    let seconds = if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse::<i64>().ok()
    } else {
        let span = Span::from_str(text).ok();
        span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok())
            .map(|duration| duration.as_secs())
    };
    seconds
        .filter(|seconds| (1..=MAX_TTL).contains(seconds))
        .and_then(|seconds| u64::try_from(seconds).ok())
        .ok_or_else(|| String::from("give a time such as `90s`, `5m`, `12h` or `7d`, of at most 366 days"))
}

/// Runs the subcommand.
pub(crate) async fn run(ctx: &Context, args: TokenArgs) -> Outcome {
    match args.command {
        TokenCommand::Create(args) => create(ctx, args).await,
        TokenCommand::Ls => list(ctx).await,
        TokenCommand::Revoke(args) => revoke(ctx, &args.id).await,
        TokenCommand::Show => show(ctx),
    }
}

async fn create(ctx: &Context, args: CreateArgs) -> Outcome {
    let client = autostart::client(ctx).await?;
    let request = CreateToken {
        scopes: args.scopes.into_iter().map(Scope::from).collect(),
        session: args.session.map(|session| session.to_string()),
        children_of: args.children_of.map(|session| session.to_string()),
        name: args.name,
        ttl_seconds: args.ttl,
    };
    let made: TokenCreated = client.post("/tokens", &request).await?;
    if ctx.screen.json() {
        ctx.screen.value(&made)?;
    } else {
        // The secret alone goes to standard output, so that it can be put into a variable or a file.
        ctx.screen.line(&made.token)?;
        ctx.screen.say(told(&made.info));
        ctx.screen.say_more(format!("it is told this once; `skep token revoke {}` ends it", made.info.id));
    }
    Ok(Exit::Completed)
}

/// What a new token is, in one line.
fn told(info: &KeyInfo) -> String {
    let end = info.expires_at.map_or_else(|| String::from("without an end"), |end| format!("until {end:.0}"));
    let place = match (info.session, info.children_of) {
        (Some(session), _) => format!(" of session {session}"),
        (None, Some(session)) => format!(" of the sessions below {session}"),
        (None, None) => String::new(),
    };
    format!("token {}: {}{place}, {end}", info.id, words_of(&info.scopes))
}

pub(super) fn words_of(scopes: &[Scope]) -> String {
    scopes.iter().map(|scope| scope.word()).collect::<Vec<_>>().join(", ")
}

async fn list(ctx: &Context) -> Outcome {
    let list: KeyList = ctx.client().get("/tokens").await?;
    if ctx.screen.json() {
        ctx.screen.value(&list)?;
    } else {
        ctx.screen.line(keys::table(&list.tokens, Timestamp::now(), ctx.screen.out))?;
    }
    Ok(Exit::Completed)
}

async fn revoke(ctx: &Context, KeyId(id): &KeyId) -> Outcome {
    ctx.client().delete(&format!("/tokens/{id}")).await?;
    if ctx.screen.json() {
        ctx.screen.value(&serde_json::json!({"token": id, "revoked": true}))?;
    } else {
        ctx.screen.line(format!("revoked: token {id}"))?;
    }
    Ok(Exit::Completed)
}

fn show(ctx: &Context) -> Outcome {
    let target = Target::find(&ctx.paths, ctx.explicit_socket);
    let Some(token) = target.token()? else {
        let why = format!("there is no token in {}", ctx.paths.state_dir().display());
        return Err(CliError::new(Exit::NotFound, why).hint("`skep daemon start` makes it"));
    };
    if ctx.screen.json() {
        ctx.screen.value(&serde_json::json!({"token": token.as_str(), "file": ctx.paths.token()}))?;
    } else {
        ctx.screen.line(token.as_str())?;
    }
    Ok(Exit::Completed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g16_lifetimes_and_ids_are_checked() {
        let good = [("90", 90), ("90s", 90), ("5m", 300), ("12h", 43_200), ("7d", 604_800), ("1w", 604_800)];
        for (text, wanted) in good {
            assert_eq!(lifetime(text), Ok(wanted), "{text}");
        }
        assert_eq!(lifetime("366d"), Ok(31_622_400));
        for text in ["", "0", "-5", "-1d", "soon", "367d", "1y", "0s", "99999999999999999999"] {
            assert!(lifetime(text).is_err(), "{text}");
        }
        assert!("k0123456789ab".parse::<KeyId>().is_ok());
        for id in ["", "../daemon", "a/b", "a?b", "ä", " k1"] {
            assert!(id.parse::<KeyId>().is_err(), "{id}");
        }
    }
}
