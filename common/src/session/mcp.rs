//! MCP servers that a session's agent is given: their shape, what is refused, and how references to variables in them
//! are filled in. Pure.
//!
//! A description carries no secret: it is kept in `session.json` and in the journal. Where a value must not be known,
//! `${NAME}` stands in its place (`${NAME:-otherwise}` has a default), and only whoever starts the agent puts the
//! variable's value there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::environment::is_name;

/// How many servers a session may have.
pub const MAX_SERVERS: usize = 32;

/// How long a server's description may be, all its texts together, in bytes.
pub const MAX_SERVER: usize = 32 * 1024;

/// What the name of a value that must not be written down contains.
const SECRET: [&str; 8] = ["key", "token", "secret", "passw", "credential", "auth", "cookie", "bearer"];

/// How a server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum McpTransport {
    /// A program that the agent starts.
    Stdio,
    /// Streamable HTTP.
    Http,
    /// HTTP with server-sent events.
    Sse,
}

/// An MCP server, in the shape that `.mcp.json` files have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct McpServer {
    /// How it is reached; where it is not said, a `command` is `stdio` and a `url` is `http`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub transport: Option<McpTransport>,
    /// The program of a `stdio` server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Its variables.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The address of a server that is reached by HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The headers of its requests.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// Why a server is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum McpRefusal {
    /// The name is not one.
    #[error("the name of an MCP server is 1 to 64 letters, digits, `_`, `-` or `.`")]
    Name,
    /// It is both, or neither.
    #[error("it needs either a `command` or a `url`")]
    Kind,
    /// A key of the other kind.
    #[error("`{0}` does not fit its type")]
    Unfit(&'static str),
    /// An address that is none.
    #[error("`url` must begin with http:// or https://")]
    Url,
    /// A value that looks like a secret.
    #[error(
        "`{0}` looks like a secret, which skep never writes down; put it into a variable and write ${{VARIABLE}}"
    )]
    Secret(String),
    /// A `${` that does not end, or names no variable.
    #[error("`{0}` has a `${{` that names no variable")]
    Reference(String),
    /// Something in it is empty or has a NUL.
    #[error("`{0}` is empty, or has a control character")]
    Text(String),
    /// It is too long.
    #[error("it is longer than {MAX_SERVER} bytes")]
    TooLong,
}

/// A variable that is not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the variable `{0}` is not set")]
pub struct Unset(pub String);

impl McpServer {
    /// How it is reached.
    #[must_use]
    pub fn transport(&self) -> McpTransport {
        match (self.transport, &self.url) {
            (Some(transport), _) => transport,
            (None, Some(_)) => McpTransport::Http,
            (None, None) => McpTransport::Stdio,
        }
    }

    /// Whether it can be passed on under this name.
    ///
    /// # Errors
    ///
    /// When it cannot, or when it has a secret in it.
    pub fn check(&self, name: &str) -> Result<(), McpRefusal> {
        let name_fits = (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        if !name_fits {
            return Err(McpRefusal::Name);
        }
        self.check_kind()?;
        let mut length = 0;
        for (key, text) in self.texts() {
            length += key.len() + text.len();
            if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
                return Err(McpRefusal::Text(key.to_owned()));
            }
            pieces(text).map_err(|Broken| McpRefusal::Reference(key.to_owned()))?;
        }
        if length > MAX_SERVER {
            return Err(McpRefusal::TooLong);
        }
        self.check_secrets()
    }

    fn check_kind(&self) -> Result<(), McpRefusal> {
        match (&self.command, &self.url, self.transport()) {
            (Some(command), None, McpTransport::Stdio) if command.trim().is_empty() => {
                Err(McpRefusal::Text(String::from("command")))
            }
            (Some(_), None, McpTransport::Stdio) if !self.headers.is_empty() => {
                Err(McpRefusal::Unfit("headers"))
            }
            (Some(_), None, McpTransport::Stdio) => Ok(()),
            (None, Some(_), McpTransport::Http | McpTransport::Sse) if !self.args.is_empty() => {
                Err(McpRefusal::Unfit("args"))
            }
            (None, Some(_), McpTransport::Http | McpTransport::Sse) if !self.env.is_empty() => {
                Err(McpRefusal::Unfit("env"))
            }
            (None, Some(url), McpTransport::Http | McpTransport::Sse) => {
                let fits = ["http://", "https://", "${"].iter().any(|scheme| url.starts_with(scheme));
                if fits { Ok(()) } else { Err(McpRefusal::Url) }
            }
            (Some(_), None, _) => Err(McpRefusal::Unfit("command")),
            (None, Some(_), McpTransport::Stdio) => Err(McpRefusal::Unfit("url")),
            (Some(_), Some(_), _) | (None, None, _) => Err(McpRefusal::Kind),
        }
    }

    fn check_secrets(&self) -> Result<(), McpRefusal> {
        for (name, value) in self.env.iter().chain(&self.headers) {
            let lower = name.to_ascii_lowercase();
            let secret = SECRET.iter().any(|word| lower.contains(word));
            if secret && !value.is_empty() && !has_reference(value) {
                return Err(McpRefusal::Secret(name.clone()));
            }
        }
        let authority = self.url.as_deref().and_then(|url| url.split_once("://")?.1.split('/').next());
        match authority.and_then(|authority| authority.rsplit_once('@')) {
            Some((user, _)) if !has_reference(user) => Err(McpRefusal::Secret(String::from("url"))),
            _ => Ok(()),
        }
    }

    /// The names of all variables that it refers to.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.texts().flat_map(|(_, text)| pieces(text).unwrap_or_default()).filter_map(|piece| match piece {
            Piece::Variable { name, .. } => Some(name),
            Piece::Text(_) => None,
        })
    }

    /// The same with the variables' values in place of the references. What comes out may be secret.
    ///
    /// # Errors
    ///
    /// When a variable without a default is not set.
    pub fn expanded(&self, lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Unset> {
        let fill = |text: &String| fill(text, &lookup);
        let map = |map: &BTreeMap<String, String>| {
            map.iter().map(|(name, value)| Ok((name.clone(), fill(value)?))).collect::<Result<_, Unset>>()
        };
        Ok(Self {
            transport: Some(self.transport()),
            command: self.command.as_ref().map(fill).transpose()?,
            args: self.args.iter().map(fill).collect::<Result<_, _>>()?,
            env: map(&self.env)?,
            url: self.url.as_ref().map(fill).transpose()?,
            headers: map(&self.headers)?,
        })
    }

    /// Every text of it with the key under which it stands.
    fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        let single = [("command", &self.command), ("url", &self.url)];
        let single = single.into_iter().filter_map(|(key, text)| Some((key, text.as_deref()?)));
        let args = self.args.iter().map(|arg| ("args", arg.as_str()));
        let pairs = self.env.iter().chain(&self.headers).map(|(name, value)| (name.as_str(), value.as_str()));
        single.chain(args).chain(pairs)
    }
}

enum Piece<'a> {
    Text(&'a str),
    Variable { name: &'a str, otherwise: Option<&'a str> },
}

struct Broken;

/// A text in pieces: what stands there, and references.
fn pieces(text: &str) -> Result<Vec<Piece<'_>>, Broken> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (inside, behind) = after.split_once('}').ok_or(Broken)?;
        let (name, otherwise) = match inside.split_once(":-") {
            Some((name, otherwise)) => (name, Some(otherwise)),
            None => (inside, None),
        };
        if !is_name(name) {
            return Err(Broken);
        }
        pieces.extend([Piece::Text(before), Piece::Variable { name, otherwise }]);
        rest = behind;
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

/// Whether a variable without a default stands in it: a default would be the secret itself.
fn has_reference(text: &str) -> bool {
    let pieces = pieces(text).unwrap_or_default();
    let plain = |piece: &Piece<'_>| matches!(piece, Piece::Variable { otherwise: Some(rest), .. } if !rest.is_empty());
    pieces.iter().any(|piece| matches!(piece, Piece::Variable { .. })) && !pieces.iter().any(plain)
}

fn fill(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<String, Unset> {
    let mut filled = String::with_capacity(text.len());
    for piece in pieces(text).unwrap_or_else(|Broken| vec![Piece::Text(text)]) {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Variable { name, otherwise } => {
                let value = lookup(name).or_else(|| otherwise.map(str::to_owned));
                filled.push_str(&value.ok_or_else(|| Unset(name.to_owned()))?);
            }
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn server(json: &str) -> McpServer {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn servers_are_taken_in_the_shape_of_mcp_json_files() {
        for (json, transport) in [
            (r#"{"command":"npx","args":["-y","x"],"env":{"LEVEL":"1"}}"#, McpTransport::Stdio),
            (r#"{"type":"stdio","command":"x","env":{"API_KEY":"${MY_KEY}"}}"#, McpTransport::Stdio),
            (r#"{"url":"https://h/mcp","headers":{"Authorization":"Bearer ${TOKEN}"}}"#, McpTransport::Http),
            (r#"{"type":"sse","url":"${BASE:-http://localhost}/sse"}"#, McpTransport::Sse),
        ] {
            let server = server(json);
            assert_eq!((server.check("a.b-c_1"), server.transport()), (Ok(()), transport), "{json}");
            let again = serde_json::to_string(&server).unwrap();
            assert_eq!(serde_json::from_str::<McpServer>(&again).unwrap(), server);
        }
        assert!(serde_json::from_str::<McpServer>(r#"{"command":"x","disabled":true}"#).is_err());
    }

    #[test]
    fn g13_what_cannot_be_passed_on_is_refused_with_its_reason() {
        for (name, json, why) in [
            ("", r#"{"command":"x"}"#, McpRefusal::Name),
            ("a/b", r#"{"command":"x"}"#, McpRefusal::Name),
            ("a", "{}", McpRefusal::Kind),
            ("a", r#"{"command":"x","url":"http://h"}"#, McpRefusal::Kind),
            ("a", r#"{"command":" "}"#, McpRefusal::Text("command".into())),
            ("a", r#"{"command":"x","args":["a\u0000"]}"#, McpRefusal::Text("args".into())),
            ("a", r#"{"type":"http","command":"x"}"#, McpRefusal::Unfit("command")),
            ("a", r#"{"type":"stdio","url":"http://h"}"#, McpRefusal::Unfit("url")),
            ("a", r#"{"url":"http://h","args":["x"]}"#, McpRefusal::Unfit("args")),
            ("a", r#"{"url":"file:///etc/passwd"}"#, McpRefusal::Url),
            ("a", r#"{"command":"x","env":{"A":"${"}}"#, McpRefusal::Reference("A".into())),
            ("a", r#"{"command":"x","env":{"A":"${1}"}}"#, McpRefusal::Reference("A".into())),
        ] {
            assert_eq!(server(json).check(name), Err(why), "{name} {json}");
        }
        let long = McpServer { command: Some("x".repeat(MAX_SERVER)), ..McpServer::default() };
        assert_eq!(long.check("a"), Err(McpRefusal::TooLong));
    }

    #[test]
    fn a_secret_that_is_written_out_is_refused() {
        for json in [
            r#"{"command":"x","env":{"GITHUB_TOKEN":"ghp_1"}}"#,
            r#"{"command":"x","env":{"api_key":"${KEY:-sk-1}"}}"#,
            r#"{"url":"https://h","headers":{"Authorization":"Bearer abc"}}"#,
            r#"{"url":"https://me:pass@h/mcp"}"#,
        ] {
            assert!(matches!(server(json).check("a"), Err(McpRefusal::Secret(_))), "{json}");
        }
    }

    #[test]
    fn references_are_filled_in_from_the_environment() {
        let server = server(r#"{"command":"${BIN:-x}","args":["${A}-${B:-b}"],"env":{"K":"${A}"}}"#);
        assert_eq!(server.variables().collect::<Vec<_>>(), ["BIN", "A", "B", "A"]);
        let lookup = |name: &str| (name == "A").then(|| String::from("1"));
        let filled = server.expanded(lookup).unwrap();
        assert_eq!(filled.command.as_deref(), Some("x"));
        assert_eq!((filled.args[0].as_str(), filled.env["K"].as_str()), ("1-b", "1"));
        assert_eq!(server.expanded(|_| None), Err(Unset(String::from("A"))));
    }

    proptest! {
        #[test]
        fn any_text_is_filled_or_refused_and_a_value_is_never_looked_at_again(text in ".{0,30}", value in ".{0,9}") {
            let server = McpServer { command: Some(text.clone()), ..McpServer::default() };
            if let Ok(filled) = server.expanded(|_| Some(value.clone())) && !text.contains("${") {
                prop_assert_eq!(filled.command, Some(text));
            }
            let fixed = McpServer { command: Some("<${A}>".into()), ..McpServer::default() };
            let filled = fixed.expanded(|_| Some(value.clone())).unwrap();
            prop_assert_eq!(filled.command.unwrap(), format!("<{value}>"));
        }
    }
}
