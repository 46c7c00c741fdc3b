use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

fn prompt(id: PromptId) -> Prompt {
    let content = vec![ContentBlock::Text { text: String::from("x") }];
    Prompt { id, content, consent: Consent::None, timeout_seconds: None, retry_of: None }
}

fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

fn started(id: PromptId) -> Accepted {
    Accepted::New { start: Some(id), released: false, queued: false }
}

const REFUSE: (WhenBusy, Steering) = (WhenBusy::Refuse, Steering::Never);
const QUEUE: (WhenBusy, Steering) = (WhenBusy::Queue, Steering::Never);
const STEER: (WhenBusy, Steering) = (WhenBusy::Steer, Steering::Now);

const QUEUED: Accepted = Accepted::New { start: None, released: false, queued: true };

#[test]
fn g9_a_busy_session_refuses_or_queues_as_asked() {
    let mut turns = Turns::new(1);
    let [a, b, c, d] = std::array::from_fn(|_| PromptId::random());
    assert_eq!(turns.accept(prompt(a), REFUSE, now()), Ok(started(a)));
    assert_eq!(turns.accept(prompt(b), REFUSE, now()), Err(Refusal::Busy));
    assert_eq!(turns.accept(prompt(c), QUEUE, now()), Ok(QUEUED));
    assert_eq!(turns.accept(prompt(d), QUEUE, now()), Err(Refusal::QueueFull));
    assert_eq!(turns.end().unwrap().prompt.id, a);
    assert_eq!(turns.next(now()).unwrap().id, c);
    assert!(turns.next(now()).is_none(), "one turn at a time");
}

#[test]
fn a_second_delivery_is_acknowledged_and_not_run() {
    let mut turns = Turns::new(9);
    let [a, b] = std::array::from_fn(|_| PromptId::random());
    turns.accept(prompt(a), REFUSE, now()).unwrap();
    turns.numbered(a, 3);
    turns.accept(prompt(b), QUEUE, now()).unwrap();
    turns.numbered(b, 5);
    assert_eq!(
        turns.accept(prompt(a), REFUSE, now()),
        Ok(Accepted::Duplicate { seq: 3, queued: false, steered_into: None })
    );
    assert_eq!(
        turns.accept(prompt(b), REFUSE, now()),
        Ok(Accepted::Duplicate { seq: 5, queued: true, steered_into: None })
    );
    let mut reopened = Turns::restored(9, [prompt(b)], [(a, 3), (b, 5)]);
    assert_eq!(
        reopened.accept(prompt(a), REFUSE, now()),
        Ok(Accepted::Duplicate { seq: 3, queued: false, steered_into: None })
    );
    assert!(reopened.held());
}

#[test]
fn a_prompt_on_a_held_queue_goes_to_its_end_and_releases_it() {
    let [a, b, c] = std::array::from_fn(|_| PromptId::random());
    let mut turns = Turns::restored(9, [prompt(a), prompt(b)], []);
    assert!(turns.next(now()).is_none());
    let accepted = turns.accept(prompt(c), REFUSE, now());
    assert_eq!(accepted, Ok(Accepted::New { start: Some(a), released: true, queued: true }));
    assert_eq!(turns.queued(), [b, c]);
}

#[test]
fn hold_and_release_say_whether_they_changed_anything() {
    let mut turns = Turns::new(9);
    assert_eq!((turns.hold(), turns.release()), (None, false));
    let [a, b] = std::array::from_fn(|_| PromptId::random());
    turns.accept(prompt(a), QUEUE, now()).unwrap();
    turns.accept(prompt(b), QUEUE, now()).unwrap();
    assert_eq!((turns.hold(), turns.hold()), (Some(1), None));
    turns.end();
    assert!(turns.next(now()).is_none());
    assert_eq!((turns.release(), turns.release()), (true, false));
    assert_eq!(turns.next(now()).unwrap().id, b);
}

#[test]
fn cancel_is_for_the_running_turn_or_the_named_prompt() {
    let mut turns = Turns::new(9);
    let [a, b] = std::array::from_fn(|_| PromptId::random());
    assert_eq!(turns.cancel(None, Cause::Person), Cancelled::Nothing);
    assert_eq!(turns.cancel(Some(a), Cause::Person), Cancelled::Unknown);
    turns.accept(prompt(a), QUEUE, now()).unwrap();
    turns.accept(prompt(b), QUEUE, now()).unwrap();
    assert_eq!(turns.cancel(Some(b), Cause::Person), Cancelled::Dropped(b));
    assert_eq!(turns.cancel(Some(b), Cause::Person), Cancelled::Nothing);
    assert_eq!(turns.cancel(None, Cause::TimedOut), Cancelled::Turn);
    assert_eq!(turns.cancel(Some(a), Cause::Person), Cancelled::Nothing);
    assert_eq!(turns.end().unwrap().cancel, Some(Cause::TimedOut), "the first cause stays");
    assert_eq!(turns.cancel(Some(a), Cause::Person), Cancelled::Nothing);
}

#[test]
fn g9_a_prompt_is_steered_into_a_turn_that_takes_it_and_else_queued_or_refused() {
    let idle = Turns::new(9);
    let [a, b] = std::array::from_fn(|_| PromptId::random());
    let mut runs = Turns::new(9);
    runs.accept(prompt(a), REFUSE, now()).unwrap();
    let mut cancelled = Turns::new(9);
    cancelled.accept(prompt(a), REFUSE, now()).unwrap();
    cancelled.cancel(None, Cause::Person);
    let mut held = Turns::restored(9, [prompt(a)], []);
    let _released = held.next(now());
    let steered = Ok(Accepted::Steered { into: a });
    let refused = Err(Refusal::CannotSteer);
    for (what, turns, [never, later, takes]) in [
        ("idle", idle, [Ok(started(b)), Ok(started(b)), Ok(started(b))]),
        ("running", runs, [refused, Ok(QUEUED), steered]),
        ("being cancelled", cancelled, [refused, Ok(QUEUED), Ok(QUEUED)]),
        ("held", held, [Ok(Accepted::New { start: Some(a), released: true, queued: true }); 3]),
    ] {
        for (steering, expected) in
            [(Steering::Never, never), (Steering::Later, later), (Steering::Now, takes)]
        {
            let mut turns = turns.clone();
            let accepted = turns.accept(prompt(b), (WhenBusy::Steer, steering), now());
            assert_eq!(accepted, expected, "{what} {steering:?}");
            assert_eq!(turns.knows(b), accepted.is_ok(), "what was refused can be tried again");
        }
    }
}

#[test]
fn a_steered_prompt_is_part_of_its_turn() {
    let mut turns = Turns::new(9);
    let [a, b, c] = std::array::from_fn(|_| PromptId::random());
    turns.accept(prompt(a), REFUSE, now()).unwrap();
    turns.accept(prompt(c), QUEUE, now()).unwrap();
    assert_eq!(
        turns.accept(prompt(b), STEER, now()),
        Ok(Accepted::Steered { into: a }),
        "before those that wait"
    );
    turns.numbered(b, 7);
    for how in [REFUSE, QUEUE, STEER] {
        let again = turns.accept(prompt(b), how, now());
        assert_eq!(again, Ok(Accepted::Duplicate { seq: 7, queued: false, steered_into: Some(a) }));
    }
    assert_eq!(turns.cancel(Some(b), Cause::Person), Cancelled::Turn);
    let ended = turns.end().unwrap();
    assert_eq!((ended.prompt.id, ended.steered, ended.cancel), (a, vec![b], Some(Cause::Person)));
    assert_eq!(ended.prompt.text(), "x\nx", "run again, it is told all");
    let again = turns.accept(prompt(b), STEER, now());
    assert_eq!(again, Ok(Accepted::Duplicate { seq: 7, queued: false, steered_into: None }));
    assert_eq!(turns.next(now()).unwrap().id, c);
}

#[test]
fn g13_a_turn_takes_only_so_many_prompts_and_only_so_much() {
    let mut turns = Turns::new(9);
    turns.accept(prompt(PromptId::random()), REFUSE, now()).unwrap();
    let long = "x".repeat(STEERED_BYTES);
    let much = Prompt { content: vec![ContentBlock::Text { text: long }], ..prompt(PromptId::random()) };
    for _ in 1..STEERED {
        turns.accept(prompt(PromptId::random()), STEER, now()).unwrap();
    }
    assert_eq!(turns.accept(much.clone(), STEER, now()), Err(Refusal::SteeredEnough));
    turns.accept(prompt(PromptId::random()), STEER, now()).unwrap();
    assert_eq!(turns.accept(prompt(PromptId::random()), STEER, now()), Err(Refusal::SteeredEnough));
    assert_eq!(turns.accept(much, QUEUE, now()), Ok(QUEUED));
}

#[derive(Debug, Clone)]
enum Step {
    Prompt(usize, (WhenBusy, Steering)),
    Cancel(Option<usize>),
    End,
    Hold,
    Release,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let busy = prop_oneof![Just(WhenBusy::Refuse), Just(WhenBusy::Queue), Just(WhenBusy::Steer)];
    let steering = prop_oneof![Just(Steering::Never), Just(Steering::Later), Just(Steering::Now)];
    let busy = (busy, steering);
    prop_oneof![
        4 => (0usize..12, busy).prop_map(|(n, busy)| Step::Prompt(n, busy)),
        1 => proptest::option::of(0usize..12).prop_map(Step::Cancel),
        3 => Just(Step::End),
        1 => Just(Step::Hold),
        1 => Just(Step::Release),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #[test]
    fn g9_every_accepted_prompt_runs_once_or_is_dropped_or_waits(
        steps in proptest::collection::vec(step(), 0..80)
    ) {
        let ids: Vec<PromptId> = (0..12).map(|_| PromptId::random()).collect();
        let mut turns = Turns::new(4);
        let (mut accepted, mut ran, mut dropped) = (Vec::new(), Vec::new(), HashSet::new());
        let mut in_turn = Vec::new();
        for step in steps {
            match step {
                Step::Prompt(n, busy) => {
                    let known = accepted.contains(&ids[n]);
                    match turns.accept(prompt(ids[n]), busy, now()) {
                        Ok(Accepted::Duplicate { .. }) => prop_assert!(known),
                        Ok(Accepted::New { start, .. }) => {
                            prop_assert!(!known);
                            accepted.push(ids[n]);
                            ran.extend(start);
                        }
                        Ok(Accepted::Steered { into }) => {
                            prop_assert!(!known && !turns.cancelling());
                            prop_assert_eq!(turns.running().map(|prompt| prompt.id), Some(into));
                            accepted.push(ids[n]);
                            in_turn.push(ids[n]);
                        }
                        Err(_) => prop_assert!(!known),
                    }
                }
                Step::Cancel(n) => {
                    if let Cancelled::Dropped(id) = turns.cancel(n.map(|n| ids[n]), Cause::Person) {
                        prop_assert!(dropped.insert(id));
                    }
                }
                Step::End => {
                    let steered = turns.end().map(|ended| ended.steered).unwrap_or_default();
                    prop_assert_eq!(&steered, &in_turn, "what was steered is over with its turn");
                    ran.append(&mut in_turn);
                    ran.extend(turns.next(now()).map(|prompt| prompt.id));
                }
                Step::Hold => { let _held = turns.hold(); }
                Step::Release => {
                    turns.release();
                    ran.extend(turns.next(now()).map(|prompt| prompt.id));
                }
                Step::Reopen => {
                    turns.end();
                    ran.append(&mut in_turn);
                    let known: Vec<_> = accepted.iter().map(|id| (*id, 1)).collect();
                    let queue: Vec<_> = turns.queued().into_iter().map(prompt).collect();
                    turns = Turns::restored(4, queue, known);
                }
            }
            let waiting = turns.queued();
            prop_assert!(waiting.len() <= 4);
            prop_assert!(turns.running().is_some() || turns.held() || waiting.is_empty());
            let unique: HashSet<_> = ran.iter().chain(&in_turn).chain(&dropped).chain(&waiting).copied().collect();
            prop_assert_eq!(unique.len(), ran.len() + in_turn.len() + dropped.len() + waiting.len(), "nothing twice");
            prop_assert_eq!(unique.len(), accepted.len(), "nothing lost");
        }
    }
}

#[test]
fn a_prompt_that_must_wait_for_a_person_holds_the_queue_and_the_next_one_releases_it() {
    let (mut turns, first, second) = (Turns::new(2), prompt(PromptId::random()), prompt(PromptId::random()));
    let shelved = turns.shelve(first.clone()).unwrap();
    assert_eq!(shelved, Accepted::New { start: None, released: false, queued: true });
    assert!(turns.held() && turns.running().is_none());
    assert!(matches!(turns.shelve(first.clone()), Ok(Accepted::Duplicate { queued: true, .. })));
    let accepted = turns.accept(second, REFUSE, Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(accepted, Accepted::New { start: Some(first.id), released: true, queued: true });
    assert_eq!(turns.shelve(prompt(PromptId::random())).map(drop), Ok(()));
    assert_eq!(turns.shelve(prompt(PromptId::random())), Err(Refusal::QueueFull));
}

#[test]
fn a_retry_runs_before_what_was_held_behind_the_turn_that_was_cut_off() {
    let (held, again) = (prompt(PromptId::random()), prompt(PromptId::random()));
    let again = Prompt { retry_of: Some(PromptId::random()), ..again };
    let mut turns = Turns::restored(9, [held.clone()], []);
    let shelved = turns.shelve(again.clone()).unwrap();
    assert_eq!(shelved, Accepted::New { start: None, released: false, queued: true });
    assert_eq!(turns.queued(), [again.id, held.id]);
    // Asked for once more, it runs once.
    assert_eq!((turns.supersede(), turns.supersede()), (Some(again.id), None));
    let again = Prompt { id: PromptId::random(), ..again };
    let accepted = turns.accept(again.clone(), REFUSE, Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(accepted, Accepted::New { start: Some(again.id), released: true, queued: false });
    assert_eq!(turns.queued(), [held.id]);
}
