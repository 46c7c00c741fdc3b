//! The promises 1 to 10, one by one; `table` is every event in every phase, `model` the sequences of runs against an
//! independent model, `world` random histories against what must never happen.

mod model;
mod table;
mod world;

use proptest::prelude::*;
use skep_config::RestartPolicy;

use super::*;

const ALWAYS: RestartPolicy = RestartPolicy::Always;

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn process(pid: u32) -> Process {
    Process { pid, start_time: u64::from(pid) * 100, boot_id: "boot".into() }
}

/// A worker with a clock of its own, to tell stories with.
pub(super) struct Worker {
    pub(super) state: State,
    pub(super) now: Moment,
    pub(super) policy: Policy,
    pub(super) timer: Option<Moment>,
    pub(super) effects: Vec<Effect>,
    pids: u32,
}

impl Worker {
    pub(super) fn new(restart: RestartPolicy) -> Self {
        Self {
            state: State::new(),
            now: secs(1_000_000),
            policy: Policy::contract(restart),
            timer: None,
            effects: Vec::new(),
            pids: 100,
        }
    }

    pub(super) fn try_step(&mut self, event: &Event) -> Result<(), Illegal> {
        let ctx = Ctx { now: self.now, jitter: Jitter::NONE, policy: &self.policy };
        let (state, effects) = step(&self.state, event, &ctx)?;
        for effect in &effects {
            match effect {
                Effect::SetTimer(at) => self.timer = Some(*at),
                Effect::CancelTimer => self.timer = None,
                _ => {}
            }
        }
        self.state = state;
        self.effects = effects;
        Ok(())
    }

    pub(super) fn step(&mut self, event: Event) -> &mut Self {
        self.try_step(&event).unwrap();
        self
    }

    pub(super) fn spawned(&mut self) -> &mut Self {
        self.pids += 1;
        let process = process(self.pids);
        self.step(Event::Spawned(process))
    }

    /// Started and ready.
    fn running(restart: RestartPolicy) -> Self {
        let mut worker = Self::new(restart);
        worker.step(Event::Start).spawned().step(Event::Hello);
        worker
    }

    fn pass(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }

    /// Lets the timer come.
    fn fire(&mut self) -> &mut Self {
        self.now = self.now.max(self.timer.take().expect("a timer is set"));
        self.step(Event::TimerFired)
    }

    /// One life that ends with `exit` after `ran`, up to the next spawn, the parking or the stop.
    fn live(&mut self, ran: Duration, exit: ExitCause) -> &mut Self {
        self.spawned().step(Event::Hello).pass(ran).step(Event::Exited(exit)).step(Event::Swept);
        if matches!(self.state.phase, Phase::Backoff { .. }) {
            self.fire();
        }
        self
    }

    fn spawns(&self) -> Option<Pace> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::Spawn(pace) => Some(*pace),
            _ => None,
        })
    }

    fn is_parked(&self) -> bool {
        matches!(self.state.phase, Phase::Parked { .. })
    }

    /// How long it backs off.
    fn delay(&self) -> Duration {
        match self.state.phase {
            Phase::Backoff { until, .. } => until - self.now,
            _ => panic!("{:?}", self.state.phase),
        }
    }
}

const CRASH: ExitCause = ExitCause::Signal(9, false);

fn code(code: i32) -> ExitCause {
    ExitCause::Code(code)
}

#[test]
fn p01_each_policy_and_what_each_exit_leads_to() {
    use RestartPolicy::{Always, Never, OnFailure};
    let table = [
        (Always, code(0), "backing off"),
        (Always, code(1), "backing off"),
        (Always, code(75), "backing off"),
        (Always, code(78), "parked"),
        (Always, CRASH, "backing off"),
        (Always, ExitCause::Unknown, "backing off"),
        (OnFailure, code(0), "stopped"),
        (OnFailure, code(1), "backing off"),
        (OnFailure, code(75), "backing off"),
        (OnFailure, code(78), "parked"),
        (OnFailure, CRASH, "backing off"),
        (Never, code(0), "stopped"),
        (Never, code(1), "stopped"),
        (Never, code(75), "stopped"),
        (Never, code(78), "parked"),
        (Never, CRASH, "stopped"),
    ];
    for (policy, exit, phase) in table {
        let mut worker = Worker::running(policy);
        worker.pass(secs(3)).step(Event::Exited(exit)).step(Event::Swept);
        assert_eq!(worker.state.illegal("").phase, phase, "{policy:?} {exit}");
    }
}

#[test]
fn p01_a_clean_exit_under_on_failure_is_never_counted_and_under_always_it_is() {
    let mut worker = Worker::running(RestartPolicy::OnFailure);
    worker.step(Event::Exited(code(0))).step(Event::Swept);
    assert_eq!(worker.state.record, Record::default());
    let mut worker = Worker::running(ALWAYS);
    worker.step(Event::Exited(code(0)));
    assert_eq!((worker.state.record.rapid(), worker.state.record.failures().len()), (1, 1));
}

#[test]
fn s5_exit_78_parks_at_once() {
    for ran in [secs(0), secs(3), secs(100)] {
        let mut worker = Worker::running(ALWAYS);
        worker.pass(ran).step(Event::Exited(code(78)));
        assert_eq!(worker.state.shown(), WorkerState::Stopping, "its tree may still be there");
        worker.step(Event::Swept);
        assert_eq!(worker.state.shown(), WorkerState::Parked);
        assert!(worker.is_parked() && worker.spawns().is_none() && worker.timer.is_none());
        assert!(worker.state.why().unwrap().contains("78"));
    }
}

#[test]
fn p02_exit_75_backs_off_for_ever_longer_and_never_parks() {
    let mut worker = Worker::new(ALWAYS);
    worker.step(Event::Start);
    for life in 0..100 {
        worker.spawned().step(Event::Exited(code(75))).step(Event::Swept);
        assert_eq!(worker.delay(), DelayPolicyCheck::delay(life + 1), "life {life}");
        worker.fire();
    }
    assert_eq!((worker.state.record.rapid(), worker.state.record.failures().len()), (0, 0));
}

/// The delay by the contract's formula, computed another way than the product does.
struct DelayPolicyCheck;

impl DelayPolicyCheck {
    fn delay(level: u32) -> Duration {
        let mut delay = 2;
        for _ in 1..level {
            delay = 120.min(delay * 2);
        }
        secs(delay)
    }
}

#[test]
fn p03_five_rapid_failures_park() {
    for exit in [code(1), code(0), CRASH] {
        let mut worker = Worker::new(ALWAYS);
        worker.step(Event::Start);
        for _ in 0..4 {
            worker.live(Duration::from_millis(9_999), exit);
            assert_eq!(worker.spawns(), Some(Pace::Limited));
        }
        worker.live(Duration::from_millis(9_999), exit);
        assert!(worker.is_parked(), "{:?}", worker.state);
        assert!(worker.state.why().unwrap().contains("5 failures in a row"), "{:?}", worker.state.why());
    }
}

#[test]
fn p03_a_run_of_ten_seconds_resets_the_counter() {
    let mut worker = Worker::new(ALWAYS);
    worker.step(Event::Start);
    for ran in [1, 1, 1, 1, 10, 1, 1, 1, 1] {
        worker.live(secs(ran), CRASH);
        assert!(!worker.is_parked());
    }
    worker.live(secs(1), CRASH);
    assert!(worker.is_parked());
}

#[test]
fn p04_more_than_twenty_failures_within_an_hour_park_and_twenty_do_not() {
    let mut worker = Worker::new(ALWAYS);
    worker.policy.delay = skep_common::backoff::DelayPolicy::new(Duration::ZERO, Duration::ZERO);
    worker.step(Event::Start);
    for failure in 1..=20 {
        worker.live(secs(170), CRASH);
        assert!(!worker.is_parked(), "after {failure}");
    }
    worker.live(secs(170), CRASH);
    assert!(worker.is_parked());
    assert!(worker.state.why().unwrap().contains("21 failures within"), "{:?}", worker.state.why());

    // One every 180 s is 21 in an hour exactly; one every 181 s never is.
    let mut slow = Worker::new(ALWAYS);
    slow.policy.delay = worker.policy.delay;
    slow.step(Event::Start);
    for _ in 0..500 {
        slow.live(secs(181), CRASH);
        assert!(!slow.is_parked());
    }
}

#[test]
fn p05_every_level_of_delay_is_reachable_by_runs_of_eleven_seconds() {
    let mut worker = Worker::new(ALWAYS);
    worker.step(Event::Start);
    for level in 1..=9 {
        worker.spawned().step(Event::Hello).pass(secs(11)).step(Event::Exited(CRASH)).step(Event::Swept);
        assert_eq!(worker.delay(), DelayPolicyCheck::delay(level));
        worker.fire();
    }
}

#[test]
fn p05_the_level_falls_with_ready_uptime_only() {
    let after = |starting: u64, ready: u64| {
        let mut worker = Worker::new(ALWAYS);
        worker.state.record = Record::restored(0, 5, Vec::new());
        worker.step(Event::Start).spawned().pass(secs(starting)).step(Event::Hello).pass(secs(ready));
        worker.step(Event::Exited(CRASH)).step(Event::Swept);
        worker.state.record.level()
    };
    assert_eq!(after(0, 59), 6);
    assert_eq!(after(59, 1), 6);
    assert_eq!(after(0, 60), 5);
    assert_eq!(after(0, 179), 4);
    assert_eq!(after(0, 599), 1);
    assert_eq!(after(0, 600), 1);
    let mut high = Worker::new(ALWAYS);
    high.state.record = Record::restored(0, 30, Vec::new());
    high.step(Event::Start).spawned().step(Event::Hello).pass(secs(600)).step(Event::Exited(CRASH));
    assert_eq!(high.state.record.level(), 1, "zero after 600 s, then one for this failure");
}

#[test]
fn p06_what_a_person_did_never_counts() {
    for event in [
        Event::Stop(Cause::Person),
        Event::Stop(Cause::DaemonStopped),
        Event::Kill(Cause::Killed),
        Event::Restart(Cause::WorkerStopped),
        Event::Restart(Cause::Upgraded),
        Event::Park("by a person".into()),
    ] {
        for exit in [code(0), code(1), code(78), CRASH] {
            let mut worker = Worker::running(ALWAYS);
            worker.pass(secs(1)).step(event.clone()).step(Event::Exited(exit)).step(Event::Swept);
            assert_eq!(worker.state.record, Record::default(), "{event:?} {exit}");
            let restarts = matches!(event, Event::Restart(_));
            assert_eq!(worker.spawns(), restarts.then_some(Pace::Immediate), "{event:?} {exit}");
        }
    }
}

#[test]
fn p06_a_hundred_restarts_by_a_person_park_nothing() {
    let mut worker = Worker::running(ALWAYS);
    for _ in 0..100 {
        worker.step(Event::Restart(Cause::Person)).step(Event::Exited(code(1))).step(Event::Swept);
        worker.spawned().step(Event::Hello);
    }
    assert_eq!(worker.state.record, Record::default());
}

#[test]
fn p07_a_spawn_that_fails_is_a_failure_like_any_other() {
    let mut worker = Worker::new(ALWAYS);
    worker.step(Event::Start);
    for level in 1..=4 {
        worker.step(Event::SpawnFailed("program `x` was not found".into()));
        assert_eq!(worker.delay(), DelayPolicyCheck::delay(level));
        assert!(worker.state.why().unwrap().contains("not found"));
        worker.fire();
    }
    worker.step(Event::SpawnFailed("program `x` was not found".into()));
    assert!(worker.is_parked());
    let ended = worker.effects.iter().filter(|effect| matches!(effect, Effect::Ended(_))).count();
    assert_eq!(ended, 1);
}

#[test]
fn p08_a_parked_worker_starts_only_when_a_person_says_so_and_then_at_once_and_pardoned() {
    let mut worker = Worker::running(ALWAYS);
    worker.state.record = Record::restored(4, 9, vec![worker.now]);
    worker.step(Event::Exited(CRASH)).step(Event::Swept);
    assert!(worker.is_parked());
    let parked = worker.state.clone();
    for event in
        [Event::TimerFired, Event::Stop(Cause::DaemonStopped), Event::Kill(Cause::Killed), Event::Heartbeat]
    {
        worker.step(event);
        assert_eq!(worker.state, parked);
    }
    worker.try_step(&Event::Start).unwrap_err();
    worker.step(Event::Unpark);
    assert_eq!(worker.spawns(), Some(Pace::Immediate));
    assert_eq!(worker.state.record, Record::default());
}

#[test]
fn p09_no_hello_within_sixty_seconds_is_a_failure_and_starts_the_stop_sequence() {
    let mut worker = Worker::new(ALWAYS);
    worker.step(Event::Start).spawned();
    assert_eq!(worker.timer, Some(worker.now + secs(60)));
    // A heartbeat before the hello is no hello.
    worker.pass(secs(30)).step(Event::Heartbeat).fire();
    assert!(worker.effects.contains(&Effect::Terminate(Cause::WorkerCrashed)));
    assert_eq!(worker.state.record.failures().len(), 1);
    worker.fire();
    assert!(worker.effects.contains(&Effect::Kill));
    worker.step(Event::Exited(CRASH)).step(Event::Swept);
    assert_eq!(worker.state.record.failures().len(), 1, "one failure, not two");
    assert_eq!(worker.delay(), secs(2));
}

#[test]
fn p09_three_missed_heartbeats_are_a_failure() {
    let mut worker = Worker::running(ALWAYS);
    for _ in 0..100 {
        worker.pass(secs(29)).step(Event::Heartbeat);
    }
    assert_eq!(worker.timer, Some(worker.now + secs(30)));
    worker.fire();
    assert!(worker.effects.contains(&Effect::Terminate(Cause::WorkerCrashed)));
    assert_eq!(worker.state.record.failures().len(), 1);
    // Signs of life come too late.
    worker.step(Event::Heartbeat).step(Event::Exited(code(0))).step(Event::Swept);
    assert_eq!(worker.delay(), secs(2));
}

#[test]
fn p10_stop_is_term_then_kill_after_the_grace_and_a_second_stop_kills_at_once() {
    let mut worker = Worker::running(ALWAYS);
    worker.step(Event::Stop(Cause::Person));
    assert!(worker.effects.contains(&Effect::Terminate(Cause::Person)));
    assert_eq!(worker.timer, Some(worker.now + secs(30)));
    let mut patient = Worker::running(ALWAYS);
    patient.step(Event::Stop(Cause::Person)).fire();
    assert!(patient.effects.contains(&Effect::Kill));

    worker.pass(secs(1)).step(Event::Stop(Cause::Person));
    assert!(worker.effects.contains(&Effect::Kill));
    assert_eq!(worker.timer, None);
    // The leader's exit is not the end: the tree is.
    worker.step(Event::Exited(CRASH));
    assert!(worker.effects.contains(&Effect::Sweep));
    assert!(!worker.state.at_rest());
    worker.step(Event::Swept);
    assert!(matches!(worker.state.phase, Phase::Stopped { .. }));
}

#[test]
fn p10_a_stop_during_a_restart_is_the_first_stop_and_leaves_the_grace() {
    let mut worker = Worker::running(ALWAYS);
    worker.step(Event::Restart(Cause::WorkerStopped)).step(Event::Stop(Cause::DaemonStopped));
    assert!(!worker.effects.contains(&Effect::Kill));
    worker.step(Event::Stop(Cause::DaemonStopped));
    assert!(worker.effects.contains(&Effect::Kill));
    worker.step(Event::Exited(CRASH)).step(Event::Swept);
    assert!(matches!(worker.state.phase, Phase::Stopped { .. }));
}

#[test]
fn p11_a_restart_begins_only_when_the_old_tree_is_gone() {
    let mut worker = Worker::running(ALWAYS);
    worker.policy.delay = skep_common::backoff::DelayPolicy::new(Duration::ZERO, Duration::ZERO);
    worker.step(Event::Exited(CRASH));
    assert_eq!(worker.spawns(), None);
    worker.pass(secs(3_600)).step(Event::Start);
    assert_eq!(worker.spawns(), None);
    worker.step(Event::Swept);
    assert!(worker.spawns().is_some());
}

#[test]
fn s8_a_stop_cancels_the_pending_restart() {
    let mut worker = Worker::running(ALWAYS);
    worker.step(Event::Exited(CRASH)).step(Event::Swept).step(Event::Stop(Cause::DaemonStopped));
    assert_eq!(worker.timer, None);
    assert!(worker.state.at_rest());
    let mut limited = Worker::running(ALWAYS);
    limited.step(Event::Exited(CRASH)).step(Event::Swept).fire().step(Event::Stop(Cause::DaemonStopped));
    assert!(limited.effects.contains(&Effect::AbortSpawn));
    assert!(limited.state.at_rest());
}

#[test]
fn p25_every_end_is_told_once_with_who_asked_how_long_it_ran_and_what_comes_next() {
    let mut worker = Worker::running(ALWAYS);
    worker.pass(secs(7)).step(Event::Exited(CRASH));
    let ended = Ended {
        exit: Some(CRASH),
        by: None,
        ran: secs(7),
        next: Next::Restart { delay: secs(2), why: "signal 9 (SIGKILL)".into() },
    };
    assert_eq!(worker.effects.iter().filter(|effect| matches!(effect, Effect::Ended(_))).count(), 1);
    assert!(worker.effects.contains(&Effect::Ended(ended)), "{:?}", worker.effects);
}

#[test]
fn p22_only_automatic_restarts_are_limited() {
    let mut worker = Worker::new(ALWAYS);
    assert_eq!(worker.step(Event::Start).spawns(), Some(Pace::Immediate));
    assert_eq!(worker.live(secs(1), CRASH).spawns(), Some(Pace::Limited));
    worker.spawned().step(Event::Restart(Cause::Person)).step(Event::Exited(code(0))).step(Event::Swept);
    assert_eq!(worker.spawns(), Some(Pace::Immediate));
}
