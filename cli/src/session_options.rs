//! The options of a session that go into [`SessionOptions`], for `run` and `bg`.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Deserialize;
use skep_common::session::{Limits, McpServer, Resume, SessionOptions};
use skep_common::usage::Amount;

use crate::arguments::{Busy, seconds};
use crate::error::CliError;
use crate::rule_args::RuleArgs;

/// The largest file of MCP servers, in bytes.
const MAX_MCP_FILE: u64 = 1 << 20;

/// What a new session may be given beyond agent, directory and mode.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Session options")]
pub(crate) struct SessionOptionArgs {
    /// How many prompts the session may run.
    #[arg(long, value_name = "N")]
    max_turns: Option<u64>,
    /// How many tokens the session may use, as far as its agent tells them.
    #[arg(long, value_name = "N")]
    max_tokens: Option<u64>,
    /// What the session may cost, such as `2.50`, in the currency in which its agent tells it.
    #[arg(long, value_name = "AMOUNT")]
    max_cost: Option<Amount>,
    #[command(flatten)]
    rules: RuleArgs,
    /// Deny a permission request that nobody answers in this time: `90`, `5m`.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    permission_timeout: Option<u64>,
    /// Hibernate when there was no turn for this time.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    idle_timeout: Option<u64>,
    /// What the session's prompts get while a turn runs, where they do not say.
    #[arg(long, value_name = "WHAT", value_enum)]
    busy_default: Option<Busy>,
    /// The agent's model, by the agent's own name for it.
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Set one of the agent's own options; can be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Give the agent the MCP servers of this file, `{"mcpServers": {…}}`; can be repeated.
    ///
    /// Secrets stand there as `${VARIABLE}` and are filled in when the agent starts.
    #[arg(long, value_name = "FILE")]
    mcp_config: Vec<PathBuf>,
    /// Give the agent skep's own tools: it can open, prompt, watch and close sessions of its own (`skep mcp`).
    #[arg(long)]
    delegate: bool,
    /// What brings the session back whose agent, worker or machine died; the turn that was cut off is not run again.
    #[arg(long, value_name = "POLICY", value_enum)]
    resume: Option<ResumePolicy>,
}

/// The values of `--resume`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ResumePolicy {
    /// The next prompt, with the session's context.
    OnPrompt,
    /// By itself, with its context; queued prompts go on.
    Always,
    /// The next prompt, without the context.
    Never,
}

impl From<ResumePolicy> for Resume {
    fn from(policy: ResumePolicy) -> Self {
        match policy {
            ResumePolicy::OnPrompt => Self::OnPrompt,
            ResumePolicy::Always => Self::Always,
            ResumePolicy::Never => Self::Never,
        }
    }
}

impl SessionOptionArgs {
    /// As the API wants them.
    pub(crate) fn options(&self) -> Result<SessionOptions, CliError> {
        let limits =
            Limits { max_turns: self.max_turns, max_tokens: self.max_tokens, max_cost: self.max_cost };
        let mut mcp_servers = BTreeMap::new();
        for path in &self.mcp_config {
            mcp_servers.extend(read_servers(path)?);
        }
        let options = SessionOptions {
            resume: self.resume.map(Resume::from),
            when_busy: self.busy_default.map(Into::into),
            limits,
            rules: Some(self.rules.0.clone()).filter(|rules| !rules.is_empty()),
            permission_timeout_seconds: self.permission_timeout,
            turn_timeout_seconds: None,
            idle_timeout_seconds: self.idle_timeout,
            model: self.model.clone(),
            set: self.set.iter().cloned().collect(),
            mcp_servers,
            delegate: self.delegate,
        };
        options.check().map_err(CliError::usage)?;
        Ok(options)
    }
}

pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(String::from("give it as KEY=VALUE")),
    }
}

/// The shape that `.mcp.json` files have.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct McpFile {
    #[serde(rename = "mcpServers")]
    mcp_servers: BTreeMap<String, McpServer>,
}

fn read_servers(path: &Path) -> Result<BTreeMap<String, McpServer>, CliError> {
    let refuse =
        |why: String| CliError::usage(format!("cannot use {} for --mcp-config: {why}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| refuse(error.to_string()))?;
    if !file.metadata().is_ok_and(|found| found.is_file()) {
        return Err(refuse(String::from("it is not a file")));
    }
    let mut bytes = Vec::new();
    file.take(MAX_MCP_FILE + 1).read_to_end(&mut bytes).map_err(|error| refuse(error.to_string()))?;
    if bytes.len() as u64 > MAX_MCP_FILE {
        return Err(refuse(String::from("it is over 1 MiB")));
    }
    let file: McpFile = serde_json::from_slice(&bytes).map_err(|error| refuse(error.to_string()))?;
    Ok(file.mcp_servers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(json: &str) -> Result<SessionOptions, CliError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mcp file.json");
        std::fs::write(&path, json).unwrap();
        SessionOptionArgs { mcp_config: vec![path], ..SessionOptionArgs::default() }.options()
    }

    #[test]
    fn servers_are_read_from_the_common_shape() {
        let read = options(r#"{"mcpServers":{"a":{"command":"x"},"b":{"url":"http://h"}}}"#).unwrap();
        assert_eq!(read.mcp_servers.keys().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn g13_a_file_that_is_none_is_refused_with_its_place() {
        for (json, why) in [
            ("{", "line 1 column 1"),
            (r#"{"servers":{}}"#, "unknown field `servers`"),
            (r#"{"mcpServers":{"a":{"command":"x","disabled":true}}}"#, "unknown field `disabled`"),
            (r#"{"mcpServers":{"a":{"command":"x","env":{"TOKEN":"t"}}}}"#, "looks like a secret"),
        ] {
            let error = options(json).unwrap_err();
            assert_eq!(error.exit().status(), 2);
            assert!(error.to_string().contains(why), "{json}: {error}");
        }
        let missing =
            SessionOptionArgs { mcp_config: vec!["/nonexistent".into()], ..SessionOptionArgs::default() };
        assert!(missing.options().is_err());
        assert_eq!(pair("a=b=c").unwrap(), ("a".into(), "b=c".into()));
        assert!(pair("a").is_err() && pair("=b").is_err());
    }
}
