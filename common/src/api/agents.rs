//! `/agents`.

use serde::{Deserialize, Serialize};

/// An agent that skep knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AgentInfo {
    /// Its name.
    pub name: String,
    /// What it is, for people.
    pub title: String,
    /// Whether its command was found.
    pub found: bool,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Its command line.
    pub command: Vec<String>,
    /// How skep speaks with it: `acp`, `oneshot`, `claude-stream`.
    #[serde(default)]
    pub driver: String,
    /// The version that skep was tested with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tested: Option<String>,
    /// What is odd about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quirks: Vec<String>,
    /// The variables with its keys, which a client may give beside [`AgentList::capture`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// What to do when it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether it is the default.
    pub default: bool,
    /// Where it is defined: `built-in` or the configuration file.
    pub source: String,
    /// What a probe found. The daemon probes nothing; `skep agents --probe` fills it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<AgentProbe>,
}

/// What an agent said when it was started for a look.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AgentProbe {
    /// Its version: what its program says, else what it says as an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What it can do: `load`, `resume`, `list`, `close`, `image`, `audio`, `embedded_context`, `mcp_http`, `mcp_sse`.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// The ids of the methods by which it can be authenticated.
    #[serde(default)]
    pub auth_methods: Vec<String>,
    /// How long it took to answer, in milliseconds; none if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_ms: Option<u64>,
    /// Why it could not be probed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// `GET /agents`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AgentList {
    /// The agents, by name.
    pub agents: Vec<AgentInfo>,
    /// The variables that a client may give to any agent: names, or beginnings of names with a `*`.
    #[serde(default)]
    pub capture: Vec<String>,
}
