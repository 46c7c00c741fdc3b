//! The figures, one on each line: what was measured, the target, the floor of the same run, and their ratio.

use std::time::Duration;

use crate::run::say;

/// How a figure reads, and which direction is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Milliseconds; less is better.
    Millis,
    /// Microseconds; less is better.
    Micros,
    /// MiB; less is better.
    Mib,
    /// KiB; less is better.
    Kib,
    /// A count; less is better.
    Count,
    /// MB/s; more is better.
    MbPerSecond,
    /// Events per second; more is better.
    PerSecond,
}

impl Unit {
    const fn more_is_better(self) -> bool {
        matches!(self, Self::MbPerSecond | Self::PerSecond)
    }

    fn show(self, figure: f64) -> String {
        match self {
            Self::Millis => format!("{figure:.3} ms"),
            Self::Micros => format!("{figure:.1} µs"),
            Self::Mib => format!("{figure:.2} MiB"),
            Self::Kib => format!("{figure:.0} KiB"),
            Self::Count => format!("{figure:.1}"),
            Self::MbPerSecond => format!("{figure:.0} MB/s"),
            Self::PerSecond => format!("{figure:.0}/s"),
        }
    }
}

/// One figure.
#[derive(Debug)]
pub(super) struct Figure {
    pub(super) what: &'static str,
    pub(super) unit: Unit,
    pub(super) measured: f64,
    pub(super) target: Option<f64>,
    pub(super) floor: Option<f64>,
}

/// All figures of a run.
#[derive(Debug, Default)]
pub(super) struct Table {
    figures: Vec<Figure>,
}

impl Table {
    /// Takes a figure.
    pub(super) fn add(
        &mut self,
        what: &'static str,
        unit: Unit,
        measured: f64,
        target: Option<f64>,
        floor: Option<f64>,
    ) {
        self.figures.push(Figure { what, unit, measured, target, floor });
    }

    /// Prints the table.
    pub(super) fn print(&self) {
        if self.figures.is_empty() {
            return;
        }
        let heads = ["", "measured", "target", "", "floor", "ratio"];
        say(&format!(
            "\n{:<58}{:>14}{:>14} {:<7}{:>14}{:>8}",
            heads[0], heads[1], heads[2], heads[3], heads[4], heads[5]
        ));
        for figure in &self.figures {
            let show =
                |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| figure.unit.show(value));
            let met = match figure.target {
                None => "",
                Some(target) if (figure.measured <= target) != figure.unit.more_is_better() => "met",
                Some(_) => "MISSED",
            };
            let ratio = figure
                .floor
                .map_or_else(|| "–".to_owned(), |floor| format!("{:.2}", figure.measured / floor));
            say(&format!(
                "{:<58}{:>14}{:>14} {met:<7}{:>14}{ratio:>8}",
                figure.what,
                figure.unit.show(figure.measured),
                show(figure.target),
                show(figure.floor),
            ));
        }
    }
}

/// A duration in milliseconds.
pub(super) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// The value below which `part` (0 to 1) of the samples lie.
pub(super) fn quantile(samples: &mut [f64], part: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index within the samples"
    )]
    let index = ((samples.len() as f64 - 1.0) * part).round() as usize;
    samples.get(index).copied().unwrap_or(f64::NAN)
}

/// The median.
pub(super) fn median(samples: &mut [f64]) -> f64 {
    quantile(samples, 0.5)
}

/// Nanoseconds of the wall clock, as the scripted agent and worker write them.
pub(super) fn wall_nanos() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos()
}

/// From a wall clock reading to another, in milliseconds.
#[expect(clippy::cast_precision_loss, reason = "a difference of seconds at most")]
pub(super) fn since(from: u128, to: u128) -> f64 {
    to.saturating_sub(from) as f64 / 1e6
}
