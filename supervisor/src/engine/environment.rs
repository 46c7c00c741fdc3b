//! What clients gave of their environments, session by session, for agents that are started later.
//!
//! Owned by the engine's core, in memory only: after the daemon's death it comes from the next client. Pure. Nothing
//! here reaches a file or a log.

use std::collections::HashMap;

use skep_common::api::PromptRequest;
use skep_common::code::{ApiError, Code};
use skep_common::environment::{CapturedEnvironment, DECLARED, is_listed};
use skep_common::ids::SessionId;
use skep_common::sanitise::one_line;
use skep_config::Settings;

/// Sessions of which an environment is kept; beyond that the one that was used least recently is forgotten.
const KEPT: usize = 1_000;

/// The environments.
#[derive(Debug, Default)]
pub(super) struct Environments {
    of: HashMap<SessionId, Kept>,
    clock: u64,
}

#[derive(Debug)]
struct Kept {
    environment: CapturedEnvironment,
    used: u64,
}

impl Environments {
    /// Takes what a client gives; what the session has from now on.
    pub(super) fn take(&mut self, session: SessionId, given: CapturedEnvironment) -> CapturedEnvironment {
        self.clock += 1;
        let before = self.of.get(&session).map(|kept| &kept.environment);
        let environment = given.after(before);
        self.of.insert(session, Kept { environment: environment.clone(), used: self.clock });
        if self.of.len() > KEPT
            && let Some(oldest) = self.of.iter().min_by_key(|(_, kept)| kept.used).map(|(id, _)| *id)
        {
            self.of.remove(&oldest);
        }
        environment
    }

    /// What the session was given.
    pub(super) fn of(&mut self, session: SessionId) -> Option<CapturedEnvironment> {
        let kept = self.of.get_mut(&session)?;
        self.clock += 1;
        kept.used = self.clock;
        Some(kept.environment.clone())
    }

    /// Gives a session what another one was given, as far as it is meant for its agent.
    pub(super) fn hand_down(&mut self, from: SessionId, to: SessionId, is_meant: impl Fn(&str) -> bool) {
        let Some(given) = self.of(from) else { return };
        let meant = given.iter().filter(|(name, _)| is_meant(name));
        let meant = CapturedEnvironment::new(meant.map(|(name, value)| (name.to_owned(), value.clone())));
        if let Ok(meant) = meant {
            self.take(to, meant);
        }
    }

    /// The session needs it no more.
    pub(super) fn forget(&mut self, session: SessionId) {
        self.of.remove(&session);
    }
}

/// The variables that a client may give to any agent.
pub(super) fn listed(settings: &Settings) -> impl Iterator<Item = &str> {
    DECLARED.into_iter().chain(settings.session.capture_env.iter().map(String::as_str))
}

/// Refuses variables that are not listed for this agent: none may change more about it than its user's own keys.
///
/// # Errors
///
/// `invalid_value`, with their names.
pub(super) fn check(request: &PromptRequest, agent: &str, settings: &Settings) -> Result<(), ApiError> {
    let Some(given) = &request.environment else { return Ok(()) };
    let keys = settings.agents.get(agent).map(|preset| preset.keys.as_slice()).unwrap_or_default();
    let unlisted: Vec<String> = given
        .names()
        .filter(|name| !is_listed(name, listed(settings).chain(keys.iter().map(String::as_str))))
        .map(|name| one_line(name).into_owned())
        .take(8)
        .collect();
    if unlisted.is_empty() {
        return Ok(());
    }
    let message = format!(
        "environment: {} is not passed on to agent `{agent}`; list it in session.capture_env, or in the agent's keys",
        unlisted.join(", ")
    );
    Err(ApiError::new(Code::InvalidValue, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_common::environment::Secret;

    fn captured(name: &str, value: &str) -> CapturedEnvironment {
        CapturedEnvironment::new([(name.to_owned(), Secret::new(value.to_owned()))]).unwrap()
    }

    #[test]
    fn a_session_keeps_what_it_was_given_until_it_is_forgotten() {
        let (mut kept, session) = (Environments::default(), SessionId::random());
        assert_eq!(kept.of(session), None);
        kept.take(session, captured("A_KEY", "1"));
        let both = kept.take(session, captured("B_KEY", "2"));
        assert_eq!((both.get("A_KEY"), both.get("B_KEY")), (Some("1"), Some("2")));
        assert_eq!(kept.of(session), Some(both));
        kept.forget(session);
        assert_eq!(kept.of(session), None);
    }

    #[test]
    fn only_so_many_sessions_are_remembered_the_latest_used_ones() {
        let mut kept = Environments::default();
        let ids: Vec<SessionId> = (0..=KEPT).map(|_| SessionId::random()).collect();
        for id in &ids[..KEPT] {
            kept.take(*id, captured("A", "1"));
        }
        assert!(kept.of(ids[0]).is_some());
        kept.take(ids[KEPT], captured("A", "1"));
        assert!(kept.of(ids[0]).is_some() && kept.of(ids[1]).is_none() && kept.of.len() == KEPT);
    }

    #[test]
    fn only_listed_variables_and_the_agents_own_keys_are_taken() {
        let settings = skep_config::parse(
            "session.capture_env = [\"AWS_*\"]\n[agents.a]\ncommand = [\"a\"]\nkeys = [\"A_KEY\"]",
            "test",
        )
        .unwrap();
        let check = |name: &str, agent: &str| {
            let environment = Some(captured(name, "hunter2"));
            let request = serde_json::from_str::<PromptRequest>(r#"{"content":[]}"#).unwrap();
            check(&PromptRequest { environment, ..request }, agent, &settings)
        };
        for (name, agent) in [("PATH", "shell"), ("A_KEY", "a"), ("AWS_REGION", "shell"), ("LC_ALL", "a")] {
            assert_eq!(check(name, agent), Ok(()), "{name}");
        }
        for (name, agent) in [("LD_PRELOAD", "a"), ("A_KEY", "shell"), ("SKEP_HOME", "a")] {
            let error = check(name, agent).unwrap_err();
            assert_eq!(error.code, Code::InvalidValue);
            assert!(error.message.contains(name) && !error.message.contains("hunter2"), "{error}");
        }
    }
}
