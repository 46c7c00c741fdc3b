//! Every event in every phase: where it leads, or that it is refused.

use super::*;

const PHASES: [&str; 17] = [
    "idle",
    "starting, no process",
    "starting",
    "running",
    "stopping for a restart",
    "stopping for good",
    "stopping to park",
    "stopping, killed",
    "stopping after a hang",
    "swept, then start",
    "swept, then restart",
    "swept, then stop",
    "swept, then park",
    "backing off",
    "stopped",
    "parked",
    "stopping twice",
];

fn worker(phase: &str) -> Worker {
    let mut worker = match phase {
        "idle" | "starting, no process" | "starting" => Worker::new(ALWAYS),
        _ => Worker::running(ALWAYS),
    };
    let events: Vec<Event> = match phase {
        "starting, no process" => vec![Event::Start],
        "starting" => {
            worker.step(Event::Start).spawned();
            vec![]
        }
        "stopping for a restart" => vec![Event::Restart(Cause::Person)],
        "stopping for good" => vec![Event::Stop(Cause::Person)],
        "stopping twice" => vec![Event::Stop(Cause::Person), Event::Stop(Cause::Person)],
        "stopping to park" => vec![Event::Park("p".into())],
        "stopping, killed" => vec![Event::Kill(Cause::Killed)],
        "stopping after a hang" => {
            worker.fire();
            vec![]
        }
        "swept, then start" => vec![Event::Restart(Cause::Person), Event::Exited(code(0))],
        "swept, then restart" => vec![Event::Exited(CRASH)],
        "swept, then stop" => vec![Event::Stop(Cause::Person), Event::Exited(code(0))],
        "swept, then park" => vec![Event::Exited(code(78))],
        "backing off" => vec![Event::Exited(CRASH), Event::Swept],
        "stopped" => vec![Event::Stop(Cause::Person), Event::Exited(code(0)), Event::Swept],
        "parked" => vec![Event::Exited(code(78)), Event::Swept],
        _ => vec![],
    };
    for event in events {
        worker.step(event);
    }
    worker
}

fn events() -> [(&'static str, Event); 13] {
    [
        ("start", Event::Start),
        ("spawned", Event::Spawned(process(7))),
        ("failed", Event::SpawnFailed("x".into())),
        ("hello", Event::Hello),
        ("beat", Event::Heartbeat),
        ("exited", Event::Exited(CRASH)),
        ("swept", Event::Swept),
        ("timer", Event::TimerFired),
        ("stop", Event::Stop(Cause::Person)),
        ("restart", Event::Restart(Cause::Person)),
        ("kill", Event::Kill(Cause::Killed)),
        ("park", Event::Park("p".into())),
        ("unpark", Event::Unpark),
    ]
}

/// What comes of an event, in two letters: the phase (and what follows it), or `--` for a refusal.
fn letters(state: &State) -> &'static str {
    let next = |next: &Next, letters: [&'static str; 4]| match next {
        Next::Start => letters[0],
        Next::Restart { .. } => letters[1],
        Next::Stop { .. } => letters[2],
        Next::Park { .. } => letters[3],
    };
    match &state.phase {
        Phase::Idle => "Id",
        Phase::Starting(None) => "S0",
        Phase::Starting(Some(_)) => "S1",
        Phase::Running { .. } => "Ru",
        Phase::Stopping { ladder: Ladder::Killed, next: then, .. } => next(then, ["Ka", "Kr", "Ks", "Kp"]),
        Phase::Stopping { next: then, .. } => next(then, ["Ta", "Tr", "Ts", "Tp"]),
        Phase::Sweeping { next: then, .. } => next(then, ["Wa", "Wr", "Ws", "Wp"]),
        Phase::Backoff { .. } => "Bo",
        Phase::Stopped { .. } => "St",
        Phase::Parked { .. } => "Pa",
    }
}

#[test]
fn every_event_in_every_phase() {
    let mut table = String::new();
    for phase in PHASES {
        let row: Vec<&str> = events()
            .iter()
            .map(|(_, event)| {
                let mut worker = worker(phase);
                // Late enough for every deadline.
                worker.pass(secs(3_600));
                match worker.try_step(event) {
                    Ok(()) => letters(&worker.state),
                    Err(_) => "--",
                }
            })
            .collect();
        table.push_str(&row.join(" "));
        table.push_str("  ");
        table.push_str(phase);
        table.push('\n');
    }
    //  start spawned failed hello beat exited swept timer stop restart kill park unpark
    let expected = "\
S0 -- -- Id Id -- -- Id St S0 St Pa --  idle
S0 S1 Bo S0 S0 -- -- S0 St S0 St Pa S0  starting, no process
S1 -- -- Ru S1 Wr -- Tr Ts Ta Ks Tp S1  starting
Ru -- -- Ru Ru Wr -- Tr Ts Ta Ks Tp Ru  running
Ta -- -- Ta Ta Wa -- Ka Ts Ta Ks Tp Ta  stopping for a restart
Ta -- -- Ts Ts Ws -- Ks Ks Ta Ks Tp --  stopping for good
Ta -- -- Tp Tp Wp -- Kp Tp Ta Kp Tp Ta  stopping to park
Ka -- -- Ks Ks Ws -- Ks Ks Ka Ks Kp --  stopping, killed
Ta -- -- Tr Tr Wr -- Kr Ts Ta Ks Tp Tr  stopping after a hang
Wa -- -- Wa Wa -- S0 Wa Ws Wa Ws Wp Wa  swept, then start
Wa -- -- Wr Wr -- S0 Wr Ws Wa Ws Wp Wr  swept, then restart
Wa -- -- Ws Ws -- St Ws Ws Wa Ws Wp --  swept, then stop
Wa -- -- Wp Wp -- Pa Wp Wp Wa Wp Wp Wa  swept, then park
S0 -- -- Bo Bo -- -- S0 St S0 St Pa Bo  backing off
S0 -- -- St St -- -- St St S0 St Pa --  stopped
-- -- -- Pa Pa -- -- Pa Pa S0 Pa Pa S0  parked
Ka -- -- Ks Ks Ws -- Ks Ks Ka Ks Kp --  stopping twice
";
    assert_eq!(table, expected, "got:\n{table}");
}
