//! `skep prompt`: a prompt in a session that is open.

use clap::Args;

use crate::arguments::{SessionRef, WhenBusyArgs, seconds};
use crate::attachments::Attachments;
use crate::context::Context;
use crate::error::Outcome;
use crate::exit::Exit;
use crate::register::register;
use crate::turn::Watch;
use crate::{capture, prompt_input, start};

/// Prompt an open session and stream the output; never creates one.
#[derive(Debug, Clone, Args)]
pub(crate) struct PromptArgs {
    /// The session: name, id, or the beginning of either.
    #[arg(value_name = "SESSION")]
    session: SessionRef,
    /// The prompt; `-` reads standard input.
    #[arg(value_name = "PROMPT")]
    prompt: Option<String>,
    #[command(flatten)]
    when_busy: WhenBusyArgs,
    /// Run the turn that was cut off last again, as a new turn; the prompt is that one's.
    #[arg(long, conflicts_with_all = ["prompt", "attach"])]
    retry_interrupted: bool,
    /// Do not watch: come back at once.
    #[arg(long)]
    no_wait: bool,
    /// Cancel the turn after this time: `90`, `90s`, `5m`, `1h30m`.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    timeout: Option<u64>,
    #[command(flatten)]
    attachments: Attachments,
}

/// Prompts.
pub(crate) async fn run(ctx: &Context, args: PromptArgs) -> Outcome {
    let attached = args.attachments.blocks(args.prompt.as_deref())?;
    let input =
        if args.retry_interrupted { prompt_input::again() } else { prompt_input::read(ctx, args.prompt)? };
    let client = ctx.client();
    let session = client.session(&args.session).await?;
    let mut request =
        start::prompt((&input.text, attached), input.source.consent(), args.when_busy.wanted(), args.timeout);
    if args.retry_interrupted {
        (request.content, request.retry_interrupted) = (Vec::new(), true);
    }
    request.environment = capture::environment(ctx, &client, Some(&session.agent)).await?;
    let accepted = client.prompt(session.id, &request).await?;
    if args.no_wait {
        if ctx.screen.json() {
            ctx.screen.value(&accepted)?;
        } else {
            let word = match &accepted {
                accepted if accepted.queued => "queued",
                accepted if accepted.steered_into.is_some() => "steered",
                _ => "running",
            };
            ctx.screen.line(format!("{word}: prompt {} in session {}", accepted.prompt, args.session))?;
        }
        return Ok(Exit::Completed);
    }
    if !ctx.screen.json() {
        ctx.screen.say(start::headline(&session));
    }
    let _registration = register(ctx, &session);
    Watch::new(ctx, client, session, accepted, input.text)?.run().await
}
