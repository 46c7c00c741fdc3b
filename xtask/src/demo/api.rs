//! `cargo xtask demo api`: a stranger with curl and a token works with sessions over TCP, and is refused where it ought
//! to be. Every line that begins with `$` was run as it stands, in a shell.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use skep_tests::env::TestEnv;

use crate::run::say;

/// Shows the API.
pub(super) fn show() -> Result<()> {
    let env = TestEnv::new();
    let _started = env.skep(["daemon", "start", "--port", "0"]).run().ok();
    let status = env.skep(["daemon", "status", "--json"]).run().ok().json();
    let url = status["endpoint"].as_str().context("an endpoint")?.to_owned();
    say(&format!("skep listens on {url}; its token lies in a file that only its user reads."));
    let own = format!("authorization: Bearer {}", env.token());
    let skep = env.bin().display().to_string();
    let mut shell = Shell { env: &env, variables: vec![("SKEP", skep), ("URL", url), ("AUTH", own)] };
    who_comes_in(&shell)?;
    a_run(&mut shell)?;
    a_question(&mut shell)?;
    shell.show(
        "Numbers for Prometheus.",
        "curl -s -H \"$AUTH\" $URL/metrics | grep ^skep_sessions",
        "idle",
    )?;
    let document = "curl -s -H \"$AUTH\" $URL/openapi.json | grep '\"openapi\"'";
    shell.show("All of it is described in OpenAPI.", document, "3.1")?;
    say("\nThe daemon stops, and leaves nothing:");
    super::shell(&env, &["daemon", "stop"]);
    env.nothing_remains();
    Ok(())
}

fn who_comes_in(shell: &Shell<'_>) -> Result<()> {
    let list = "curl -s $URL/api/v1/sessions";
    shell.show("Without a token nobody comes in.", list, "unauthorized")?;
    let page = format!("{list} -H \"$AUTH\" -H 'origin: https://evil.example'");
    shell.show("A web page of elsewhere does not even with one.", &page, "origin_not_allowed")?;
    let rebound = format!("{list} -H \"$AUTH\" -H 'host: evil.example'");
    shell.show("Nor does a name that was pointed at this machine.", &rebound, "host")
}

fn a_run(shell: &mut Shell<'_>) -> Result<()> {
    let run = r#"curl -s -H "$AUTH" -H 'content-type: application/json' "$URL/api/v1/runs?wait=60" -d '{
    "session": {"name": "ci", "cwd": "'"$PWD"'", "agent": "shell", "permission_mode": "bypass"},
    "prompt": {"content": [{"type": "text", "text": "echo hello from the API"}]}}'"#;
    let what = "One request makes a session, prompts it and answers with the outcome.";
    shell.show(what, run, "completed")?;
    let create = "$SKEP token create --session ci --scope read --ttl 1h --json";
    shell.show("A token that reads this one session, for an hour.", create, "\"read\"")?;
    let key =
        shell.env.skep(["token", "create", "--session", "ci", "--scope", "read", "--json"]).run().ok().json();
    let token = key["token"].as_str().context("a token")?;
    shell.variables.push(("READ", format!("authorization: Bearer {token}")));
    let stream = "curl -sN --max-time 2 -H \"$READ\" -H 'accept: text/event-stream' -H 'last-event-id: 5' \
                  $URL/api/v1/sessions/ci/events";
    shell.show(
        "With it, the events as a stream; this client comes back after event 5.",
        stream,
        "turn_ended",
    )?;
    let prompt = r#"curl -s -H "$READ" -H 'content-type: application/json' $URL/api/v1/sessions/ci/prompts -d '{
    "content": [{"type": "text", "text": "rm -rf ."}]}'"#;
    shell.show("It does not prompt.", prompt, "forbidden")
}

fn a_question(shell: &mut Shell<'_>) -> Result<()> {
    let begin = "$SKEP bg --name ask 'touch made'; $SKEP wait ask --timeout 30s; curl -s -H \"$AUTH\" $URL/api/v1/permissions";
    shell.show("An agent asks. The question is a resource, and so is its answer.", begin, "touch made")?;
    let asked: Value = shell.env.api().get("/permissions").is(200).json();
    let id = asked["permissions"][0]["permission"]["id"].as_str().context("the question's id")?;
    shell.variables.push(("PERMISSION", id.to_owned()));
    let answer = r#"curl -s -H "$AUTH" -H 'content-type: application/json' -d '{"decision": {"type": "deny"}}' \
    $URL/api/v1/sessions/ask/permissions/$PERMISSION; $SKEP wait ask --timeout 30s; ls made"#;
    shell.show("It is denied.", answer, "No such file")
}

/// Runs lines, with variables for what they have in common.
struct Shell<'a> {
    env: &'a TestEnv,
    variables: Vec<(&'static str, String)>,
}

impl Shell<'_> {
    /// Says what is shown, the line, and its output, which must have `expected` in it.
    fn show(&self, what: &str, line: &str, expected: &str) -> Result<()> {
        say(&format!("\n{what}\n$ {line}"));
        let shell = self.env.program("/bin/sh".as_ref()).args(["-c", line]);
        let shell = self.variables.iter().fold(shell, |shell, (name, value)| shell.env(name, value));
        let output = shell.run();
        let all = format!("{}{}", output.stdout, output.stderr);
        say(all.trim_end());
        ensure!(all.contains(expected), "that does not show {expected:?}");
        Ok(())
    }
}
