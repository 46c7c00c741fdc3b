//! All settings, resolved.

use std::collections::BTreeMap;

use crate::agents::{self, AgentPreset};
use crate::api::ApiSettings;
use crate::daemon::DaemonSettings;
use crate::delegation::DelegationSettings;
use crate::hooks::{self, HookSettings, MAX_HOOKS};
use crate::logs::LogSettings;
use crate::mcp::{self, McpServers};
use crate::notify::NotifySettings;
use crate::permissions::PermissionSettings;
use crate::pool::PoolSettings;
use crate::restart::RestartSettings;
use crate::schema::{Schema, Visitor};
use crate::session::SessionSettings;
use crate::value::nearest;

/// Everything that can be configured, merged and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `[daemon]`.
    pub daemon: DaemonSettings,
    /// `[api]`.
    pub api: ApiSettings,
    /// `[restart]`.
    pub restart: RestartSettings,
    /// `[pool]`.
    pub pool: PoolSettings,
    /// `[session]`.
    pub session: SessionSettings,
    /// `[delegation]`.
    pub delegation: DelegationSettings,
    /// `[permissions]`.
    pub permissions: PermissionSettings,
    /// `[agents.NAME]`: the built-in ones and the configured ones, by name.
    pub agents: BTreeMap<String, AgentPreset>,
    /// `[mcp.NAME]`: MCP servers that every session's agent is given.
    pub mcp: McpServers,
    /// `[notify]`.
    pub notify: NotifySettings,
    /// `[hooks.NAME]`: who is told of what happens.
    pub hooks: BTreeMap<String, HookSettings>,
    /// `[logs]`.
    pub logs: LogSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            daemon: DaemonSettings::default(),
            api: ApiSettings::default(),
            restart: RestartSettings::default(),
            pool: PoolSettings::default(),
            session: SessionSettings::default(),
            delegation: DelegationSettings::default(),
            permissions: PermissionSettings::default(),
            agents: agents::built_in().clone(),
            mcp: McpServers::new(),
            notify: NotifySettings::default(),
            hooks: BTreeMap::new(),
            logs: LogSettings::default(),
        }
    }
}

impl Schema for Settings {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.section("daemon", &mut self.daemon);
        v.section("session", &mut self.session);
        v.section("delegation", &mut self.delegation);
        v.section("permissions", &mut self.permissions);
        v.section("pool", &mut self.pool);
        v.section("restart", &mut self.restart);
        v.section("api", &mut self.api);
        v.section("notify", &mut self.notify);
        v.section("logs", &mut self.logs);
        v.entries("agents", &mut self.agents, agents::start_from);
        v.entries("mcp", &mut self.mcp, mcp::start_from);
        v.entries("hooks", &mut self.hooks, hooks::start_from);
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if let Err(unknown) = self.agent(&self.session.default_agent) {
            wrong.push(("session.default_agent", unknown));
        }
        if self.hooks.len() > MAX_HOOKS {
            wrong.push(("hooks", format!("there are more than {MAX_HOOKS}")));
        }
        wrong
    }
}

impl Settings {
    /// The agent of that name.
    ///
    /// # Errors
    ///
    /// When there is none: a sentence that names the nearest and all others.
    pub fn agent(&self, name: &str) -> Result<&AgentPreset, String> {
        let names = || self.agents.keys().map(String::as_str);
        self.agents.get(name).ok_or_else(|| {
            let meant = match nearest(name, names()) {
                Some(near) => format!("; did you mean `{near}`?"),
                None => String::from(";"),
            };
            format!("there is no such agent{meant} there are {}", names().collect::<Vec<_>>().join(", "))
        })
    }
}
