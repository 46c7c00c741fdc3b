//! Tokens and signed-in browsers, as the API shows them: what each may do, and for how long.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::SessionId;

/// What a key allows. Each of the others includes reading; `admin` includes all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// See sessions, their events and logs, what waits, workers and agents.
    Read,
    /// Open sessions, prompt, cancel and close.
    Prompt,
    /// Answer permission requests.
    Approve,
    /// Everything else: workers, the daemon, other keys, deletion.
    Admin,
}

impl Scope {
    /// Every scope, the smallest first.
    pub const ALL: [Self; 4] = [Self::Read, Self::Prompt, Self::Approve, Self::Admin];

    /// Its word in the API and on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Prompt => "prompt",
            Self::Approve => "approve",
            Self::Admin => "admin",
        }
    }

    /// Whether who holds this scope may do what needs `needed`.
    #[must_use]
    pub fn allows(self, needed: Self) -> bool {
        self == needed || self == Self::Admin || needed == Self::Read
    }
}

/// What holds a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// A program, which shows it as a bearer token.
    Token,
    /// A browser that was signed in by link or password, which shows it as a cookie.
    Browser,
}

/// A key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct KeyInfo {
    /// Its id, by which it is revoked.
    pub id: String,
    /// What holds it.
    pub kind: KeyKind,
    /// What it is for, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// The one session that it is good for; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The session below which it is good: for opening sessions of that one, and for those alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub children_of: Option<SessionId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself; none: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// `GET /tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct KeyList {
    /// The keys that are good now, the newest first.
    pub tokens: Vec<KeyInfo>,
}

/// `POST /tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// What it is to allow; at least one.
    pub scopes: Vec<Scope>,
    /// The one session, by id, prefix or name, that it is to be good for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Instead of `session`: the session, by id, prefix or name, below which it is to be good. It opens sessions of that
    /// one, and reaches those and what is below them; not the session itself, and no others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub children_of: Option<String>,
    /// What it is for, for people; at most 100 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// After how many seconds it ends by itself; none: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
}

/// A new token. Its secret is told this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TokenCreated {
    /// The secret that stands behind `Bearer`.
    pub token: String,
    /// What it is.
    pub info: KeyInfo,
}

/// The body of `POST /login-links`; an empty one makes a link that may do everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct CreateLoginLink {
    /// The one session, by id, prefix or name, that the browser is to see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// What the browser may do; none: of one session `read`, else `admin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<Scope>>,
    /// How long it stays signed in, in seconds; none: 30 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
}

/// `POST /login-links`: a link that signs one browser in, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct LoginLink {
    /// Path and query of the link, below any base path.
    pub path: String,
    /// The whole link for each TCP endpoint.
    pub urls: Vec<String>,
    /// The one session that the browser will see; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// What the browser will be allowed.
    #[serde(default)]
    pub scopes: Vec<Scope>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// `POST /login`: exactly one of the two.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoginRequest {
    /// The code of a link.
    pub code: Option<String>,
    /// The password.
    pub password: Option<String>,
}

impl std::fmt::Debug for LoginRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginRequest").finish_non_exhaustive()
    }
}

/// `POST /daemon/start`: a port adds a listener to the daemon that serves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct StartRequest {
    /// The TCP port to listen on as well; 0 picks one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Where; 127.0.0.1 where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_allows_itself_and_reading_and_admin_allows_all() {
        for held in Scope::ALL {
            for needed in Scope::ALL {
                let expected = held == needed || held == Scope::Admin || needed == Scope::Read;
                assert_eq!(held.allows(needed), expected, "{held:?} {needed:?}");
            }
        }
        assert!(!Scope::Approve.allows(Scope::Prompt) && !Scope::Prompt.allows(Scope::Approve));
        assert!(!Scope::Read.allows(Scope::Prompt));
    }
}
