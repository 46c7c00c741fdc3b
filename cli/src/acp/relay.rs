//! What an editor is told of a session's events. Pure.
//!
//! ```text
//!   history ──(head reached)──▶ live
//! ```
//!
//! History is the conversation: updates as they came and what persons said. Live are also requests for permission that
//! wait for a person, their withdrawal, and the ends of turns. What the editor itself prompts is not said back to it.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::value::RawValue;
use skep_common::event::{Event, PermissionRequested, PromptDropped, Record, TurnEnded};
use skep_common::ids::{PermissionId, PromptId};
use skep_common::session::{ContentBlock, SessionState};

/// What to tell the editor.
#[derive(Debug)]
pub(super) enum Effect {
    /// A session update, exactly as the agent sent it.
    Update(Box<RawValue>),
    /// What a person said.
    Said(Vec<ContentBlock>),
    /// Ask for permission.
    Ask(Box<PermissionRequested>),
    /// The request is answered or gone.
    Withdraw(PermissionId),
    /// A turn ended.
    Ended(Box<TurnEnded>),
    /// A prompt will not run.
    Dropped(PromptDropped),
}

/// How much of the history is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum History {
    /// All of it.
    Told,
    /// Nothing: the editor has it.
    Kept,
}

/// The view of one session.
#[derive(Debug)]
pub(super) struct Relay {
    history: History,
    /// The last event that is history.
    head: u64,
    own: HashSet<PromptId>,
    queued: HashMap<PromptId, Vec<ContentBlock>>,
    running: Option<PromptId>,
    needs_you: bool,
    /// Requests that nobody has answered yet, oldest first, and whether the editor was asked.
    waiting: Vec<(Box<PermissionRequested>, bool)>,
}

impl Relay {
    /// A view of a session whose events up to `head` are history.
    pub(super) fn new(history: History, head: u64) -> Self {
        Self {
            history,
            head,
            own: HashSet::new(),
            queued: HashMap::new(),
            running: None,
            needs_you: false,
            waiting: Vec::new(),
        }
    }

    /// The prompt is the editor's own.
    pub(super) fn own(&mut self, prompt: PromptId) {
        self.own.insert(prompt);
    }

    /// The prompt whose turn runs.
    pub(super) fn running(&self) -> Option<PromptId> {
        self.running
    }

    /// An event, in order.
    pub(super) fn event(&mut self, record: Record) -> Vec<Effect> {
        let is_history = record.seq <= self.head;
        let told = !is_history || self.history == History::Told;
        match record.event {
            Event::Update(update) if told && is_conversation(&update) => vec![Effect::Update(update)],
            Event::PromptQueued(queued) => {
                if !self.own.contains(&queued.prompt) {
                    self.queued.insert(queued.prompt, queued.content);
                }
                Vec::new()
            }
            Event::PromptDropped(dropped) => {
                self.queued.remove(&dropped.prompt);
                if is_history { Vec::new() } else { vec![Effect::Dropped(dropped)] }
            }
            Event::TurnStarted(started) => {
                self.running = Some(started.prompt);
                let queued = self.queued.remove(&started.prompt);
                let is_own = self.own.contains(&started.prompt);
                let content = queued.or(started.content).filter(|_| told && !is_own);
                content.map(Effect::Said).into_iter().collect()
            }
            Event::PromptSteered(steered) => {
                let is_own = self.own.remove(&steered.prompt);
                let content = Some(steered.content).filter(|_| told && !is_own);
                content.map(Effect::Said).into_iter().collect()
            }
            Event::TurnEnded(ended) => {
                self.running = None;
                self.own.remove(&ended.prompt);
                let gone: Vec<PermissionId> =
                    self.waiting.iter().map(|(request, _)| request.permission).collect();
                let mut effects: Vec<Effect> =
                    gone.into_iter().filter_map(|gone| self.resolved(gone)).collect();
                if !is_history {
                    effects.push(Effect::Ended(Box::new(ended)));
                }
                effects
            }
            Event::PermissionRequested(request) => {
                self.waiting.push((Box::new(request), false));
                Vec::new()
            }
            Event::PermissionResolved(resolved) => self.resolved(resolved.permission).into_iter().collect(),
            Event::State(changed) => {
                self.needs_you = changed.state == SessionState::NeedsYou;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// The requests that are to be put to the editor now that no further event is at hand. A request that a rule or a
    /// mode decides is decided with the very next event; what is left when the session says that it waits is a person's.
    pub(super) fn settle(&mut self) -> Vec<Effect> {
        if !self.needs_you {
            return Vec::new();
        }
        let new = self.waiting.iter_mut().filter(|(_, asked)| !asked);
        new.map(|(request, asked)| {
            *asked = true;
            Effect::Ask(request.clone())
        })
        .collect()
    }

    fn resolved(&mut self, permission: PermissionId) -> Option<Effect> {
        let at = self.waiting.iter().position(|(request, _)| request.permission == permission)?;
        let (_, asked) = self.waiting.remove(at);
        asked.then_some(Effect::Withdraw(permission))
    }
}

/// Whether an update belongs to the conversation. The agent's own modes and options are not: the editor was offered
/// skep's.
fn is_conversation(update: &RawValue) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct View<'a> {
        #[serde(borrow)]
        session_update: std::borrow::Cow<'a, str>,
    }
    let kind = serde_json::from_str::<View<'_>>(update.get()).map(|view| view.session_update);
    !matches!(kind.as_deref(), Ok("current_mode_update" | "config_option_update"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const P1: &str = "11111111-1111-4111-8111-111111111111";
    const P2: &str = "22222222-2222-4222-8222-222222222222";
    const Q: &str = "33333333-3333-4333-8333-333333333333";

    fn feed(relay: &mut Relay, seq: u64, kind: &str, data: &Value) -> String {
        let line = json!({"seq": seq, "at": "2026-11-20T12:00:00Z", "kind": kind, "data": data}).to_string();
        told(&relay.event(Record::from_json(line.as_bytes()).unwrap()))
    }

    fn told(effects: &[Effect]) -> String {
        let word = |effect: &Effect| match effect {
            Effect::Update(update) => update.get().to_owned(),
            Effect::Said(content) => format!("said {content:?}"),
            Effect::Ask(request) => format!("ask {}", request.title),
            Effect::Withdraw(_) => String::from("withdraw"),
            Effect::Ended(ended) => format!("ended {:?}", ended.outcome),
            Effect::Dropped(_) => String::from("dropped"),
        };
        effects.iter().map(word).collect::<Vec<_>>().join(", ")
    }

    fn queued(prompt: &str) -> Value {
        json!({"prompt": prompt, "content": [{"type": "text", "text": "hi"}], "via": "x"})
    }

    fn asks() -> Value {
        json!({"permission": Q, "prompt": P1, "tool_kind": "edit", "title": "it", "options": [], "tool_call": {}})
    }

    const SAID: &str = r#"said [Text { text: "hi" }]"#;

    #[test]
    fn c9_history_is_what_was_said_and_updates_as_they_came() {
        let mut relay = Relay::new(History::Told, 5);
        assert_eq!(feed(&mut relay, 1, "prompt_queued", &queued(P1)), "");
        assert_eq!(feed(&mut relay, 2, "turn_started", &json!({"prompt": P1})), SAID);
        let update =
            r#"{"seq":3,"at":"2026-11-20T12:00:00Z","kind":"update","data":{"n":1.00,"é":"\ud83d"}}"#;
        let effects = relay.event(Record::from_json(update.as_bytes()).unwrap());
        assert_eq!(told(&effects), r#"{"n":1.00,"é":"\ud83d"}"#);
        assert_eq!(feed(&mut relay, 4, "update", &json!({"sessionUpdate": "current_mode_update"})), "");
        assert_eq!(feed(&mut relay, 5, "turn_ended", &json!({"prompt": P1, "outcome": "completed"})), "");
        assert_eq!(relay.running(), None);
        assert_eq!(feed(&mut relay, 6, "prompt_queued", &queued(P2)), "");
        assert_eq!(feed(&mut relay, 7, "turn_started", &json!({"prompt": P2})), SAID);
        let ended = feed(&mut relay, 8, "turn_ended", &json!({"prompt": P2, "outcome": "completed"}));
        assert_eq!(ended, "ended Completed");
    }

    #[test]
    fn c9_what_the_editor_has_or_said_itself_is_not_said_again() {
        let mut relay = Relay::new(History::Kept, 2);
        assert_eq!(feed(&mut relay, 1, "turn_started", &json!({"prompt": P1, "content": []})), "");
        assert_eq!(feed(&mut relay, 2, "update", &json!({"a": 1})), "");
        assert_eq!(relay.running(), Some(P1.parse().unwrap()));
        assert_eq!(feed(&mut relay, 3, "update", &json!({"a": 2})), r#"{"a":2}"#);
        relay.own(P2.parse().unwrap());
        assert_eq!(feed(&mut relay, 4, "prompt_queued", &queued(P2)), "");
        assert_eq!(feed(&mut relay, 5, "turn_started", &json!({"prompt": P2, "content": []})), "");
        assert_eq!(
            feed(&mut relay, 6, "prompt_dropped", &json!({"prompt": P2, "cause": "person"})),
            "dropped"
        );
    }

    #[test]
    fn c9_what_somebody_else_says_in_a_turn_is_told_where_it_was_said() {
        let mut relay = Relay::new(History::Kept, 1);
        let steered = |prompt: &str| {
            let content = json!([{"type": "text", "text": "hi"}]);
            json!({"prompt": prompt, "turn": P1, "content": content, "via": "x"})
        };
        assert_eq!(feed(&mut relay, 1, "prompt_steered", &steered(Q)), "", "the editor has it");
        assert_eq!(feed(&mut relay, 2, "prompt_steered", &steered(P2)), SAID);
        relay.own(Q.parse().unwrap());
        assert_eq!(feed(&mut relay, 3, "prompt_steered", &steered(Q)), "");
    }

    #[test]
    fn c9_only_what_waits_for_a_person_is_asked_and_once() {
        let mut relay = Relay::new(History::Told, 1);
        let resolved = json!({"permission": Q, "resolution": "allowed", "by": {"type": "own_command"}});
        feed(&mut relay, 1, "permission_requested", &asks());
        assert_eq!(told(&relay.settle()), "", "a rule may decide it");
        assert_eq!(feed(&mut relay, 2, "permission_resolved", &resolved), "");
        feed(&mut relay, 3, "permission_requested", &asks());
        feed(&mut relay, 4, "state", &json!({"state": "needs_you"}));
        assert_eq!(told(&relay.settle()), "ask it");
        assert_eq!(told(&relay.settle()), "");
        assert_eq!(feed(&mut relay, 5, "permission_resolved", &resolved), "withdraw");
        feed(&mut relay, 6, "permission_requested", &asks());
        assert_eq!(told(&relay.settle()), "ask it");
        let ended = feed(&mut relay, 7, "turn_ended", &json!({"prompt": P1, "outcome": "interrupted"}));
        assert_eq!(ended, "withdraw, ended Interrupted");
    }
}
