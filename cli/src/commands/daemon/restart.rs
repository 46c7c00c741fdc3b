//! `skep daemon restart`: stops the daemon and starts one of this version, with the same options.

use std::ffi::OsString;

use clap::Args;
use skep_common::api::DaemonStatus;

use super::{DaemonOptions, start, stop};
use crate::autostart;
use crate::client::last_daemon;
use crate::context::Context;
use crate::error::Outcome;
use crate::exit::Exit;

/// Stop the daemon and start it again with the options that it had, unless others are given.
#[derive(Debug, Clone, Args)]
pub(crate) struct RestartArgs {
    #[command(flatten)]
    options: DaemonOptions,
}

/// Restarts the daemon.
pub(crate) async fn run(ctx: &Context, args: &RestartArgs) -> Outcome {
    args.options.check()?;
    let before = last_daemon(&ctx.paths);
    let new = args.options.words()?;
    let options = merge(before.map(|file| file.args).unwrap_or_default(), new);
    stop::stop(ctx).await?;
    let (client, _) = autostart::start(ctx, &options, &[]).await?;
    let status: DaemonStatus = client.get("/daemon").await?;
    start::report(ctx, &status)?;
    Ok(Exit::Completed)
}

/// The former options, each replaced where the same one is given anew. Pure.
fn merge(former: Vec<String>, new: Vec<OsString>) -> Vec<OsString> {
    let name = |word: &str| word.split('=').next().unwrap_or_default().to_owned();
    let given: Vec<String> = new.iter().map(|word| name(&word.to_string_lossy())).collect();
    let kept = former.into_iter().filter(|word| word.starts_with("--") && !given.contains(&name(word)));
    kept.map(OsString::from).chain(new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_given_anew_replace_the_former_ones() {
        let former = ["--dir=/a", "--capacity=4", "nonsense"].map(String::from).to_vec();
        let merged = merge(former, vec![OsString::from("--capacity=8")]);
        assert_eq!(merged, ["--dir=/a", "--capacity=8"].map(OsString::from));
    }
}
