//! The client in `web/`: its types are made from the description and checked by TypeScript's compiler, and its streams
//! run in Node.js against the real daemon.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use skep_tests::wait::{SOON, wait_until};

/// The client beside the test, with the types made anew.
fn client(env: &TestEnv) {
    let web = env.work().join("web");
    let _copied = env.program("cp".as_ref()).args(["-R"]).arg(agents::web_dir()).arg(&web).run().ok();
    symlink(agents::web_modules(), web.join("node_modules")).unwrap();
    let document = web.join("openapi.json");
    let _written = env.skep(["openapi"]).run().ok();
    fs::write(&document, env.skep(["openapi"]).run().ok().stdout).unwrap();
    let _made = node(env)
        .args(["node_modules/openapi-typescript/bin/cli.js", "openapi.json", "-o", "src/api/schema.d.ts"])
        .run()
        .ok();
}

fn node(env: &TestEnv) -> Cmd {
    env.program(&agents::programs().join("node")).cwd(env.work().join("web")).limit(SOON * 3)
}

fn follow(env: &TestEnv, relay: &Relay, session: &str) -> Running {
    node(env).args(["test/follow.ts", &relay.url(), &env.token(), session]).start()
}

#[test]
fn n9_the_typescript_client_made_from_the_description_type_checks() {
    let env = TestEnv::new();
    client(&env);
    let _checked = node(&env).args(["node_modules/typescript/bin/tsc", "--project", "."]).run().ok();
    // The check can fail: a route that does not exist is one error.
    let wrong = "import { client } from \"./client.ts\";\nawait client(\"\").GET(\"/api/v1/nowhere\", {});\n";
    fs::write(env.work().join("web/src/api/wrong.ts"), wrong).unwrap();
    let refused = node(&env).args(["node_modules/typescript/bin/tsc", "--project", "."]).run();
    assert!(refused.code() != 0 && refused.stdout.contains("nowhere"), "{refused}");
}

#[test]
fn n2_the_typescript_client_misses_nothing_across_cuts_and_a_restart_of_the_daemon() {
    let env = TestEnv::new();
    let script = "stream 150 20\nsay half";
    let _begun = env.skep(["bg", "--agent", "fake", "--name", "s", script]).run().ok();
    client(&env);
    let relay = relay(&env);
    let follower = follow(&env, &relay, "s");
    let seen = |least: usize| wait_until("more events", || numbers(&lines_so_far(&follower)).len() >= least);
    seen(20);
    for round in 1..=3 {
        wait_until("a connection to cut", || relay.cut() > 0);
        seen(20 + 30 * round);
    }
    let _first_turn_is_over = env.skep(["wait", "s"]).run().ok();
    let _restarted = env.skep(["daemon", "restart"]).run().ok();
    let _more = env.skep(["prompt", "s", "updates 50\nsay whole"]).run().ok();
    follower.wait_stdout("whole");
    let _closed = env.skep(["close", "s"]).run().ok();
    let said = lines(&follower.finish().ok().stdout);
    assert_gapless(&numbers(&said), 200);
    assert_eq!(numbers(&said).len(), env.events("s").len());
    let states: Vec<&str> = said.iter().filter_map(|line| line["connection"]["state"].as_str()).collect();
    assert_eq!(states[..2], ["connecting", "open"]);
    assert!(
        states.iter().filter(|state| **state == "waiting").count() >= 4,
        "three cuts, a restart: {states:?}"
    );
    let last = said.last().unwrap();
    assert_eq!(
        (&last["connection"]["state"], &last["connection"]["why"]),
        (&"ended".into(), &"complete".into())
    );
}

#[test]
fn q2_the_typescript_client_is_told_of_refusals_and_of_all_sessions() {
    let env = TestEnv::new();
    env.start_daemon();
    client(&env);
    let relay = relay(&env);
    let refused = follow(&env, &relay, "nobody").finish().ok();
    let said = lines(&refused.stdout);
    assert_eq!(said.last().unwrap()["threw"], "Refused: session_not_found: no session `nobody`", "{refused}");
    let all = follow(&env, &relay, "*");
    all.wait_stdout("snapshot");
    let _ran = env.skep(["run", "--name", "seen", "true"]).run().ok();
    wait_until("the new session", || {
        lines_so_far(&all).iter().any(|line| line["type"] == "session" && line["session"]["name"] == "seen")
    });
    relay.cut();
    wait_until("a second snapshot", || {
        let said = lines_so_far(&all);
        said.iter().filter(|line| line["type"] == "snapshot").count() == 2
    });
}
