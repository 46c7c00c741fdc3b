//! Who may come in: the bearer token on every request (G4), compared in constant time (Q5). The peer's uid is checked
//! where connections are accepted.

use std::fmt;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, USER_AGENT};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use skep_common::code::Code;
use skep_common::ids::Process;
use skep_supervisor::engine::Caller;
use subtle::ConstantTimeEq as _;

use crate::error::Failure;
use crate::router::App;

/// The token that every request must show.
#[derive(Clone)]
pub(crate) struct Token(String);

impl Token {
    /// A token.
    #[must_use]
    pub(crate) fn new(token: String) -> Self {
        Self(token)
    }

    /// Whether `shown` is this token. Takes the same time however much of it is right. An empty token lets nobody in.
    fn matches(&self, shown: &[u8]) -> bool {
        !self.0.is_empty() && bool::from(self.0.as_bytes().ct_eq(shown))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Who is at the other end of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its user.
    pub(crate) uid: u32,
    /// Its process when it connected; none if that could not be examined.
    pub(crate) process: Option<Process>,
}

/// Lets a request through if it shows the token; `/health` and `/ready` need none.
pub(crate) async fn require_token(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_open = matches!(path, "/health" | "/ready" | "/api/v1/health");
    let shown = request.headers().get(AUTHORIZATION).map(|value| value.as_bytes());
    match shown {
        _ if is_open => {}
        None => return refuse("the request has no `authorization: Bearer` token"),
        Some(shown) => match bearer(shown) {
            Some(token) if app.token.matches(token) => {}
            Some(_) => return refuse("the token is wrong"),
            None => return refuse("the `authorization` header is not `Bearer TOKEN`"),
        },
    }
    next.run(request).await
}

fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

fn refuse(why: &str) -> Response {
    let mut response = Failure::new(Code::Unauthorized, why).into_response();
    let challenge = axum::http::HeaderValue::from_static("Bearer");
    response.headers_mut().insert(axum::http::header::WWW_AUTHENTICATE, challenge);
    response
}

/// Front end and user of a request, for the journal: `skep-cli uid=1000`.
pub(crate) fn caller(parts: &Parts) -> Caller {
    let agent = parts.headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or("api");
    let product: String = agent
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        .take(40)
        .collect();
    let front = if product.is_empty() { "api" } else { &product };
    let via = match parts.extensions.get::<Peer>() {
        Some(peer) => format!("{front} uid={}", peer.uid),
        None => front.to_owned(),
    };
    Caller { via }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g4_only_the_whole_token_matches() {
        let token = Token::new(String::from("secret"));
        assert!(token.matches(b"secret"));
        for wrong in [&b""[..], b"secre", b"secret2", b"Secret", b"\xff"] {
            assert!(!token.matches(wrong));
        }
        assert!(!Token::new(String::new()).matches(b""));
        assert!(!format!("{token:?}").contains("secret"));
    }

    #[test]
    fn g4_the_scheme_is_read_as_http_says() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bearer  abc "), Some(&b"abc"[..]));
        assert_eq!(bearer(b"Basic abc"), None);
        assert_eq!(bearer(b"Bearer"), None);
        assert_eq!(bearer(b""), None);
    }
}
