use axum::body::Body;
use axum::http::Request;
use axum::response::IntoResponse as _;

use super::*;
use crate::access::{About as Scope, Identity};
use crate::error::Failure;
use crate::peer::UnixPeer;

fn parts(method: &str, path: &str) -> Parts {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("user-agent", "curl/8.5 (x)")
        .header("authorization", "Bearer secret")
        .header("cookie", "skep-1=secret");
    let (mut parts, _) = request.body(Body::empty()).unwrap().into_parts();
    parts.extensions.insert(Peer::Unix(UnixPeer { uid: 7, process: None }));
    parts
}

fn start(home: &tempfile::TempDir) -> (Audit, std::path::PathBuf) {
    let path = home.path().join("logs/audit.jsonl");
    (Audit::start(LogSpec { path: path.clone(), max_bytes: 1 << 20, files: 2 }).unwrap(), path)
}

async fn entries(audit: Audit, path: &std::path::Path) -> Vec<AuditEntry> {
    audit.shared.log.flushed().await;
    audit.end().await;
    let text = std::fs::read_to_string(path).unwrap_or_default();
    assert!(!text.contains("secret"), "{text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn refusal(code: Code) -> Response {
    Failure::new(code, "no").into_response()
}

#[tokio::test]
async fn r6_a_deed_is_written_with_who_and_what_and_its_result_and_a_read_is_not() {
    let home = tempfile::tempdir().unwrap();
    let (audit, path) = start(&home);
    let rule = Some(Rule { need: Need::Scope(skep_common::keys::Scope::Prompt), about: Scope::Session });
    assert!(Deed::begin(&audit, &parts("GET", "/api/v1/sessions"), rule).is_none());
    let mut parts = parts("POST", "/api/v1/sessions/fix/prompts?x=secret");
    let mut owner = Principal::all(Identity::Key(String::from("k1")));
    owner.label = Some(String::from("phone"));
    parts.extensions.insert(owner);
    let id = SessionId::random();
    let mut deed = Deed::begin(&audit, &parts, rule).unwrap();
    deed.about(Some(id));
    deed.done(&StatusCode::ACCEPTED.into_response());
    // The client went away before the answer.
    drop(Deed::begin(&audit, &parts, rule));
    let made = (axum::Extension(Told::made("k2")), StatusCode::CREATED).into_response();
    Deed::begin(&audit, &parts, None).unwrap().done(&made);
    let entries = entries(audit, &path).await;
    assert_eq!(entries.len(), 3);
    let first = &entries[0];
    assert_eq!((first.who.as_str(), first.name.as_deref()), ("k1", Some("phone")));
    assert_eq!((first.front.as_str(), first.from.as_str()), ("curl", "uid 7"));
    assert_eq!((first.method.as_str(), first.path.as_str()), ("POST", "/api/v1/sessions/fix/prompts"));
    assert_eq!((first.session, first.needs.as_deref()), (Some(id), Some("prompt")));
    assert_eq!((first.status, first.code.as_deref()), (Some(202), None));
    assert_eq!(entries[1].status, None);
    assert_eq!(entries[2].made.as_deref(), Some("k2"));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn r6_refusals_are_written_whatever_the_method_and_strangers_push_nothing_out() {
    let home = tempfile::tempdir().unwrap();
    let (audit, path) = start(&home);
    let read = parts("GET", "/api/v1/sessions");
    audit.refused(&read, None, None, &refusal(Code::RouteNotFound));
    audit.refused(&read, None, None, &refusal(Code::Forbidden));
    audit.refused(&parts("POST", "/x"), None, None, &refusal(Code::TooManyRequests));
    for _ in 0..10_000 {
        audit.refused(&read, None, None, &refusal(Code::Unauthorized));
    }
    let entries = entries(audit, &path).await;
    assert_eq!((entries[0].code.as_deref(), entries[0].who.as_str()), (Some("forbidden"), "nobody"));
    assert_eq!(entries[1].code.as_deref(), Some("too_many_requests"));
    assert!(entries.len() < 200, "{}", entries.len());
}

#[tokio::test]
async fn r6_a_log_that_cannot_be_written_stops_nothing_and_is_told() {
    let home = tempfile::tempdir().unwrap();
    let (audit, path) = start(&home);
    // A directory in its place: every write fails, for root too.
    std::fs::create_dir(&path).unwrap();
    assert_eq!(audit.problem(), None);
    Deed::begin(&audit, &parts("POST", "/x"), None).unwrap().done(&StatusCode::OK.into_response());
    audit.shared.log.flushed().await;
    assert!(audit.problem().unwrap().contains("cannot be written"));
    std::fs::remove_dir(&path).unwrap();
    Deed::begin(&audit, &parts("POST", "/y"), None).unwrap().done(&StatusCode::OK.into_response());
    let log = audit.shared.log.clone();
    let entries = entries(audit, &path).await;
    assert_eq!(entries.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>(), ["/x", "/y"]);
    assert!(!log.is_stalled());
}
