//! `skep allow` and `skep deny`: answers to permission requests.

use clap::Args;
use skep_common::api::{PermissionList, WaitingPermission};
use skep_common::ids::SessionName;
use skep_common::protocol::Decision;
use skep_common::sanitise::one_line;
use skep_common::words;

use crate::context::Context;
use crate::error::{CliError, Outcome};
use crate::exit::Exit;
use crate::render::short;

/// Allow what waits for you. Without a request, only if exactly one waits.
#[derive(Debug, Clone, Args)]
pub(crate) struct AllowArgs {
    #[command(flatten)]
    answer: AnswerArgs,
}

/// Deny what waits for you. Without a request, only if exactly one waits.
#[derive(Debug, Clone, Args)]
pub(crate) struct DenyArgs {
    #[command(flatten)]
    answer: AnswerArgs,
}

#[derive(Debug, Clone, Args)]
struct AnswerArgs {
    /// The request: the beginning of its id, or the session that asks. `skep inbox` lists them.
    #[arg(value_name = "REQUEST")]
    request: Option<SessionName>,
    /// For good, where the agent offers that.
    #[arg(long)]
    always: bool,
}

/// Allows.
pub(crate) async fn allow(ctx: &Context, args: &AllowArgs) -> Outcome {
    answer(ctx, &args.answer, Decision::Allow { always: args.answer.always }).await
}

/// Denies.
pub(crate) async fn deny(ctx: &Context, args: &DenyArgs) -> Outcome {
    answer(ctx, &args.answer, Decision::Deny { always: args.answer.always }).await
}

async fn answer(ctx: &Context, args: &AnswerArgs, decision: Decision) -> Outcome {
    let client = ctx.client();
    let list: PermissionList = client.get("/permissions").await?;
    let waiting = choose(&list.permissions, args.request.as_ref().map(SessionName::as_str))?;
    let answered = client.answer(waiting.session, waiting.permission.id, decision).await?;
    if ctx.screen.json() {
        ctx.screen.value(&answered)?;
    } else {
        let word = if answered.allowed { "allowed" } else { "denied" };
        ctx.screen.line(format!("{word}: {}", describe(waiting)))?;
    }
    Ok(Exit::Completed)
}

/// The one request that is meant.
fn choose<'a>(all: &'a [WaitingPermission], wanted: Option<&str>) -> Result<&'a WaitingPermission, CliError> {
    let fitting: Vec<&WaitingPermission> =
        all.iter().filter(|waiting| wanted.is_none_or(|wanted| fits(waiting, wanted))).collect();
    match (fitting.as_slice(), wanted) {
        ([one], _) => Ok(one),
        ([], Some(wanted)) => {
            Err(CliError::new(Exit::NotFound, format!("nothing that waits fits `{wanted}`"))
                .hint("`skep inbox` lists what waits"))
        }
        ([], None) => Err(CliError::new(Exit::NotFound, "nothing waits for an answer")),
        (several, _) => {
            let error = CliError::new(
                Exit::NotFound,
                format!("{} requests wait; say which one is meant", several.len()),
            );
            Err(several.iter().take(20).fold(error, |error, waiting| {
                error.hint(format!("{}  {}", short(waiting.permission.id), describe(waiting)))
            }))
        }
    }
}

/// Whether a request is meant by the beginning of its id, or by its session's name or id.
fn fits(waiting: &WaitingPermission, wanted: &str) -> bool {
    waiting.permission.id.to_string().starts_with(wanted)
        || waiting.session_name.as_ref().is_some_and(|name| name.as_str() == wanted)
        || (wanted.len() >= 4 && waiting.session.to_string().starts_with(wanted))
}

fn describe(waiting: &WaitingPermission) -> String {
    let session = waiting.session_name.as_ref().map_or_else(|| short(waiting.session), ToString::to_string);
    format!(
        "{}: {} (session {session})",
        words::verb(&waiting.permission.tool_kind),
        one_line(&waiting.permission.title)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(permission: &str, session: &str, name: Option<&str>) -> WaitingPermission {
        let whole = |prefix: &str| format!("{prefix}-0000-4000-8000-000000000000");
        serde_json::from_value(serde_json::json!({
            "session": whole(session), "session_name": name, "agent": "shell", "cwd": "/",
            "permission": {
                "id": whole(permission), "prompt": whole("99999999"), "tool_kind": "execute", "title": "make",
                "options": [], "requested_at": "2026-11-20T12:00:00Z",
            },
        }))
        .unwrap()
    }

    #[test]
    fn without_a_request_exactly_one_must_wait() {
        let one = [waiting("aaaaaaaa", "11111111", Some("build"))];
        assert!(choose(&one, None).is_ok());
        let two = [waiting("aaaaaaaa", "11111111", Some("build")), waiting("aabbbbbb", "22222222", None)];
        let error = choose(&two, None).unwrap_err();
        assert_eq!((error.exit(), error.hints.len()), (Exit::NotFound, 2));
        assert_eq!(choose(&[], None).unwrap_err().exit(), Exit::NotFound);
    }

    #[test]
    fn a_request_is_found_by_its_id_or_its_session() {
        let two = [waiting("aaaaaaaa", "11111111", Some("build")), waiting("aabbbbbb", "22222222", None)];
        for (wanted, found) in [("aaaa", 0), ("aab", 1), ("build", 0), ("2222", 1)] {
            assert_eq!(choose(&two, Some(wanted)).unwrap(), &two[found], "{wanted}");
        }
        assert_eq!(choose(&two, Some("aa")).unwrap_err().exit(), Exit::NotFound);
        assert_eq!(choose(&two, Some("zz")).unwrap_err().exit(), Exit::NotFound);
    }
}
