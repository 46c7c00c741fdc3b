//! A session's own permission rules, which come before the configured ones. What a pattern means is the configuration's
//! to say; here they are only carried.

use serde::{Deserialize, Serialize};

/// The most rules that a session takes.
pub const MAX_RULES: usize = 100;

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RuleVerdict {
    /// The agent may.
    Allow,
    /// The agent may not.
    Deny,
    /// A person decides, whatever the session's mode says.
    Ask,
}

/// One rule of a session; the first that fits decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SessionRule {
    /// ACP's tool kind, or `*` for any.
    pub tool: String,
    /// A pattern for the whole command line (or the request's title); without it any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// A pattern for every file that the tool call names, relative to the session's directory; without it any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What it says.
    pub action: RuleVerdict,
}
