//! What the crate promises as a whole: the layers, the default file, the round trip, and every error's text.

use std::path::{Path, PathBuf};
use std::time::Duration;

use insta::assert_snapshot;
use proptest::prelude::*;
use skep_common::session::{PermissionMode, WhenBusy};

use crate::permissions::{RuleAction, ToolPattern};
use crate::pool::RestartPolicy;
use crate::write::{Line, keys, lines};
use crate::{
    AgentPreset, ByteSize, ConfigError, DEFAULT_TOML, Environment, Overrides, Paths, Rule, Settings, Source,
    load, open, parse,
};
use skep_common::session::Resume;

fn error(text: &str) -> String {
    parse(text, "config.toml").unwrap_err().to_string()
}

/// A home directory with this configuration file.
struct Home(tempfile::TempDir);

impl Home {
    fn with(text: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("config.toml"), text).unwrap();
        Self(home)
    }

    fn environment(&self, more: &[(&str, &str)]) -> Environment {
        let home = self.0.path().to_str().unwrap();
        Environment::of(more.iter().copied().chain([("SKEP_HOME", home)]))
    }

    fn open(&self, more: &[(&str, &str)], overrides: &Overrides) -> Result<(Paths, Settings), ConfigError> {
        open(&self.environment(more), overrides)
    }
}

#[test]
fn the_default_file_gives_the_defaults() {
    assert_eq!(parse(DEFAULT_TOML, "default.toml").unwrap(), Settings::default());
    assert_eq!(parse("", "empty").unwrap(), Settings::default());
}

/// Commented keys included: uncommenting them all must still be a valid file.
#[test]
fn the_default_file_names_every_key() {
    let is_code = |line: &str| {
        let bare = line.trim_start_matches("# ");
        bare.starts_with('[') && bare.ends_with(']')
            || bare
                .split_once(" = ")
                .is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b"_-".contains(&b)))
    };
    let uncommented: String = DEFAULT_TOML
        .lines()
        .map(|line| if is_code(line) { line.trim_start_matches("# ") } else { line })
        .flat_map(|line| [line, "\n"])
        .collect();
    let full = parse(&uncommented, "uncommented").unwrap();
    let document: toml::Table = uncommented.parse().unwrap();
    let examples = |of: &str| document[of].as_table().unwrap().values().cloned().collect();
    for key in keys(&full) {
        // What one example does not show, another one does.
        let named = |table: &str| Some(key.strip_prefix(table)?.split_once('.')?.1);
        let tables = ["agents", "mcp", "hooks"];
        let of_table = tables.iter().find_map(|table| Some((*table, named(&format!("{table}."))?)));
        let (roots, path) = match of_table {
            Some((table, path)) => (examples(table), path),
            None => (vec![toml::Value::Table(document.clone())], key.as_str()),
        };
        let shown = |root: &toml::Value| {
            let mut at = Some(root);
            for part in path.split('.') {
                let mut items = at.and_then(toml::Value::as_array).into_iter().flatten();
                at = at.and_then(|at| at.get(part)).or_else(|| items.find_map(|item| item.get(part)));
            }
            at.is_some()
        };
        assert!(roots.iter().any(shown), "default.toml does not show `{key}`");
    }
    assert_eq!(full.agents["mine"].source, Source::Configured);
}

#[test]
fn g18_layers_defaults_then_file_then_environment_then_flags() {
    let home =
        Home::with("daemon.socket = '/file.sock'\nsession.permission_mode = 'plan'\nsession.max_open = 7\n");
    let (paths, settings) = home.open(&[], &Overrides::default()).unwrap();
    assert_eq!(paths.socket(), Path::new("/file.sock"));
    assert_eq!((settings.session.permission_mode, settings.session.max_open), (PermissionMode::Plan, 7));
    assert_eq!(settings.session.max_queued, 100);

    let environment = [
        ("SKEP_SOCKET", "/env.sock"),
        ("SKEP_PERMISSION_MODE", "deny"),
        ("SKEP_AGENT", "gemini"),
        ("SKEP_LOG", "debug"),
    ];
    let (paths, settings) = home.open(&environment, &Overrides::default()).unwrap();
    assert_eq!(paths.socket(), Path::new("/env.sock"));
    assert_eq!(settings.session.permission_mode, PermissionMode::Deny);
    assert_eq!((settings.session.default_agent.as_str(), settings.logs.level.as_str()), ("gemini", "debug"));

    let flags = Overrides {
        socket: Some(PathBuf::from("/flag.sock")),
        dir: Some(PathBuf::from("/work dir")),
        capacity: Some(9),
        permission_mode: Some(PermissionMode::Bypass),
        debug: true,
        port: Some(7),
        hosts: vec![String::from("::1")],
    };
    let (paths, settings) = home.open(&environment, &flags).unwrap();
    assert_eq!(paths.socket(), Path::new("/flag.sock"));
    assert_eq!(settings.session.permission_mode, PermissionMode::Bypass);
    assert_eq!((settings.pool.remote_control.capacity, settings.pool.background.capacity), (9, 9));
    assert_eq!(settings.daemon.dir.as_deref(), Some(Path::new("/work dir")));
    assert!(settings.logs.debug);
    assert_eq!(settings.api.tcp(), Some((vec![String::from("::1")], 7)));
}

#[test]
fn a_missing_file_gives_the_defaults() {
    let home = tempfile::tempdir().unwrap();
    let environment = Environment::of([("SKEP_HOME", home.path())]);
    assert_eq!(open(&environment, &Overrides::default()).unwrap().1, Settings::default());
}

#[test]
fn g16_wrong_variables_and_flags_are_named() {
    let home = Home::with("");
    let environment = [("SKEP_PERMISSION_MODE", "asks"), ("SKEP_LOG", "loud"), ("SKEP_SOCKET", "/s")];
    assert_snapshot!(home.open(&environment, &Overrides::default()).unwrap_err(), @r#"
    the variable SKEP_PERMISSION_MODE is the text "asks", expected one of "ask", "accept-edits", "plan", "deny", "bypass"; did you mean "ask"?
    the variable SKEP_LOG is the text "loud", expected one of "error", "warn", "info", "debug", "trace"; there is no such choice
    "#);
    let agent = [("SKEP_AGENT", "gpt")];
    assert_snapshot!(home.open(&agent, &Overrides::default()).unwrap_err(), @"SKEP_AGENT: `session.default_agent`: there is no such agent; there are claude, claude-cli, cline, codex, gemini, kilo, opencode, pi, qwen, shell");
    let flags = Overrides { capacity: Some(0), dir: Some(PathBuf::from("rel")), ..Overrides::default() };
    assert_snapshot!(home.open(&[], &flags).unwrap_err(), @r#"
    --dir: `daemon.dir` is the text "rel", expected an absolute path; it is not absolute
    --capacity: `pool.remote-control.capacity` is the number 0, expected a whole number; it must lie between 1 and 1000
    "#);
}

#[test]
fn unknown_keys_are_refused_with_a_suggestion() {
    assert_snapshot!(error("[session]\nmax_open = 5\nidle_timout = '1 h'\n"), @"config.toml:3:1: unknown key `session.idle_timout`; did you mean `idle_timeout`? valid in `session`: default_agent, permission_mode, permission_timeout, when_busy, resume, max_open, max_queued, idle_timeout, memory_budget, warm_timeout, turn_timeout, agent_start_timeout, cancel_grace, stop_grace, allowed_roots, capture_env, keep_closed, keep_closed_bytes, max_journal, max_attachments, limits");
    assert_snapshot!(error("[sesion]\nmax_open = 5\n"), @"config.toml:1:2: unknown key `sesion`; did you mean `session`? valid at the top: daemon, session, delegation, permissions, pool, restart, api, notify, logs, agents, mcp, hooks");
    assert_snapshot!(error("idle_timeout = '1 h'\n"), @"config.toml:1:1: unknown key `idle_timeout`; did you mean `session.idle_timeout`? valid at the top: daemon, session, delegation, permissions, pool, restart, api, notify, logs, agents, mcp, hooks");
    assert_snapshot!(error("[pool.remote-control]\nfrobnicate = 1\n"), @"config.toml:2:1: unknown key `pool.remote-control.frobnicate`; valid in `pool.remote-control`: count, max_workers, capacity, restart, dir, permission_mode");
    assert_snapshot!(error("[pool.remote_control]\ncount = 1\n"), @"config.toml:1:7: unknown key `pool.remote_control`; did you mean `remote-control`? valid in `pool`: max_waiting, remote-control, background");
    assert_snapshot!(error("[agents.mine]\ncommand = ['x']\nenvironment = {}\n"), @"config.toml:3:1: unknown key `agents.mine.environment`; valid in `agents.mine`: title, driver, command, env, env_file, keys, private_home, authenticate, resume, resume_args, model_args, attachments, output, share, directories, warm, client_fs, client_terminal, eof_grace, version_args, tested, quirks, session_clock, hint, mode, mode_args, mode_env");
}

#[test]
fn wrong_values_are_refused_with_what_was_found_and_what_is_expected() {
    assert_snapshot!(error("session.idle_timeout = 30"), @r#"config.toml:1:24: `session.idle_timeout` is the number 30, expected a duration such as "30 min""#);
    assert_snapshot!(error("session.idle_timeout = '30'"), @r#"config.toml:1:24: `session.idle_timeout` is the text "30", expected a duration such as "30 min"; the unit is missing"#);
    assert_snapshot!(error("session.idle_timeout = '30 minuets'"), @r#"config.toml:1:24: `session.idle_timeout` is the text "30 minuets", expected a duration such as "30 min"; the unit is none of ms, s, min, h, days, weeks"#);
    assert_snapshot!(error("session.idle_timeout = 'soon'"), @r#"config.toml:1:24: `session.idle_timeout` is the text "soon", expected a duration such as "30 min"; it must begin with a number"#);
    assert_snapshot!(error("session.idle_timeout = '0 s'"), @r#"config.toml:1:24: `session.idle_timeout` is the text "0 s", expected a duration such as "30 min"; it must lie between "1ms" and "10years""#);
    assert_snapshot!(error("session.turn_timeout = '0 s'"), @"config.toml:1:24: `session.turn_timeout`: it must be at least 1 ms and at most 10 years");
    assert_snapshot!(error("session.keep_closed_bytes = '2 gigs'"), @r#"config.toml:1:29: `session.keep_closed_bytes` is the text "2 gigs", expected a size such as "2 GiB"; the unit is none of B, KiB, MiB, GiB, TiB, kB, MB, GB, TB"#);
    assert_snapshot!(error("session.keep_closed_bytes = '2'"), @r#"config.toml:1:29: `session.keep_closed_bytes` is the text "2", expected a size such as "2 GiB"; the unit is missing"#);
    assert_snapshot!(error("session.keep_closed_bytes = '99999999999 TiB'"), @r#"config.toml:1:29: `session.keep_closed_bytes` is the text "99999999999 TiB", expected a size such as "2 GiB"; it is too large"#);
    assert_snapshot!(error("session.max_open = 0"), @"config.toml:1:20: `session.max_open` is the number 0, expected a whole number; it must lie between 1 and 10000");
    assert_snapshot!(error("session.max_open = -1"), @"config.toml:1:20: `session.max_open` is the number -1, expected a whole number; it must lie between 0 and 4294967295");
    assert_snapshot!(error("session.max_open = 99999999999999999999"), @"config.toml:1:20: `session.max_open` is the number 99999999999999999999, expected a whole number; it must lie between 0 and 4294967295");
    assert_snapshot!(error("session.permission_mode = 'bypas'"), @r#"config.toml:1:27: `session.permission_mode` is the text "bypas", expected one of "ask", "accept-edits", "plan", "deny", "bypass"; did you mean "bypass"?"#);
    assert_snapshot!(error("session.permission_mode = 'yolo'"), @r#"config.toml:1:27: `session.permission_mode` is the text "yolo", expected one of "ask", "accept-edits", "plan", "deny", "bypass"; there is no such choice"#);
    assert_snapshot!(error("session.default_agent = 'gpt'"), @"config.toml:1:25: `session.default_agent`: there is no such agent; there are claude, claude-cli, cline, codex, gemini, kilo, opencode, pi, qwen, shell");
    assert_snapshot!(error("session.allowed_roots = ['/a', 'b']"), @r#"config.toml:1:25: `session.allowed_roots`: item 2 is the text "b"; it is not absolute, expected a list, each item an absolute path"#);
    assert_snapshot!(error("session.allowed_roots = ['/a', 5]"), @"config.toml:1:25: `session.allowed_roots`: item 2 is the number 5, expected a list, each item an absolute path");
    assert_snapshot!(error("session = 5"), @"config.toml:1:11: `session` is the number 5, expected a table");
    assert_snapshot!(error("daemon.socket = 'x.sock'"), @r#"config.toml:1:17: `daemon.socket` is the text "x.sock", expected an absolute path; it is not absolute"#);
    assert_snapshot!(error("[restart]\nfirst_delay = '5 s'\nmax_delay = '1 s'\n"), @"config.toml:3:13: `restart.max_delay`: it is shorter than `first_delay`");
    assert_snapshot!(error("[pool.background]\ncount = 20\n"), @"config.toml:1:7: `pool.background.max_workers`: it is lower than `count`");
    assert_snapshot!(error("notify.on = ['dome']"), @r#"config.toml:1:13: `notify.on`: item 1 is the text "dome"; did you mean "done"?, expected a list, each item one of "needs-you", "done", "failed""#);
}

#[test]
fn wrong_rules_and_agents_are_refused() {
    assert_snapshot!(error("[[permissions.rules]]\ntool = 'exec'\naction = 'allow'\n"), @r#"config.toml:2:8: `permissions.rules[0].tool` is the text "exec", expected one of "*", "execute", "edit", "read", "delete", "move", "search", "fetch", "think", "switch_mode", "other"; there is no such choice"#);
    assert_snapshot!(error("[[permissions.rules]]\ncommand = 'ls'\naction = 'alow'\n"), @r#"
    config.toml:1:1: `permissions.rules[0]` has no `tool`, expected one of "*", "execute", "edit", "read", "delete", "move", "search", "fetch", "think", "switch_mode", "other"
    config.toml:3:10: `permissions.rules[0].action` is the text "alow", expected one of "allow", "deny", "ask"; did you mean "allow"?
    "#);
    assert_snapshot!(error("[[permissions.rules]]\ntool = 'execute'\ncommand = ''\n"), @r#"
    config.toml:1:1: `permissions.rules[0]` has no `action`, expected one of "allow", "deny", "ask"
    config.toml:3:11: `permissions.rules[0].command` is the text "", expected a pattern such as "cargo *"; the pattern is empty
    "#);
    assert_snapshot!(error("permissions.rules = 'allow'"), @r#"config.toml:1:21: `permissions.rules` is the text "allow", expected a list of tables"#);
    assert_snapshot!(error("[agents.mine]\ntitle = 'x'\n"), @"config.toml:1:9: `agents.mine.command`: an agent needs a `command`: a list of its program and arguments");
    assert_snapshot!(error("[agents.mine]\ncommand = []\n"), @"config.toml:2:11: `agents.mine.command`: an agent needs a `command`: a list of its program and arguments");
    assert_snapshot!(error("[agents.'../x']\ncommand = ['x']\n"), @"config.toml:1:9: `agents.../x`: an agent's name is 1 to 64 letters, digits, `_` or `-`");
    assert_snapshot!(error("[agents.mine]\ncommand = ['x']\nenv = { A = 1 }\n"), @"config.toml:3:7: `agents.mine.env`: `A` is the number 1, expected a table of texts");
    assert_snapshot!(error("agents.mine = 'x'"), @r#"config.toml:1:15: `agents.mine` is the text "x", expected a table"#);
}

#[test]
fn text_that_is_no_toml_is_refused_with_its_place() {
    assert_snapshot!(error("[session]\nmax_open = \n"), @"config.toml:2:12: string values must be quoted, expected literal string");
    assert_snapshot!(error("[session]\nmax_open = 5\nmax_open = 6\n"), @"config.toml:3:1: duplicate key");
}

#[test]
fn every_problem_is_reported_in_the_order_of_the_file() {
    assert_snapshot!(error("[session]\nx = 1\nmax_open = 'ä'\n\n[restart]\nkill_grace = 5\n"), @r#"
    config.toml:2:1: unknown key `session.x`; valid in `session`: default_agent, permission_mode, permission_timeout, when_busy, resume, max_open, max_queued, idle_timeout, memory_budget, warm_timeout, turn_timeout, agent_start_timeout, cancel_grace, stop_grace, allowed_roots, capture_env, keep_closed, keep_closed_bytes, max_journal, max_attachments, limits
    config.toml:3:12: `session.max_open` is the text "ä", expected a whole number
    config.toml:6:14: `restart.kill_grace` is the number 5, expected a duration such as "30 min"
    "#);
}

#[test]
fn a_configuration_that_cannot_be_read_is_refused_by_name() {
    let home = tempfile::tempdir().unwrap();
    let paths = Paths::resolve(&Environment::of([("SKEP_HOME", home.path())]), None).unwrap();
    let file = paths.config_file().to_owned();
    let try_load = || {
        let error = load(&paths, &Environment::default(), &Overrides::default()).unwrap_err();
        error.to_string().replace(home.path().to_str().unwrap(), "HOME")
    };

    std::fs::create_dir(&file).unwrap();
    assert_snapshot!(try_load(), @"read the configuration file `HOME/config.toml`: it is not a regular file");
    std::fs::remove_dir(&file).unwrap();

    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_snapshot!(try_load(), @"read the configuration file `HOME/config.toml`: it is not a regular file");
    std::fs::remove_file(&file).unwrap();

    std::fs::write(&file, b"[session]\nmax_open = 5 # \xff\n").unwrap();
    assert_snapshot!(try_load(), @"HOME/config.toml:2:16: the file is not valid UTF-8 here");

    std::fs::write(&file, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert_snapshot!(try_load(), @"read the configuration file `HOME/config.toml`: it is larger than 1 MiB");

    // Root may read everything, so a link to itself stands for what cannot be read.
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(&file, &file).unwrap();
    assert_snapshot!(try_load(), @"read the configuration file `HOME/config.toml`: Too many levels of symbolic links (os error 40)");
}

#[test]
fn g13_every_key_refuses_a_wrong_type() {
    let full = parse("agents.mine.command = ['x']\n[[permissions.rules]]\ntool = '*'\naction = 'ask'\n", "t")
        .unwrap();
    let mut checked = 0;
    for line in lines(&full) {
        let Line::Pair { table, key, .. } = line else { continue };
        for wrong in ["1.5", "1979-05-27", "[[[1]]]"] {
            let text = if table == "permissions.rules" {
                format!("[[permissions.rules]]\n{key} = {wrong}\n")
            } else {
                format!("[{table}]\n{key} = {wrong}\n")
            };
            let ConfigError::Invalid { problems, .. } = parse(&text, "t").unwrap_err() else {
                panic!("{text}")
            };
            let of_key: Vec<_> = problems.iter().filter(|problem| problem.message.contains(key)).collect();
            let column = key.len() + 4;
            assert!(of_key.iter().any(|problem| problem.at == Some((2, column))), "{text}: {problems:?}");
            assert!(of_key.iter().any(|problem| problem.message.contains("expected ")), "{problems:?}");
        }
        checked += 1;
    }
    assert!(checked > 50, "{checked}");
}

#[test]
fn durations_and_sizes_are_written_as_people_write_them() {
    for (text, duration) in [
        ("30 min", Duration::from_secs(1800)),
        ("30min", Duration::from_secs(1800)),
        ("2 s", Duration::from_secs(2)),
        ("500ms", Duration::from_millis(500)),
        ("1 h 30 min", Duration::from_secs(5400)),
        ("30 days", Duration::from_secs(30 * 86_400)),
    ] {
        let settings = parse(&format!("session.idle_timeout = '{text}'"), "t").unwrap();
        assert_eq!(settings.session.idle_timeout, duration, "{text}");
    }
    for (text, size) in
        [("2 GiB", ByteSize::gib(2)), ("512KiB", ByteSize::kib(512)), ("1 MB", ByteSize::bytes(1_000_000))]
    {
        let settings = parse(&format!("session.keep_closed_bytes = '{text}'"), "t").unwrap();
        assert_eq!(settings.session.keep_closed_bytes, size, "{text}");
    }
    assert_eq!(ByteSize::bytes(1_000_000).to_string(), "1000000 B");
    assert_eq!(ByteSize::bytes(0).to_string(), "0 B");
}

#[test]
fn a_configured_agent_extends_a_built_in_one_of_its_name() {
    let settings = parse("[agents.gemini.env]\nGEMINI_API_KEY = 'k'\n", "t").unwrap();
    let gemini = &settings.agents["gemini"];
    assert_eq!(gemini.command, ["gemini", "--acp"]);
    assert_eq!(gemini.source, Source::Configured);
    assert_eq!(settings.agents["qwen"].source, Source::BuiltIn);
    assert_eq!(parse(&settings.to_toml(), "t").unwrap(), settings);
}

#[test]
fn words_in_the_file_are_those_of_the_api() {
    for mode in [
        PermissionMode::Ask,
        PermissionMode::AcceptEdits,
        PermissionMode::Plan,
        PermissionMode::Deny,
        PermissionMode::Bypass,
    ] {
        let word = serde_json::to_value(mode).unwrap();
        let text = format!("session.permission_mode = {word}");
        assert_eq!(parse(&text, "t").unwrap().session.permission_mode, mode);
    }
    for when in [WhenBusy::Refuse, WhenBusy::Queue, WhenBusy::Steer] {
        let text = format!("session.when_busy = {}", serde_json::to_value(when).unwrap());
        assert_eq!(parse(&text, "t").unwrap().session.when_busy, when);
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z ]{1,12}", "[^\0]{1,12}", Just(String::from("\"'\\\n\u{1b}é🐝"))]
}

fn rule() -> impl Strategy<Value = Rule> {
    let pattern =
        || prop::option::of(text().prop_filter_map("a pattern", |text| crate::glob::Glob::parse(&text).ok()));
    let tool = prop_oneof![
        Just(ToolPattern::Any),
        prop::sample::select(vec!["execute", "edit"]).prop_map(|kind| ToolPattern::Kind(kind.to_owned()))
    ];
    let action = prop::sample::select(vec![RuleAction::Allow, RuleAction::Deny, RuleAction::Ask]);
    (tool, pattern(), pattern(), prop::option::of(text()), action)
        .prop_map(|(tool, command, path, agent, action)| Rule { path, tool, command, agent, action })
}

fn agent() -> impl Strategy<Value = AgentPreset> {
    let variables = prop::collection::btree_map("[^=\0]{1,8}", "[^\0]{0,12}", 0..4);
    (
        "[A-Za-z0-9_-]{1,20}",
        text(),
        prop::collection::vec(text(), 1..4),
        variables,
        0u64..600_000,
        prop::option::of(text()),
    )
        .prop_map(|(name, title, command, env, grace, hint)| {
            let mut agent = crate::agents::start_from(&name).unwrap();
            // A configured agent can change the hint of a built-in one, not take it away.
            agent.hint = hint.or(agent.hint);
            AgentPreset {
                title,
                command,
                env,
                eof_grace: Duration::from_millis(grace),
                source: Source::Configured,
                ..agent
            }
        })
}

prop_compose! {
    fn settings()(
        rules in prop::collection::vec(rule(), 0..4),
        agents in prop::collection::vec(agent(), 0..4),
        seconds in prop::collection::vec(1u64..3_600, 4),
        nanos in 0u32..1_000_000_000,
        bytes in 65_536u64..(1 << 30),
        counts in (0u32..=1_000, 1u32..=1_000, 0u32..=10_000),
        mode in prop::sample::select(vec![PermissionMode::Ask, PermissionMode::Plan, PermissionMode::AcceptEdits]),
        socket in prop::option::of("/[^\0]{0,20}"),
        roots in prop::collection::vec("/[^\0]{0,20}", 0..3),
        flags in any::<(bool, bool)>(),
    ) -> Settings {
        let mut settings = Settings::default();
        settings.permissions.rules = rules;
        settings.agents.extend(agents.into_iter().map(|agent| (agent.name.clone(), agent)));
        settings.daemon.socket = socket.map(PathBuf::from);
        settings.session.allowed_roots = roots.into_iter().map(PathBuf::from).collect();
        settings.session.idle_timeout = Duration::new(seconds[0], nanos);
        settings.session.turn_timeout = flags.0.then(|| Duration::from_secs(seconds[1]));
        settings.session.resume = if flags.1 { Resume::Always } else { Resume::Never };
        settings.session.permission_mode = mode;
        settings.session.keep_closed_bytes = ByteSize::bytes(bytes);
        settings.logs.max_bytes = ByteSize::bytes(bytes);
        settings.restart.kill_grace = Duration::from_secs(seconds[2]);
        settings.pool.max_waiting = counts.2;
        settings.pool.background.count = counts.0;
        settings.pool.background.max_workers = 1_000;
        settings.pool.background.capacity = counts.1;
        settings.pool.background.permission_mode = flags.0.then_some(mode);
        settings.pool.remote_control.restart = if flags.1 { RestartPolicy::Never } else { RestartPolicy::OnFailure };
        settings.notify.bell = flags.0;
        settings
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(settings in settings()) {
        let text = settings.to_toml();
        let read = parse(&text, "t");
        prop_assert!(read.is_ok(), "{}\n{}", read.unwrap_err(), text);
        prop_assert_eq!(read.unwrap(), settings.clone());
        prop_assert_eq!(settings.changes(&settings), vec![]);
    }

    #[test]
    fn g13_no_text_makes_it_panic(text in "[a-z0-9\\[\\]=\"'.\n #{}ä_-]{0,80}") {
        let _settings = parse(&text, "t");
    }
}

#[test]
fn the_policy_that_was_called_ask_is_still_known_by_that_name() {
    let read = |policy: &str| parse(&format!("session.resume = '{policy}'"), "test");
    for (name, policy) in [
        ("ask", Resume::OnPrompt),
        ("on_prompt", Resume::OnPrompt),
        ("always", Resume::Always),
        ("never", Resume::Never),
    ] {
        assert_eq!(read(name).unwrap().session.resume, policy, "{name}");
    }
    let error = read("sometimes").unwrap_err().to_string();
    assert!(error.contains("on_prompt") && error.contains("1:"), "{error}");
}
