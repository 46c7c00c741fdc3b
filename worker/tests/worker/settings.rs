//! A person changes the settings of a session that is open.

use skep_common::code::{ApiError, Code};
use skep_common::event::Event;
use skep_common::ids::{RequestId, SessionId};
use skep_common::protocol::{Action, Reply};
use skep_common::session::{Cause, PermissionMode, SessionChange, SessionSettings, TakesEffect, TurnOutcome};

use crate::common::{Worker, agent, spec};

fn ask(worker: &mut Worker, session: SessionId, json: &str) -> RequestId {
    let change: SessionChange = serde_json::from_str(json).unwrap();
    worker.ask(Action::Change { session, change: Box::new(change), via: String::from("test") })
}

/// What came of each setting, as `name when`.
fn change(worker: &mut Worker, session: SessionId, json: &str) -> Vec<String> {
    let request = ask(worker, session, json);
    match worker.reply(request) {
        Reply::Changed { changed, .. } => {
            changed.iter().map(|one| format!("{} {:?}", one.setting, one.takes_effect)).collect()
        }
        other => panic!("{json}: {other:?}"),
    }
}

fn refused(worker: &mut Worker, session: SessionId, json: &str) -> ApiError {
    let request = ask(worker, session, json);
    match worker.reply(request) {
        Reply::Error { error } => error,
        other => panic!("{json}: {other:?}"),
    }
}

/// The changes in the journal, in words, with who made them.
fn journalled(worker: &Worker, session: SessionId) -> Vec<String> {
    let told = |event: Event| match event {
        Event::SessionChanged(changed) => Some(format!("{}: {}", changed.by, changed.changes.in_words())),
        _ => None,
    };
    worker.journal(session).into_iter().filter_map(told).collect()
}

fn settings(worker: &mut Worker, session: SessionId, fits: impl Fn(&SessionSettings) -> bool) {
    worker.snapshot("settings", session, |now| now.settings.as_ref().filter(|has| fits(has)).map(drop));
}

fn log(worker: &mut Worker, session: SessionId) -> String {
    worker.run(session, "log");
    worker.texts(session).pop().unwrap()
}

#[test]
fn a_model_and_options_are_set_in_the_running_agent_and_journalled() {
    let home = tempfile::tempdir().unwrap();
    let config = [agent("settings", &["settings"], ""), agent("models", &["models"], "")];
    let (mut worker, _) = Worker::start(&home, &config.concat());
    for (agent, json, answers, last) in [
        ("settings", r#"{"options":{"model":"big"}}"#, &["model Now"][..], "llm \"big\""),
        ("models", r#"{"options":{"model":"big"}}"#, &["model Now"], "model big"),
        (
            "settings",
            r#"{"options":{"model":"small","set":{"brave":"true"}}}"#,
            &["model Now", "set.brave Now"],
            "brave true",
        ),
    ] {
        let session = worker.open(agent, |_| {});
        worker.run(session, "say hi");
        assert_eq!(change(&mut worker, session, json), answers, "{agent} {json}");
        assert_eq!(log(&mut worker, session), last, "{agent} {json}");
        assert_eq!(worker.starts(session).len(), 1, "it is the same process");
        assert_eq!(journalled(&worker, session).len(), 1);
        settings(&mut worker, session, |has| has.options.model.is_some());
        let again = change(&mut worker, session, json);
        assert!(again.iter().all(|answer| answer.ends_with("Unchanged")), "{again:?}");
        assert_eq!(journalled(&worker, session).len(), 1, "nothing changed");
        worker.close(session, Cause::Person);
    }
    worker.shut_down();
}

#[test]
fn what_the_agent_does_not_offer_is_refused_whole_with_what_it_does() {
    let home = tempfile::tempdir().unwrap();
    let config = agent("settings", &["settings"], "")
        + "[agents.once]\ndriver = \"oneshot\"\ncommand = [\"cat\"]\nmode_args = { ask = [] }\n";
    let (mut worker, _) = Worker::start(&home, &config);
    let session = worker.open("settings", |_| {});
    worker.run(session, "say hi");
    for (json, code, offered) in [
        (
            r#"{"options":{"model":"huge","limits":{"max_turns":9}}}"#,
            Code::ModelNotFound,
            "[\"small\",\"big\"]",
        ),
        (r#"{"options":{"model":"big","set":{"nope":"x"}}}"#, Code::OptionNotFound, "[\"llm\",\"brave\"]"),
        (r#"{"options":{"set":{"brave":"very"}}}"#, Code::InvalidValue, "[\"true\",\"false\"]"),
    ] {
        let error = refused(&mut worker, session, json);
        let details = error.details.unwrap_or_default()["offered"].to_string();
        assert_eq!((error.code, details.as_str()), (code, offered), "{json}");
    }
    let error = refused(&mut worker, session, r#"{"options":{"turn_timeout_seconds":0}}"#);
    assert_eq!(error.code, Code::InvalidValue);
    let once = worker.open("once", |_| {});
    assert_eq!(refused(&mut worker, once, r#"{"options":{"model":"x"}}"#).code, Code::ModelNotFound);
    assert_eq!(refused(&mut worker, once, r#"{"options":{"set":{"a":"b"}}}"#).code, Code::OptionNotFound);
    assert!(journalled(&worker, session).is_empty() && journalled(&worker, once).is_empty());
    assert_eq!(log(&mut worker, session), "", "the agent was not even asked");
    worker.shut_down();
}

#[test]
fn what_the_agent_refuses_is_taken_back_whole_and_journalled() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, &agent("timid", &["settings", "timid"], ""));
    let session = worker.open("timid", |_| {});
    worker.run(session, "say hi");
    let json = r#"{"permission_mode":"plan","options":{"model":"big","set":{"brave":"true"}}}"#;
    let error = refused(&mut worker, session, json);
    assert_eq!(error.code, Code::AgentRefused);
    assert!(error.message.contains("not today") && error.message.contains("nothing was changed"), "{error}");
    assert_eq!(log(&mut worker, session), "llm \"small\"", "the model is put back");
    let [done, back] = journalled(&worker, session).try_into().unwrap();
    assert_eq!(done, "test: permission_mode = plan, model = big, set.brave = true");
    assert_eq!(back, "skep: the agent refused: permission_mode = ask, model = default, set.brave = default");
    assert!(worker.notes(session).iter().any(|note| note.contains("not today")));
    settings(&mut worker, session, |has| has.permission_mode == PermissionMode::Ask);
    worker.shut_down();
}

#[test]
fn n7_a_mode_holds_at_once_and_what_waits_stays_waiting() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    let prompt = worker.prompt(session, "permit rm -r one");
    let waits = worker.waiting(session, 1);
    assert_eq!(change(&mut worker, session, r#"{"permission_mode":"bypass"}"#), ["permission_mode Now"]);
    settings(&mut worker, session, |has| has.permission_mode == PermissionMode::Bypass);
    assert_eq!(worker.waiting(session, 1), waits);
    worker.answer(session, waits[0], skep_common::ids::AnswerId::random(), false);
    assert_eq!(worker.ended(session, prompt), TurnOutcome::Completed);
    assert_eq!(worker.run(session, "permit rm -r two"), TurnOutcome::Completed);
    assert_eq!(change(&mut worker, session, r#"{"permission_mode":"deny"}"#), ["permission_mode Now"]);
    worker.run(session, "permit rm -r three");
    let outcomes: Vec<String> = worker
        .journal(session)
        .iter()
        .filter_map(|event| match event {
            Event::PermissionResolved(resolved) => Some(format!("{:?}", resolved.resolution)),
            _ => None,
        })
        .collect();
    assert_eq!(outcomes, ["Denied", "Allowed", "Denied"]);
    worker.shut_down();
}

#[test]
fn n7_the_agents_own_mode_follows_and_its_refusal_is_told() {
    let home = tempfile::tempdir().unwrap();
    let modes = "mode = { ask = \"auto\", plan = \"manual\", deny = \"strict\" }";
    let config = [agent("modes", &["modes"], modes), agent("options", &["options"], modes)];
    let (mut worker, _) = Worker::start(&home, &config.concat());
    for (agent, last) in [("modes", "mode manual"), ("options", "option manual")] {
        let session = worker.open(agent, |_| {});
        worker.run(session, "say hi");
        assert_eq!(change(&mut worker, session, r#"{"permission_mode":"plan"}"#), ["permission_mode Now"]);
        assert_eq!(log(&mut worker, session), last);
        assert_eq!(change(&mut worker, session, r#"{"permission_mode":"deny"}"#), ["permission_mode Now"]);
        let notes = worker.notes(session).join("\n");
        assert!(notes.contains("could not be set to `strict`: it offers auto, manual"), "{notes}");
    }
    worker.shut_down();
}

#[test]
fn what_an_agent_takes_only_at_its_start_brings_it_back_with_its_context() {
    let home = tempfile::tempdir().unwrap();
    let flags = "model_args = [\"llm={model}\"]\nmode_args = { ask = [\"asks\"], plan = [\"plans\"] }";
    let config = [agent("flags", &["flags"], flags), agent("lost", &["flags", "noload"], flags)];
    let (mut worker, _) = Worker::start(&home, &config.concat());
    let session = worker.open("flags", |_| {});
    worker.run(session, "say hi");
    assert_eq!(change(&mut worker, session, r#"{"options":{"model":"big"}}"#), ["model NextTurn"]);
    worker.run(session, "args");
    assert!(worker.texts(session).pop().unwrap().ends_with("asks llm=big"));
    let prompt = worker.prompt(session, "permit rm -r one");
    let waits = worker.waiting(session, 1);
    let request = ask(&mut worker, session, r#"{"permission_mode":"plan"}"#);
    let Reply::Changed { changed, .. } = worker.reply(request) else { panic!("it is changed") };
    assert_eq!(changed[0].takes_effect, TakesEffect::Now);
    assert!(changed[0].detail.as_ref().unwrap().contains("from its next turn on"), "{changed:?}");
    worker.answer(session, waits[0], skep_common::ids::AnswerId::random(), true);
    assert_eq!(worker.ended(session, prompt), TurnOutcome::Completed, "the running turn goes on");
    worker.run(session, "args");
    assert!(worker.texts(session).pop().unwrap().ends_with("plans llm=big"));
    let contexts: Vec<String> = worker.starts(session).into_iter().map(|(_, context)| context).collect();
    assert_eq!(contexts, ["new", "loaded", "loaded"]);

    let lost = worker.open("lost", |_| {});
    worker.run(lost, "say hi");
    assert_eq!(change(&mut worker, lost, r#"{"options":{"model":"big"}}"#), ["model NextStart"]);
    worker.run(lost, "say hi");
    assert_eq!(worker.starts(lost).len(), 1, "its context is worth more");
    assert!(worker.notes(lost).iter().any(|note| note.contains("keeps its former settings")));
    worker.shut_down();
}

#[test]
fn n2_a_change_outlives_the_worker_and_holds_for_the_next_agent() {
    let home = tempfile::tempdir().unwrap();
    let config = agent("settings", &["settings"], "");
    let (mut worker, _) = Worker::start(&home, &config);
    let before = spec("settings", |_| {});
    let open = |before: &skep_common::session::SessionSpec| Action::OpenSession {
        spec: before.clone(),
        environment: None,
    };
    let session = before.id;
    assert!(matches!(worker.request(open(&before)), Reply::Done { .. }));
    let json = r#"{"permission_mode":"plan","options":{"model":"big","limits":{"max_turns":1}}}"#;
    assert_eq!(
        change(&mut worker, session, json),
        ["permission_mode Now", "model NextStart", "limits.max_turns Now"]
    );
    worker.shut_down();
    // Whoever opens it again has only the settings that it was created with.
    let (mut worker, _) = Worker::start(&home, &config);
    assert!(matches!(worker.request(open(&before)), Reply::Done { .. }));
    assert_eq!(log(&mut worker, session), "llm \"big\"");
    settings(&mut worker, session, |has| has.permission_mode == PermissionMode::Plan);
    let file = std::fs::read(home.path().join("sessions").join(session.to_string()).join("session.json"));
    let file: skep_common::session::SessionFile = serde_json::from_slice(&file.unwrap()).unwrap();
    assert_eq!(file.spec.options.model.as_deref(), Some("big"));
    worker.shut_down();
}

#[test]
fn n11_limits_count_what_was_used_and_a_time_from_the_turns_beginning() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |spec| spec.options.limits.max_turns = Some(1));
    worker.run(session, "say hi");
    let prompt = |worker: &mut Worker| {
        let prompt = skep_common::ids::PromptId::random();
        let when_busy = skep_common::session::WhenBusy::Queue;
        (prompt, worker.request(crate::common::action(session, prompt, "hang", when_busy)))
    };
    let (_, used_up) = prompt(&mut worker);
    assert!(
        matches!(&used_up, Reply::Error { error } if error.message.contains("`skep set`")),
        "{used_up:?}"
    );
    change(&mut worker, session, r#"{"options":{"limits":{"max_turns":2}}}"#);
    let (hanging, taken) = prompt(&mut worker);
    assert!(matches!(taken, Reply::Prompt { .. }), "{taken:?}");
    change(&mut worker, session, r#"{"options":{"turn_timeout_seconds":1}}"#);
    assert_eq!(worker.ended(session, hanging), TurnOutcome::Limit);
    change(&mut worker, session, r#"{"options":{"idle_timeout_seconds":1}}"#);
    worker.released(session);
    worker.shut_down();
}

#[test]
fn a_change_while_the_agent_starts_waits_for_it_and_one_change_at_a_time() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, &agent("slow", &["slow"], ""));
    let session = worker.open("slow", |_| {});
    worker.prompt(session, "say hi");
    let waits = ask(&mut worker, session, r#"{"options":{"model":"big"}}"#);
    let second = refused(&mut worker, session, r#"{"options":{"model":"small"}}"#);
    assert_eq!(second.code, Code::SessionBusy);
    worker.close(session, Cause::Killed);
    let reply = worker.reply(waits);
    assert!(matches!(&reply, Reply::Error { error } if error.code == Code::SessionClosed), "{reply:?}");
    worker.shut_down();
}
