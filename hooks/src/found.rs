//! What of a session's journal is worth telling, and how it is told. Pure.

use jiff::Timestamp;
use serde_json::{Value, json};
use skep_common::api::HookEvent;
use skep_common::event::{Event, Record};
use skep_common::ids::{PermissionId, SessionId, WorkerId};
use skep_common::session::DecidedBy;

/// Characters of an agent's text that are told at most.
const TEXT: usize = 500;

/// Something to tell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    /// What it is.
    pub(crate) event: HookEvent,
    /// Its number in the journal; of what the journal does not have, the last number before it.
    pub(crate) seq: u64,
    /// When it happened.
    pub(crate) at: Timestamp,
    /// What is told of it, beside its session.
    pub(crate) data: Vec<(&'static str, Value)>,
}

/// A session, as it is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) id: SessionId,
    pub(crate) name: Option<String>,
    pub(crate) agent: String,
    pub(crate) cwd: String,
}

/// Reads the records of a journal in their order.
#[derive(Debug, Default)]
pub(crate) struct Finder {
    found: Vec<Found>,
    /// Questions that may yet turn out to be answered by skep itself, by their places in `found`.
    asked: Vec<(PermissionId, usize)>,
}

impl Finder {
    /// Whether a record of this kind is worth decoding.
    pub(crate) fn wants(kind: &str) -> bool {
        matches!(kind, "turn_ended" | "permission_requested" | "permission_resolved")
    }

    /// Takes the next record.
    pub(crate) fn take(&mut self, record: Record) {
        let (seq, at) = (record.seq, record.at);
        match record.event {
            Event::TurnEnded(turn) => {
                let mut data = vec![("prompt", json!(turn.prompt)), ("outcome", json!(turn.outcome))];
                data.extend((!turn.steered.is_empty()).then(|| ("steered", json!(turn.steered))));
                data.extend(turn.cause.map(|cause| ("cause", json!(cause))));
                data.extend(turn.stop_reason.map(|reason| ("stop_reason", json!(clip(&reason)))));
                data.extend(turn.detail.map(|detail| ("detail", json!(clip(&detail)))));
                data.extend(turn.exit_code.map(|code| ("exit_code", json!(code))));
                self.found.push(Found { event: HookEvent::TurnEnded, seq, at, data });
            }
            Event::PermissionRequested(asked) => {
                self.asked.push((asked.permission, self.found.len()));
                let data = vec![
                    ("permission", json!(asked.permission)),
                    ("prompt", json!(asked.prompt)),
                    ("tool_kind", json!(clip(&asked.tool_kind))),
                    ("title", json!(clip(&asked.title))),
                ];
                self.found.push(Found { event: HookEvent::NeedsYou, seq, at, data });
            }
            // Skep's own answer stands in one batch with the question: nobody was asked.
            Event::PermissionResolved(resolved) => {
                let place = self.asked.iter().position(|(asked, _)| *asked == resolved.permission);
                let own = matches!(
                    resolved.by,
                    DecidedBy::Mode { .. } | DecidedBy::Rule { .. } | DecidedBy::OwnCommand
                );
                if let Some(place) = place.map(|place| self.asked.swap_remove(place).1).filter(|_| own) {
                    self.found.remove(place);
                    self.asked.iter_mut().filter(|(_, at)| *at > place).for_each(|(_, at)| *at -= 1);
                }
            }
            _ => {}
        }
    }

    /// How many there are so far.
    pub(crate) fn len(&self) -> usize {
        self.found.len()
    }

    /// What is worth telling.
    pub(crate) fn finish(self) -> Vec<Found> {
        self.found
    }
}

/// What is sent: one JSON object, the same with every attempt, in the shape that the Standard Webhooks specification
/// recommends.
pub(crate) fn body(found: &Found, session: Option<&About>) -> String {
    let mut data = serde_json::Map::new();
    if let Some(about) = session {
        let mut session = json!({ "id": about.id, "agent": about.agent, "cwd": about.cwd });
        if let Some(name) = &about.name {
            session["name"] = json!(name);
        }
        data.insert(String::from("session"), session);
        data.insert(String::from("seq"), json!(found.seq));
    }
    data.extend(found.data.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    json!({ "type": found.event.word(), "timestamp": found.at, "data": data }).to_string()
}

/// A session that cannot go on.
pub(crate) fn session_failed(seq: u64, why: Option<&str>, at: Timestamp) -> Found {
    let data = why.map(|why| ("why", json!(clip(why)))).into_iter().collect();
    Found { event: HookEvent::SessionFailed, seq, at, data }
}

/// A session whose agent lacks keys.
pub(crate) fn keys_missing(seq: u64, keys: &[&str], at: Timestamp) -> Found {
    Found { event: HookEvent::NeedsYou, seq, at, data: vec![("keys", json!(keys))] }
}

/// A worker that is not restarted.
pub(crate) fn worker_parked(worker: &WorkerId, kind: &str, why: Option<&str>, at: Timestamp) -> Found {
    let mut told = json!({ "id": worker, "kind": kind });
    if let Some(why) = why {
        told["why"] = json!(clip(why));
    }
    Found { event: HookEvent::WorkerParked, seq: 0, at, data: vec![("worker", told)] }
}

/// Somebody tries a hook.
pub(crate) fn test(hook: &str, at: Timestamp) -> Found {
    Found { event: HookEvent::Test, seq: 0, at, data: vec![("hook", json!(hook))] }
}

/// At most [`TEXT`] characters of an agent's text, without control characters.
pub(crate) fn clip(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_common::event::{PermissionRequested, PermissionResolved, TurnEnded};
    use skep_common::ids::PromptId;
    use skep_common::session::{PermissionMode, Resolution, TurnOutcome};
    use skep_common::usage::Usage;

    fn requested(permission: PermissionId, title: &str) -> Event {
        Event::PermissionRequested(PermissionRequested {
            permission,
            prompt: PromptId::random(),
            tool_kind: String::from("execute"),
            title: title.to_owned(),
            options: Vec::new(),
            tool_call: serde_json::value::RawValue::from_string(String::from("{}")).unwrap(),
        })
    }

    fn resolved(permission: PermissionId, by: DecidedBy) -> Event {
        let resolution = Resolution::Allowed;
        Event::PermissionResolved(PermissionResolved { permission, resolution, option: None, by })
    }

    fn found(events: Vec<Event>) -> Vec<Found> {
        let mut finder = Finder::default();
        for (seq, event) in (1..).zip(events) {
            finder.take(Record { seq, at: Timestamp::UNIX_EPOCH, event });
        }
        finder.finish()
    }

    #[test]
    fn n7_a_question_is_told_unless_a_mode_or_a_rule_answered_it() {
        let by_mode = || DecidedBy::Mode { mode: PermissionMode::Bypass };
        let by_rule = || DecidedBy::Rule { rule: String::from("{}") };
        let by_client =
            || DecidedBy::Client { via: String::from("x"), answer: "0".repeat(32).parse().unwrap() };
        let ids: Vec<PermissionId> = (0..4).map(|_| PermissionId::random()).collect();
        let told = found(vec![
            requested(ids[0], "first"),
            requested(ids[1], "by mode"),
            requested(ids[2], "by a person\u{1b}"),
            resolved(ids[1], by_mode()),
            requested(ids[3], "by rule"),
            resolved(ids[2], by_client()),
            resolved(ids[3], by_rule()),
        ]);
        let titles: Vec<_> =
            told.iter().map(|found| (found.seq, found.data[3].1.as_str().unwrap())).collect();
        assert_eq!(titles, [(1, "first"), (3, "by a person ")]);
    }

    #[test]
    fn a_turns_end_is_told_with_its_outcome_and_without_the_sessions_contents() {
        let turn = TurnEnded {
            prompt: PromptId::random(),
            steered: Vec::new(),
            outcome: TurnOutcome::Failed,
            cause: None,
            stop_reason: None,
            detail: Some("x".repeat(10_000)),
            exit_code: Some(3),
            usage: Usage::default(),
        };
        let told = found(vec![Event::TurnEnded(turn)]);
        let about = About {
            id: SessionId::random(),
            name: Some(String::from("s")),
            agent: String::from("shell"),
            cwd: String::from("/w"),
        };
        let body = body(&told[0], Some(&about));
        let json: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&json["type"], &json["data"]["outcome"]), (&json!("turn_ended"), &json!("failed")));
        assert_eq!((&json["data"]["session"]["name"], &json["data"]["seq"]), (&json!("s"), &json!(1)));
        assert_eq!(json["timestamp"], "1970-01-01T00:00:00Z");
        assert!(body.len() < 1_500, "an agent's text is bounded: {}", body.len());
    }
}
