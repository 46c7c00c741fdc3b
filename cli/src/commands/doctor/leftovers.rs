//! Processes that carry the mark of a session of this instance which nobody holds.

use std::path::Path;

use skep_config::env::SKEP_SESSION;

/// The pids of processes marked with a session under `sessions` that is not among `held`. Only this user's processes
/// can be looked into; where there is no process table, nothing is found.
pub(super) fn find(sessions: &Path, held: &[String]) -> Vec<u32> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    // This command may itself run inside a session.
    let own = skep_sys::process::ancestors(std::process::id());
    pids.filter(|pid| *pid != std::process::id() && !own.contains(pid))
        .filter(|pid| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            mark(&environment)
                .is_some_and(|id| !held.iter().any(|held| held == id) && sessions.join(id).is_dir())
        })
        .collect()
}

/// The session in an environment of NUL-terminated entries. Only a whole id is one: it becomes a path.
fn mark(environment: &[u8]) -> Option<&str> {
    let entry = environment
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(SKEP_SESSION.as_bytes())?.strip_prefix(b"="))?;
    std::str::from_utf8(entry).ok().filter(|id| id.parse::<skep_common::ids::SessionId>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_session_id_is_a_mark() {
        let id = "1a2b3c4d-0000-4000-8000-000000000000";
        assert_eq!(mark(format!("A=1\0SKEP_SESSION={id}\0").as_bytes()), Some(id));
        for other in ["SKEP_SESSION=../x", "SKEP_SESSION_NAME=x", "XSKEP_SESSION=1", ""] {
            assert_eq!(mark(other.as_bytes()), None, "{other}");
        }
    }
}
