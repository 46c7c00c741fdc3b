//! Hooks: what happens is told to an address or a program, signed, at least once, whatever dies meanwhile; and the way
//! back in, `POST /runs` with a token that may prompt and nothing more.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};
use skep_tests::agents;
use skep_tests::cmd::pid;
use skep_tests::env::{TestEnv, toml_string};
use skep_tests::receiver::{Answer, Posted, Receiver};
use skep_tests::wait::wait_for;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A home whose hook `h` posts to the receiver.
fn posting_to(receiver: &Receiver, keys: &str) -> TestEnv {
    let env = TestEnv::new();
    let secret = env.state().join("a secret");
    fs::write(&secret, SECRET).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let url = receiver.url("/in?key=of-the-receiver");
    let secret = toml_string(&secret);
    let delay = "first_delay = '20 ms'\nmax_delay = '50 ms'";
    env.configure(&format!("[hooks.h]\nurl = '{url}'\nsecret_file = {secret}\n{delay}\n{keys}\n"));
    env
}

fn of_type<'a>(posted: &'a [Posted], kind: &str) -> Vec<&'a Posted> {
    posted.iter().filter(|post| post.json()["type"] == kind).collect()
}

/// The deliveries of a state, as the API lists them.
fn deliveries(env: &TestEnv, state: &str) -> Vec<Value> {
    let list = env.api().get(&format!("/deliveries?state={state}")).is(200).json();
    list["deliveries"].as_array().unwrap().clone()
}

#[test]
fn a_question_and_a_turns_end_are_posted_once_and_signed_by_the_specification() {
    let receiver = Receiver::start(&[]);
    let env = posting_to(&receiver, "allow_private = true");
    env.start_daemon();
    let _asked = env.skep(["bg", "--agent", "fake", "--name", "s", "ask rm -rf x"]).run().ok();
    let asked = receiver.wait(1)[0].clone();
    let (event, session) =
        (asked.json(), env.wait_session("s", "the question", |s| s["state"] == "needs_you"));
    assert_eq!(event["type"], "needs_you", "{event}");
    assert_eq!(event["data"]["session"]["id"], session["id"], "{event}");
    assert_eq!(event["data"]["permission"], session["waiting"][0]["id"], "{event}");
    let _allowed = env.skep(["allow", "s"]).run().ok();
    env.wait_session("s", "the turn's end", |session| session["turn"].is_null());
    let posted = receiver.wait(2);
    let ended = posted[1].json();
    assert_eq!(
        (&ended["type"], &ended["data"]["outcome"]),
        (&json!("turn_ended"), &json!("completed")),
        "{ended}"
    );
    let last = env.events("s").into_iter().rfind(|event| event["kind"] == "turn_ended").unwrap();
    assert_eq!(ended["data"]["seq"], last["seq"], "the cursor into the journal");
    for post in &posted {
        assert_eq!(post.path, "/in?key=of-the-receiver");
        let message = json!({
            "secret": SECRET, "id": post.header("webhook-id"), "timestamp": post.header("webhook-timestamp"),
            "signature": post.header("webhook-signature"), "body": post.body,
        });
        let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/webhook.py");
        let check = |message: &Value| {
            let python = env.program(&agents::python()).arg(&script).stdin(message.to_string());
            python.run().ok().stdout.trim().to_owned()
        };
        assert_eq!(check(&message), "good", "{message}");
        let mut forged = message.clone();
        forged["body"] = json!(post.body.replace("needs", "wants").replace("ended", "began"));
        assert_eq!(check(&forged), "bad");
    }
    wait_for("both to be known as delivered", || (deliveries(&env, "delivered").len() == 2).then_some(()));
    assert_eq!(receiver.posted().len(), 2, "each of them once");
    // A turn of a session that nobody asks in: one post more, and no question that a mode answered.
    let _ran = env.skep(["run", "-y", "--agent", "fake", "--name", "t", "ask ls"]).run().ok();
    let posted = receiver.wait(3);
    assert_eq!(posted[2].json()["data"]["session"]["name"], "t");
    assert_eq!(of_type(&posted, "needs_you").len(), 1, "{posted:?}");
    let listed = env.skep(["hooks", "ls"]).run().ok();
    assert!(
        listed.stdout.contains("http://127.0.0.1") && !listed.stdout.contains("of-the-receiver"),
        "{listed}"
    );
}

#[test]
fn a_receiver_that_fails_hangs_redirects_and_hangs_up_gets_the_same_delivery_until_it_takes_it() {
    let answers = [Answer::Status(500), Answer::Hang, Answer::Redirect("/elsewhere"), Answer::Close];
    let receiver = Receiver::start(&answers);
    let env = posting_to(&receiver, "allow_private = true\ntimeout = '300 ms'");
    let _ran = env.skep(["run", "--agent", "fake", "--name", "s", "say hi"]).run().ok();
    let posted = receiver.wait(5);
    let delivered = wait_for("its delivery", || deliveries(&env, "delivered").first().cloned());
    assert_eq!(delivered["attempts"], 5, "{delivered}");
    for post in &posted {
        assert_eq!(post.header("webhook-id"), delivered["id"], "the same id with every attempt");
        assert_eq!(
            (&post.body, post.path.starts_with("/in")),
            (&posted[0].body, true),
            "no redirect is followed"
        );
    }
    let metrics = env.api().request("GET", "/metrics", None).is(200).text();
    assert!(metrics.contains(r#"skep_hook_failed_attempts_total{hook="h"} 4.0"#), "{metrics}");
}

#[test]
fn what_the_receiver_wants_no_more_is_given_up_shown_and_tried_again_by_hand() {
    let receiver = Receiver::start(&[Answer::Status(410), Answer::Status(200), Answer::Status(410)]);
    let env = posting_to(&receiver, "allow_private = true");
    let _ran = env.skep(["run", "--agent", "fake", "--name", "s", "say hi"]).run().ok();
    let dead = wait_for("the dead letter", || deliveries(&env, "dead").first().cloned());
    assert!(dead["last_error"].as_str().unwrap().contains("410"), "{dead}");
    let _status = env.skep(["daemon", "status"]).run().ok().says("h: 0 waiting, 1 given up");
    let doctor = env.skep(["doctor"]).run();
    assert!(doctor.stdout.contains("1 given up") && doctor.code() == 1, "{doctor}");
    // Nothing of it is lost with the daemon.
    let _stopped = env.skep(["daemon", "stop"]).run().ok();
    env.start_daemon();
    let id = dead["id"].as_str().unwrap();
    assert_eq!(deliveries(&env, "dead")[0]["id"], id);
    // Only who administers may; a token that reads sees it.
    let token = env.skep(["token", "create", "--scope", "read"]).run().ok().stdout.trim().to_owned();
    let reader = env.api().with_token(Some(&token));
    let _seen = reader.get("/deliveries").is(200);
    let _refused = reader.post(&format!("/deliveries/{id}/retry"), &json!({})).refuses(403, "forbidden");
    let _refused = reader.post("/hooks/h/test", &json!({})).refuses(403, "forbidden");
    let _retried = env.skep(["hooks", "retry", id]).run().ok();
    assert_eq!(receiver.wait(2)[1].header("webhook-id"), id);
    wait_for("its delivery", || deliveries(&env, "delivered").first().cloned());
    let _gone = env.skep(["hooks", "retry", id]).run().exits(4);
    // What nobody needs any more is dismissed, and all is well again.
    let _ran = env.skep(["run", "--agent", "fake", "say hi"]).run().ok();
    let dead = wait_for("another dead letter", || deliveries(&env, "dead").first().cloned());
    let path = format!("/deliveries/{}", dead["id"].as_str().unwrap());
    let _refused = reader.delete(&path).refuses(403, "forbidden");
    let _dismissed = env.skep(["hooks", "dismiss", "--dead"]).run().ok();
    assert_eq!(deliveries(&env, "dead"), [] as [Value; 0]);
    let _gone = env.api().delete(&path).refuses(404, "delivery_not_found");
    let doctor = env.skep(["doctor"]).run();
    assert!(doctor.stdout.contains("nothing was given up"), "{doctor}");
    let _unknown = env.skep(["hooks", "test", "nobody"]).run().exits(4);
}

#[test]
fn n2_a_daemon_killed_before_it_heard_the_answer_delivers_again_with_the_same_id() {
    let receiver = Receiver::start(&[Answer::Hang]);
    let env = posting_to(&receiver, "allow_private = true\ntimeout = '60 s'");
    let _ran = env.skep(["run", "--agent", "fake", "--name", "s", "say hi"]).run().ok();
    let first = receiver.wait(1)[0].clone();
    kill(pid(env.daemon_pid()), Signal::SIGKILL).unwrap();
    env.start_daemon();
    let second = receiver.wait(2)[1].clone();
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert_eq!(first.body, second.body);
    wait_for("its delivery", || deliveries(&env, "delivered").first().cloned());
    assert_eq!(deliveries(&env, "pending"), [] as [Value; 0]);
}

#[test]
fn n2_a_turn_that_a_dead_daemon_did_not_see_end_is_told_by_the_next_one() {
    let receiver = Receiver::start(&[]);
    let env = posting_to(&receiver, "allow_private = true");
    let _begun = env.skep(["bg", "--agent", "fake", "--name", "s", "stream 100000 5"]).run().ok();
    env.wait_session("s", "the turn", |session| session["turn"].is_object());
    kill(pid(env.daemon_pid()), Signal::SIGKILL).unwrap();
    env.start_daemon();
    let posted = receiver.wait(1);
    let event = posted[0].json();
    assert_eq!(
        (&event["type"], &event["data"]["outcome"]),
        (&json!("turn_ended"), &json!("interrupted")),
        "{event}"
    );
    // And the next start tells nothing twice.
    wait_for("its delivery", || deliveries(&env, "delivered").first().cloned());
    let _stopped = env.skep(["daemon", "stop"]).run().ok();
    let _ran = env.skep(["run", "--agent", "fake", "--name", "t", "say hi"]).run().ok();
    let posted = receiver.wait(2);
    assert_eq!(posted[1].json()["data"]["session"]["name"], "t", "{posted:?}");
}

#[test]
fn an_address_of_this_machine_is_refused_unless_it_is_allowed_and_nothing_connects_to_it() {
    let receiver = Receiver::start(&[]);
    let env = posting_to(&receiver, "");
    env.start_daemon();
    let refused = env.skep(["hooks", "test", "h"]).run().exits(1);
    assert!(refused.stdout.contains("allow_private"), "{refused}");
    let _ran = env.skep(["run", "--agent", "fake", "say hi"]).run().ok();
    wait_for("a failed attempt", || {
        deliveries(&env, "pending")
            .first()
            .filter(|delivery| delivery["attempts"].as_u64() >= Some(1))
            .cloned()
    });
    assert!(receiver.posted().is_empty(), "nothing connected");
    // A reload lets it through, and what waits is told.
    let config = fs::read_to_string(env.config_file()).unwrap();
    fs::write(env.config_file(), config.replace("[hooks.h]", "[hooks.h]\nallow_private = true")).unwrap();
    let _reloaded = env.skep(["daemon", "reload"]).run().ok();
    let _arrived = env.skep(["hooks", "test", "h"]).run().ok().says("arrived");
    let posted = receiver.wait(2);
    assert_eq!((of_type(&posted, "turn_ended").len(), of_type(&posted, "test").len()), (1, 1), "{posted:?}");
}

#[test]
fn a_command_hears_of_a_parked_worker_and_of_a_turns_end_on_its_standard_input() {
    let env = TestEnv::new();
    let told = env.root().join("told by a hook");
    let script = format!("printf '%s ' \"$SKEP_EVENT\" >> {0}; cat >> {0}; echo >> {0}", "\"$1\"");
    env.configure(&format!(
        "[hooks.c]\non = ['turn-ended', 'worker-parked']\ncommand = ['sh', '-c', {}, 'sh', {}]\n",
        json!(script),
        toml_string(&told)
    ));
    let _ran = env.skep(["run", "--agent", "fake", "--name", "s", "say hi"]).run().ok();
    let lines = |count: usize| {
        wait_for("the command", || {
            let text = fs::read_to_string(&told).unwrap_or_default();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            (text.ends_with('\n') && lines.len() >= count).then_some(lines)
        })
    };
    let (word, body) =
        lines(1)[0].split_once(' ').map(|(word, body)| (word.to_owned(), body.to_owned())).unwrap();
    let event: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((word.as_str(), &event["data"]["session"]["name"]), ("turn_ended", &json!("s")), "{event}");
    let worker = env.wait_workers("a worker", |workers| !workers.is_empty())[0]["id"].clone();
    let _parked = env.skep(["worker", "park", worker.as_str().unwrap()]).run().ok();
    let line = lines(2)[1].clone();
    assert!(line.starts_with("worker_parked ") && line.contains(worker.as_str().unwrap()), "{line}");
    // What a daemon that stops has not heard the end of is told again.
    wait_for("both deliveries", || (deliveries(&env, "delivered").len() == 2).then_some(()));
    // It is still parked after a restart, which is no news.
    let _restarted = env.skep(["daemon", "restart"]).run().ok();
    let _test = env.skep(["hooks", "test", "c"]).run().ok();
    assert!(lines(3)[2].starts_with("test "));
    assert_eq!(env.api().get("/deliveries").is(200).json()["deliveries"], json!([]), "nothing else was told");
}

#[test]
fn a_session_that_fails_is_told_once_over_restarts_too() {
    let receiver = Receiver::start(&[]);
    let env = posting_to(
        &receiver,
        "allow_private = true\non = ['session-failed']\n[agents.broken]\ncommand = ['/bin/false']",
    );
    let _failed = env.skep(["run", "--agent", "broken", "--name", "s", "x"]).run();
    let event = receiver.wait(1)[0].json();
    assert_eq!(
        (&event["type"], &event["data"]["session"]["name"]),
        (&json!("session_failed"), &json!("s")),
        "{event}"
    );
    assert!(!event["data"]["why"].as_str().unwrap_or_default().is_empty(), "{event}");
    wait_for("its delivery", || deliveries(&env, "delivered").first().cloned());
    let _restarted = env.skep(["daemon", "restart"]).run().ok();
    let _tested = env.skep(["hooks", "test", "h"]).run().ok();
    let posted = receiver.wait(2);
    assert_eq!((posted.len(), of_type(&posted, "session_failed").len()), (2, 1), "{posted:?}");
}

#[test]
fn an_outbox_that_cannot_be_used_is_shown_and_costs_nothing_that_comes_after() {
    let receiver = Receiver::start(&[]);
    let env = posting_to(&receiver, "allow_private = true");
    let outbox = env.state().join("outbox.jsonl");
    fs::create_dir(&outbox).unwrap();
    let _works = env.skep(["run", "--agent", "fake", "say hi"]).run().ok().says("hi");
    let listed = env.skep(["hooks", "ls"]).run().ok();
    assert!(listed.stdout.contains("the outbox cannot be"), "{listed}");
    assert!(env.skep(["doctor"]).run().stdout.contains("the outbox cannot be"));
    fs::remove_dir(&outbox).unwrap();
    let _reloaded = env.skep(["daemon", "reload"]).run().ok();
    wait_for("the outbox", || outbox.is_file().then_some(()));
    let mode = fs::metadata(&outbox).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "{mode:o}");
    wait_for("no problem", || env.api().get("/hooks").is(200).json()["problem"].is_null().then_some(()));
    let _ran = env.skep(["run", "--agent", "fake", "--name", "s", "say hi"]).run().ok();
    assert_eq!(receiver.wait(1)[0].json()["data"]["session"]["name"], "s");
}

#[test]
fn over_tls_a_receiver_must_be_who_its_address_says_by_an_authority_that_is_trusted() {
    let env = TestEnv::new();
    let clients = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
    let file = |name: &str| clients.join("tls").join(name);
    let receiver = env
        .program(&agents::python())
        .arg(clients.join("webhook_tls.py"))
        .args([file("localhost.pem"), file("localhost.key")])
        .start();
    receiver.wait_stdout("\n");
    let port = receiver.stdout_so_far().trim().rsplit(' ').next().unwrap().to_owned();
    let hook = |name: &str, host: &str| {
        format!("[hooks.{name}]\nurl = 'https://{host}:{port}/'\nsecret_env = 'HOOK'\nallow_private = true\n")
    };
    env.configure(&format!("{}{}", hook("good", "localhost"), hook("other", "127.0.0.1")));
    let start = |authority: &str| {
        let start = env.skep(["daemon", "start"]).env("SSL_CERT_FILE", file(authority)).env("HOOK", SECRET);
        let _started = start.run().ok();
    };
    start("authority.pem");
    let tested = env.skep(["--json", "hooks", "test", "good"]).run().ok().json();
    receiver.wait_stdout(&format!("got {}", tested["id"].as_str().unwrap()));
    let other = env.skep(["hooks", "test", "other"]).run().exits(1);
    assert!(other.stdout.contains("TLS: invalid peer certificate"), "{other}");
    let _stopped = env.skep(["daemon", "stop"]).run().ok();
    start("stranger.pem");
    let untrusted = env.skep(["hooks", "test", "good"]).run().exits(1);
    assert!(untrusted.stdout.contains("UnknownIssuer"), "{untrusted}");
    assert_eq!(receiver.stdout_so_far().matches("got ").count(), 1);
    receiver.signal(Signal::SIGTERM);
    let _ended = receiver.finish();
}

#[test]
fn the_way_back_in_a_token_that_may_prompt_runs_and_may_not_approve() {
    let env = TestEnv::new();
    let _started = env.skep(["daemon", "start"]).run().ok();
    let token = env.skep(["token", "create", "--scope", "prompt", "--name", "bot"]).run().ok();
    let bot = env.api().with_token(Some(token.stdout.trim()));
    let run = |prompt: &str| {
        json!({
            "session": {"name": "chat-7", "agent": "fake", "cwd": env.work(), "continue_open": true},
            "prompt": {"content": [{"type": "text", "text": prompt}]},
        })
    };
    let ended = bot.post("/runs?wait=60", &run("say hello")).is(200).json();
    assert_eq!(
        (&ended["turn"]["outcome"], &ended["created"]),
        (&json!("completed"), &json!(true)),
        "{ended}"
    );
    assert!(ended["text"].as_str().unwrap().contains("hello"), "{ended}");
    let again = bot.post("/runs?wait=60", &run("say again")).is(200).json();
    assert_eq!((&again["created"], &again["session"]["id"]), (&json!(false), &ended["session"]["id"]));
    let _asking = bot.post("/runs", &run("ask rm x")).is(202);
    let session = env.wait_session("chat-7", "the question", |session| session["state"] == "needs_you");
    let question = session["waiting"][0]["id"].as_str().unwrap();
    let answer = json!({"answer": "00000000-0000-4000-8000-000000000001", "decision": {"type": "allow"}});
    let _refused =
        bot.post(&format!("/sessions/chat-7/permissions/{question}"), &answer).refuses(403, "forbidden");
    let mut unasked = run("ask rm x");
    unasked["session"]["name"] = json!("chat-8");
    unasked["session"]["permission_mode"] = json!("bypass");
    let _refused = bot.post("/runs", &unasked).refuses(403, "forbidden");
    let _refused = bot.post("/daemon/stop", &json!({})).refuses(403, "forbidden");
}
