//! Times and durations for people. Pure: `now` is an argument.

use jiff::Timestamp;

/// How long ago, in one unit: `12s`, `5m`, `3h`, `2d`.
pub(crate) fn ago(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(then.as_second()).max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_unit_is_enough() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let table = [(0, "0s"), (59, "59s"), (60, "1m"), (7_199, "1h"), (172_800, "2d"), (-5, "0s")];
        for (seconds, wanted) in table {
            assert_eq!(ago(Timestamp::from_second(1_000_000 - seconds).unwrap(), now), wanted);
        }
    }
}
