//! The MCP servers that an editor has for its agents, as the session is given them. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use skep_common::session::McpServer;
use skep_common::session::mcp::MAX_SERVERS;
use skep_worker::acp::message::clip;

/// A server that the agent starts: what every agent takes, and all that was offered at `initialize`.
#[derive(Debug, Deserialize)]
struct Stdio {
    name: String,
    command: String,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: Vec<Variable>,
}

#[derive(Debug, Deserialize)]
struct Variable {
    name: String,
    value: String,
}

/// What is passed on, and for each server that is not: its name and why.
pub(super) fn servers(given: &[Value]) -> (BTreeMap<String, McpServer>, Vec<String>) {
    let (mut taken, mut refused) = (BTreeMap::new(), Vec::new());
    for server in given {
        let called = clip(server["name"].as_str().unwrap_or("(without a name)"), 64);
        let read = read(server).and_then(|(name, server)| {
            server.check(&name).map_err(|why| why.to_string())?;
            Ok((name, server))
        });
        match read {
            Ok(_) if taken.len() >= MAX_SERVERS => refused.push(format!("{called} (there are too many)")),
            Ok((name, server)) => drop(taken.insert(name, server)),
            Err(why) => refused.push(format!("{called} ({why})")),
        }
    }
    (taken, refused)
}

fn read(server: &Value) -> Result<(String, McpServer), String> {
    if server.get("type").is_some_and(|kind| kind != "stdio") {
        return Err(String::from("only servers that are started as a program are passed on"));
    }
    let read: Stdio = Deserialize::deserialize(server).map_err(|error| error.to_string())?;
    // Agents take plainer names than people give.
    let plain = |c: char| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '-' };
    let server = McpServer {
        command: Some(read.command),
        args: read.args,
        env: read.env.into_iter().map(|variable| (variable.name, variable.value)).collect(),
        ..McpServer::default()
    };
    Ok((read.name.chars().map(plain).collect(), server))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn servers_are_passed_on_or_named_with_the_reason() {
        let given = [
            json!({"name": "my files", "command": "/bin/files", "args": ["-x"],
                   "env": [{"name": "ROOT", "value": "/"}]}),
            json!({"name": "keyed", "command": "k", "args": [], "env": [{"name": "API_KEY", "value": "s3cret"}]}),
            json!({"name": "far", "type": "http", "url": "https://x", "headers": []}),
            json!({"name": "", "command": "x", "args": [], "env": []}),
            json!(5),
        ];
        let (taken, refused) = servers(&given);
        assert_eq!(taken.keys().collect::<Vec<_>>(), ["my-files"]);
        let files = &taken["my-files"];
        assert_eq!(
            (files.command.as_deref(), files.args.as_slice()),
            (Some("/bin/files"), &["-x".to_owned()][..])
        );
        assert_eq!(files.env["ROOT"], "/");
        assert_eq!(refused.len(), 4, "{refused:?}");
        assert!(refused[0].starts_with("keyed (") && !refused[0].contains("s3cret"), "{refused:?}");
        let many: Vec<Value> = (0..40).map(|n| json!({"name": format!("s{n}"), "command": "x"})).collect();
        let (taken, refused) = servers(&many);
        assert_eq!((taken.len(), refused.len()), (MAX_SERVERS, 40 - MAX_SERVERS));
    }
}
