//! What a client gives of its own environment for the session's agent: what the daemon lists, and nothing else.
//!
//! The values go over the Unix socket with the prompt. They are never printed and never part of a command line.

use skep_common::api::AgentList;
use skep_common::environment::{CapturedEnvironment, Secret, is_listed};
use skep_config::{Environment, env};

use crate::client::Client;
use crate::context::Context;
use crate::error::CliError;

/// What this client has for the agent; the default one where none is named. None inside a session: an agent's
/// environment is not its user's.
pub(crate) async fn environment(
    ctx: &Context,
    client: &Client,
    agent: Option<&str>,
) -> Result<Option<CapturedEnvironment>, CliError> {
    if ctx.environment.get(env::SKEP_SESSION).is_some() {
        return Ok(None);
    }
    let list: AgentList = client.get("/agents").await?;
    let (given, unreadable) = select(&ctx.environment, &list, agent);
    for name in unreadable {
        ctx.screen.say(format!("the variable {name} is not UTF-8 and is not passed on to the agent"));
    }
    let given = CapturedEnvironment::new(given)
        .map_err(|why| CliError::usage(format!("the environment cannot be passed on: {why}")))?;
    Ok(Some(given))
}

/// The variables that are listed, and the names of those whose value is no text. Pure.
fn select(
    environment: &Environment,
    list: &AgentList,
    agent: Option<&str>,
) -> (Vec<(String, Secret)>, Vec<String>) {
    let is_meant =
        |info: &&skep_common::api::AgentInfo| agent.map_or(info.default, |agent| info.name == agent);
    let keys = list.agents.iter().find(is_meant).map(|info| info.keys.as_slice()).unwrap_or_default();
    let (mut given, mut unreadable) = (Vec::new(), Vec::new());
    for (name, value) in environment.iter() {
        let Some(name) = name.to_str() else { continue };
        if !is_listed(name, list.capture.iter().chain(keys).map(String::as_str)) {
            continue;
        }
        match value.to_str() {
            Some(value) => given.push((name.to_owned(), Secret::new(value.to_owned()))),
            None => unreadable.push(name.to_owned()),
        }
    }
    (given, unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;

    #[test]
    fn only_what_the_daemon_lists_for_this_agent_is_given() {
        let list: AgentList = serde_json::from_value(serde_json::json!({
            "capture": ["PATH", "LC_*"],
            "agents": [
                {"name": "a", "title": "a", "found": true, "command": ["a"], "default": true, "source": "x",
                 "keys": ["A_KEY"]},
                {"name": "b", "title": "b", "found": true, "command": ["b"], "default": false, "source": "x",
                 "keys": ["B_KEY", "B_EMPTY"]},
            ],
        }))
        .unwrap();
        let environment = Environment::of(
            [
                ("PATH", "/bin"),
                ("A_KEY", "a"),
                ("B_KEY", "b"),
                ("B_EMPTY", ""),
                ("OTHER", "o"),
                ("SKEP_HOME", "s"),
            ]
            .map(|(name, value)| (OsString::from(name), OsString::from(value)))
            .into_iter()
            .chain([(OsString::from("LC_ALL"), OsString::from_vec(vec![0xff]))]),
        );
        let names = |agent| {
            let (given, unreadable) = select(&environment, &list, agent);
            assert_eq!(unreadable, ["LC_ALL"]);
            given.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names(None), ["A_KEY", "PATH"]);
        assert_eq!(names(Some("b")), ["B_EMPTY", "B_KEY", "PATH"]);
        assert_eq!(names(Some("none")), ["PATH"]);
    }
}
