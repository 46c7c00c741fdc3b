//! `skep set`: changes the settings of a session that is open.

use clap::{Args, ValueEnum};
use skep_common::api::SettingsChanged;
use skep_common::code::Code;
use skep_common::session::{ChangedSetting, Patch, Resume, SessionChange, SessionSettings, TakesEffect};
use skep_common::usage::Amount;

use crate::arguments::{Busy, Mode, SessionRef, seconds};
use crate::context::Context;
use crate::error::{CliError, Outcome};
use crate::exit::Exit;
use crate::render::table::label;
use crate::rule_args::RuleArgs;
use crate::session_options::{ResumePolicy, pair};

/// So often a change is sent again when the worker went away before it answered.
const ATTEMPTS: u32 = 3;

/// Change the settings of an open session: all that is given, or nothing.
///
/// The mode, the rules and the limits hold at once, for a turn that runs too; requests that wait already stay waiting. The
/// model and the agent's own options are set in the running agent where it can do that, else when it is started anew; the
/// answer says which.
#[derive(Debug, Clone, Args)]
pub(crate) struct SetArgs {
    /// The session: name, id, or the beginning of either.
    #[arg(value_name = "SESSION")]
    session: SessionRef,
    /// What happens to permission requests from now on.
    #[arg(long, value_name = "MODE", value_enum)]
    permission_mode: Option<Mode>,
    /// The agent's model, by the agent's own name for it.
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Set one of the agent's own options; can be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Leave one of the agent's own options to the agent again; can be repeated.
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    /// How many prompts the session may run, those that ran included.
    #[arg(long, value_name = "N")]
    max_turns: Option<u64>,
    /// How many tokens the session may use, those that it has used included.
    #[arg(long, value_name = "N")]
    max_tokens: Option<u64>,
    /// What the session may cost, such as `2.50`, what it has cost included.
    #[arg(long, value_name = "AMOUNT")]
    max_cost: Option<Amount>,
    /// Cancel a turn after this time whose prompt does not say; counts from the beginning of one that runs.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    timeout: Option<u64>,
    /// Hibernate when there was no turn for this time.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    idle_timeout: Option<u64>,
    /// Deny a permission request that nobody answers in this time; for requests from now on.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    permission_timeout: Option<u64>,
    /// What the session's prompts get while a turn runs, where they do not say.
    #[arg(long, value_name = "WHAT", value_enum)]
    busy_default: Option<Busy>,
    /// What brings the session back whose agent, worker or machine died.
    #[arg(long, value_name = "POLICY", value_enum)]
    resume: Option<ResumePolicy>,
    #[command(flatten)]
    rules: RuleArgs,
    /// Take back what the session was given, so that the configured value holds; can be repeated.
    #[arg(long, value_name = "SETTING", value_enum)]
    reset: Vec<Setting>,
}

/// What can be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Setting {
    /// The agent chooses its model.
    Model,
    MaxTurns,
    MaxTokens,
    MaxCost,
    Timeout,
    IdleTimeout,
    PermissionTimeout,
    BusyDefault,
    Resume,
    /// The session's own permission rules.
    Rules,
}

impl SetArgs {
    fn change(&self) -> Result<SessionChange, CliError> {
        let permission_mode = patch(self.permission_mode.map(Into::into));
        let mut change = SessionChange { permission_mode, ..SessionChange::default() };
        let options = &mut change.options;
        options.model = self.patch(self.model.clone(), Setting::Model)?;
        options.limits.max_turns = self.patch(self.max_turns, Setting::MaxTurns)?;
        options.limits.max_tokens = self.patch(self.max_tokens, Setting::MaxTokens)?;
        options.limits.max_cost = self.patch(self.max_cost, Setting::MaxCost)?;
        options.turn_timeout_seconds = self.patch(self.timeout, Setting::Timeout)?;
        options.idle_timeout_seconds = self.patch(self.idle_timeout, Setting::IdleTimeout)?;
        options.permission_timeout_seconds =
            self.patch(self.permission_timeout, Setting::PermissionTimeout)?;
        options.when_busy = self.patch(self.busy_default.map(Into::into), Setting::BusyDefault)?;
        options.resume = self.patch(self.resume.map(Resume::from), Setting::Resume)?;
        let rules = Some(self.rules.0.clone()).filter(|rules| !rules.is_empty());
        options.rules = self.patch(rules, Setting::Rules)?;
        for (key, value) in &self.set {
            options.set.insert(key.clone(), Patch::To(value.clone()));
        }
        for key in &self.unset {
            if options.set.insert(key.clone(), Patch::Reset).is_some() {
                return Err(CliError::usage(format!("`{key}` is both set and unset")));
            }
        }
        if change.is_empty() {
            return Err(CliError::usage(
                "say what to change, such as `--model`; `skep set --help` lists it all",
            ));
        }
        change.check().map_err(CliError::usage)?;
        Ok(change)
    }

    fn patch<T>(&self, value: Option<T>, setting: Setting) -> Result<Patch<T>, CliError> {
        let resets = self.reset.contains(&setting);
        match value {
            Some(_) if resets => Err(CliError::usage("a setting cannot be given and reset at once")),
            None if resets => Ok(Patch::Reset),
            value => Ok(patch(value)),
        }
    }
}

fn patch<T>(value: Option<T>) -> Patch<T> {
    value.map_or(Patch::Keep, Patch::To)
}

/// Changes the settings.
pub(crate) async fn run(ctx: &Context, args: &SetArgs) -> Outcome {
    let change = args.change()?;
    let client = ctx.client();
    let session = client.session(&args.session).await?;
    let path = format!("/sessions/{}", session.id);
    let mut attempt = 1;
    let done: SettingsChanged = loop {
        match client.patch(&path, &change).await {
            Err(error) if attempt < ATTEMPTS && error.code() == Some(Code::WorkerGone) => attempt += 1,
            answer => break answer?,
        }
    };
    if ctx.screen.json() {
        ctx.screen.value(&done)?;
        return Ok(Exit::Completed);
    }
    let session = &done.session;
    let now = SessionSettings { permission_mode: session.permission_mode, options: session.options.clone() };
    ctx.screen.line(format!("settings of session {}", label(session)))?;
    for one in &done.changed {
        ctx.screen.line(told(one, &now))?;
    }
    Ok(Exit::Completed)
}

/// One setting, its value now, and when it holds.
fn told(changed: &ChangedSetting, now: &SessionSettings) -> String {
    let when = match changed.takes_effect {
        TakesEffect::Unchanged => "as it was",
        TakesEffect::Now => "from now on",
        TakesEffect::NextTurn => "from the next turn on",
        TakesEffect::NextStart => "when its agent is started the next time, if that has it",
        TakesEffect::Unknown => "set",
    };
    let name = &changed.setting;
    let detail = changed.detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
    format!("  {name} = {}: {when}{detail}", value(name, now))
}

/// The value that a setting has.
fn value(name: &str, now: &SessionSettings) -> String {
    let whole = serde_json::to_value(now).unwrap_or_default();
    let options = &whole["options"];
    let found = match name.split_once('.') {
        None if name == "permission_mode" => &whole[name],
        None => &options[name],
        Some((group, key)) => &options[group][key],
    };
    match found {
        serde_json::Value::Null => String::from("default"),
        serde_json::Value::String(text) => skep_common::sanitise::one_line(text).into_owned(),
        serde_json::Value::Array(items) => format!("{} of its own", items.len()),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use skep_common::session::{PermissionMode, SessionOptions};

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: SetArgs,
    }

    fn change(args: &[&str]) -> Result<SessionChange, CliError> {
        let line = ["set", "s"].iter().chain(args).copied();
        Line::try_parse_from(line).unwrap().args.change()
    }

    #[test]
    fn what_is_given_becomes_the_patch_and_nothing_else() {
        let wanted = change(&[
            "--permission-mode",
            "plan",
            "--model",
            "default",
            "--set",
            "effort=high",
            "--unset",
            "tone",
            "--max-cost",
            "2.50",
            "--timeout",
            "5m",
            "--reset",
            "max-turns",
            "--reset",
            "rules",
        ]);
        let json = serde_json::json!({"permission_mode": "plan", "options": {
            "limits": {"max_turns": null, "max_cost": "2.50"}, "rules": null, "turn_timeout_seconds": 300,
            "model": "default", "set": {"effort": "high", "tone": null},
        }});
        assert_eq!(serde_json::to_value(wanted.unwrap()).unwrap(), json);
    }

    #[test]
    fn g16_a_change_that_makes_no_sense_is_refused() {
        for args in [
            &[][..],
            &["--model", "a", "--reset", "model"],
            &["--set", "a=b", "--unset", "a"],
            &["--model", "a\nb"],
            &["--unset", ""],
        ] {
            assert_eq!(change(args).unwrap_err().exit().status(), 2, "{args:?}");
        }
    }

    #[test]
    fn each_setting_is_told_with_its_value_and_when_it_holds() {
        let options = SessionOptions {
            model: Some(String::from("big")),
            set: [(String::from("a.b"), String::from("c"))].into(),
            ..SessionOptions::default()
        };
        let now = SessionSettings { permission_mode: PermissionMode::Plan, options };
        let tell = |setting: &str, takes_effect| {
            told(&ChangedSetting { setting: setting.to_owned(), takes_effect, detail: None }, &now)
        };
        assert_eq!(tell("permission_mode", TakesEffect::Now), "  permission_mode = plan: from now on");
        assert_eq!(tell("model", TakesEffect::NextTurn), "  model = big: from the next turn on");
        assert_eq!(tell("set.a.b", TakesEffect::Unchanged), "  set.a.b = c: as it was");
        assert_eq!(tell("limits.max_turns", TakesEffect::Now), "  limits.max_turns = default: from now on");
    }
}
