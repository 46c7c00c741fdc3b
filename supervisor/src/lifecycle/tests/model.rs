//! Sequences of runs against a model of the rules that shares no code with the product.

use super::*;

/// The rules of promises 3 to 5, over whole histories instead of counters.
#[derive(Debug, Default)]
struct Model {
    /// Run lengths and end times of all failures, in seconds.
    runs: Vec<(u64, u64)>,
    level: u64,
}

impl Model {
    /// The delay in seconds after another failure, or none for a parking.
    fn fail(&mut self, ran: u64, ended: u64) -> Option<u64> {
        self.runs.push((ran, ended));
        self.level = if ran >= 600 { 0 } else { self.level.saturating_sub(ran / 60) } + 1;
        let rapid = self.runs.iter().rev().take_while(|(ran, _)| *ran < 10).count();
        let recent = self.runs.iter().filter(|(_, then)| ended - then <= 3600).count();
        let delay = if self.level > 6 { 120 } else { 1 << self.level };
        (rapid < 5 && recent <= 20).then_some(delay)
    }
}

/// Plays runs of these lengths and compares after each; ends with a parking.
fn play(runs: impl IntoIterator<Item = u64>) -> Result<(), TestCaseError> {
    let (mut worker, mut model) = (Worker::new(ALWAYS), Model::default());
    worker.step(Event::Start);
    for ran in runs {
        worker.spawned().step(Event::Hello).pass(secs(ran)).step(Event::Exited(CRASH)).step(Event::Swept);
        match model.fail(ran, worker.now.as_secs()) {
            Some(delay) => {
                prop_assert!(!worker.is_parked(), "{:?} but the model backs off {delay} s", worker.state);
                prop_assert_eq!(worker.delay(), secs(delay));
                worker.fire();
                prop_assert!(worker.spawns().is_some());
            }
            None => {
                prop_assert!(worker.is_parked(), "{:?} but the model parks", worker.state);
                return Ok(());
            }
        }
    }
    Ok(())
}

#[test]
fn p03_p05_every_sequence_of_fast_and_slow_runs_up_to_length_13() {
    for length in 0..=13u32 {
        for bits in 0..1u32 << length {
            play((0..length).map(|run| if bits >> run & 1 == 0 { 1 } else { 11 })).unwrap();
        }
    }
}

proptest! {
    #[test]
    fn p03_p04_p05_any_sequence_of_runs(
        runs in proptest::collection::vec(prop_oneof![0u64..10, 10u64..60, 60u64..200, 200u64..2_000], 0..80),
    ) {
        play(runs)?;
    }
}
