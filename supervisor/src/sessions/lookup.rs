//! Finding a session by what a person typed: its id, its name, or the beginning of either.

use serde_json::json;
use skep_common::code::{ApiError, Code};
use skep_common::ids::{SessionId, SessionName};

use super::{Entry, Index};

/// How many candidates an ambiguous look-up lists.
const CANDIDATES: usize = 20;

impl Index {
    /// The session that holds a name: the open one.
    #[must_use]
    pub fn open_by_name(&self, name: &SessionName) -> Option<&Entry> {
        self.named(name).find(|entry| !entry.is_closed())
    }

    fn named(&self, name: &SessionName) -> impl Iterator<Item = &Entry> {
        self.names.get(name).into_iter().flatten().filter_map(|id| self.get(*id))
    }

    /// The open session of that name, else the latest closed one.
    fn by_name(&self, name: &SessionName) -> Option<&Entry> {
        self.open_by_name(name).or_else(|| self.named(name).max_by_key(|entry| entry.spec.created_at))
    }

    /// Finds a session by id, by name (the open one, else the latest closed one), or by a unique prefix of either.
    ///
    /// # Errors
    ///
    /// `session_not_found`, or `session_ambiguous` with the candidates.
    pub fn resolve(&self, wanted: &str) -> Result<SessionId, ApiError> {
        if let Ok(id) = wanted.parse::<SessionId>()
            && self.entries.contains_key(&id)
        {
            return Ok(id);
        }
        if let Ok(name) = wanted.parse::<SessionName>()
            && let Some(entry) = self.by_name(&name)
        {
            return Ok(entry.spec.id);
        }
        let mut found = self.by_prefix(wanted);
        match found.len() {
            1 => Ok(found.remove(0).spec.id),
            0 => Err(not_found(wanted)),
            _ => Err(ambiguous(wanted, &mut found)),
        }
    }

    fn by_prefix(&self, prefix: &str) -> Vec<&Entry> {
        if prefix.is_empty() || prefix.len() > 64 {
            return Vec::new();
        }
        let lower = prefix.to_ascii_lowercase();
        let begins = |name: &SessionName| name.as_str().starts_with(prefix);
        // Namesakes count as the one that their name means.
        let by_name = self.names.keys().filter(|name| begins(name)).filter_map(|name| self.by_name(name));
        let by_id = self.iter().filter(|entry| !entry.spec.name.as_ref().is_some_and(begins));
        by_name.chain(by_id.filter(|entry| entry.spec.id.to_string().starts_with(&lower))).collect()
    }
}

/// The error for a session that is not there.
#[must_use]
pub fn not_found(wanted: &str) -> ApiError {
    let shown: String = wanted.chars().take(80).flat_map(char::escape_debug).collect();
    ApiError::new(Code::SessionNotFound, format!("no session `{shown}`"))
}

fn ambiguous(wanted: &str, found: &mut [&Entry]) -> ApiError {
    found.sort_unstable_by_key(|entry| (std::cmp::Reverse(entry.snapshot.updated_at), entry.spec.id));
    let candidates: Vec<_> = found
        .iter()
        .take(CANDIDATES)
        .map(|entry| json!({"id": entry.spec.id, "name": entry.spec.name, "state": entry.state()}))
        .collect();
    let message =
        format!("`{}` fits {} sessions; give more of the id or name", wanted.escape_debug(), found.len());
    ApiError::new(Code::SessionAmbiguous, message).with_details(json!({ "candidates": candidates }))
}
