//! What an agent gets of its user's environment: which variables, and their values on the way from a client through
//! the daemon to a worker.
//!
//! The values may be keys. They live in memory and on pipes only: they have no way into a log (their `Debug` shows
//! names), a file or a command line, and their memory is cleared when the last holder lets go of them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

/// What every agent gets of its client's environment: names, or beginnings of names with a `*`.
pub const DECLARED: [&str; 26] = [
    "PATH",
    "HOME",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "TZ",
    "TMPDIR",
    "XDG_*",
    "SSH_AUTH_SOCK",
    "DBUS_SESSION_BUS_ADDRESS",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "COLORTERM",
];

/// The most variables that a client may give.
pub const MAX_VARIABLES: usize = 256;

/// The most that their names and values may take together, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;

/// Whether a variable is one of those that `patterns` name. What is skep's own is none of anybody's.
pub fn is_listed<'a>(name: &str, patterns: impl IntoIterator<Item = &'a str>) -> bool {
    !name.starts_with("SKEP_")
        && patterns.into_iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == pattern,
        })
}

/// Whether a text is a variable's name: letters, digits and `_`, and no digit at its beginning.
#[must_use]
pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Why a text is no pattern for [`is_listed`]; none if it is one. A `*` alone would take everything.
#[must_use]
pub fn wrong_pattern(pattern: &str) -> Option<&'static str> {
    let name = pattern.strip_suffix('*').unwrap_or(pattern);
    if name.starts_with("SKEP_") {
        return Some("is skep's own; it is never passed on");
    }
    (!is_name(name)).then_some("is no variable's name, nor the beginning of one with a `*`")
}

/// Why a session needs a person whose agent's keys are missing: `credentials`, and their names.
#[must_use]
pub fn needs(keys: &[String]) -> String {
    format!("credentials: {}", keys.join(", "))
}

/// The names in a reason that [`needs`] gave; none in any other.
pub fn needed(why: Option<&str>) -> impl Iterator<Item = &str> {
    why.and_then(|why| why.strip_prefix("credentials: ")).into_iter().flat_map(|keys| keys.split(", "))
}

/// A value that may be a key: never shown, cleared when it is dropped.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a value.
    #[must_use]
    pub fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value itself, for whoever passes it on.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Variables as a client had them. Cheap to clone: all clones share one copy of the values.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct CapturedEnvironment(Arc<BTreeMap<String, Secret>>);

/// A set of variables that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// More than [`MAX_VARIABLES`].
    #[error("it has more than {MAX_VARIABLES} variables")]
    TooMany,
    /// More than [`MAX_BYTES`].
    #[error("it is larger than {} KiB", MAX_BYTES / 1024)]
    TooLarge,
    /// No name that a variable could have.
    #[error("a variable's name is empty, or has a `=` or NUL in it")]
    Name,
    /// No value that a variable could have.
    #[error("the value of `{0}` has a NUL in it")]
    Value(String),
}

impl CapturedEnvironment {
    /// These variables.
    ///
    /// # Errors
    ///
    /// When there are too many, or one of them cannot be a variable.
    pub fn new(variables: impl IntoIterator<Item = (String, Secret)>) -> Result<Self, Unfit> {
        let variables: BTreeMap<String, Secret> = variables.into_iter().collect();
        if variables.len() > MAX_VARIABLES {
            return Err(Unfit::TooMany);
        }
        let bytes = variables.iter().map(|(name, value)| name.len() + value.reveal().len()).sum::<usize>();
        if bytes > MAX_BYTES {
            return Err(Unfit::TooLarge);
        }
        for (name, value) in &variables {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(Unfit::Name);
            }
            if value.reveal().contains('\0') {
                return Err(Unfit::Value(name.clone()));
            }
        }
        Ok(Self(Arc::new(variables)))
    }

    /// A variable's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(Secret::reveal)
    }

    /// Every name, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Every variable, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// What a session has from now on, when this is what its next client gives: the declared variables are the new
    /// client's; a key that it lacks is still the one before, since that was given for this very session.
    #[must_use]
    pub fn after(self, before: Option<&Self>) -> Self {
        let Some(before) = before else { return self };
        let mut kept = before
            .0
            .iter()
            .filter(|(name, _)| !is_listed(name, DECLARED) && !self.0.contains_key(*name))
            .peekable();
        if kept.peek().is_none() {
            return self;
        }
        let kept = kept.map(|(name, value)| (name.clone(), value.clone())).collect::<Vec<_>>();
        let all = self.0.iter().map(|(name, value)| (name.clone(), value.clone())).chain(kept);
        // What two clients gave may be too much together; the newer one's is what counts.
        Self::new(all).unwrap_or(self)
    }
}

/// Names only.
impl fmt::Debug for CapturedEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl Serialize for CapturedEnvironment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(name, value)| (name, value.reveal())))
    }
}

impl<'de> Deserialize<'de> for CapturedEnvironment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let variables = BTreeMap::<String, Value>::deserialize(deserializer)?;
        Self::new(variables.into_iter().map(|(name, Value(value))| (name, value))).map_err(de::Error::custom)
    }
}

/// A value on its way in. What is no text is not repeated in the error.
struct Value(Secret);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer) {
            Ok(value) => Ok(Self(Secret::new(value))),
            Err(_) => Err(de::Error::custom("a variable's value must be a string")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(pairs: &[(&str, &str)]) -> CapturedEnvironment {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), Secret::new((*value).to_owned())));
        CapturedEnvironment::new(pairs).unwrap()
    }

    #[test]
    fn values_stay_out_of_debug_output_at_any_depth() {
        let given = captured(&[("API_KEY", "hunter2"), ("PATH", "/bin")]);
        let shown = format!("{given:?} {given:#?} {:?} {:?}", Some(&given), Secret::new("hunter2".into()));
        assert!(
            shown.contains("API_KEY") && !shown.contains("hunter2") && !shown.contains("/bin"),
            "{shown}"
        );
    }

    #[test]
    fn a_list_names_variables_or_their_beginnings_and_never_skeps_own() {
        let table = [
            ("PATH", true),
            ("PATHS", false),
            ("LC_ALL", true),
            ("XDG_CONFIG_HOME", true),
            ("SKEP_HOME", false),
            ("AWS_SECRET_ACCESS_KEY", false),
        ];
        for (name, listed) in table {
            assert_eq!(is_listed(name, DECLARED), listed, "{name}");
        }
        assert!(
            is_listed("AWS_SECRET_ACCESS_KEY", ["AWS_*"]) && !is_listed("SKEP_SESSION", ["SKEP_*", "S*"])
        );
        for wrong in ["", "*", "A=b", "A B", "1A", "SKEP_X", "A*B", "*A"] {
            assert!(wrong_pattern(wrong).is_some(), "{wrong:?}");
        }
        for right in ["A", "AWS_*", "_", "a1"] {
            assert_eq!(wrong_pattern(right), None, "{right:?}");
        }
        assert!(DECLARED.iter().all(|pattern| wrong_pattern(pattern).is_none()));
    }

    #[test]
    fn the_next_client_replaces_what_every_agent_gets_and_adds_to_the_keys() {
        let before =
            captured(&[("PATH", "/old"), ("HTTP_PROXY", "http://old"), ("A_KEY", "a"), ("B_KEY", "b")]);
        let now = captured(&[("PATH", "/new"), ("B_KEY", "b2")]).after(Some(&before));
        assert_eq!(now, captured(&[("PATH", "/new"), ("A_KEY", "a"), ("B_KEY", "b2")]));
        assert_eq!(captured(&[("X", "1")]).after(None), captured(&[("X", "1")]));
        let empty = captured(&[("A_KEY", "")]).after(Some(&before));
        assert_eq!(empty.get("A_KEY"), Some(""), "an empty value takes a key back");
    }

    #[test]
    fn g13_what_cannot_be_variables_is_refused_without_repeating_a_value() {
        let read = |json: &str| serde_json::from_str::<CapturedEnvironment>(json).map_err(|e| e.to_string());
        assert_eq!(read(r#"{"A":"1"}"#), Ok(captured(&[("A", "1")])));
        for wrong in [r#"{"":"s3"}"#, r#"{"A=B":"s3"}"#, r#"{"A":"s3\u0000"}"#, r#"{"A":333}"#, "[]", "3"] {
            let error = read(wrong).unwrap_err();
            assert!(!error.contains("s3") && !error.contains("333"), "{wrong}: {error}");
        }
        let many: BTreeMap<String, &str> = (0..=MAX_VARIABLES).map(|n| (format!("V{n}"), "")).collect();
        assert!(read(&serde_json::to_string(&many).unwrap()).unwrap_err().contains("more than"));
        let large = format!(r#"{{"A":"{}"}}"#, "x".repeat(MAX_BYTES));
        assert!(read(&large).unwrap_err().contains("larger than"));
    }

    #[test]
    fn the_reason_names_the_keys() {
        let keys = ["A_KEY".to_owned(), "B_KEY".to_owned()];
        assert_eq!(needed(Some(&needs(&keys))).collect::<Vec<_>>(), keys);
        assert_eq!(needed(Some("the disk failed")).chain(needed(None)).count(), 0);
    }

    #[test]
    fn it_survives_a_round_trip() {
        let given = captured(&[("A", "1"), ("B", "zwei\n")]);
        let line = serde_json::to_string(&given).unwrap();
        assert_eq!(serde_json::from_str::<CapturedEnvironment>(&line).unwrap(), given);
    }
}
