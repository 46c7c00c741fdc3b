//! What the driver does about agents that are not all alike, against a scripted one.

use crate::common::{Worker, agent, alive};
use skep_common::event::Event;
use skep_common::ids::AnswerId;
use skep_common::protocol::{Action, Report};
use skep_common::session::{Cause, DecidedBy, Resolution, SessionState, TurnOutcome};

#[test]
fn an_agent_is_signed_in_by_its_preset_or_by_its_only_key() {
    let home = tempfile::tempdir().unwrap();
    let config =
        [agent("preset", &["auth", "browser"], "authenticate = \"browser\""), agent("key", &["auth"], "")];
    let (mut worker, _) = Worker::start(&home, &config.concat());
    for (agent, method) in [("preset", "browser"), ("key", "key")] {
        let session = worker.open(agent, |_| {});
        assert_eq!(worker.run(session, "log"), TurnOutcome::Completed, "{agent}");
        assert_eq!(worker.texts(session), [format!("signed in by \"{method}\"")]);
    }
    worker.shut_down();
}

#[test]
fn an_agent_that_needs_a_person_to_sign_in_says_how() {
    let home = tempfile::tempdir().unwrap();
    let config = [
        agent("browser", &["auth", "browser"], ""),
        agent("unknown", &["auth"], "authenticate = \"telepathy\""),
        agent("refused", &["auth", "no-key"], ""),
    ];
    let (mut worker, _) = Worker::start(&home, &config.concat());
    for (agent, words) in [
        ("browser", ["wants you to sign in first", "'sign in'` in a terminal", "\"browser\" (A browser)"]),
        ("unknown", ["no sign-in method `telepathy`", "[agents.unknown]", "\"key\" (A key)"]),
        ("refused", ["by `key`", "no key", "in a terminal"]),
    ] {
        let session = worker.open(agent, |_| {});
        let (outcome, detail) = worker.detail(session, "log");
        assert_eq!(outcome, TurnOutcome::Failed, "{agent}");
        for word in words {
            assert!(detail.contains(word), "{agent}: {word} in {detail}");
        }
    }
    worker.shut_down();
}

#[test]
fn history_that_an_agent_tells_while_loading_is_never_journalled() {
    let home = tempfile::tempdir().unwrap();
    let config = [agent("late", &["late"], "quirks = [\"late_replay\"]"), agent("early", &[], "")];
    let (mut worker, _) = Worker::start(&home, &config.concat());
    for agent in ["late", "early"] {
        let session = worker.open(agent, |_| {});
        assert_eq!(worker.run(session, "exit 7"), TurnOutcome::Interrupted);
        assert_eq!(worker.run(session, "say back"), TurnOutcome::Completed);
        let updates = worker.updates(session);
        let texts: Vec<_> = updates.iter().map(|update| update["content"]["text"].as_str()).collect();
        assert_eq!(texts, [Some("working"), None, Some("back")], "{agent}: {updates:?}");
        assert_eq!(updates[1]["availableCommands"][0]["name"], "load", "{agent}: settings are no history");
    }
    worker.shut_down();
}

#[test]
fn the_agents_own_mode_is_set_to_match_and_verified() {
    let home = tempfile::tempdir().unwrap();
    let manual = "mode = { ask = \"manual\" }";
    let config = [
        agent("modes", &["modes"], manual),
        agent("options", &["modes", "options"], manual),
        agent("set", &["modes"], "mode = { ask = \"auto\" }"),
    ];
    let (mut worker, _) = Worker::start(&home, &config.concat());
    for (agent, log) in [("modes", "mode manual"), ("options", "option manual"), ("set", "")] {
        let session = worker.open(agent, |_| {});
        worker.run(session, "log");
        assert_eq!(worker.texts(session), [log], "{agent}");
        assert_eq!(worker.notes(session), [""; 0], "{agent}");
    }
    worker.shut_down();
}

#[test]
fn a_mode_that_cannot_be_set_is_noted_and_the_session_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let manual = "mode = { ask = \"manual\" }";
    let config = [
        agent("stubborn", &["modes", "stubborn"], manual),
        agent("evasive", &["options", "stubborn"], manual),
        agent("mute", &["modes", "mute"], manual),
        agent("other", &["modes"], "mode = { ask = \"safe\" }"),
        agent("none", &[], manual),
    ];
    let (mut worker, _) = Worker::start(&home, &config.concat());
    for (agent, why) in [
        ("stubborn", "it says that it is in mode `auto`"),
        ("evasive", "it says that it is in mode `auto`"),
        ("mute", "it does not answer"),
        ("other", "it offers auto, manual"),
        ("none", "it offers none"),
    ] {
        let session = worker.open(agent, |_| {});
        assert_eq!(worker.run(session, "say hi"), TurnOutcome::Completed, "{agent}");
        let notes = worker.notes(session).concat();
        assert!(notes.contains(why), "{agent}: {notes}");
        if agent == "mute" {
            worker.run(session, "log");
            assert_eq!(
                worker.texts(session),
                ["hi", "given up 3"],
                "the call that nobody waits for is taken back"
            );
        }
        worker.close(session, Cause::Person);
    }
    worker.shut_down();
}

#[test]
fn half_a_megabyte_that_an_agent_repeats_is_journalled_once() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    for last in ["a", "b"] {
        assert_eq!(worker.run(session, &format!("commands {last}")), TurnOutcome::Completed);
    }
    let told: Vec<String> = worker
        .updates(session)
        .iter()
        .map(|update| match update["availableCommands"][0]["name"].as_str() {
            Some(name) => name[..1].to_owned(),
            None => update["content"]["text"].as_str().unwrap().to_owned(),
        })
        .collect();
    assert_eq!(told, ["c", "ha", "ha", "a", "c", "ha", "ha", "b"]);
    worker.shut_down();
}

#[test]
fn settings_that_an_agent_repeats_after_a_wake_are_not_journalled_again() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let spec = crate::common::spec("fake", |_| {});
    let session = spec.id;
    let told = |worker: &Worker| {
        let updates = worker.updates(session);
        updates.iter().filter(|update| update["sessionUpdate"] == "available_commands_update").count()
    };
    for (wake, journalled) in [(0, 0), (1, 1), (2, 1), (3, 1)] {
        worker.request(Action::OpenSession { spec: spec.clone(), environment: None });
        assert_eq!(worker.run(session, &format!("say {wake}")), TurnOutcome::Completed);
        assert_eq!(told(&worker), journalled, "wake {wake}: a load tells the commands, always the same ones");
        worker.request(Action::Release { session, cause: Cause::Idle });
    }
    worker.shut_down();
}

#[test]
fn an_agent_that_refuses_a_load_is_asked_whether_it_still_has_the_session() {
    let home = tempfile::tempdir().unwrap();
    let config = [agent("lists", &["forgets", "lists"], ""), agent("mum", &["forgets"], "")];
    let (mut worker, _) = Worker::start(&home, &config.concat());
    for (agent, told) in [("lists", true), ("mum", false)] {
        let session = worker.open(agent, |_| {});
        worker.run(session, "exit 7");
        assert_eq!(worker.run(session, "say anew"), TurnOutcome::Completed);
        let notes = worker.notes(session).concat();
        assert!(notes.contains("no such session"), "{agent}: {notes}");
        assert_eq!(notes.contains("it does not list the session any more"), told, "{agent}: {notes}");
    }
    worker.shut_down();
}

#[test]
fn a_permission_request_is_shown_with_all_that_is_known_of_its_tool() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    for (prompt, title) in [("update-first make it so", "make it so"), ("only-ask ls", "ls")] {
        let prompt = worker.prompt(session, prompt);
        let request = worker.wait("the request", |report| match report {
            Report::Session(snapshot) => {
                snapshot.waiting.first().filter(|request| request.prompt == prompt).cloned()
            }
            _ => None,
        });
        assert_eq!((request.tool_kind.as_str(), request.title.as_str()), ("execute", title));
        worker.answer(session, request.id, AnswerId::random(), true);
        worker.ended(session, prompt);
    }
    worker.shut_down();
}

#[test]
fn a_turn_that_ends_because_of_a_no_was_refused_and_not_cancelled_by_anybody() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    let prompt = worker.prompt(session, "only-ask ls");
    let waiting = worker.waiting(session, 1);
    worker.answer(session, waiting[0], AnswerId::random(), false);
    assert_eq!(worker.ended(session, prompt), TurnOutcome::Refused);
    let turn = worker.snapshot("the end", session, |snapshot| snapshot.last_turn.clone());
    assert_eq!((turn.cause, turn.detail.as_deref()), (None, Some("a permission was denied")));
    worker.shut_down();
}

#[test]
fn a_cancelled_turn_answers_what_was_asked_and_what_is_asked_afterwards() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    let prompt = worker.prompt(session, "ask-again ls");
    worker.waiting(session, 1);
    worker.request(Action::Cancel { session, prompt: None, cause: Cause::Person });
    assert_eq!(worker.ended(session, prompt), TurnOutcome::Cancelled);
    let cancelled = r#"{"outcome":"cancelled"}"#;
    assert_eq!(worker.texts(session), [cancelled, cancelled]);
    worker.shut_down();
}

#[test]
fn errors_that_look_like_success_are_told_as_what_they_are() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    for (prompt, outcome, words) in [
        ("codex-error", TurnOutcome::Failed, "the agent reports an error of its own"),
        ("codex-error", TurnOutcome::Failed, "the agent reports an error of its own"),
        ("say fine", TurnOutcome::Completed, ""),
        ("silent", TurnOutcome::Suspect, "the agent gave no text and did nothing"),
        ("fail", TurnOutcome::Failed, "quota (code -32603)"),
        ("bare-error no such model", TurnOutcome::Failed, "Internal error: no such model (code 400)"),
    ] {
        let (ended, detail) = worker.detail(session, prompt);
        assert_eq!((ended, detail.as_str()), (outcome, words), "{prompt}");
    }
    worker.shut_down();
}

#[test]
fn how_long_an_agent_has_been_silent_is_told_by_skeps_own_clock() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    let asked = worker.open("fake", |_| {});
    worker.prompt(asked, "permit ls");
    let prompt = worker.prompt(session, "hang");
    let begun = worker.snapshot("the turn", session, |s| s.turn.as_ref().map(|turn| turn.started_at));
    let silent = worker.snapshot("silence", session, |snapshot| snapshot.agent_silent_since);
    let changed = worker.snapshot("silence", session, |s| s.agent_silent_since.map(|_| s.updated_at));
    assert!(begun <= silent, "{begun} {silent}");
    let before = worker.snapshot("work", session, |s| {
        (s.state == SessionState::Running && s.agent_silent_since.is_none()).then_some(s.updated_at)
    });
    assert_eq!(changed, before, "silence is no change of the session");
    worker.request(Action::Cancel { session, prompt: None, cause: Cause::Person });
    assert_eq!(worker.ended(session, prompt), TurnOutcome::Cancelled);
    let after = worker.snapshot("the end", session, |s| s.last_turn.as_ref().map(|_| s.agent_silent_since));
    assert_eq!(after, None);
    let waits =
        worker.snapshot("the question", asked, |s| (!s.waiting.is_empty()).then_some(s.agent_silent_since));
    assert_eq!(waits, None, "whoever waits for a person is not silent");
    worker.shut_down();
}

#[test]
fn what_a_cancelled_turn_leaves_running_is_killed_where_the_agent_is_known_for_that() {
    let home = tempfile::tempdir().unwrap();
    let config = agent("leaves", &[], "quirks = [\"cancel_leaves_tool\"]");
    let (mut worker, _) = Worker::start(&home, &config);
    for (agent, left) in [("leaves", false), ("fake", true)] {
        let session = worker.open(agent, |_| {});
        assert_eq!(worker.run(session, "keep"), TurnOutcome::Completed);
        let prompt = worker.prompt(session, "tree");
        let pids = worker.wait_texts(session, 2);
        worker.request(Action::Cancel { session, prompt: None, cause: Cause::Person });
        assert_eq!(worker.ended(session, prompt), TurnOutcome::Cancelled, "{agent}");
        let alive = pids.iter().map(|pid| alive(pid.parse().unwrap())).collect::<Vec<_>>();
        assert_eq!(alive, [true, left], "{agent}: what was there before the turn stays");
        let noted =
            worker.notes(session).concat().contains("of the cancelled turn running; they were killed");
        assert_eq!(noted, !left, "{agent}");
        assert_eq!(worker.run(session, "say still here"), TurnOutcome::Completed, "{agent}");
    }
    worker.shut_down();
}

#[test]
fn an_agent_that_cannot_load_gets_a_recap_with_its_first_prompt() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("noload", |_| {});
    assert_eq!(worker.run(session, "log"), TurnOutcome::Suspect, "a new session has nothing to recall");
    assert_eq!(worker.run(session, "say the word is kiwi"), TurnOutcome::Completed);
    assert_eq!(worker.run(session, "exit 1"), TurnOutcome::Interrupted);
    assert_eq!(worker.run(session, "log"), TurnOutcome::Completed);
    let texts = worker.texts(session);
    let recap = texts.last().unwrap();
    for words in
        ["A note of skep", "say the word is kiwi", "the word is kiwi", "interrupted", "End of the recap"]
    {
        assert!(recap.contains(words), "{words} in {recap}");
    }
    assert!(worker.notes(session).concat().contains("the prompt begins with a recap of this session"));
    worker.run(session, "say no recap now");
    let prompts = worker.kinds(session).iter().filter(|kind| *kind == "prompt_queued").count();
    assert_eq!(prompts, 5, "the journal has what the person said");
    worker.shut_down();
}

#[test]
fn what_skep_does_not_offer_is_declined_by_its_code() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    let methods = [
        "fs/read_text_file",
        "fs/write_text_file",
        "terminal/create",
        "terminal/output",
        "elicitation/create",
        "craft/drainMidTurnQueue",
        "_any/thing",
    ];
    for method in methods {
        assert_eq!(worker.run(session, &format!("request {method}")), TurnOutcome::Completed, "{method}");
    }
    assert_eq!(worker.texts(session), ["declined -32601"; 7]);
    worker.shut_down();
}

#[test]
fn a_request_that_the_agent_takes_back_waits_no_longer() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    assert_eq!(worker.run(session, "take-back ls"), TurnOutcome::Completed);
    assert_eq!(worker.texts(session), ["error -32800"]);
    let resolved = worker.journal(session).into_iter().find_map(|event| match event {
        Event::PermissionResolved(resolved) => Some(resolved),
        _ => None,
    });
    let resolved = resolved.unwrap();
    assert_eq!(resolved.resolution, Resolution::Withdrawn);
    assert_eq!(resolved.by, DecidedBy::System { cause: Cause::AgentGaveUp });
    worker.shut_down();
}
