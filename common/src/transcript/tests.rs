use proptest::prelude::*;
use serde_json::json;
use serde_json::value::RawValue;

use super::*;
use crate::event::Event;

const PROMPT: &str = "00000000-0000-4000-8000-000000000001";
const SECOND: &str = "00000000-0000-4000-8000-000000000002";

fn record(kind: &str, data: &serde_json::Value) -> Record {
    let data = RawValue::from_string(data.to_string()).unwrap();
    Record { seq: 1, at: jiff::Timestamp::UNIX_EPOCH, event: Event::decode(kind, &data).unwrap() }
}

fn told(events: &[(&str, serde_json::Value)]) -> Vec<Piece> {
    let mut narrator = Narrator::default();
    events.iter().flat_map(|(kind, data)| narrator.describe(&record(kind, data))).collect()
}

fn text(events: &[(&str, serde_json::Value)]) -> String {
    let mut transcript = Transcript::default();
    let mut out = String::new();
    for (kind, data) in events {
        transcript.push(&record(kind, data), &mut out);
    }
    out
}

fn queued(prompt: &str, text: &str) -> (&'static str, serde_json::Value) {
    let content = json!([{"type": "text", "text": text}]);
    ("prompt_queued", json!({"prompt": prompt, "content": content, "via": "cli"}))
}

fn started(prompt: &str) -> (&'static str, serde_json::Value) {
    ("turn_started", json!({"prompt": prompt}))
}

fn ended(prompt: &str) -> (&'static str, serde_json::Value) {
    ("turn_ended", json!({"prompt": prompt, "outcome": "completed"}))
}

fn says(text: &str) -> (&'static str, serde_json::Value) {
    chunk("agent_message_chunk", text)
}

fn chunk(kind: &str, text: &str) -> (&'static str, serde_json::Value) {
    ("update", json!({"sessionUpdate": kind, "content": {"type": "text", "text": text}}))
}

fn prints(text: &str, meta: &serde_json::Value) -> (&'static str, serde_json::Value) {
    let content = json!([{"type": "content", "content": {"type": "text", "text": text}}]);
    let update =
        json!({"sessionUpdate": "tool_call_update", "toolCallId": "1", "content": content, "_meta": meta});
    ("update", update)
}

#[test]
fn c5_a_conversation_reads_as_one() {
    let events = [
        queued(PROMPT, "ls\nnow"),
        started(PROMPT),
        chunk("agent_thought_chunk", "hm,\nI"),
        chunk("agent_thought_chunk", " see"),
        says("I look"),
        ("update", json!({"sessionUpdate": "tool_call", "toolCallId": "1", "title": "ls"})),
        prints("a\n", &json!({})),
        prints("a\nb\n", &json!({})),
        prints("", &json!({"terminal_output": {"data": "c"}})),
        ("turn_ended", json!({"prompt": PROMPT, "outcome": "failed", "detail": "exit status 3"})),
    ];
    let wanted = "> ls\n> now\n~ hm,\n~ I see\nI look\n• ls\na\nb\nc\n✗ failed: exit status 3\n";
    assert_eq!(text(&events), wanted);
}

#[test]
fn c5_a_steered_prompt_stands_where_the_agent_got_it() {
    let steered = json!({"prompt": SECOND, "turn": PROMPT, "content": [{"type": "text", "text": "no, two"}], "via": "x"});
    let events = [
        queued(PROMPT, "one"),
        started(PROMPT),
        says("ok"),
        ("prompt_steered", steered),
        says("two"),
        ended(PROMPT),
    ];
    assert_eq!(text(&events), "> one\nok\n> no, two\ntwo\n✓ completed\n");
}

#[test]
fn q6_a_queued_prompt_stands_where_its_turn_begins() {
    let events = [
        queued(PROMPT, "one"),
        started(PROMPT),
        says("1\n"),
        queued(SECOND, "two\nlines"),
        says("still 1\n"),
        ended(PROMPT),
        started(SECOND),
        says("2\n"),
        ended(SECOND),
        queued(PROMPT, "three"),
    ];
    let wanted = "> one\n1\n· queued: two …\nstill 1\n✓ completed\n> two\n> lines\n2\n✓ completed\n> three\n";
    assert_eq!(text(&events), wanted);
}

#[test]
fn c2_who_reads_from_a_turns_start_on_is_told_its_prompt() {
    let content = json!([{"type": "text", "text": "two"}]);
    let events = [("turn_started", json!({"prompt": SECOND, "content": content})), says("2\n")];
    assert_eq!(text(&events), "> two\n2\n");
}

#[test]
fn q6_a_prompt_that_was_held_stands_where_it_starts_at_last() {
    let events = [
        queued(PROMPT, "one"),
        ("queue_held", json!({"cause": "worker_crashed", "prompts": 1})),
        queued(SECOND, "two"),
        started(PROMPT),
    ];
    let prompts: Vec<Piece> =
        told(&events).into_iter().filter(|piece| piece.look() == Some(Look::Prompt)).collect();
    assert_eq!(prompts, [Piece::Prompt("one".into()), Piece::Prompt("one".into())]);
}

#[test]
fn the_shell_agents_only_call_is_the_prompt_which_was_told() {
    let call = |title: &str| {
        (
            "update",
            json!({"sessionUpdate": "tool_call", "toolCallId": "1", "title": title, "kind": "execute"}),
        )
    };
    let events =
        [queued(PROMPT, "make"), started(PROMPT), queued(SECOND, "test"), call("make"), call("test")];
    let tools: Vec<Piece> =
        told(&events).into_iter().filter(|piece| matches!(piece, Piece::Tool(_))).collect();
    assert_eq!(tools, [Piece::Tool("test".into())]);
}

#[test]
fn c5_output_is_told_once_however_it_is_sent() {
    let piece = |how: &str, text: &str| prints(text, &json!({"skep": {"output": how}}));
    let pieces = [piece("piece", "y\n"), piece("piece", "y\n"), piece("whole", "y\ny\n")];
    assert_eq!(text(&pieces), "y\ny\n");
    let wholes = ["one\n", "one\ntwo\n", "one\ntwo\n", "other\n"].map(|text| prints(text, &json!({})));
    assert_eq!(text(&wholes), "one\ntwo\nother\n");
}

#[test]
fn g7_nothing_that_a_terminal_obeys_comes_through() {
    assert_eq!(text(&[says("\u{1b}[31mred\u{1b}]0;t\u{7}\u{202e}\n")]), "red\n");
    let note = ("note", json!({"level": "warn", "text": "a\nb\u{1b}[1A"}));
    assert_eq!(text(&[says("half"), note]), "half\n! a b\n");
}

#[test]
fn a_line_that_ends_with_colours_is_ended() {
    /// Colours pass.
    struct Coloured(crate::sanitise::Filter);
    impl Ink for Coloured {
        fn stream(&mut self, text: &str, out: &mut String) {
            self.0.push(text, out);
        }
        fn end_stream(&mut self, out: &mut String) {
            self.0.finish(out);
        }
        fn line(&mut self, _: Look, text: &str, out: &mut String) {
            out.push_str(text);
        }
    }
    let mut ink = Coloured(crate::sanitise::Filter::new(crate::sanitise::Colours::Keep));
    for (stream, wanted) in [
        ("a\n\u{1b}[0m", "a\n\u{1b}[0m• b\n"),
        ("am\u{1b}[0m", "am\u{1b}[0m\n• b\n"),
        ("\u{1b}[1m", "\u{1b}[1m\u{1b}[0m• b\n"),
    ] {
        let (mut layout, mut out) = (Layout::default(), String::new());
        layout.push(&Piece::Text(stream.into()), &mut ink, &mut out);
        layout.push(&Piece::Tool("b".into()), &mut ink, &mut out);
        assert_eq!(out, wanted);
    }
}

#[test]
fn what_is_not_known_is_not_told_and_breaks_nothing() {
    let events = [
        ("telepathy", json!({})),
        ("update", json!({"sessionUpdate": "novelty"})),
        ("update", json!({"sessionUpdate": "agent_message_chunk", "content": 7})),
    ];
    assert_eq!(told(&events), []);
    assert_eq!(text(&[("update", json!(7))]), "! an update of the agent cannot be shown\n");
}

#[test]
fn a_request_is_told_when_it_waits_for_a_person_or_with_its_answer() {
    let request = json!({"permission": PROMPT, "prompt": PROMPT, "tool_kind": "execute", "title": "make",
        "options": [], "tool_call": {}});
    let tell = |by: serde_json::Value, waits: bool| {
        let mut events = vec![("permission_requested", request.clone())];
        events.extend(waits.then(|| ("state", json!({"state": "needs_you"}))));
        events
            .push(("permission_resolved", json!({"permission": PROMPT, "resolution": "allowed", "by": by})));
        text(&events)
    };
    assert_eq!(tell(json!({"type": "own_command"}), false), "");
    assert_eq!(
        tell(json!({"type": "mode", "mode": "bypass"}), false),
        "· wants to run: make: allowed (by mode bypass)\n"
    );
    let client = json!({"type": "client", "via": "cli", "answer": PROMPT});
    assert_eq!(tell(client, true), "! wants to run: make\n· allowed (by cli)\n");
}

#[test]
fn an_end_names_its_cause() {
    let end = json!({"prompt": PROMPT, "outcome": "interrupted", "cause": "worker_crashed"});
    let told = text(&[("turn_ended", end)]);
    assert!(told.starts_with("✗ interrupted: the worker crashed\n"), "{told}");
    assert!(told.contains("--retry-interrupted"), "how to go on: {told}");
}

proptest! {
    #[test]
    fn g9_where_a_stream_is_cut_changes_nothing(text_of in "[a-z\n]{0,40}", cut in 0usize..40) {
        let (head, tail) = text_of.split_at(cut.min(text_of.len()));
        for kind in ["agent_message_chunk", "agent_thought_chunk"] {
            let cut = [chunk(kind, head), chunk(kind, tail), ended(PROMPT)];
            prop_assert_eq!(text(&cut), text(&[chunk(kind, &text_of), ended(PROMPT)]));
        }
    }
}
