//! Resource limits. skep's own processes may open as many files as the system lets them, and leave no core dump: one would
//! hold the keys that clients gave. What is started for people has the limits that the daemon was started with.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More files than this are never needed; macOS allows no more than 10,240.
const FILES: u64 = if cfg!(target_os = "macos") { 10_240 } else { 65_536 };

static GIVEN: OnceLock<Limits> = OnceLock::new();

/// The soft limits that a process was started with (setrlimit(2)); none is no limit. As text: `1024:unlimited`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open files.
    pub files: Option<u64>,
    /// The size of a core dump, in bytes.
    pub core: Option<u64>,
}

impl Limits {
    /// Those of this process now.
    #[must_use]
    pub fn current() -> Self {
        Self { files: getrlimit(Resource::Nofile).current, core: getrlimit(Resource::Core).current }
    }

    /// Gives them to this process; a limit that may not be had any more stays as near as it can be.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn apply(self) -> io::Result<()> {
        soft(Resource::Nofile, self.files)?;
        soft(Resource::Core, self.core)
    }
}

fn soft(resource: Resource, current: Option<u64>) -> io::Result<()> {
    let maximum = getrlimit(resource).maximum;
    let current = match (current, maximum) {
        (Some(wanted), Some(most)) => Some(wanted.min(most)),
        (wanted, most) => wanted.or(most),
    };
    Ok(setrlimit(resource, Rlimit { current, maximum })?)
}

/// Takes what a daemon or worker needs, and remembers `given`, what its children for people get: of a worker, what its
/// supervisor said; of the daemon, what it has now.
///
/// # Errors
///
/// When the system refuses.
pub fn settle(given: Option<Limits>) -> io::Result<()> {
    let now = Limits::current();
    // A process settles once.
    GIVEN.get_or_init(|| given.unwrap_or(now));
    let files = now.files.map(|files| files.max(FILES));
    Limits { files, core: Some(0) }.apply()
}

/// What this process's children for people get; none if it never settled.
#[must_use]
pub fn given() -> Option<Limits> {
    GIVEN.get().copied()
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word =
            |limit: Option<u64>| limit.map_or_else(|| String::from("unlimited"), |limit| limit.to_string());
        write!(f, "{}:{}", word(self.files), word(self.core))
    }
}

impl FromStr for Limits {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let limit = |word: &str| match word {
            "unlimited" => Ok(None),
            number => number.parse().map(Some).map_err(drop),
        };
        let (files, core) = text.split_once(':').ok_or(())?;
        Ok(Self { files: limit(files)?, core: limit(core)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p21_limits_are_told_from_process_to_process_as_text() {
        for (limits, text) in [
            (Limits { files: Some(1024), core: None }, "1024:unlimited"),
            (Limits { files: None, core: Some(0) }, "unlimited:0"),
        ] {
            assert_eq!(limits.to_string(), text);
            assert_eq!(text.parse(), Ok(limits));
        }
        for bad in ["", "1", "1:", ":1", "1:2:3", "-1:0", "x:y", "99999999999999999999:0"] {
            assert_eq!(bad.parse::<Limits>(), Err(()), "{bad}");
        }
    }
}
