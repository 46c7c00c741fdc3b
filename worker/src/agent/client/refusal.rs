//! Why something is not done for an agent: JSON-RPC errors with a stable word in `data.code`. Pure.

use serde_json::json;
use serde_json::value::RawValue;
use skep_sys::rooted::FileError;

use crate::acp::message::{INVALID_PARAMS, NOT_FOUND, REQUEST_CANCELLED, RpcError, clip};

/// skep's own code, out of those that JSON-RPC leaves to its users: what was asked is offered, but not done.
const REFUSED: i64 = -32050;

/// How much of a name is repeated, in characters.
const NAME: usize = 400;

/// An error of this code, with its word.
fn error(code: i64, word: &str, text: String) -> RpcError {
    RpcError {
        data: RawValue::from_string(json!({"code": word}).to_string()).ok(),
        ..RpcError::new(code, text)
    }
}

/// The parameters are not what the method takes.
pub(super) fn invalid(why: &str) -> RpcError {
    error(INVALID_PARAMS, "invalid_params", clip(why, NAME))
}

/// The session is none that is served here.
pub(super) fn no_session(session: &str) -> RpcError {
    error(NOT_FOUND, "no_session", format!("no such session: `{}`", clip(session, NAME)))
}

/// There is no such terminal, or it was released.
pub(super) fn no_terminal(terminal: &str) -> RpcError {
    error(NOT_FOUND, "no_terminal", format!("no such terminal: `{}`", clip(terminal, NAME)))
}

/// It is offered, but not done.
pub(super) fn refused(word: &str, text: impl Into<String>) -> RpcError {
    error(REFUSED, word, text.into())
}

/// Somebody or something said no.
pub(super) fn denied() -> RpcError {
    refused("denied", "permission was denied")
}

/// Nobody decides it any more, or it is not wanted any more.
pub(super) fn cancelled() -> RpcError {
    error(REQUEST_CANCELLED, "cancelled", String::from("the request was cancelled"))
}

/// A file cannot be read or written. Agents look for "not found" in the code or in the words.
pub(super) fn file(path: &str, why: &FileError) -> RpcError {
    let path = clip(path, NAME);
    match why {
        FileError::NotFound => error(NOT_FOUND, why.code(), format!("{why}: {path}")),
        _ => refused(why.code(), format!("`{path}`: {why}")),
    }
}
