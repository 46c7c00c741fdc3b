//! JSON-RPC 2.0 messages, one per line: bytes to messages and back. Pure; every byte read is hostile.
//!
//! Only the envelope is looked at. Parameters and results stay raw JSON, so nothing that a newer peer says is lost.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use skep_common::sanitise::one_line;

use super::repair::repair_surrogates;

/// JSON-RPC: no such method.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// JSON-RPC: the parameters are not what the method takes.
pub const INVALID_PARAMS: i64 = -32602;
/// JSON-RPC: a fault of the callee's own.
pub const INTERNAL_ERROR: i64 = -32603;
/// ACP: sign in first.
pub const AUTH_REQUIRED: i64 = -32000;
/// ACP: no such thing, for example a session.
pub const NOT_FOUND: i64 = -32002;

/// How much of an error is shown, in characters, of its message and of its data.
const WORDS: usize = 1000;

/// ACP: whoever asked does not want the answer any more.
pub const REQUEST_CANCELLED: i64 = -32800;

/// What came on one line.
#[derive(Debug)]
pub enum Message {
    /// The peer asks and wants an answer with the same id.
    Request {
        /// The peer's id for it.
        id: Id,
        /// The method.
        method: String,
        /// The parameters, untouched.
        params: Option<Box<RawValue>>,
    },
    /// The peer tells.
    Notification {
        /// The method.
        method: String,
        /// The parameters, untouched.
        params: Option<Box<RawValue>>,
    },
    /// The peer answers.
    Response {
        /// The id of our request.
        id: Id,
        /// The result, untouched, or the error.
        result: Result<Box<RawValue>, RpcError>,
    },
}

/// A request's id exactly as its sender wrote it: a number or a string.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Id(Box<str>);

impl Id {
    /// The id as the number that we gave our own request; none if it is anything else.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        self.0.parse().ok()
    }
}

impl From<u64> for Id {
    fn from(number: u64) -> Self {
        Self(number.to_string().into_boxed_str())
    }
}

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.0.to_string()).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

/// A JSON-RPC error.
#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
#[error("{}", self.words())]
pub struct RpcError {
    /// What went wrong.
    pub code: i64,
    /// The same, for people.
    #[serde(default)]
    pub message: String,
    /// More.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
}

impl RpcError {
    /// An error without data.
    #[must_use]
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// The message for people, in one line; with what stands beside it, where many agents say what really happened.
    fn words(&self) -> String {
        let data: Value = self.data.as_deref().and_then(|data| read(data).ok()).unwrap_or_default();
        let inner = &data["error"];
        let more = [&data, &data["details"], &data["message"], inner, &inner["message"]];
        let more = more.into_iter().find_map(Value::as_str);
        let message = clip(self.message.trim(), WORDS);
        let told = match more.map(str::trim).filter(|more| !more.is_empty() && !message.contains(more)) {
            Some(more) if message.is_empty() => clip(more, WORDS),
            Some(more) => format!("{message}: {}", clip(more, WORDS)),
            None => message,
        };
        format!("{} (code {})", one_line(&told), self.code)
    }
}

/// A line that is no JSON-RPC message. It is counted, never answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON-RPC message")]
pub struct Noise;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// A member that is there, even if it is `null`.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads one line (without its newline).
///
/// # Errors
///
/// When it is not a JSON-RPC message, even after invalid UTF-8 and lone surrogates were mended.
pub fn parse(line: &[u8]) -> Result<Message, Noise> {
    if let Ok(envelope) = serde_json::from_slice::<Envelope<'_>>(line) {
        return classify(&envelope);
    }
    let text = String::from_utf8_lossy(line);
    let mended = repair_surrogates(&text);
    classify(&serde_json::from_str::<Envelope<'_>>(&mended).map_err(|_| Noise)?)
}

fn classify(envelope: &Envelope<'_>) -> Result<Message, Noise> {
    let id = envelope.id.map(id_of).transpose()?;
    let params = envelope.params.map(ToOwned::to_owned);
    match (&envelope.method, id) {
        (Some(method), Some(id)) => Ok(Message::Request { id, method: method.to_string(), params }),
        (Some(method), None) => Ok(Message::Notification { method: method.to_string(), params }),
        (None, None) => Err(Noise),
        (None, Some(id)) => match (envelope.result, envelope.error) {
            (_, Some(error)) => Ok(Message::Response { id, result: Err(error_of(error)) }),
            (Some(result), None) => Ok(Message::Response { id, result: Ok(result.to_owned()) }),
            (None, None) => Err(Noise),
        },
    }
}

fn id_of(raw: &RawValue) -> Result<Id, Noise> {
    match raw.get().as_bytes().first() {
        Some(b'"' | b'-' | b'0'..=b'9') => Ok(Id(raw.get().into())),
        _ => Err(Noise),
    }
}

/// The request that the parameters of `$/cancel_request` name.
#[must_use]
pub fn cancelled_request(params: &RawValue) -> Option<Id> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct View<'a> {
        #[serde(borrow)]
        request_id: &'a RawValue,
    }
    let view: View<'_> = serde_json::from_str(params.get()).ok()?;
    id_of(view.request_id).ok()
}

/// An error of the wrong shape is an error all the same.
fn error_of(raw: &RawValue) -> RpcError {
    read(raw).unwrap_or_else(|_| RpcError::new(INTERNAL_ERROR, clip(raw.get(), 500)))
}

/// The first `max` characters.
#[must_use]
pub fn clip(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Reads raw JSON as `T`, with lone surrogates mended where that is what stands in the way.
///
/// # Errors
///
/// When it is not a `T`.
pub fn read<T: DeserializeOwned>(raw: &RawValue) -> Result<T, serde_json::Error> {
    serde_json::from_str(raw.get()).or_else(|error| match repair_surrogates(raw.get()) {
        Cow::Borrowed(_) => Err(error),
        Cow::Owned(mended) => serde_json::from_str(&mended),
    })
}

/// A request as a line, newline included.
///
/// # Errors
///
/// When the parameters cannot be written as JSON.
pub fn request(id: u64, method: &str, params: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    #[derive(Serialize)]
    struct Out<'a, P> {
        jsonrpc: &'static str,
        id: u64,
        method: &'a str,
        params: &'a P,
    }
    line(&Out { jsonrpc: "2.0", id, method, params })
}

/// A notification as a line, newline included.
///
/// # Errors
///
/// When the parameters cannot be written as JSON.
pub fn notification(method: &str, params: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    #[derive(Serialize)]
    struct Out<'a, P> {
        jsonrpc: &'static str,
        method: &'a str,
        params: &'a P,
    }
    line(&Out { jsonrpc: "2.0", method, params })
}

/// An answer as a line, newline included.
///
/// # Errors
///
/// When the result cannot be written as JSON.
pub fn response(id: &Id, result: Result<&impl Serialize, &RpcError>) -> Result<Vec<u8>, serde_json::Error> {
    #[derive(Serialize)]
    struct Good<'a, R> {
        jsonrpc: &'static str,
        id: &'a Id,
        result: &'a R,
    }
    #[derive(Serialize)]
    struct Bad<'a> {
        jsonrpc: &'static str,
        id: &'a Id,
        error: &'a RpcError,
    }
    match result {
        Ok(result) => line(&Good { jsonrpc: "2.0", id, result }),
        Err(error) => line(&Bad { jsonrpc: "2.0", id, error }),
    }
}

fn line(message: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}
