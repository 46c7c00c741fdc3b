//! Agent processes that serve several sessions, or are ready before one needs them.

use skep_tests::env::{TestEnv, built, number, toml_string};
use skep_tests::procs;
use skep_tests::wait::{wait_for, wait_until};

fn env(settings: &str) -> TestEnv {
    let command = toml_string(&built("fake-agent"));
    TestEnv::with_config(&format!("[agents.many]\ncommand = [{command}]\n{settings}\n"))
}

fn agent(env: &TestEnv, name: &str) -> u32 {
    let session = env.wait_session(name, "its agent", |session| session["agent_process"].is_object());
    number(&session["agent_process"]["process"]["pid"])
}

#[test]
fn n1_a_killed_session_leaves_the_one_that_shares_its_agent_at_work() {
    let env = env("share = \"worker\"");
    for name in ["a", "b"] {
        let _begun = env.skep(["run", "--agent", "many", "--name", name, "say ready"]).run().ok();
    }
    let shared = agent(&env, "a");
    assert_eq!(agent(&env, "b"), shared);
    let _killed = env.skep(["kill", "a"]).run().ok();
    let _goes_on = env.skep(["run", "--name", "b", "pid"]).run().ok().says(&shared.to_string());
    let _killed = env.skep(["kill", "b"]).run().ok();
    wait_until("the last session takes the process with it", || !procs::is_running(shared));
}

#[test]
fn n6_n4_an_agent_that_is_ready_serves_the_next_session_and_nothing_of_it_outlives_the_daemon() {
    let env = env("warm = 1");
    let pid = |name: &str| {
        let said = env.skep(["run", "--agent", "many", "--name", name, "pid"]).run().ok().stdout;
        said.trim().parse::<u32>().unwrap()
    };
    // Processes that serve no session carry a mark of their own.
    let waiting = |not: u32| {
        wait_for("an agent that is ready", || {
            let workers = env.wait_workers("a worker", |workers| !workers.is_empty());
            let agents = workers.iter().flat_map(|worker| procs::children(number(&worker["process"]["pid"])));
            agents.into_iter().find(|pid| {
                let marked = |it: &String| it.starts_with("SKEP_AGENT_PROCESS=");
                *pid != not && procs::environment(*pid).is_ok_and(|variables| variables.iter().any(marked))
            })
        })
    };
    let first = pid("a");
    let ready = waiting(first);
    assert_eq!(pid("b"), ready);
    let next = waiting(ready);
    let _stopped = env.skep(["daemon", "stop"]).run().ok();
    assert!(!procs::is_running(next));
    env.nothing_remains();
}
