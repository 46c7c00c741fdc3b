//! The exit statuses of `skep`, in one table (documented in the manual and in `skep help`).

/// How a command ended, as the shell sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done; a turn completed.
    Completed,
    /// It failed: a turn failed, was refused or interrupted, or ended suspiciously.
    Failed,
    /// The command line makes no sense, or asks for what is not built yet.
    Usage,
    /// The daemon does not run or does not answer.
    Unreachable,
    /// No such session, worker, request or agent, or the name fits several.
    NotFound,
    /// A turn runs already, or something is full.
    Busy,
    /// A permission request waits, and nobody is at this terminal to answer.
    NeedsPerson,
    /// Left while the turn still runs.
    Detached,
    /// The time limit was reached.
    TimedOut,
    /// The turn was cancelled.
    Cancelled,
}

impl Exit {
    /// The number.
    pub(crate) const fn status(self) -> u8 {
        match self {
            Self::Completed => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::NotFound => 4,
            Self::Busy => 5,
            Self::NeedsPerson => 6,
            Self::Detached => 10,
            Self::TimedOut => 124,
            Self::Cancelled => 130,
        }
    }
}

/// The table as `skep help` shows it.
pub(crate) const HELP: &str = "\
Exit statuses:
  0    completed
  1    failed, refused or suspect
  2    usage: the command line makes no sense, or asks for what is not built yet
  3    the daemon does not run or does not answer (also `daemon status` when it is stopped)
  4    not found: session, worker, permission request or agent; or the name fits several
  5    busy or full
  6    a permission request waits for a person
  10   detached: the turn still runs
  124  time limit reached
  130  cancelled";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_in_the_documented_table() {
        let all = [
            Exit::Completed,
            Exit::Failed,
            Exit::Usage,
            Exit::Unreachable,
            Exit::NotFound,
            Exit::Busy,
            Exit::NeedsPerson,
            Exit::Detached,
            Exit::TimedOut,
            Exit::Cancelled,
        ];
        let numbers: Vec<u8> = all.iter().map(|exit| exit.status()).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 10, 124, 130]);
        for number in numbers {
            assert!(HELP.lines().any(|line| line.split_whitespace().next() == Some(&number.to_string())));
        }
    }
}
