//! Programs that others wrote: curl as a client of the API; acpx and clients on the protocol's SDKs as clients of the
//! built-in agent.

use skep_tests::agents;
use skep_tests::cmd::Output;
use skep_tests::env::{TestEnv, built};
use skep_tests::wait::SOON;

#[test]
fn curl_speaks_the_api_over_the_unix_socket() {
    let env = TestEnv::new();
    env.start_daemon();
    let file = env.daemon_file();
    let token = format!("authorization: Bearer {}", env.token());
    let curl = |args: &[&str]| {
        env.program("curl".as_ref())
            .args(["-sS", "--fail-with-body", "-m", "20", "--unix-socket", file["socket"].as_str().unwrap()])
            .args(["-H", &token, "-H", "content-type: application/json"])
            .args(args)
            .run()
    };
    let cwd = env.work();
    let body = format!(
        r#"{{"session":{{"name":"curled","cwd":"{}","agent":"fake"}},"prompt":{{"content":[{{"type":"text","text":"say hello curl"}}]}}}}"#,
        cwd.display()
    );
    let run = curl(&["-d", &body, "http://skep/api/v1/runs"]).ok().json();
    assert_eq!(run["created"], true, "{run}");
    let _done = env.skep(["wait", "curled"]).run().ok();
    let page = curl(&["http://skep/api/v1/sessions/curled/events"]).ok();
    assert!(page.stdout.contains("hello curl"), "{page}");
    let health = curl(&["http://skep/health"]).ok().json();
    assert_eq!(health["status"], "ok");
    let refused = curl(&["-X", "GET", "http://skep/api/v1/daemon/stop"]);
    assert_eq!(refused.code(), 22, "{refused}");
    let stream = env
        .program("curl".as_ref())
        .args(["-sSN", "-m", "20", "--unix-socket", file["socket"].as_str().unwrap()])
        .args(["-H", &token, "-H", "accept: text/event-stream", "http://skep/api/v1/sessions/curled/events"])
        .start();
    stream.wait_stdout("event: turn_ended");
}

#[test]
fn acpx_runs_the_built_in_agent() {
    let env = TestEnv::new();
    let programs = agents::programs();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display());
    let agent = format!("'{}' agent shell", env.bin().display());
    let exec = |permission: &str, prompt: &str| {
        env.program(&programs.join("acpx"))
            .env("PATH", &path)
            .args(["--agent", &agent, permission, "--format", "json", "exec", prompt])
            .limit(SOON * 2)
            .run()
    };
    let _allowed = exec("--approve-all", "echo hello $((40 + 2)) > made-by-acpx; cat made-by-acpx")
        .ok()
        .says("hello 42");
    assert!(env.work().join("made-by-acpx").exists());
    let _denied = exec("--deny-all", "touch denied");
    assert!(!env.work().join("denied").exists(), "a refused command does not run");
}

/// A client that allows one command, and denies another, of the agent that it drives.
#[track_caller]
fn drives_the_built_in_agent(client: impl Fn(&TestEnv, &str, &str) -> Output) {
    let env = TestEnv::new();
    let told = client(&env, "allow", "echo hello $((40 + 2)) > made; cat made").ok().to_string();
    assert!(told.contains("hello 42") && told.to_lowercase().contains("stopped: end"), "{told}");
    assert!(env.work().join("made").exists());
    let denied = client(&env, "deny", "touch denied").ok().to_string();
    assert!(denied.contains("stopped: "), "{denied}");
    assert!(!env.work().join("denied").exists(), "a refused command does not run");
}

#[test]
fn a_client_on_the_rust_sdk_drives_the_built_in_agent() {
    drives_the_built_in_agent(|env, answer, prompt| {
        // Each is the other's standard input and output.
        let ends = r#"mkfifo said && "$1" "$2" "$3" < said | "$4" agent shell > said"#;
        let client = built("sdk-client");
        let run = env.program("bash".as_ref()).args(["-o", "pipefail", "-c", ends, "bash"]);
        let run = run.arg(client).args([answer, prompt]).arg(env.bin()).run();
        std::fs::remove_file(env.work().join("said")).expect("the pipe was made");
        run
    });
}

#[test]
fn a_client_on_the_python_sdk_drives_the_built_in_agent() {
    drives_the_built_in_agent(|env, answer, prompt| {
        let client = env.program(&agents::python()).arg(agents::python_dir().join("client.py"));
        client.args([answer, prompt]).arg(env.bin()).args(["agent", "shell"]).limit(SOON * 2).run()
    });
}
