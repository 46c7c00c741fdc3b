//! Random histories of a worker in a small world that holds processes, trees and one timer, and watches over what must
//! never happen.

use super::*;

/// What the driver and the kernel would know.
#[derive(Debug, Default)]
struct World {
    process: bool,
    tree: bool,
    spawn_wanted: bool,
    timer: bool,
    /// Nobody has asked for it to run since it was stopped or parked.
    down: bool,
    ends: usize,
    told: usize,
}

impl World {
    fn perform(&mut self, effects: &[Effect]) -> Result<(), TestCaseError> {
        for effect in effects {
            match effect {
                Effect::Spawn(_) => {
                    prop_assert!(!self.process && !self.tree, "a second process");
                    prop_assert!(!self.spawn_wanted, "a second spawn");
                    prop_assert!(!self.down, "a spawn that nobody asked for");
                    self.spawn_wanted = true;
                }
                Effect::AbortSpawn => {
                    prop_assert!(self.spawn_wanted);
                    self.spawn_wanted = false;
                }
                Effect::Terminate(_) | Effect::Kill => prop_assert!(self.process, "a signal to nobody"),
                Effect::Sweep => {
                    prop_assert!(!self.process && self.tree, "a sweep of the living");
                }
                Effect::SetTimer(_) => self.timer = true,
                Effect::CancelTimer => {
                    prop_assert!(self.timer, "a timer cancelled that was not set");
                    self.timer = false;
                }
                Effect::Ended(_) => self.told += 1,
                Effect::Publish => {}
            }
        }
        Ok(())
    }

    /// Whether the event can happen in this world, and what it changes there.
    fn allows(&mut self, event: &Event) -> bool {
        match event {
            Event::Spawned(_) | Event::SpawnFailed(_) if !self.spawn_wanted => return false,
            Event::Spawned(_) => {
                (self.spawn_wanted, self.process, self.tree) = (false, true, true);
            }
            Event::SpawnFailed(_) => {
                self.spawn_wanted = false;
                self.ends += 1;
            }
            Event::Hello | Event::Heartbeat if !self.process => return false,
            Event::Exited(_) if !self.process => return false,
            Event::Exited(_) => {
                self.process = false;
                self.ends += 1;
            }
            Event::Swept if self.process || !self.tree => return false,
            Event::Swept => self.tree = false,
            Event::TimerFired if !self.timer => return false,
            Event::TimerFired => self.timer = false,
            Event::Start | Event::Restart(_) | Event::Unpark => {}
            Event::Hello | Event::Heartbeat => {}
            Event::Stop(_) | Event::Kill(_) | Event::Park(_) => {}
        }
        true
    }

    /// What people have said so far, once the machine has agreed to it.
    fn heard(&mut self, event: &Event) {
        match event {
            Event::Stop(_) | Event::Kill(_) | Event::Park(_) => self.down = true,
            Event::Start | Event::Restart(_) | Event::Unpark => self.down = false,
            _ => {}
        }
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => Just(Event::Start),
        8 => Just(Event::Spawned(process(1))),
        2 => Just(Event::SpawnFailed("EAGAIN".into())),
        4 => Just(Event::Hello),
        2 => Just(Event::Heartbeat),
        6 => prop_oneof![Just(0), Just(1), Just(75), Just(78)].prop_map(|status| Event::Exited(code(status))),
        2 => Just(Event::Exited(CRASH)),
        8 => Just(Event::Swept),
        6 => Just(Event::TimerFired),
        1 => Just(Event::Stop(Cause::Person)),
        1 => Just(Event::Restart(Cause::Person)),
        1 => Just(Event::Kill(Cause::Killed)),
        1 => Just(Event::Park("p".into())),
        2 => Just(Event::Unpark),
    ]
}

fn any_policy() -> impl Strategy<Value = RestartPolicy> {
    prop_oneof![Just(RestartPolicy::Always), Just(RestartPolicy::OnFailure), Just(RestartPolicy::Never)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nothing_that_must_never_happen_happens(
        policy in any_policy(),
        events in proptest::collection::vec((any_event(), 0u64..40), 0..120),
    ) {
        let (mut worker, mut world) = (Worker::new(policy), World::default());
        for (event, passed) in events {
            worker.pass(secs(passed));
            if !world.allows(&event) {
                continue;
            }
            if matches!(event, Event::TimerFired) {
                let at = worker.timer.take().expect("the world has the same timer");
                worker.now = worker.now.max(at);
            }
            let before = world.down;
            let asked = matches!(event, Event::Start | Event::Unpark);
            world.heard(&event);
            match worker.try_step(&event) {
                Ok(()) => world.perform(&worker.effects)?,
                // Only people can ask for what does not fit.
                Err(illegal) => {
                    prop_assert!(asked, "{illegal} after {event:?}");
                    world.down = before;
                }
            }
            if matches!(worker.state.phase, Phase::Stopped { .. } | Phase::Parked { .. }) {
                world.down = true;
            }
            let has_deadline = matches!(
                worker.state.phase,
                Phase::Starting(Some(_)) | Phase::Running { .. } | Phase::Backoff { .. }
            ) || matches!(worker.state.phase, Phase::Stopping { ladder, .. } if ladder != Ladder::Killed);
            prop_assert_eq!(world.timer, has_deadline, "{:?}", worker.state.phase);
            prop_assert_eq!(world.process, worker.state.run().is_some());
            prop_assert_eq!(world.told, world.ends, "an end told twice or not at all");
        }
    }

    #[test]
    fn no_order_of_events_makes_it_panic(
        policy in any_policy(),
        events in proptest::collection::vec((any_event(), 0u64..4_000), 0..60),
    ) {
        let mut worker = Worker::new(policy);
        for (event, passed) in events {
            let before = worker.state.clone();
            if worker.pass(secs(passed)).try_step(&event).is_err() {
                prop_assert_eq!(&before, &worker.state, "a refusal changes nothing");
            }
        }
    }
}
