//! The agents: how a user would configure each for a model of their own.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

/// The key of every agent's model: the agent gets it, and nobody else sees it.
pub const KEY: &str = "sk-ant-secret-5f1c";

/// One agent.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    /// Its name in the configuration.
    pub name: &'static str,
    /// Its program and arguments.
    pub command: &'static [&'static str],
    /// Variables that it needs; `URL` stands for the model's address.
    pub env: &'static [(&'static str, &'static str)],
    /// Writes its configuration files into the home directory, for the model at that address.
    pub configure: fn(&Path, &str),
    /// The model's directive for a tool call that this agent asks permission for.
    pub run: &'static str,
    /// It loses a session that is loaded in the minute of the clock in which it was made.
    pub loses_young_sessions: bool,
    /// It takes an answer that broke off for a whole one.
    pub takes_half_for_whole: bool,
    /// Two models that can be chosen: by the agent's name for it, and as it stands in the request to the model; none if it
    /// has but the one that its user configured.
    pub models: Option<[(&'static str, &'static str); 2]>,
}

/// Qwen Code.
pub const QWEN: Recipe = Recipe {
    name: "qwen",
    command: &["qwen", "--acp"],
    env: &[("OPENAI_API_KEY", KEY), ("OPENAI_BASE_URL", "URL/v1"), ("OPENAI_MODEL", "stub-model")],
    configure: |home, _| {
        let settings = json!({
            "security": {"auth": {"selectedType": "openai"}},
            "general": {"enableAutoUpdate": false},
            "privacy": {"usageStatisticsEnabled": false},
            "telemetry": {"enabled": false},
            // Its own default lets a model approve.
            "tools": {"approvalMode": "default"},
        });
        write(&home.join(".qwen/settings.json"), &settings);
    },
    run: "run",
    loses_young_sessions: false,
    takes_half_for_whole: false,
    models: None,
};

/// Gemini CLI.
pub const GEMINI: Recipe = Recipe {
    name: "gemini",
    command: &["gemini", "--acp"],
    env: &[
        ("GEMINI_API_KEY", KEY),
        ("GOOGLE_GEMINI_BASE_URL", "URL"),
        ("GEMINI_MODEL", "gemini-2.5-flash"),
        ("GEMINI_CLI_TRUST_WORKSPACE", "true"),
    ],
    configure: |home, _| {
        let settings = json!({
            "security": {"auth": {"selectedType": "gemini-api-key"}},
            "general": {"enableAutoUpdate": false, "enableAutoUpdateNotification": false},
            "privacy": {"usageStatisticsEnabled": false},
            "telemetry": {"enabled": false},
        });
        write(&home.join(".gemini/settings.json"), &settings);
    },
    run: "run",
    loses_young_sessions: true,
    takes_half_for_whole: true,
    models: Some([
        ("gemini-2.5-pro", "/gemini-2.5-pro:"),
        ("gemini-3-flash-preview", "/gemini-3-flash-preview:"),
    ]),
};

/// opencode.
pub const OPENCODE: Recipe = Recipe {
    name: "opencode",
    command: &["opencode", "acp"],
    env: &[
        ("OPENCODE_DISABLE_AUTOUPDATE", "1"),
        ("OPENCODE_DISABLE_MODELS_FETCH", "1"),
        ("OPENCODE_DISABLE_LSP_DOWNLOAD", "1"),
        ("OPENCODE_DISABLE_DEFAULT_PLUGINS", "1"),
    ],
    configure: |home, url| {
        let model = json!({"name": "Stub", "tool_call": true, "limit": {"context": 100_000, "output": 8000}});
        let models = json!({"stub-model": model, "other-model": model});
        let settings = json!({
            "provider": {"stub": {
                "npm": "@ai-sdk/openai-compatible",
                "name": "Stub",
                "options": {"baseURL": format!("{url}/v1"), "apiKey": "none"},
                "models": models,
            }},
            "model": "stub/stub-model",
            "small_model": "stub/stub-model",
            "autoupdate": false,
            "share": "disabled",
            "permission": {"bash": "ask", "edit": "ask"},
        });
        write(&home.join(".config/opencode/opencode.json"), &settings);
    },
    run: "run",
    loses_young_sessions: false,
    takes_half_for_whole: false,
    models: Some([("stub/other-model", "by other-model"), ("stub/stub-model", "by stub-model")]),
};

/// Claude Code through its ACP adapter.
pub const CLAUDE: Recipe = Recipe {
    name: "claude",
    command: &["claude-agent-acp"],
    env: &[
        ("ANTHROPIC_BASE_URL", "URL"),
        ("ANTHROPIC_API_KEY", KEY),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        ("DISABLE_AUTOUPDATER", "1"),
    ],
    configure: |home, _| {
        let keys = json!({"approved": [KEY], "rejected": []});
        let settings = json!({"hasCompletedOnboarding": true, "customApiKeyResponses": keys});
        write(&home.join(".claude.json"), &settings);
    },
    run: "run",
    loses_young_sessions: false,
    takes_half_for_whole: false,
    models: Some([("opus", "by claude-opus"), ("haiku", "by claude-haiku")]),
};

/// Claude Code without the adapter: the program that the adapter's package brings along.
pub const CLAUDE_CLI: Recipe = Recipe {
    name: "claude-cli",
    command: &[
        "../@anthropic-ai/claude-agent-sdk-linux-x64/claude",
        "-p",
        "--input-format",
        "stream-json",
        "--output-format",
        "stream-json",
        "--verbose",
        "--include-partial-messages",
        "--permission-prompt-tool",
        "stdio",
    ],
    models: Some([("first-model", "by first-model"), ("second-model", "by second-model")]),
    ..CLAUDE
};

/// Codex through its ACP adapter.
pub const CODEX: Recipe = Recipe {
    name: "codex",
    command: &["codex-acp"],
    env: &[
        ("STUB_KEY", KEY),
        ("OPENAI_API_KEY", KEY),
        ("CODEX_API_KEY", KEY),
        ("MODEL_PROVIDER", "stub"),
        ("NO_BROWSER", "1"),
        // Its own default lets a model approve.
        ("INITIAL_AGENT_MODE", "workspace-write"),
    ],
    configure: |home, url| {
        let settings = format!(
            "model = \"stub-model\"\nmodel_provider = \"stub\"\ncheck_for_update_on_startup = false\n\
             approval_policy = \"on-request\"\nsandbox_mode = \"workspace-write\"\n\
             [model_providers.stub]\nname = \"Stub\"\nbase_url = \"{url}/v1\"\nwire_api = \"responses\"\n\
             env_key = \"STUB_KEY\"\nrequest_max_retries = 0\nstream_max_retries = 0\n\
             [analytics]\nenabled = false\n[otel]\nexporter = \"none\"\n"
        );
        write_text(&home.join(".codex/config.toml"), &settings);
    },
    // It asks only where a command is to leave its sandbox.
    run: "escape",
    loses_young_sessions: false,
    takes_half_for_whole: false,
    models: Some([("gpt-6.1-sol[low]", "by gpt-6.1-sol"), ("gpt-6.1-sol[high]", "by gpt-6.1-sol")]),
};

/// All of them.
pub const ALL: [Recipe; 6] = [QWEN, GEMINI, OPENCODE, CLAUDE, CLAUDE_CLI, CODEX];

impl Recipe {
    /// Its table in the configuration, with its command run by `wrapper`; more keys may follow.
    ///
    /// # Panics
    ///
    /// When a path is not UTF-8.
    #[must_use]
    pub fn table(&self, programs: &Path, url: &str, wrapper: &[&Path]) -> String {
        let wrapper = wrapper.iter().map(|path| path.to_str().expect("a path in UTF-8").to_owned());
        let command: Vec<String> = wrapper.chain(self.words(programs)).collect();
        let variables = self.variables(programs, url);
        let variables: Vec<String> = variables
            .iter()
            .map(|(name, value)| format!("{name} = {}", Value::from(value.as_str())))
            .collect();
        let env = variables.join(", ");
        format!("[agents.{}]\ncommand = {}\nenv = {{ {env} }}\n", self.name, Value::from(command))
    }

    /// Its program and arguments.
    ///
    /// # Panics
    ///
    /// When a path is not UTF-8.
    #[must_use]
    pub fn words(&self, programs: &Path) -> Vec<String> {
        let program = programs.join(self.command[0]).to_str().expect("a path in UTF-8").to_owned();
        std::iter::once(program).chain(self.command[1..].iter().map(|word| (*word).to_owned())).collect()
    }

    /// All that is set in its environment for the model at `url`.
    #[must_use]
    pub fn variables(&self, programs: &Path, url: &str) -> Vec<(&'static str, String)> {
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display());
        let own = self.env.iter().map(|(name, value)| (*name, value.replace("URL", url)));
        let common =
            [("PATH", path), ("NO_UPDATE_NOTIFIER", "1".to_owned()), ("DO_NOT_TRACK", "1".to_owned())];
        own.chain(common).collect()
    }
}

fn write(path: &Path, content: &Value) {
    write_text(path, &content.to_string());
}

fn write_text(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().expect("a file lies in a directory")).expect("a directory");
    fs::write(path, content).expect("the agent's configuration is written");
}
