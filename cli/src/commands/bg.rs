//! `skep bg`: a prompt in a session that nobody watches.

use clap::Args;
use skep_common::api::RunAccepted;
use skep_common::session::{Consent, SessionKind};
use skep_common::words;

use crate::arguments::NewSession;
use crate::context::Context;
use crate::error::Outcome;
use crate::exit::Exit;
use crate::render::table::label;
use crate::{autostart, capture, prompt_input, start};

/// Run a prompt in the background.
///
/// Prints the session's name, or its id. What needs consent waits for you, unless a mode says otherwise.
#[derive(Debug, Clone, Args)]
pub(crate) struct BgArgs {
    #[command(flatten)]
    session: NewSession,
    /// The prompt; `-` reads standard input.
    #[arg(value_name = "PROMPT")]
    prompt: Option<String>,
}

/// Starts the session and leaves it.
pub(crate) async fn run(ctx: &Context, args: BgArgs) -> Outcome {
    let attached = args.session.attachments.blocks(args.prompt.as_deref())?;
    let input = prompt_input::read(ctx, args.prompt)?;
    let wanted = start::Wanted { kind: SessionKind::Bg, ephemeral: false, consent: Consent::None };
    let mut request = start::request(&args.session, (&input.text, attached), wanted)?;
    let client = autostart::client(ctx).await?;
    request.prompt.environment = capture::environment(ctx, &client, request.session.agent.as_deref()).await?;
    let accepted = start::start(&client, &request).await?;
    report(ctx, &accepted)?;
    Ok(Exit::Completed)
}

fn report(ctx: &Context, accepted: &RunAccepted) -> Result<(), crate::error::CliError> {
    if ctx.screen.json() {
        return ctx.screen.value(accepted);
    }
    let session = &accepted.session;
    let name = session.name.as_ref().map_or_else(|| session.id.to_string(), ToString::to_string);
    ctx.screen.line(name)?;
    let label = label(session);
    ctx.screen.say(start::headline(session));
    let mode = session.permission_mode;
    ctx.screen.say_more(format!("mode {}: {}", words::mode(mode), words::mode_asks(mode)));
    if accepted.prompt.queued {
        ctx.screen.say_more(start::QUEUED);
    } else if accepted.prompt.steered_into.is_some() {
        ctx.screen.say_more(start::STEERED);
    }
    ctx.screen.say_more(format!(
        "skep attach {label} · skep logs -f {label} · skep wait {label} · skep kill {label}"
    ));
    Ok(())
}
