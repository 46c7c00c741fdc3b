//! Programs that others wrote: curl as a client of the API, acpx as a client of the built-in agent.

use skep_tests::agents;
use skep_tests::env::TestEnv;
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
