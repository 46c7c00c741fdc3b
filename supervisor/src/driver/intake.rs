//! What comes up a worker's report pipe and is no report of it: counted, and said at a rate that no worker can drive.
//! Pure.

/// How much of a bad line is shown.
const SHOWN: usize = 120;

/// Why something was not taken for a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// It is not a report at all.
    NotAReport,
    /// The line is longer than any report.
    TooLong,
    /// A report of a newer skep.
    Unknown,
    /// A report before the hello, or a second hello.
    OutOfPlace,
}

impl Why {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::NotAReport => "lines that are no reports",
            Self::TooLong => "lines that are too long",
            Self::Unknown => "reports of an unknown kind",
            Self::OutOfPlace => "reports at the wrong time",
        }
    }
}

/// How much there was, by reason.
#[derive(Debug, Default)]
pub(super) struct Garbage {
    not_a_report: u64,
    too_long: u64,
    unknown: u64,
    out_of_place: u64,
}

impl Garbage {
    /// Counts one; the new count if it is time to say so: at 1, 10, 100, ….
    pub(super) fn count(&mut self, why: Why) -> Option<u64> {
        let counter = match why {
            Why::NotAReport => &mut self.not_a_report,
            Why::TooLong => &mut self.too_long,
            Why::Unknown => &mut self.unknown,
            Why::OutOfPlace => &mut self.out_of_place,
        };
        *counter += 1;
        let count = *counter;
        (count == 10u64.pow(count.ilog10())).then_some(count)
    }
}

/// The beginning of a line, safe for a log (G7).
pub(super) fn shown(line: &[u8]) -> String {
    let part = line.get(..SHOWN).unwrap_or(line);
    let dots = if part.len() < line.len() { "…" } else { "" };
    format!("{}{dots}", part.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g13_garbage_is_said_ever_more_rarely() {
        let mut garbage = Garbage::default();
        let said: Vec<u64> = (0..12_345).filter_map(|_| garbage.count(Why::NotAReport)).collect();
        assert_eq!(said, [1, 10, 100, 1_000, 10_000]);
        assert_eq!(garbage.count(Why::TooLong), Some(1));
    }

    #[test]
    fn g7_a_bad_line_is_shown_escaped_and_short() {
        assert_eq!(shown(b"a\x1b[31m\n\xff"), r"a\x1b[31m\n\xff");
        assert_eq!(shown(&[b'x'; 4096]).chars().count(), SHOWN + 1);
    }
}
