//! The MCP servers that an agent is given: the configured ones and the session's own, filled in from the agent's
//! environment, in ACP's shape. Pure. What comes out may hold secrets: it goes to the agent and nowhere else.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use serde_json::{Value, json};
use skep_common::session::{McpServer, McpTransport, SessionOptions};
use skep_config::env::{SKEP_HOME, SKEP_SESSION, XDG_STATE_HOME};
use skep_config::mcp::McpServers;

use super::wire::Abilities;

/// The name of skep's own server.
const SKEP: &str = "skep";

type Variables = BTreeMap<String, String>;

/// The servers of a session, ready to be passed on.
#[derive(Default, Clone, PartialEq, Eq)]
pub(crate) struct Servers {
    ready: Vec<(String, McpServer)>,
    /// The names of the session's own.
    own: Vec<String>,
    /// Why others are not passed on.
    left_out: Vec<String>,
}

/// Names only: values may be secrets.
impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ready.iter().map(|(name, _)| name)).finish()
    }
}

impl Servers {
    /// The session's servers, filled in from its environment, in which a later value of a variable wins; and skep's own
    /// one, where the session is to have it.
    pub(crate) fn of(
        configured: &McpServers,
        options: &SessionOptions,
        env: &[(OsString, OsString)],
        skep: Own<'_>,
    ) -> Self {
        let lookup = |name: &str| {
            let found = env.iter().rev().find(|(known, _)| known == name);
            found.and_then(|(_, value)| value.clone().into_string().ok())
        };
        let own = |name: &String| options.mcp_servers.contains_key(name);
        let own_names = options.mcp_servers.keys().cloned().collect();
        let mut servers = Self { own: own_names, ..Self::default() };
        let configured = configured.iter().filter(|(name, _)| !own(name));
        for (name, server) in configured.chain(&options.mcp_servers) {
            match server.expanded(lookup) {
                Ok(server) => servers.ready.push((name.clone(), server)),
                Err(unset) => servers.leave_out(name, &unset.to_string()),
            }
        }
        if options.delegate && !servers.ready.iter().any(|(name, _)| name == SKEP) {
            servers.own.push(String::from(SKEP));
            match skep.server() {
                Some(server) => servers.ready.push((String::from(SKEP), server)),
                None => servers.leave_out(SKEP, "skep's own path is no text"),
            }
        }
        // Agents start servers with few variables: what is skep's own needs to know where its state is.
        for (_, server) in &mut servers.ready {
            if let Some((name, dir)) = skep.place().filter(|_| is_skep(server)) {
                server.env.entry(name).or_insert(dir);
            }
        }
        servers
    }

    fn leave_out(&mut self, name: &str, why: &str) {
        self.left_out.push(format!("the MCP server `{name}` is not passed on: {why}"));
    }

    /// The parameter `mcpServers` for an agent that can do this, and remarks for people about what it does not get.
    /// Programs get the session's mark, by which they are known to be its own even where the agent is several sessions'.
    pub(crate) fn offer(&self, abilities: &Abilities, mark: &(String, String)) -> (Value, Vec<String>) {
        let mut offered = self.clone();
        let mut list = Vec::new();
        for (name, server) in &self.ready {
            let how = match server.transport() {
                McpTransport::Stdio => None,
                McpTransport::Http => Some(("http", abilities.mcp_http)),
                McpTransport::Sse => Some(("sse", abilities.mcp_sse)),
            };
            match how {
                None => list.push(json!({
                    "name": name, "command": server.command, "args": server.args,
                    "env": pairs(&marked(&server.env, mark)),
                })),
                Some((how, true)) => list.push(json!({
                    "type": how, "name": name, "url": server.url, "headers": pairs(&server.headers),
                })),
                Some((how, false)) => {
                    offered.leave_out(name, &format!("the agent cannot use servers of type `{how}`"));
                }
            }
        }
        (Value::Array(list), offered.left_out)
    }

    /// The remark that an agent without ACP gets none; nothing where the session has none of its own.
    pub(crate) fn unused(&self) -> Option<String> {
        (!self.own.is_empty()).then(|| {
            let names = self.own.join(", ");
            format!("the agent gets no MCP servers ({names}): it does not speak ACP")
        })
    }
}

/// Where skep itself is, for a server that is skep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Own<'a> {
    /// Its program.
    pub(crate) exe: &'a Path,
    /// Its state directory.
    pub(crate) state_dir: &'a Path,
}

impl Own<'_> {
    fn server(self) -> Option<McpServer> {
        let command = Some(self.exe.to_str()?.to_owned());
        Some(McpServer { command, args: vec![String::from("mcp")], ..McpServer::default() })
    }

    /// The variable by which skep finds its state directory.
    fn place(self) -> Option<(String, String)> {
        let (name, dir) = match self.state_dir.parent() {
            Some(above) if self.state_dir.ends_with(SKEP) => (XDG_STATE_HOME, above),
            _ => (SKEP_HOME, self.state_dir),
        };
        Some((name.to_owned(), dir.to_str()?.to_owned()))
    }
}

fn is_skep(server: &McpServer) -> bool {
    server.command.as_deref().is_some_and(|command| Path::new(command).ends_with(SKEP))
}

fn marked(env: &Variables, (name, session): &(String, String)) -> Variables {
    let mut env = env.clone();
    if name == SKEP_SESSION {
        env.insert(name.clone(), session.clone());
    }
    env
}

fn pairs(map: &Variables) -> Vec<Value> {
    map.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
}

#[cfg(test)]
mod tests {
    use agent_client_protocol_schema::v1;

    use super::*;

    fn servers(env: &[(&str, &str)]) -> Servers {
        let configured = skep_config::parse(
            "[mcp.own]\ncommand = 'old'\n[mcp.all]\nurl = 'http://h/${PATH_PART}'\n[mcp.events]\ntype = 'sse'\nurl = 'http://h'\n",
            "t",
        );
        let options: SessionOptions = serde_json::from_str(
            r#"{"mcp_servers":{"own":{"command":"new","args":["-x"],"env":{"TOKEN":"${TOKEN}"}}}}"#,
        )
        .unwrap();
        let env: Vec<_> = env.iter().map(|(name, value)| (name.into(), value.into())).collect();
        Servers::of(
            &configured.unwrap().mcp,
            &options,
            &env,
            Own { exe: Path::new("/skep"), state_dir: Path::new("/s") },
        )
    }

    fn mark() -> (String, String) {
        (String::from(SKEP_SESSION), String::from("s-1"))
    }

    fn variables(server: &Value) -> Vec<(&str, &str)> {
        let pairs = server["env"].as_array().unwrap().iter();
        pairs.map(|pair| (pair["name"].as_str().unwrap(), pair["value"].as_str().unwrap())).collect()
    }

    #[test]
    fn n9_programs_are_told_their_session_and_what_sessions_share_does_not_differ_by_it() {
        let json = r#"{"delegate":true,"mcp_servers":{"a":{"command":"x"},"b":{"url":"http://h"}}}"#;
        let options: SessionOptions = serde_json::from_str(json).unwrap();
        let with = |state_dir: &str| {
            let own = Own { exe: Path::new("/bin/skep"), state_dir: Path::new(state_dir) };
            Servers::of(&McpServers::new(), &options, &[], own)
        };
        let able = Abilities { mcp_http: true, ..Abilities::default() };
        let (list, _) = with("/a b").offer(&able, &mark());
        assert_eq!(variables(&list[0]), [(SKEP_SESSION, "s-1")]);
        assert_eq!(list[1]["headers"], json!([]));
        assert_eq!((&list[2]["command"], &list[2]["args"]), (&json!("/bin/skep"), &json!(["mcp"])));
        assert_eq!(variables(&list[2]), [(SKEP_HOME, "/a b"), (SKEP_SESSION, "s-1")]);
        let (list, _) =
            with("/x/skep").offer(&able, &(String::from("SKEP_AGENT_PROCESS"), String::from("p")));
        assert_eq!(variables(&list[0]), []);
        assert_eq!(variables(&list[2]), [(XDG_STATE_HOME, "/x")]);
        assert!(with("/x/skep").unused().unwrap().contains("skep") && with("/x") == with("/x"));
    }

    #[test]
    fn servers_are_passed_on_as_the_schema_says_if_the_agent_can_use_them() {
        let servers = servers(&[("TOKEN", "old"), ("PATH_PART", "mcp"), ("TOKEN", "s3cret")]);
        let able = Abilities { mcp_http: true, mcp_sse: true, ..Abilities::default() };
        let (list, notes) = servers.offer(&able, &mark());
        assert!(notes.is_empty(), "{notes:?}");
        let typed: Vec<v1::McpServer> = serde_json::from_value(list.clone()).unwrap();
        assert_eq!(typed.len(), 3);
        let own = list.as_array().unwrap().iter().find(|server| server["name"] == "own").unwrap();
        assert_eq!((&own["command"], &own["env"][1]["value"]), (&json!("new"), &json!("s3cret")));
        assert!(!format!("{servers:?}").contains("s3cret"));
    }

    #[test]
    fn what_an_agent_does_not_get_is_told() {
        let (list, notes) =
            servers(&[("TOKEN", "x")]).offer(&Abilities { mcp_http: true, ..Abilities::default() }, &mark());
        assert_eq!(list.as_array().unwrap().len(), 1);
        let notes = notes.join("\n");
        assert!(notes.contains("`all` is not passed on: the variable `PATH_PART` is not set"), "{notes}");
        assert!(notes.contains("`events` is not passed on: the agent cannot use"), "{notes}");
        assert_eq!(Servers::default().unused(), None);
        assert!(servers(&[("TOKEN", "x")]).unused().unwrap().contains("own"));
    }
}
