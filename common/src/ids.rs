//! Names and numbers that identify things. Each is its own type, checked where it enters (G14).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
        pub struct $name(Uuid);

        impl $name {
            /// A new random id (UUID version 4; G14).
            #[must_use]
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(s: &str) -> Result<Self, InvalidId> {
                Uuid::parse_str(s).map(Self).map_err(|_| InvalidId { what: stringify!($name), text: clip(s) })
            }
        }
    };
}

uuid_id! {
    /// One session, for its whole life; also the name of its directory.
    SessionId
}
uuid_id! {
    /// One prompt. Chosen by the client, so that a second delivery is acknowledged and not run again.
    PromptId
}
uuid_id! {
    /// One permission request: a question to a person.
    PermissionId
}
uuid_id! {
    /// One answer to a permission request. The same id gets the same reply.
    AnswerId
}
uuid_id! {
    /// One event for one hook: the same with every attempt, so that a receiver knows a repetition.
    DeliveryId
}
uuid_id! {
    /// One command to a worker; its acknowledgement carries the same id.
    RequestId
}
uuid_id! {
    /// Attachments of one prompt, on their way to a worker.
    IncomingId
}

/// An id that is not a UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {what}")]
pub struct InvalidId {
    /// The type that was expected.
    pub what: &'static str,
    /// The offending text, clipped.
    pub text: String,
}

/// A session's name: `[A-Za-z0-9_-]{1,64}` (G1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(pattern = "^[A-Za-z0-9_-]{1,64}$"))]
pub struct SessionName(String);

/// A worker's id: `[A-Za-z0-9_-]{1,64}`, such as `remote-control-1`; it is also a file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(pattern = "^[A-Za-z0-9_-]{1,64}$"))]
pub struct WorkerId(String);

/// A name that does not match `[A-Za-z0-9_-]{1,64}`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {what}: use 1 to 64 letters, digits, `_` or `-`")]
pub struct InvalidName {
    /// What the name was for.
    pub what: &'static str,
    /// The offending text, clipped.
    pub text: String,
}

macro_rules! checked_name {
    ($name:ident, $what:literal) => {
        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                if is_name(&text) {
                    Ok(Self(text))
                } else {
                    Err(InvalidName { what: $what, text: clip(&text) })
                }
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(s: &str) -> Result<Self, InvalidName> {
                Self::try_from(s.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

checked_name!(SessionName, "session name");
checked_name!(WorkerId, "worker id");

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// At most 80 characters of a text that somebody else wrote, for an error message.
fn clip(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

/// A process that cannot be mistaken for a later one with the same number: pid, start time, boot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Process {
    /// The process id.
    pub pid: u32,
    /// Start time in clock ticks since boot (field 22 of proc(5) `/proc/pid/stat`).
    pub start_time: u64,
    /// The kernel's boot id, `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g1_session_names_follow_the_pattern() {
        for good in ["a", "A-b_9", &"x".repeat(64)] {
            assert!(good.parse::<SessionName>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "../x", "a/b", "ä", "a\n", "a.b", &"x".repeat(65)] {
            assert!(bad.parse::<SessionName>().is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<SessionName>("\"../x\"").is_err());
    }

    #[test]
    fn g7_an_invalid_name_is_quoted_without_control_characters() {
        let error = "a\n\u{1b}[31m".parse::<SessionName>().unwrap_err();
        assert!(!error.to_string().contains(['\n', '\u{1b}']), "{error}");
    }

    #[test]
    fn g14_ids_are_uuids() {
        assert!("../../etc".parse::<SessionId>().is_err());
        let id = SessionId::random();
        assert_eq!(id.to_string().parse::<SessionId>().unwrap(), id);
    }
}
