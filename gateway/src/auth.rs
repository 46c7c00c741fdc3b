//! Who makes a request: the owner's token or a scoped one (G4), compared in constant time (Q5), or a signed-in browser's
//! cookie. The peer's uid is checked where connections are accepted.

use std::fmt;

use axum::http::header::{AUTHORIZATION, COOKIE, ORIGIN, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use jiff::Timestamp;
use skep_common::code::Code;
use skep_common::keys::KeyKind;
use skep_config::api::Auth;
use skep_supervisor::engine::Caller;
use subtle::ConstantTimeEq as _;

use crate::access::{Identity, Principal};
use crate::error::Failure;
use crate::origin::Client;
use crate::peer::Peer;
use crate::router::App;

/// The owner's token.
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

/// Who makes this request; none shows nothing. What is shown and wrong is refused.
pub(crate) fn principal(app: &App, parts: &Parts) -> Result<Option<Principal>, Failure> {
    let now = Timestamp::now();
    let mut shown = parts.headers.get_all(AUTHORIZATION).iter();
    if let Some(header) = shown.next() {
        if shown.next().is_some() {
            return Err(unauthorized("the request has more than one `authorization` header"));
        }
        let Some(token) = bearer(header.as_bytes()) else {
            return Err(unauthorized("the `authorization` header is not `Bearer TOKEN`"));
        };
        let owner = app.token.matches(token).then(|| Principal::all(Identity::Owner));
        let found = owner.or_else(|| app.keys.find(KeyKind::Token, token, now));
        return found.map(Some).ok_or_else(|| unauthorized("the token is wrong"));
    }
    let Some(Peer::Tcp(peer)) = parts.extensions.get::<Peer>() else { return Ok(None) };
    if app.doors.auth() == Auth::None && peer.local.ip().to_canonical().is_loopback() {
        return Ok(Some(Principal::all(Identity::Anyone)));
    }
    let browser = cookie(&parts.headers, app.doors.cookie())
        .and_then(|secret| app.keys.find(KeyKind::Browser, secret.as_bytes(), now));
    match browser {
        Some(browser) => from_own_page(parts).map(|()| Some(browser)),
        None => Ok(None),
    }
}

/// A browser sends its cookie of its own accord: what changes something, or opens a WebSocket, must say that it comes
/// from our own page.
fn from_own_page(parts: &Parts) -> Result<(), Failure> {
    let is_foreign = parts.extensions.get::<Client>().is_none_or(|client| client.cors.is_some());
    let reads = matches!(parts.method, Method::GET | Method::HEAD)
        && !parts.headers.contains_key(axum::http::header::UPGRADE);
    let says_so = parts.headers.contains_key(ORIGIN)
        || parts.headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin");
    if is_foreign || !(reads || says_so) {
        return Err(Failure::new(
            Code::OriginNotAllowed,
            "a request with a cookie must come from a page of this server, and say so in `origin`",
        ));
    }
    Ok(())
}

fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// The value of the cookie `name`, if there is one.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let values = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(';')).find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then_some(value)
    })
}

/// 401.
pub(crate) fn unauthorized(why: &str) -> Failure {
    Failure::new(Code::Unauthorized, why)
}

/// What a client calls itself, as far as it is a word: `skep-cli`, `curl`.
pub(crate) fn front(headers: &HeaderMap) -> String {
    let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or("api");
    let product: String = agent
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        .take(40)
        .collect();
    if product.is_empty() { String::from("api") } else { product }
}

/// Front end and user of a request, for the journal: `skep-cli uid=1000`, `curl owner 127.0.0.1`.
pub(crate) fn caller(parts: &Parts) -> Caller {
    let front = front(&parts.headers);
    let who = parts.extensions.get::<Principal>().map_or("nobody", Principal::name);
    let via = match parts.extensions.get::<Peer>() {
        Some(Peer::Unix(peer)) if who == "owner" => format!("{front} uid={}", peer.uid),
        Some(Peer::Unix(peer)) => format!("{front} uid={} {who}", peer.uid),
        Some(Peer::Tcp(peer)) => {
            let address =
                parts.extensions.get::<Client>().map_or_else(|| peer.remote.ip(), |client| client.address);
            format!("{front} {who} {address}")
        }
        None => front,
    };
    Caller { via }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

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

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1; skep-x=secret"));
        headers.append(COOKIE, HeaderValue::from_static("b=2"));
        assert_eq!(cookie(&headers, "skep-x"), Some("secret"));
        assert_eq!(cookie(&headers, "skep"), None);
        assert_eq!(cookie(&headers, "b"), Some("2"));
    }
}
