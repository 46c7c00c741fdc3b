//! What is run for a prompt: the preset's template with the prompt, the mode's arguments and those that bring the
//! agent's own session back. Pure.
//!
//! A prompt is never more than one argument, and never an option: one that begins with a dash gets a space in front.
//! The same holds for the agent's own session id, which comes from its output and is checked.

use std::ffi::OsString;

use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use skep_common::session::{PermissionMode, PermissionOption, SessionOptions};
use skep_config::{AgentPreset, Output, ResumeBy};

use crate::acp::message::clip;
use crate::agent::wire::{self, PermissionAsk};

/// How long one argument may be; Linux takes 128 KiB with the NUL at its end.
const ARGUMENT: usize = 128 * 1024 - 1;

/// How long a title may become, in characters.
const TITLE: usize = 2000;

/// How long an agent's own session id may be.
const SESSION: usize = 200;

/// The option with which the command may run.
pub(crate) const ALLOW: &str = "allow";

/// The run of a command for a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The arguments behind the program.
    pub(crate) args: Vec<String>,
    /// What it reads on its standard input.
    pub(crate) stdin: Option<String>,
    /// The start needs consent: nothing else keeps the command to the session's mode.
    pub(crate) asks: bool,
    /// What it writes.
    pub(crate) output: Output,
    /// The agent's own session that it goes on with.
    pub(crate) resumed: Option<String>,
}

/// The prompt cannot be given to the command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    #[error(
        "the prompt is too long for an argument of the agent's command; without `{{prompt}}` it is piped in"
    )]
    TooLong,
    #[error("the prompt has a NUL, which no argument can have")]
    Nul,
    #[error("the agent's command takes no model; its preset needs `model_args`")]
    Model,
    #[error("the agent is a command for each prompt and has no options that could be set")]
    Options,
}

/// Plans the run of `preset` for `prompt`; `session` is the agent's own id, where it has said one.
pub(crate) fn plan(
    preset: &AgentPreset,
    (mode, options): (PermissionMode, &SessionOptions),
    prompt: &str,
    session: Option<&str>,
) -> Result<Plan, Unfit> {
    if options.model.is_some() && preset.model_args.is_empty() {
        return Err(Unfit::Model);
    }
    if !options.set.is_empty() {
        return Err(Unfit::Options);
    }
    let named = options.model.as_deref().map(|model| preset.model_arguments(model).collect::<Vec<_>>());
    let mut model = named.unwrap_or_default();
    let resumes = !preset.resume_args.is_empty() && preset.resume != ResumeBy::None;
    let session = session.filter(|id| is_session(id) && resumes);
    let mut resume: Option<Vec<String>> =
        session.map(|id| preset.resume_args.iter().map(|arg| arg.replace("{session}", id)).collect());
    let keeps = preset.mode_args.of(mode);
    let mut mode = keeps.cloned();
    let template = preset.command.get(1..).unwrap_or_default();
    let has = |what: &str| template.iter().any(|arg| arg == what);
    let (resume_placed, mode_placed, model_placed) = (has("{resume}"), has("{mode}"), has("{model}"));
    let mut args = Vec::with_capacity(template.len() + 4);
    for arg in template {
        match arg.as_str() {
            "{resume}" => args.extend(resume.take().unwrap_or_default()),
            "{mode}" => args.extend(mode.take().unwrap_or_default()),
            "{model}" => args.append(&mut model),
            arg => args.push(with_prompt(arg, prompt)?),
        }
    }
    if !mode_placed {
        args.extend(mode.unwrap_or_default());
    }
    if !model_placed {
        args.append(&mut model);
    }
    if !resume_placed {
        args.extend(resume.unwrap_or_default());
    }
    let piped = !template.iter().any(|arg| arg.contains("{prompt}"));
    Ok(Plan {
        args,
        stdin: piped.then(|| prompt.to_owned()),
        asks: keeps.is_none(),
        output: preset.output,
        resumed: session.map(ToOwned::to_owned),
    })
}

fn with_prompt(template: &str, prompt: &str) -> Result<String, Unfit> {
    if !template.contains("{prompt}") {
        return Ok(template.to_owned());
    }
    if prompt.contains('\0') {
        return Err(Unfit::Nul);
    }
    let guard = if template.starts_with("{prompt}") && prompt.starts_with('-') { " " } else { "" };
    let arg = format!("{guard}{}", template.replace("{prompt}", prompt));
    if arg.len() > ARGUMENT { Err(Unfit::TooLong) } else { Ok(arg) }
}

/// Whether an id that an agent wrote can stand in a command line.
pub(crate) fn is_session(id: &str) -> bool {
    (1..=SESSION).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'))
        && !id.starts_with(['-', '.'])
}

impl Plan {
    /// The whole command line with its program, for the process.
    pub(crate) fn argv(&self, program: OsString) -> Vec<OsString> {
        std::iter::once(program).chain(self.args.iter().map(OsString::from)).collect()
    }

    /// The question whether the command may run.
    pub(crate) fn question(&self, program: &str) -> Option<PermissionAsk> {
        let command = shell_words::join(std::iter::once(program).chain(self.args.iter().map(String::as_str)));
        let title = clip(&command, TITLE);
        let tool_call: Box<RawValue> = to_raw_value(&json!({
            "toolCallId": "skep-command",
            "title": title,
            "kind": "execute",
            "status": "pending",
            "rawInput": {"command": command, "stdin": self.stdin},
        }))
        .ok()?;
        let option = |id: &str, name: &str, kind: &str| PermissionOption {
            id: id.to_owned(),
            name: name.to_owned(),
            kind: kind.to_owned(),
        };
        Some(PermissionAsk {
            call: wire::tool_call(&tool_call)?,
            options: vec![
                option(ALLOW, "Run the command", "allow_once"),
                option("reject", "Do not run it", "reject_once"),
            ],
            tool_call,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use skep_config::ModeArgs;

    fn preset(command: &[&str]) -> AgentPreset {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        AgentPreset {
            command: words(command),
            resume_args: words(&["--resume", "{session}"]),
            mode_args: ModeArgs {
                ask: Some(Vec::new()),
                bypass: Some(words(&["--yes"])),
                ..ModeArgs::default()
            },
            ..skep_config::agents::built_in()["gemini"].clone()
        }
    }

    fn args(command: &[&str], mode: PermissionMode, prompt: &str, session: Option<&str>) -> Vec<String> {
        plan(&preset(command), (mode, &SessionOptions::default()), prompt, session).unwrap().args
    }

    fn plan_of(command: &[&str], mode: PermissionMode, prompt: &str) -> Result<Plan, Unfit> {
        plan(&preset(command), (mode, &SessionOptions::default()), prompt, None)
    }

    #[test]
    fn a_model_stands_where_the_preset_says_or_is_refused() {
        let ask = PermissionMode::Ask;
        let chosen = SessionOptions { model: Some(String::from("-big one")), ..SessionOptions::default() };
        let with = |command: &[&str], args: &[&str]| {
            let model_args = args.iter().map(|arg| (*arg).to_owned()).collect();
            let preset = AgentPreset { model_args, ..preset(command) };
            plan(&preset, (ask, &chosen), "hi", Some("s")).map(|plan| plan.args)
        };
        let flag = ["--model={model}"];
        let end = ["-", "--model=-big one", "--resume", "s"];
        assert_eq!(with(&["x", "-"], &flag).unwrap(), end);
        assert_eq!(with(&["x", "{model}", "-"], &flag).unwrap(), ["--model=-big one", "-", "--resume", "s"]);
        assert_eq!(with(&["x"], &[]), Err(Unfit::Model));
        assert_eq!(args(&["x", "{model}", "-"], ask, "hi", None), ["-"]);
        let set = SessionOptions { set: [("a".into(), "b".into())].into(), ..SessionOptions::default() };
        assert_eq!(plan(&preset(&["x"]), (ask, &set), "hi", None), Err(Unfit::Options));
    }

    #[test]
    fn templates_become_command_lines() {
        let ask = PermissionMode::Ask;
        let bypass = PermissionMode::Bypass;
        for (command, mode, prompt, session, expected) in [
            (&["x"][..], ask, "hi", None, &[][..]),
            (&["x", "-p", "{prompt}"], ask, "a b; $c", None, &["-p", "a b; $c"]),
            (&["x", "--prompt={prompt}"], ask, "-rf", None, &["--prompt=-rf"]),
            (&["x", "{prompt}"], ask, "--yolo", None, &[" --yolo"]),
            (&["x", "{prompt}"], ask, "{session}{mode}", Some("s"), &["{session}{mode}", "--resume", "s"]),
            (&["x", "{prompt}"], bypass, "hi", Some("s-1"), &["hi", "--yes", "--resume", "s-1"]),
            (&["x", "{resume}", "{mode}", "-"], bypass, "", Some("s"), &["--resume", "s", "--yes", "-"]),
            (&["x", "{resume}", "{mode}", "-"], ask, "", None, &["-"]),
            (&["x"], ask, "hi", Some("--yes"), &[]),
            (&["x"], ask, "hi", Some("a b"), &[]),
            (&["x"], ask, "hi", Some(""), &[]),
        ] {
            assert_eq!(args(command, mode, prompt, session), expected, "{command:?} {prompt:?} {session:?}");
        }
    }

    #[test]
    fn a_preset_that_says_so_is_never_resumed() {
        let planned = |resume| {
            let preset = AgentPreset { resume, ..preset(&["x"]) };
            plan(&preset, (PermissionMode::Ask, &SessionOptions::default()), "hi", Some("s")).unwrap()
        };
        assert_eq!(planned(ResumeBy::Auto).args, ["--resume", "s"]);
        let never = planned(ResumeBy::None);
        assert!(never.args.is_empty() && never.resumed.is_none(), "{never:?}");
    }

    #[test]
    fn a_prompt_without_a_place_is_piped_in() {
        let planned = plan_of(&["x"], PermissionMode::Ask, "hi\0").unwrap();
        assert_eq!((planned.stdin.as_deref(), planned.asks), (Some("hi\0"), false));
        let planned = plan_of(&["x", "{prompt}"], PermissionMode::Ask, "hi").unwrap();
        assert_eq!(planned.stdin, None);
    }

    #[test]
    fn n7_a_mode_to_which_the_command_cannot_keep_is_asked_for() {
        for (mode, asks) in [
            (PermissionMode::Ask, false),
            (PermissionMode::Bypass, false),
            (PermissionMode::AcceptEdits, true),
            (PermissionMode::Plan, true),
            (PermissionMode::Deny, true),
        ] {
            assert_eq!(plan_of(&["x"], mode, "hi").unwrap().asks, asks, "{mode:?}");
        }
        let planned = plan_of(&["x", "-p", "{prompt}"], PermissionMode::Deny, "rm it").unwrap();
        let question = planned.question("/bin/x").unwrap();
        assert_eq!(question.call.ask().title, "/bin/x -p 'rm it'");
        assert_eq!(question.call.ask().tool_kind, "execute");
    }

    #[test]
    fn g13_what_cannot_be_an_argument_is_refused() {
        let planned = |prompt: &str| plan_of(&["x", "{prompt}"], PermissionMode::Ask, prompt);
        assert_eq!(planned("a\0b"), Err(Unfit::Nul));
        assert_eq!(planned(&"a".repeat(ARGUMENT + 1)), Err(Unfit::TooLong));
        assert!(planned(&"a".repeat(ARGUMENT)).is_ok());
    }

    proptest! {
        #[test]
        fn a_prompt_is_one_argument_and_no_option(prompt in "[^\0]{0,40}", session in "[^\0]{0,20}") {
            let planned = args(&["x", "{prompt}"], PermissionMode::Ask, &prompt, Some(&session));
            let guarded = [" ", &prompt].concat();
            prop_assert!(planned[0] == prompt || planned[0] == guarded);
            prop_assert!(!planned[0].starts_with('-'));
            prop_assert!(planned.len() == 1 || planned.len() == 3 && !planned[2].starts_with('-'));
        }
    }
}
