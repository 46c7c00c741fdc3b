//! The OpenAPI document: made from the routes themselves, completed with what every operation has in common: its
//! errors, by status, each with the codes that it may carry.

use std::collections::BTreeMap;

use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};
use skep_common::api::LogType;
use skep_common::code::{Code, ErrorBody};
use utoipa::openapi::OpenApi;
use utoipa::{OpenApi as _, PartialSchema as _};

use crate::error::status;
use crate::router::routes;

/// What stands at the document's head.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "skep",
        description = "Keeps coding agents running in the background. Streams are server-sent events, or WebSockets \
            with the same cursors and payloads.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT")
    ),
    components(schemas(ErrorBody, LogType)),
    tags(
        (name = "sessions", description = "Conversations with agents"),
        (name = "runs", description = "A session and its prompt in one"),
        (name = "permissions", description = "Questions that wait for a person"),
        (name = "workers", description = "Processes that hold sessions"),
        (name = "logs", description = "What skep, its workers and its agents wrote"),
        (name = "daemon", description = "The daemon itself"),
        (name = "agents", description = "What can be talked to"),
        (name = "metrics", description = "Numbers"),
        (name = "hooks", description = "Who is told of what happens"),
        (name = "tokens", description = "Who may come in")
    )
)]
struct Head;

pub(crate) fn head() -> OpenApi {
    Head::openapi()
}

/// `GET /openapi.json`: this document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    tag = "daemon",
    responses((status = 200, description = "The document", body = Object)),
)]
pub(crate) async fn show() -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, json)], openapi_json()).into_response()
}

/// The document as JSON, always the same for the same code.
#[must_use]
pub fn openapi_json() -> String {
    let (_, document) = routes().split_for_parts();
    let mut document = serde_json::to_value(document).unwrap_or_default();
    document["components"]["securitySchemes"] = json!({ "token": { "type": "http", "scheme": "bearer" } });
    document["security"] = json!([{ "token": [] }]);
    complete(&mut document["components"]["schemas"]);
    widen(&mut document);
    let errors = errors();
    document["components"]["responses"] = Value::Object(responses(&errors));
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (path, item) in paths {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            operation
                .get_mut("parameters")
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
                .for_each(not_null);
            let Some(answers) = operation["responses"].as_object_mut() else { continue };
            for status in possible(method, path).filter(|status| errors.contains_key(status)) {
                let reference = json!({ "$ref": format!("#/components/responses/Error{status}") });
                answers.entry(status.to_string()).or_insert(reference);
            }
        }
    }
    let mut text = serde_json::to_string_pretty(&sorted(document)).unwrap_or_default();
    text.push('\n');
    text
}

/// The same value with the keys of every object in order, whichever order the JSON library was built to keep.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map.into_iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(entries.into_iter().map(|(key, value)| (key, sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// What the derived schemas cannot say of themselves.
fn complete(schemas: &mut Value) {
    // An update is any object, and so are the others: an event's data may match more than one.
    if let Some(data) = schemas["EventData"].as_object_mut()
        && let Some(kinds) = data.remove("oneOf")
    {
        data.insert(String::from("anyOf"), kinds);
    }
    // The derive passes over `deny_unknown_fields` of enums.
    for block in schemas["ContentBlock"]["oneOf"].as_array_mut().into_iter().flatten() {
        block["additionalProperties"] = json!(false);
    }
}

/// A parameter may be left out, but is never null.
fn not_null(parameter: &mut Value) {
    let Some(schema) = parameter.get_mut("schema") else { return };
    if let Some(types) = schema.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            schema["type"] = only.clone();
        }
    }
    if let Some(variants) = schema.get_mut("oneOf").and_then(Value::as_array_mut) {
        variants.retain(|variant| variant["type"] != "null");
        if let [only] = variants.as_slice() {
            *schema = only.clone();
        }
    }
}

/// Numbers without a sign are derived as if they had one.
fn widen(value: &mut Value) {
    let most = match value["format"].as_str() {
        Some("int32") => json!(u32::MAX),
        Some("int64") => json!(u64::MAX),
        _ => Value::Null,
    };
    if !most.is_null()
        && value["minimum"].is_number()
        && let Some(schema) = value.as_object_mut()
    {
        schema.remove("format");
        schema.entry("maximum").or_insert(most);
    }
    match value {
        Value::Object(map) => map.values_mut().for_each(widen),
        Value::Array(items) => items.iter_mut().for_each(widen),
        _ => {}
    }
}

/// The codes of each status, from the enum that answers are made of.
fn errors() -> BTreeMap<u16, Vec<String>> {
    let schema = serde_json::to_value(Code::schema()).unwrap_or_default();
    let codes = schema["enum"].as_array().into_iter().flatten();
    let mut errors: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for code in codes.filter_map(|code| serde_json::from_value::<Code>(code.clone()).ok()) {
        errors.entry(status(code).as_u16()).or_default().push(code.as_str());
    }
    errors
}

fn responses(errors: &BTreeMap<u16, Vec<String>>) -> Map<String, Value> {
    let response = |codes: &Vec<String>| {
        let words: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
        json!({
            "description": words.join(", "),
            "content": { "application/json": { "schema": { "$ref": "#/components/schemas/ErrorBody" } } },
        })
    };
    errors.iter().map(|(status, codes)| (format!("Error{status}"), response(codes))).collect()
}

/// The statuses of errors that an operation may answer with.
fn possible(method: &str, path: &str) -> impl Iterator<Item = u16> {
    let open = matches!(path, "/health" | "/ready" | "/api/v1/health");
    let anyone: &[u16] =
        if open { &[400, 403, 408, 429, 431, 500, 503] } else { &[400, 401, 403, 408, 429, 431, 500, 503] };
    let named: &[u16] = if path.contains('{') { &[404, 409, 422] } else { &[] };
    let asked: &[u16] = match (method, path) {
        ("get", path) if path.ends_with("/events") => &[410, 422, 426, 507],
        ("get", path)
            if ["/logs", "/sessions", "/deliveries", "/audit"].iter().any(|end| path.ends_with(end)) =>
        {
            &[422]
        }
        ("get", _) => &[],
        ("post", _) => &[404, 409, 410, 413, 422, 426, 502, 504, 507],
        _ => &[422, 502, 504, 507],
    };
    anyone.iter().chain(named).chain(asked).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Value {
        serde_json::from_str(&openapi_json()).unwrap()
    }

    #[test]
    fn n9_the_document_is_openapi_3_1_with_an_id_and_errors_for_every_operation() {
        let document = document();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
        let mut ids = std::collections::BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let id = operation["operationId"].as_str().unwrap();
                assert!(ids.insert(id.to_owned()), "{id} twice");
                let answers = operation["responses"].as_object().unwrap();
                assert!(answers.keys().any(|status| status.starts_with('2')), "{method} {path}");
                assert!(answers.contains_key("500"), "{method} {path}");
            }
        }
        assert!(ids.len() > 30, "{ids:?}");
    }

    #[test]
    fn n9_the_committed_document_is_that_of_the_code() {
        let committed = include_str!("../../docs/openapi.json");
        assert!(committed == openapi_json(), "docs/openapi.json is stale: run `cargo xtask gen`");
    }

    #[test]
    fn n9_every_reference_leads_somewhere() {
        let document = document();
        let text = document.to_string();
        for part in text.split(r##""$ref":"#"##).skip(1) {
            let pointer = part.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }

    #[test]
    fn g15_every_code_but_that_of_a_newer_skep_stands_in_the_document() {
        let all: Vec<String> = errors().into_values().flatten().collect();
        for code in ["invalid_request", "session_not_found", "cursor_expired", "timed_out", "internal"] {
            assert!(all.contains(&code.to_owned()), "{code}: {all:?}");
        }
    }
}
