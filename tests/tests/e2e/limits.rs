//! What sessions use, and what they may use (N11).

use serde_json::{Value, json};
use skep_tests::env::TestEnv;

fn run(env: &TestEnv, options: &[&str], script: &str) -> skep_tests::cmd::Output {
    let args = ["run", "--agent", "fake", "--name", "n"].into_iter().chain(options.iter().copied());
    env.skep(args.chain([script])).run()
}

fn last_end(env: &TestEnv) -> Value {
    let ended = env.events("n").into_iter().rfind(|event| event["kind"] == "turn_ended");
    ended.expect("an ended turn")["data"].clone()
}

#[test]
fn usage_is_told_for_each_turn_and_summed_for_the_session() {
    let env = TestEnv::new();
    let shown = run(&env, &["--verbose"], "say a\ncost 0.05\ntokens 100 7").ok();
    assert!(shown.stderr.contains("used 107 tokens (100 in, 7 out), 0.05 USD"), "{shown}");
    let _second = run(&env, &[], "say b\nstep 50\ncost 0.102124").ok();
    let usage = &last_end(&env)["usage"];
    assert_eq!(usage["tokens"]["total"], 50, "{usage}");
    assert_eq!(usage["cost"], json!({"amount": "0.052124", "currency": "USD"}));
    let sums = |session: &Value| {
        let used = &session["used"];
        assert_eq!((&used["turns"], &used["tokens"]["total"]), (&json!(2), &json!(157)), "{used}");
        assert_eq!(used["cost"], json!({"amount": "0.102124", "currency": "USD"}));
    };
    sums(&env.skep(["ps", "--json"]).run().ok().json()["sessions"][0]);
    let table = env.skep(["ps", "--long"]).run().ok();
    assert!(table.stdout.contains("TOKENS") && table.stdout.contains("0.102124 USD"), "{table}");
    // It is in the journal, so the daemon's end changes nothing.
    let _stopped = env.skep(["daemon", "stop"]).run().ok();
    env.start_daemon();
    sums(&env.skep(["ps", "--json"]).run().ok().json()["sessions"][0]);
}

#[test]
fn n11_a_turn_that_goes_beyond_a_limit_ends_so_and_the_next_prompt_is_refused() {
    let env = TestEnv::with_config("[session.limits]\nmax_tokens = 1000\n");
    let ended = run(&env, &["--max-cost", "0.10"], "cost 0.05\nsay cheap\ncost 0.101\nwait").exits(1);
    assert!(ended.stderr.contains("limit of 0.10 USD was passed: it has cost 0.101 USD"), "{ended}");
    let end = last_end(&env);
    assert_eq!((&end["outcome"], &end["cause"]), (&json!("limit"), &json!("limit")), "{end}");
    let refused = env.skep(["prompt", "n", "say more"]).run().exits(1);
    assert!(
        refused.stderr.contains("used up") && refused.stderr.contains("`skep set` raises it"),
        "{refused}"
    );
    let conflict = run(&env, &["--max-cost", "9"], "say more").exits(2);
    assert!(conflict.stderr.contains("limits"), "{conflict}");
    let ended = env.skep(["run", "--agent", "fake", "step 400\nstep 700\nwait"]).run().exits(1);
    assert!(ended.stderr.contains("limit of 1000 tokens was passed: it has used 1100"), "{ended}");
}

#[test]
fn n11_turns_that_wait_count_and_one_too_many_is_refused() {
    let env = TestEnv::new();
    let _first = run(&env, &["--max-turns", "2"], "say one").ok();
    let _second = env.skep(["prompt", "n", "say two"]).run().ok();
    let refused = env.skep(["prompt", "n", "say three"]).run().exits(1);
    assert!(refused.stderr.contains("limit of 2 turns is used up"), "{refused}");
    let prompt = json!({"content": [{"type": "text", "text": "say three"}]});
    let id = env.skep(["ps", "--json"]).run().ok().json()["sessions"][0]["id"].clone();
    let path = format!("/sessions/{}/prompts", id.as_str().unwrap());
    let _typed = env.api().post(&path, &prompt).refuses(409, "limit_reached");
}

#[test]
fn a_flood_fills_no_more_than_the_sessions_journal_may_take() {
    let env = TestEnv::with_config("[session]\nmax_journal = '1 MiB'\n");
    let ended = run(&env, &[], "flood 33554432\nwait").exits(1);
    assert!(ended.stderr.contains("journal is full"), "{ended}");
    assert_eq!(last_end(&env)["outcome"], "limit");
    let told = |event: &&Value| event["kind"] == "note" && event["data"]["text"].to_string().contains("full");
    assert_eq!(env.events("n").iter().filter(told).count(), 1);
    let id = env.skep(["ps", "--json"]).run().ok().json()["sessions"][0]["id"].as_str().unwrap().to_owned();
    let journal = env.state().join("sessions").join(id).join("journal");
    let bytes: u64 = journal.read_dir().unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes < 1_500_000, "{bytes} bytes");
    let refused = env.skep(["prompt", "n", "say more"]).run().exits(1);
    assert!(refused.stderr.contains("journal is full"), "{refused}");
}
