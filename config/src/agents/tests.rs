//! The built-in presets and what a user's tables make of them.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use insta::assert_snapshot;
use skep_common::session::PermissionMode;

use super::*;
use crate::parse;

const MODES: [PermissionMode; 5] = [
    PermissionMode::Ask,
    PermissionMode::AcceptEdits,
    PermissionMode::Plan,
    PermissionMode::Deny,
    PermissionMode::Bypass,
];

fn error(text: &str) -> String {
    parse(text, "config.toml").unwrap_err().to_string()
}

fn agent(lines: &str) -> String {
    error(&format!("[agents.mine]\ncommand = ['x']\n{lines}\n"))
}

#[test]
fn n1_every_agent_that_was_tested_is_built_in_with_its_facts() {
    let agents = built_in();
    let names: Vec<&str> = agents.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["claude", "claude-cli", "cline", "codex", "gemini", "kilo", "opencode", "pi", "qwen", "shell"]
    );
    for agent in agents.values().filter(|agent| agent.name != AgentPreset::SHELL) {
        assert!(agent.tested.is_some() && agent.hint.is_some(), "{agent:?}");
        assert_eq!(agent.source, Source::BuiltIn);
        let says_how = |mode| {
            agent.mode.of(mode).is_some()
                || agent.mode_args.of(mode).is_some()
                || agent.mode_env.of(mode).is_some()
        };
        // Cline's command asks in every mode.
        if !agent.has_quirk(Quirk::NoPermissions) && agent.name != "cline" {
            assert!(MODES.into_iter().all(says_how), "{agent:?}");
        }
    }
    let gemini = &agents["gemini"];
    assert_eq!(gemini.resume, ResumeBy::Load);
    assert!(gemini.has_quirk(Quirk::SameMinuteLoad) && gemini.has_quirk(Quirk::LateReplay));
    assert_eq!(agents["qwen"].mode.of(PermissionMode::AcceptEdits).unwrap(), "auto-edit");
    assert_eq!(agents["codex"].eof_grace, Duration::from_secs(8));
    assert!(agents["cline"].private_home);
    assert_eq!(agents["claude-cli"].driver, Driver::ClaudeStream);
}

#[test]
fn n1_the_shell_agent_is_this_very_program() {
    let shell = &built_in()[AgentPreset::SHELL];
    let own = std::env::current_exe().unwrap();
    assert_eq!(shell.command, [own.to_str().unwrap(), "agent", "shell"]);
    assert!(shell.keys.is_empty());
}

/// No agent gets a variable twice, once passed on and once set, since one would silently win.
#[test]
fn n1_no_built_in_agent_sets_what_it_passes_on() {
    for agent in built_in().values() {
        let env_of_modes = agent.mode_env.values().flat_map(BTreeMap::keys);
        for name in agent.env.keys().chain(env_of_modes) {
            assert!(!agent.keys.contains(name), "{}: {name}", agent.name);
        }
    }
}

#[test]
fn n1_an_agent_that_nobody_ever_saw_works_from_five_lines() {
    let text = "[agents.newcomer]\n\
                command = ['newcomer', '--acp']\n\
                keys = ['NEWCOMER_KEY']\n\
                mode = { ask = 'careful', plan = 'look' }\n\
                [agents.words]\n\
                driver = 'oneshot'\n\
                command = ['wc', '-w']\n";
    let settings = parse(text, "t").unwrap();
    let newcomer = &settings.agents["newcomer"];
    assert_eq!((newcomer.driver, newcomer.resume), (Driver::Acp, ResumeBy::Auto));
    assert_eq!(newcomer.mode.of(PermissionMode::Plan).unwrap(), "look");
    assert_eq!(newcomer.mode.of(PermissionMode::Bypass), None);
    assert_eq!(
        (settings.agents["words"].driver, settings.agents["words"].output),
        (Driver::Oneshot, Output::Text)
    );
    assert_eq!(parse(&settings.to_toml(), "t").unwrap(), settings);
}

#[test]
fn n1_a_users_table_changes_single_keys_of_a_built_in_agent() {
    let text = "[agents.gemini]\nmode.ask = 'plan'\nkeys = ['MY_KEY']\nquirks = []\n[agents.gemini.mode_args]\n\
                bypass = ['--yes']\n";
    let settings = parse(text, "t").unwrap();
    let gemini = &settings.agents["gemini"];
    assert_eq!(gemini.source, Source::Configured);
    assert_eq!(gemini.command, ["gemini", "--acp"]);
    assert_eq!(gemini.mode.of(PermissionMode::Ask).unwrap(), "plan");
    assert_eq!(gemini.mode.of(PermissionMode::Bypass).unwrap(), "yolo");
    assert_eq!((gemini.keys.len(), gemini.quirks.len()), (1, 0));
    assert_eq!(parse(&settings.to_toml(), "t").unwrap(), settings);
}

#[test]
fn n1_the_presets_are_a_valid_configuration_of_ones_own() {
    let settings = parse(PRESETS_TOML, "presets.toml").unwrap();
    for (name, built_in) in built_in().iter().filter(|(name, _)| name.as_str() != AgentPreset::SHELL) {
        assert_eq!(settings.agents[name], AgentPreset { source: Source::Configured, ..built_in.clone() });
    }
}

#[test]
fn n1_a_wrong_preset_is_refused_with_its_place_and_a_suggestion() {
    assert_snapshot!(agent("driver = 'onshot'"), @r#"config.toml:3:10: `agents.mine.driver` is the text "onshot", expected one of "acp", "oneshot", "claude-stream"; did you mean "oneshot"?"#);
    assert_snapshot!(agent("quirks = ['late_replays']"), @r#"config.toml:3:10: `agents.mine.quirks`: item 1 is the text "late_replays"; did you mean "late_replay"?, expected a list, each item one of "no_permissions", "model_approves", "same_minute_load", "late_replay", "hub_daemon", "cancel_leaves_tool", "silent_errors", "ignores_term""#);
    assert_snapshot!(agent("resume = 'loaded'"), @r#"config.toml:3:10: `agents.mine.resume` is the text "loaded", expected one of "auto", "resume", "load", "none"; did you mean "load"?"#);
    assert_snapshot!(agent("mode = { accept_edits = 'x' }"), @"config.toml:3:10: unknown key `agents.mine.mode.accept_edits`; did you mean `accept-edits`? valid in `agents.mine.mode`: ask, accept-edits, plan, deny, bypass");
    assert_snapshot!(agent("mode = 'ask'"), @r#"config.toml:3:8: `agents.mine.mode` is the text "ask", expected a table"#);
    assert_snapshot!(agent("mode_env.ask = { A = 1 }"), @"config.toml:3:16: `agents.mine.mode_env.ask`: `A` is the number 1, expected a table of texts");
    assert_snapshot!(agent("mode_args.plan = '--plan'"), @r#"config.toml:3:18: `agents.mine.mode_args.plan` is the text "--plan", expected a list, each item a text"#);
    assert_snapshot!(agent("key = ['A']"), @"config.toml:3:1: unknown key `agents.mine.key`; did you mean `keys`? valid in `agents.mine`: title, driver, command, env, env_file, keys, private_home, authenticate, resume, resume_args, model_args, attachments, output, share, directories, warm, client_fs, client_terminal, eof_grace, version_args, tested, quirks, session_clock, hint, mode, mode_args, mode_env");
    assert_snapshot!(agent("keys = ['A=b']"), @r#"config.toml:3:8: `agents.mine.keys`: item "A" is no variable's name alone; values belong into `env`"#);
    assert_snapshot!(agent("keys = ['SKEP_SESSION']"), @r#"config.toml:3:8: `agents.mine.keys`: "SKEP_SESSION" is skep's own; it is never passed on"#);
    assert_snapshot!(agent("output = 'claude'"), @r#"config.toml:3:10: `agents.mine.output`: only an agent with `driver = "oneshot"` has this"#);
    assert_snapshot!(agent("resume_args = ['{session}']"), @"config.toml:3:15: `agents.mine.resume_args`: only an agent without ACP has this");
    assert_snapshot!(agent("driver = 'oneshot'\nresume_args = ['{session}']"), @"config.toml:4:15: `agents.mine.resume_args`: plain text does not tell the session's id; set `output`");
    assert_snapshot!(agent("driver = 'oneshot'\noutput = 'pi'\nresume_args = ['--session']"), @"config.toml:5:15: `agents.mine.resume_args`: `{session}` stands in none of them");
    assert_snapshot!(agent("driver = 'oneshot'\nauthenticate = 'api-key'"), @r#"config.toml:4:16: `agents.mine.authenticate`: only an agent with `driver = "acp"` has it; this one has "oneshot""#);
    assert_snapshot!(agent("eof_grace = '1 h'"), @r#"config.toml:3:13: `agents.mine.eof_grace` is the text "1 h", expected a duration such as "30 min"; it must lie between "0s" and "10m""#);
    assert_snapshot!(error("[agents.gemni]\nmode.ask = 'x'\n"), @"config.toml:1:9: `agents.gemni.command`: an agent needs a `command`: a list of its program and arguments; did you mean `agents.gemini`?");
    assert_snapshot!(error("session.default_agent = 'gemni'\n"), @"config.toml:1:25: `session.default_agent`: there is no such agent; did you mean `gemini`? there are claude, claude-cli, cline, codex, gemini, kilo, opencode, pi, qwen, shell");
}

#[test]
fn n1_a_program_is_found_in_the_search_path_or_by_its_own_path() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("gemini");
    let gemini = built_in()["gemini"].clone();
    assert_eq!(gemini.find(directory.path().as_os_str()), None);
    std::fs::write(&program, "#!/bin/sh\n").unwrap();
    assert_eq!(gemini.find(directory.path().as_os_str()), None, "not executable");
    std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    assert_eq!(gemini.find(directory.path().as_os_str()), Some(program.clone()));
    let absolute =
        AgentPreset { command: vec![program.to_str().unwrap().to_owned()], ..AgentPreset::named("x") };
    assert_eq!(absolute.find(OsStr::new("")), Some(program));
    assert_eq!(gemini.find(OsStr::new(".")), None, "a relative directory is not searched");
}

#[test]
fn secrets_in_the_environment_stay_out_of_debug_output() {
    let mut agent = AgentPreset::named("x");
    agent.env.insert(String::from("API_KEY"), String::from("hunter2"));
    let debug = format!("{agent:?}");
    assert!(debug.contains("API_KEY") && !debug.contains("hunter2"), "{debug}");
}

#[test]
fn n1_an_agent_whose_processes_share_a_daemon_must_have_a_home_per_session() {
    assert_snapshot!(error("[agents.cline]\nprivate_home = false\n"), @"config.toml:2:16: `agents.cline.private_home`: it must be true for an agent with the quirk `hub_daemon`, whose processes share a daemon in each home directory");
    assert_snapshot!(agent("quirks = ['hub_daemon']"), @"config.toml:1:9: `agents.mine.private_home`: it must be true for an agent with the quirk `hub_daemon`, whose processes share a daemon in each home directory");
    assert!(
        parse("[agents.mine]\ncommand = ['x']\nquirks = ['hub_daemon']\nprivate_home = true\n", "t").is_ok()
    );
}

#[test]
fn n1_an_agent_that_knows_its_session_only_by_its_process_cannot_share_or_wait() {
    assert_snapshot!(agent("share = 'worker'\nprivate_home = true"), @"config.toml:3:9: `agents.mine.share`: it cannot be set for this agent: each of its sessions has a home directory of its own");
    assert_snapshot!(agent("warm = 1\nquirks = ['hub_daemon']\nprivate_home = true"), @"config.toml:3:8: `agents.mine.warm`: it cannot be set for this agent: each of its sessions has a home directory of its own");
    assert_snapshot!(agent("warm = 1\ndriver = 'oneshot'"), @r#"config.toml:3:8: `agents.mine.warm`: only an agent with `driver = "acp"` has it; this one has "oneshot""#);
    assert_snapshot!(agent("warm = 17"), @"config.toml:3:8: `agents.mine.warm` is the number 17, expected a whole number; it must lie between 0 and 16");
    assert_snapshot!(error("[agents.shell]\nshare = 'worker'\n"), @"config.toml:2:9: `agents.shell.share`: it cannot be set for this agent: the built-in shell agent keeps one session's state");
    // Another agent under the shell agent's name is like any other.
    let own = parse("[agents.shell]\ncommand = ['x']\nshare = 'worker'\n", "config.toml").unwrap();
    assert_eq!(own.agents["shell"].share, Share::Worker);
}
