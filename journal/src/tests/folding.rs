//! The projection: whatever the records are, and however they were read.

use proptest::prelude::*;
use skep_common::event::{
    AgentExited, AgentStarted, Event, GitBranch, PermissionResolved, PromptDropped, PromptSteered, QueueHeld,
    QueueReleased, Record, SessionClosed, StateChanged, TurnEnded, TurnStarted, WriterOpened,
};
use skep_common::ids::{AnswerId, PermissionId, PromptId};
use skep_common::session::{Cause, Consent, ContentBlock, DecidedBy, Resolution, SessionState, TurnOutcome};
use skep_common::usage::Usage;

use super::recovery::{asks, prompt};
use super::{Home, note, run, update};
use crate::{Durability, Fate, JournalThread, Projection, interruption};

fn id<T: std::str::FromStr>(number: u8) -> T
where
    T::Err: std::fmt::Debug,
{
    format!("00000000-0000-4000-8000-0000000000{number:02x}").parse().unwrap()
}

fn ended(prompt: PromptId, outcome: TurnOutcome) -> Event {
    Event::TurnEnded(TurnEnded {
        prompt,
        steered: Vec::new(),
        outcome,
        cause: None,
        stop_reason: None,
        detail: None,
        exit_code: None,
        usage: Usage::default(),
    })
}

fn ended_with(prompt: PromptId, steered: PromptId) -> Event {
    match ended(prompt, TurnOutcome::Failed) {
        Event::TurnEnded(ended) => Event::TurnEnded(TurnEnded { steered: vec![steered], ..ended }),
        other => other,
    }
}

fn steered(prompt: PromptId, turn: PromptId) -> Event {
    let content = vec![ContentBlock::Text { text: format!("steered {prompt}") }];
    Event::PromptSteered(PromptSteered {
        prompt,
        turn,
        content,
        via: "test".to_owned(),
        consent: Consent::None,
    })
}

fn resolved(permission: PermissionId, resolution: Resolution, answer: AnswerId) -> Event {
    let by = DecidedBy::Client { via: "test".to_owned(), answer };
    Event::PermissionResolved(PermissionResolved {
        permission,
        resolution,
        option: Some("yes".to_owned()),
        by,
    })
}

/// Any event, about few prompts and requests, so that they meet.
fn event() -> impl Strategy<Value = Event> {
    let few = || 0u8..6;
    prop_oneof![
        6 => few().prop_map(|n| prompt(id(n))),
        3 => few().prop_map(|n| Event::PromptDropped(PromptDropped { prompt: id(n), cause: Cause::Person })),
        3 => Just(Event::QueueHeld(QueueHeld { cause: Cause::DaemonStopped, prompts: 1 })),
        1 => Just(Event::QueueReleased(QueueReleased { via: "test".to_owned() })),
        6 => few().prop_map(|n| Event::TurnStarted(TurnStarted { prompt: id(n), content: None })),
        6 => few().prop_map(|n| ended(id(n), TurnOutcome::Completed)),
        2 => (few(), few()).prop_map(|(n, m)| ended_with(id(n), id(m))),
        4 => (few(), few()).prop_map(|(n, m)| steered(id(n), id(m))),
        3 => Just(update("hello")),
        4 => (few(), few()).prop_map(|(n, m)| asks(id(n), id(m))),
        4 => (few(), few()).prop_map(|(n, m)| resolved(id(n), Resolution::Allowed, id(m))),
        1 => few().prop_map(|n| resolved(id(n), Resolution::DeliveryUnknown, id(n))),
        2 => prop::sample::select(vec![SessionState::Idle, SessionState::Running, SessionState::NeedsYou, SessionState::Failed])
            .prop_map(|state| Event::State(StateChanged { state, why: None })),
        1 => few().prop_map(|n| Event::AgentStarted(AgentStarted { title: "x".to_owned(), pid: u32::from(n), agent_session: n.to_string(), context: "new".to_owned(), keys: Vec::new() })),
        1 => Just(Event::AgentExited(AgentExited { status: "exit status 1".to_owned(), cause: Cause::AgentCrashed })),
        1 => few().prop_map(|n| Event::WriterOpened(WriterOpened { epoch: u64::from(n), worker: None, pid: 1, version: String::new() })),
        1 => prop::option::of("[a-z]{1,3}").prop_map(|branch| Event::GitBranch(GitBranch { branch })),
        1 => Just(note("x")),
        1 => prop::bool::weighted(0.1).prop_map(|_| Event::SessionClosed(SessionClosed { cause: Cause::Person })),
    ]
}

fn fold(events: &[Event]) -> Projection {
    let mut projection = Projection::default();
    for (seq, event) in (1..).zip(events) {
        projection.apply(&Record { seq, at: jiff::Timestamp::UNIX_EPOCH, event: event.clone() });
    }
    projection
}

fn check(projection: &Projection) {
    let fate = |n| projection.prompt(id(n)).map(|record| record.fate);
    let mut waits: Vec<PromptId> = projection.queue.iter().map(|queued| queued.prompt).collect();
    for n in 0..6 {
        let prompt: PromptId = id(n);
        assert_eq!(waits.contains(&prompt), fate(n) == Some(Fate::Queued), "{n} in the queue");
        let runs = projection
            .turn
            .as_ref()
            .is_some_and(|turn| turn.prompt == prompt || turn.steered.contains(&prompt));
        assert_eq!(runs, fate(n) == Some(Fate::Running), "{n} running");
        let asked = projection.waiting.iter().filter(|waiting| waiting.id == id(n)).count();
        assert!(asked <= 1);
        assert!(asked == 0 || projection.resolution(id(n)).is_none(), "an answered request does not wait");
    }
    waits.sort();
    waits.dedup();
    assert_eq!(waits.len(), projection.queue.len(), "no prompt waits twice");
    assert!(projection.held.is_none() || !projection.queue.is_empty());
    assert!(projection.closed.is_none() || projection.queue.is_empty());
}

proptest! {
    #[test]
    fn a_fold_is_consistent_and_an_interruption_ends_all_that_is_open(
        events in prop::collection::vec(event(), 0..60),
    ) {
        let mut projection = fold(&events);
        check(&projection);
        for event in interruption(&projection, Cause::WorkerCrashed) {
            let seq = projection.seq + 1;
            projection.apply(&Record { seq, at: jiff::Timestamp::UNIX_EPOCH, event });
        }
        check(&projection);
        prop_assert!(projection.turn.is_none() && projection.waiting.is_empty() && projection.agent.is_none());
        prop_assert!(projection.queue.is_empty() || projection.held.is_some());
        prop_assert!(!projection.state.is_live());
        prop_assert!(interruption(&projection, Cause::Person).is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_is_read_back_is_what_was_appended(events in prop::collection::vec(event(), 0..60)) {
        let home = Home::new();
        let live = run(async {
            let (_thread, journals) = JournalThread::start().unwrap();
            let writer = home.create(&journals).await;
            let mut live = Projection::load(&home.session).unwrap().0;
            let ticket = writer.append(events.clone(), Durability::Buffered).await.unwrap();
            for (seq, event) in ticket.seqs().zip(events) {
                live.apply(&Record { seq, at: jiff::Timestamp::UNIX_EPOCH, event });
            }
            writer.close().await.unwrap();
            live
        });
        let read = Projection::load(&home.session).unwrap().0;
        check(&read);
        prop_assert_eq!((read.seq, read.state, read.epoch, &read.why), (live.seq, live.state, live.epoch, &live.why));
        prop_assert_eq!((&read.queue, read.held, read.closed), (&live.queue, live.held, live.closed));
        prop_assert_eq!((&read.undelivered, &read.turn_starts), (&live.undelivered, &live.turn_starts));
        prop_assert_eq!((&read.agent, &read.agent_session, &read.spec), (&live.agent, &live.agent_session, &live.spec));
        let turn = |p: &Projection| p.turn.as_ref().map(|turn| (turn.prompt, turn.seq));
        prop_assert_eq!(turn(&read), turn(&live));
        let waiting = |p: &Projection| p.waiting.iter().map(|w| w.id).collect::<Vec<PermissionId>>();
        prop_assert_eq!(waiting(&read), waiting(&live));
        for n in 0..6 {
            prop_assert_eq!(read.prompt(id(n)), live.prompt(id(n)));
            prop_assert_eq!(read.answer(id(n)), live.answer(id(n)));
            prop_assert_eq!(read.resolution(id(n)), live.resolution(id(n)));
        }
    }
}

#[test]
fn the_last_thousand_prompts_are_remembered_and_all_that_wait() {
    let mut events = vec![prompt(id(1))];
    let ids: Vec<PromptId> = (0..1_500).map(|_| PromptId::random()).collect();
    for one in &ids {
        events.extend([
            prompt(*one),
            Event::TurnStarted(TurnStarted { prompt: *one, content: None }),
            ended(*one, TurnOutcome::Completed),
        ]);
    }
    let projection = fold(&events);
    assert_eq!(projection.prompt(id(1)).unwrap().fate, Fate::Queued);
    let remembered = ids.iter().filter(|id| projection.prompt(**id).is_some()).count();
    assert_eq!(remembered, 1_000);
    assert!(ids[500..].iter().all(|id| projection.prompt(*id).is_some()));
    assert_eq!(projection.turn_starts.len(), 256);
}

#[test]
fn n7_the_first_answer_wins_and_the_same_answer_gets_the_same_reply() {
    let (first, second): (AnswerId, AnswerId) = (id(1), id(2));
    let events = [
        Event::TurnStarted(TurnStarted { prompt: id(9), content: None }),
        asks(id(5), id(9)),
        resolved(id(5), Resolution::Allowed, first),
        resolved(id(5), Resolution::Denied, second),
    ];
    let projection = fold(&events);
    assert_eq!(projection.answer(first).unwrap().resolution, Resolution::Allowed);
    assert!(projection.answer(second).is_none());
    assert_eq!(projection.undelivered, [id::<PermissionId>(5)]);

    // The worker dies before the agent gave a sign of life: nobody knows whether it heard.
    let last = interruption(&projection, Cause::WorkerCrashed);
    let unknown = last.iter().any(
        |event| matches!(event, Event::PermissionResolved(r) if r.resolution == Resolution::DeliveryUnknown),
    );
    assert!(unknown);
    let mut heard = events.to_vec();
    heard.push(update("working"));
    assert!(fold(&heard).undelivered.is_empty());
}

#[test]
fn a_steered_prompt_runs_and_ends_with_its_turn_and_is_run_again_with_it() {
    let (own, more): (PromptId, PromptId) = (id(1), id(2));
    let start = Event::TurnStarted(TurnStarted { prompt: own, content: None });
    let fate = |projection: &Projection| projection.prompt(more).map(|record| (record.seq, record.fate));
    let mut begun = vec![prompt(own), start, steered(more, own)];
    let projection = fold(&begun);
    assert_eq!(fate(&projection), Some((3, Fate::Running)));

    // A torn journal: whoever repairs it ends both.
    let interruption = interruption(&projection, Cause::WorkerCrashed);
    let end = interruption.iter().find_map(|event| match event {
        Event::TurnEnded(ended) => Some(ended),
        _ => None,
    });
    assert!(end.is_some_and(|end| end.ends(own) && end.ends(more) && !end.ends(id(3))), "{interruption:?}");
    let projection = fold(&[begun.clone(), interruption].concat());
    assert_eq!(fate(&projection), Some((3, Fate::Ended(TurnOutcome::Interrupted))));
    let again = projection.cut_off.unwrap().content;
    assert_eq!(again.last(), Some(&ContentBlock::Text { text: format!("steered {more}") }));

    // An end that does not name it ends it all the same; so does one whose beginning is lost.
    begun.push(ended(own, TurnOutcome::Failed));
    assert_eq!(fate(&fold(&begun)), Some((3, Fate::Ended(TurnOutcome::Failed))));
    assert_eq!(fate(&fold(&begun[2..])), Some((1, Fate::Ended(TurnOutcome::Unknown))));
    assert_eq!(fate(&fold(&[ended_with(own, more)])), Some((1, Fate::Ended(TurnOutcome::Failed))));
}
