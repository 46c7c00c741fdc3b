//! What a session is given beyond its directory: a model, the agent's own options, MCP servers.

use skep_common::session::{SessionSpec, TurnOutcome};

use crate::common::{Worker, agent};

fn with(json: &str) -> impl FnOnce(&mut SessionSpec) {
    let options = serde_json::from_str(json).unwrap();
    move |spec| spec.options = options
}

#[test]
fn a_model_is_set_in_the_way_that_the_agent_offers() {
    let home = tempfile::tempdir().unwrap();
    let flag = "model_args = [\"model={model}\"]";
    let config = [
        agent("models", &["models"], ""),
        agent("settings", &["settings"], ""),
        agent("both", &["models", "settings"], ""),
        agent("flag", &["flag"], flag),
    ];
    let (mut worker, _) = Worker::start(&home, &config.concat());
    for (agent, json, log) in [
        ("models", r#"{"model":"big"}"#, "model big"),
        ("models", r#"{"model":"small"}"#, ""),
        ("settings", r#"{"model":"big"}"#, "llm \"big\""),
        ("both", r#"{"model":"big"}"#, "llm \"big\""),
        ("settings", r#"{"set":{"brave":"true"}}"#, "brave true"),
        ("flag", r#"{"model":"big"}"#, ""),
    ] {
        let session = worker.open(agent, with(json));
        worker.run(session, "log");
        assert_eq!(worker.texts(session), [log], "{agent} {json}");
        if agent == "flag" {
            worker.run(session, "args");
            assert!(worker.texts(session)[1].ends_with("fake flag model=big"));
        }
        worker.close(session, skep_common::session::Cause::Person);
    }
    worker.shut_down();
}

#[test]
fn what_an_agent_does_not_offer_ends_the_turn_and_is_named() {
    let home = tempfile::tempdir().unwrap();
    let config = [
        agent("models", &["models"], ""),
        agent("settings", &["settings"], ""),
        agent("stubborn", &["settings", "stubborn"], ""),
    ];
    let (mut worker, _) = Worker::start(&home, &config.concat());
    for (agent, json, why) in [
        ("models", r#"{"model":"huge"}"#, "it does not offer the model `huge`; it offers small, big"),
        ("settings", r#"{"model":"huge"}"#, "it does not offer the model `huge`; it offers small, big"),
        ("fake", r#"{"model":"huge"}"#, "it lets nobody choose its model"),
        ("settings", r#"{"set":{"nope":"x"}}"#, "it has no option `nope`; it offers llm, brave"),
        (
            "settings",
            r#"{"set":{"brave":"x"}}"#,
            "its option `brave` does not take `x`; it offers true, false",
        ),
        ("stubborn", r#"{"model":"big"}"#, "`model` could not be set to `big`: it says that it is `small`"),
    ] {
        let session = worker.open(agent, with(json));
        let (outcome, detail) = worker.detail(session, "say hi");
        assert_eq!(outcome, TurnOutcome::Failed, "{agent} {json}");
        assert!(detail.contains(why), "{agent} {json}: {detail}");
        worker.close(session, skep_common::session::Cause::Person);
    }
    worker.shut_down();
}

#[test]
fn mcp_servers_are_given_again_when_the_session_is_brought_back_and_no_secret_is_kept() {
    let home = tempfile::tempdir().unwrap();
    let secret = format!("s3cret-{}", std::process::id());
    let config = format!(
        "[agents.given]\ncommand = [\"{}\", \"fake\"]\nenv = {{ GIVEN = \"{secret}\" }}\n\
         [mcp.all]\ncommand = \"for-all\"\n[mcp.events]\ntype = \"sse\"\nurl = \"http://h\"\n",
        crate::common::HELPER
    );
    let (mut worker, _) = Worker::start(&home, &config);
    let json = r#"{"mcp_servers":{"mine":{"command":"m","env":{"A_TOKEN":"<${GIVEN}>"}},
        "lost":{"url":"http://h/${NOWHERE_SET}"},"web":{"url":"http://h/mcp"}}}"#;
    let session = worker.open("given", with(json));
    worker.run(session, "count-servers");
    assert_eq!(worker.texts(session), [format!("all mine web <{}>", secret.len())]);
    assert_eq!(worker.run(session, "exit 1"), TurnOutcome::Interrupted);
    worker.run(session, "count-servers");
    assert_eq!(worker.texts(session).last().unwrap(), &format!("all mine web <{}>", secret.len()));
    let notes = worker.notes(session).join("\n");
    assert!(
        notes.contains("`events` is not passed on: the agent cannot use servers of type `sse`"),
        "{notes}"
    );
    assert!(notes.contains("`lost` is not passed on: the variable `NOWHERE_SET` is not set"), "{notes}");
    worker.shut_down();
    for path in files(home.path()) {
        let text = std::fs::read(&path).unwrap();
        let found = text.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{} has the secret", path.display());
    }
}

fn files(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => found.extend(files(&entry.path())),
            kind if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}
