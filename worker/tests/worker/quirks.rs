//! Agents that lose sessions or share daemons, against a scripted one.

use crate::common::{HELPER, Worker, agent, alive, gone, spec};
use skep_common::protocol::{Action, Reply};
use skep_common::session::{Cause, SessionState, TurnOutcome};

fn contexts(worker: &Worker, session: skep_common::ids::SessionId) -> Vec<String> {
    worker.starts(session).into_iter().map(|(_, context)| context).collect()
}

#[test]
fn a_session_that_an_early_load_would_lose_is_loaded_when_the_next_period_of_the_agents_clock_begins() {
    let home = tempfile::tempdir().unwrap();
    let config = [
        agent("careful", &["clock=2"], "quirks = [\"same_minute_load\"]\nsession_clock = \"2 s\""),
        agent("rash", &["clock=86400"], ""),
    ];
    let (mut worker, _) = Worker::start(&home, &config.concat());
    for (agent, context, lost) in [("careful", "loaded", false), ("rash", "new", true)] {
        let session = worker.open(agent, |_| {});
        assert_eq!(worker.run(session, "exit 7"), TurnOutcome::Interrupted);
        assert_eq!(worker.run(session, "say back"), TurnOutcome::Completed);
        assert_eq!(contexts(&worker, session), ["new", context], "{agent}");
        assert_eq!(worker.notes(session).concat().contains("the file is gone"), lost, "{agent}");
    }
    worker.shut_down();
}

#[test]
fn while_a_load_waits_for_the_agents_clock_the_session_says_why_and_can_be_cancelled_and_closed() {
    let home = tempfile::tempdir().unwrap();
    let clock = "quirks = [\"same_minute_load\"]\nsession_clock = \"1 day\"";
    let (mut worker, _) = Worker::start(&home, &agent("coarse", &["clock=86400"], clock));
    let spec = spec("coarse", |_| {});
    let session = spec.id;
    let open = || Action::OpenSession { spec: spec.clone(), environment: None };
    worker.request(open());
    assert_eq!(worker.run(session, "say made"), TurnOutcome::Completed, "a new session does not wait");
    assert_eq!(worker.run(session, "say again"), TurnOutcome::Completed, "nor does one whose agent runs");
    worker.request(Action::Release { session, cause: Cause::Idle });
    worker.released(session);
    // When it was made is in the journal.
    worker.request(open());
    for ends in ["cancelled", "closed"] {
        let prompt = worker.prompt(session, "say too early");
        let (agent, why) = worker.snapshot("the wait", session, |snapshot| {
            let ours = snapshot.turn.as_ref().is_some_and(|turn| turn.prompt == prompt);
            let starts = ours && snapshot.state == SessionState::Starting;
            starts.then(|| Some((snapshot.agent.clone(), snapshot.why.clone()?))).flatten()
        });
        assert!(why.contains("would lose the session"), "{why}");
        assert_eq!(agent, None);
        if ends == "cancelled" {
            worker.request(Action::Cancel { session, prompt: None, cause: Cause::Person });
            assert_eq!(worker.ended(session, prompt), TurnOutcome::Cancelled);
        } else {
            assert!(matches!(worker.close(session, Cause::Person), Reply::Done { .. }));
            assert_eq!(worker.ended(session, prompt), TurnOutcome::Interrupted);
        }
    }
    assert_eq!(contexts(&worker, session), ["new"], "nothing was started in vain");
    let told = worker.notes(session).iter().filter(|note| note.contains("would lose the session")).count();
    assert_eq!(told, 2, "whoever follows is told, too");
    worker.shut_down();
}

#[test]
fn each_session_has_a_hub_daemon_of_its_own_that_dies_with_it_and_with_nobody_else() {
    let home = tempfile::tempdir().unwrap();
    let config = agent("hub", &[], "quirks = [\"hub_daemon\"]\nprivate_home = true");
    let (mut worker, _) = Worker::start(&home, &config);
    let sessions = [0; 3].map(|_| worker.open("hub", |_| {}));
    let pids = |worker: &Worker, session| -> Vec<u32> {
        worker.texts(session).iter().map(|text| text.parse().unwrap()).collect()
    };
    for session in &sessions[..2] {
        for _ in 0..2 {
            assert_eq!(worker.run(*session, "hub"), TurnOutcome::Completed);
        }
    }
    assert_eq!(worker.run(sessions[2], "hub die"), TurnOutcome::Interrupted);
    let [closed, killed, crashed] = sessions.map(|session| pids(&worker, session));
    assert!(closed[0] == closed[2] && closed[1] != closed[3], "one hub for a session's prompts: {closed:?}");
    assert!(closed[0] != killed[0] && closed[0] != crashed[0] && killed[0] != crashed[0], "each its own hub");
    for (session, cause, ended, spared) in [
        (sessions[2], None, &crashed, [&closed, &killed].to_vec()),
        (sessions[0], Some(Cause::Person), &closed, vec![&killed]),
        (sessions[1], Some(Cause::Killed), &killed, vec![]),
    ] {
        if let Some(cause) = cause {
            assert!(matches!(worker.close(session, cause), Reply::Done { .. }));
        }
        ended.iter().for_each(|pid| gone(*pid));
        assert!(
            spared.into_iter().flatten().all(|pid| alive(*pid)),
            "another session's hub and tools live on"
        );
    }
    worker.shut_down();
}

#[test]
fn n4_an_agent_that_ignores_the_end_of_its_input_and_sigterm_is_killed_when_its_graces_are_over() {
    let home = tempfile::tempdir().unwrap();
    let script = "trap '' TERM; exec \"$0\" fake undying";
    let config = format!(
        "[agents.undying]\ncommand = [\"/bin/sh\", \"-c\", {script:?}, {HELPER:?}]\neof_grace = \"100 ms\"\n"
    );
    let (mut worker, _) = Worker::start(&home, &config);
    let session = worker.open("undying", |_| {});
    assert_eq!(worker.run(session, "say hi"), TurnOutcome::Completed);
    let agent = worker.starts(session)[0].0;
    assert!(matches!(worker.close(session, Cause::Person), Reply::Done { .. }));
    assert!(!alive(agent), "a close is only said when the agent is gone");
    assert_eq!(worker.exits(session), ["signal 9 (SIGKILL)"]);
    worker.shut_down();
}
