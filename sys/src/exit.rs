//! How a process ended, in a form that is said once to a person (promise 25).

use std::fmt;

use nix::sys::signal::Signal;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExitCause {
    /// It exited with this status.
    Code(i32),
    /// This signal ended it; whether it left a core dump.
    Signal(i32, bool),
    /// It is gone and nobody can say how: somebody else reaped it.
    Unknown,
}

impl ExitCause {
    /// Whether it exited with status 0.
    #[must_use]
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }

    /// The exit status, if it exited.
    #[must_use]
    pub fn code(self) -> Option<i32> {
        match self {
            Self::Code(code) => Some(code),
            Self::Signal(..) | Self::Unknown => None,
        }
    }

    /// The signal's number, if one ended it.
    #[must_use]
    pub fn signal(self) -> Option<i32> {
        match self {
            Self::Signal(signal, _) => Some(signal),
            Self::Code(_) | Self::Unknown => None,
        }
    }
}

impl fmt::Display for ExitCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(number, dumped) => {
                write!(f, "signal {number}")?;
                if let Ok(signal) = Signal::try_from(number) {
                    write!(f, " ({signal})")?;
                }
                if dumped { f.write_str(", core dumped") } else { Ok(()) }
            }
            Self::Unknown => f.write_str("ended in an unknown way"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p25_causes_read_as_sentences() {
        let table = [
            (ExitCause::Code(1), "exit status 1"),
            (ExitCause::Signal(9, false), "signal 9 (SIGKILL)"),
            (ExitCause::Signal(11, true), "signal 11 (SIGSEGV), core dumped"),
            (ExitCause::Signal(35, false), "signal 35"),
            (ExitCause::Unknown, "ended in an unknown way"),
        ];
        for (cause, text) in table {
            assert_eq!(cause.to_string(), text);
        }
    }
}
