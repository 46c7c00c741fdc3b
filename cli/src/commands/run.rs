//! `skep run`: a prompt in a session that is watched until the turn ends.

use clap::Args;
use skep_common::session::SessionKind;

use crate::arguments::NewSession;
use crate::context::Context;
use crate::error::Outcome;
use crate::register::register;
use crate::turn::Watch;
use crate::{autostart, capture, prompt_input, start};

/// Run a prompt and stream its output; end with its outcome.
///
/// With the built-in shell agent the prompt is a shell command: `skep run 'make test'`. An unnamed session closes when
/// its turn ends, unless `--keep`. Ctrl-C cancels the turn; a second one leaves it running.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    session: NewSession,
    /// Keep an unnamed session open.
    #[arg(long, conflicts_with = "name")]
    keep: bool,
    /// The prompt; `-` reads standard input.
    #[arg(value_name = "PROMPT", allow_hyphen_values = false)]
    prompt: Option<String>,
}

/// Runs the prompt.
pub(crate) async fn run(ctx: &Context, args: RunArgs) -> Outcome {
    let attached = args.session.attachments.blocks(args.prompt.as_deref())?;
    let input = prompt_input::read(ctx, args.prompt)?;
    let wanted = start::Wanted {
        kind: SessionKind::Interactive,
        ephemeral: args.session.name.is_none() && !args.keep,
        consent: input.source.consent(),
    };
    let mut request = start::request(&args.session, (&input.text, attached), wanted)?;
    let client = autostart::client(ctx).await?;
    request.prompt.environment = capture::environment(ctx, &client, request.session.agent.as_deref()).await?;
    let accepted = start::start(&client, &request).await?;
    if !ctx.screen.json() {
        ctx.screen.say(start::headline(&accepted.session));
        if accepted.prompt.queued {
            ctx.screen.say_more(start::QUEUED);
        } else if accepted.prompt.steered_into.is_some() {
            ctx.screen.say_more(start::STEERED);
        }
    }
    let _registration = register(ctx, &accepted.session);
    Watch::new(ctx, client, accepted.session, accepted.prompt, input.text)?.run().await
}
