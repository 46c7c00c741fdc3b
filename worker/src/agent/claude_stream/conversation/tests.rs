use super::*;
use proptest::prelude::*;
use serde_json::json;

fn told(outs: Option<Vec<Out>>) -> String {
    let one = |out: Out| match out {
        Out::Say(Said::Update(update)) => {
            let update: Value = serde_json::from_str(update.get()).unwrap();
            let text = update["content"]["text"].as_str();
            text.map_or_else(|| format!("({})", update["sessionUpdate"].as_str().unwrap()), str::to_owned)
        }
        Out::Say(Said::Answered(Ok(stop))) => format!("[{}]", stop.reason),
        Out::Say(Said::Answered(Err(why))) => format!("[! {why}]"),
        Out::Say(Said::Permission { request, .. }) => {
            let kinds: Vec<&str> = request.options.iter().map(|option| option.kind.as_str()).collect();
            format!("? {} {}", request.call.ask().title, kinds.join(","))
        }
        Out::Say(Said::Wants(_)) => unreachable!("it uses nothing of skep's"),
        Out::Say(Said::TakesBack(id)) => format!("never mind {}", id.number().unwrap()),
        Out::Say(Said::Set(answer)) => format!("set {}", answer.is_ok()),
        Out::Say(Said::Note(text)) => format!("note {text}"),
        Out::Say(Said::Steered) => unreachable!("the driver says that"),
        Out::Session(id) => format!("<{id}>"),
        Out::Write(line) => format!("write {}", String::from_utf8(line).unwrap()),
        Out::Ready(id) => format!("ready {id}"),
    };
    outs.map_or_else(|| String::from("nothing"), |outs| outs.into_iter().map(one).collect())
}

fn text() -> Vec<ContentBlock> {
    vec![ContentBlock::Text { text: String::from("hi") }]
}

fn prompted() -> Conversation {
    let mut conversation = Conversation::new(None);
    assert_eq!(conversation.obey(ToAgent::Prompt(text())).len(), 1);
    conversation
}

/// What is written: kinds of messages, and the ids of those that are withdrawn.
fn written(it: &mut Conversation, command: ToAgent) -> Vec<String> {
    let lines = it.obey(command).into_iter();
    let line = |line: Vec<u8>| {
        let line: Value = serde_json::from_slice(&line).unwrap();
        let word = |value: &Value| value.as_str().map(str::to_owned);
        let withdrawn = word(&line["request"]["message_uuid"]).map(|uuid| format!("withdraw {uuid}"));
        withdrawn.or_else(|| word(&line["request"]["subtype"])).or_else(|| word(&line["uuid"])).unwrap()
    };
    lines.map(line).collect()
}

fn reports(uuid: &str, state: &str) -> Value {
    json!({"type": "command_lifecycle", "command_uuid": uuid, "state": state})
}

fn asks(input: Value, suggestions: Value) -> Value {
    json!({"type": "control_request", "request_id": "r-1", "request": {"subtype": "can_use_tool",
        "tool_name": "Bash", "input": input, "permission_suggestions": suggestions, "tool_use_id": "t"}})
}

fn delta(text: &str) -> Value {
    json!({"type": "stream_event", "parent_tool_use_id": null, "event": {
        "type": "content_block_delta", "delta": {"type": "text_delta", "text": text}}})
}

#[test]
fn what_was_streamed_is_not_told_again() {
    let mut it = prompted();
    let begin = json!({"type": "stream_event", "parent_tool_use_id": null,
        "event": {"type": "message_start", "message": {"id": "m1"}}});
    let whole = |id: &str| {
        json!({"type": "assistant", "parent_tool_use_id": null, "message": {"id": id, "content": [
            {"type": "text", "text": "whole"}, {"type": "tool_use", "id": "t", "name": "Bash", "input": {}}]}})
    };
    assert_eq!(told(it.hear(&delta("lost"))), "", "nobody knows what it belongs to; it comes whole");
    assert_eq!(told(it.hear(&begin)), "");
    assert_eq!(told(it.hear(&delta("who"))) + &told(it.hear(&delta("le"))), "whole");
    assert_eq!(told(it.hear(&whole("m1"))), "(tool_call)");
    assert_eq!(told(it.hear(&whole("m2"))), "whole", "the tool is announced already");
    let inner = json!({"type": "stream_event", "parent_tool_use_id": "t", "event": begin["event"]});
    assert_eq!(told(it.hear(&inner)), "");
    assert_eq!(told(it.hear(&whole("m1"))), "");
}

#[test]
fn every_end_of_a_turn_has_its_stop_reason() {
    let end = |cancel: bool, extra: Value| {
        let mut it = prompted();
        if cancel {
            assert_eq!(written(&mut it, ToAgent::Cancel), ["interrupt"]);
        }
        let mut line = json!({"type": "result", "subtype": "success", "is_error": false, "stop_reason": "end_turn",
            "terminal_reason": "completed"});
        line.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let first = told(it.hear(&line));
        assert_eq!(told(it.hear(&line)), "", "a turn that nobody asked for ends nothing");
        first
    };
    let aborted = json!({"subtype": "error_during_execution", "is_error": true, "stop_reason": null,
        "terminal_reason": "aborted_streaming"});
    for (cancel, extra, expected) in [
        (false, json!({}), "[end_turn]"),
        (true, json!({}), "[end_turn]"),
        (true, aborted.clone(), "[cancelled]"),
        (false, aborted, "[! error_during_execution]"),
        (false, json!({"is_error": true, "result": "API Error: 400"}), "[! API Error: 400]"),
        (false, json!({"subtype": "error_max_turns"}), "[max_turn_requests]"),
        (false, json!({"stop_reason": "refusal"}), "[refusal]"),
        (false, json!({"stop_reason": "max_tokens"}), "[max_tokens]"),
    ] {
        assert_eq!(end(cancel, extra.clone()), expected, "{cancel} {extra}");
    }
}

#[test]
fn n7_permissions_are_asked_and_answered_once() {
    let rule =
        json!([{"type": "addRules", "rules": [], "behavior": "allow"}, {"type": "setMode", "mode": "x"}]);
    let answer = |option: Option<&str>| {
        let mut it = prompted();
        let asked = told(it.hear(&asks(json!({"command": "ls"}), rule.clone())));
        assert_eq!(asked, "? ls allow_once,allow_always,reject_once");
        let line = it.obey(ToAgent::Permission { id: Id::from(1), option: option.map(str::to_owned) });
        let again = it.obey(ToAgent::Permission { id: Id::from(1), option: Some(String::from(ALLOW)) });
        assert!(again.is_empty(), "answered before");
        let line: Value = serde_json::from_slice(&line[0]).unwrap();
        assert_eq!(line["response"]["request_id"], "r-1");
        line["response"]["response"].clone()
    };
    let once = answer(Some("allow"));
    assert_eq!(once, json!({"behavior": "allow", "updatedInput": {"command": "ls"}}));
    let always = answer(Some("always"));
    assert_eq!(
        always["updatedPermissions"].as_array().unwrap().len(),
        1,
        "its mode stays as skep set it: {always}"
    );
    for option in [Some("reject"), Some("nonsense"), None] {
        assert_eq!(answer(option)["behavior"], "deny", "{option:?}");
    }
    let mut it = prompted();
    let mode = json!([{"type": "setMode", "mode": "acceptEdits"}]);
    assert_eq!(told(it.hear(&asks(json!({"command": "ls"}), mode))), "? ls allow_once,reject_once");
}

#[test]
fn a_question_that_is_taken_back_or_unknown_waits_for_nobody() {
    let mut it = prompted();
    let back = json!({"type": "control_cancel_request", "request_id": "r-1"});
    assert_eq!(told(it.hear(&back)), "");
    let _asked = told(it.hear(&asks(json!({}), json!([]))));
    assert_eq!(told(it.hear(&back)), "never mind 1");
    assert!(it.obey(ToAgent::TakenBack(Id::from(1))).is_empty());
    assert_eq!(told(it.hear(&back)), "");
    let hook = json!({"type": "control_request", "request_id": "h", "request": {"subtype": "hook_callback"}});
    assert!(told(it.hear(&hook)).contains("skep does not offer `hook_callback`"));
    let answer = |response: Value| json!({"type": "control_response", "response": response});
    let error = answer(json!({"subtype": "error", "request_id": "i", "error": "no"}));
    assert_eq!(told(it.hear(&error)), "ready i");
    assert_eq!(told(it.hear(&answer(json!({"subtype": "success"})))), "");
}

#[test]
fn g13_a_flood_of_questions_is_denied() {
    let mut it = prompted();
    for n in 0..ASKS + 3 {
        let asked = told(it.hear(&asks(json!({"command": "ls"}), json!(null))));
        assert_eq!(asked.starts_with("? "), n < ASKS, "{asked}");
    }
}

proptest! {
    #[test]
    fn g13_no_line_of_a_known_kind_makes_it_panic(
        kind in prop::sample::select(vec!["control_request", "control_response", "control_cancel_request",
            "stream_event", "result", "assistant", "user", "system", "command_lifecycle", "hologram"]),
        key in prop::sample::select(vec!["request", "response", "request_id", "event", "message", "usage"]),
        inner in prop::sample::select(vec!["null", "[]", "7", "\"x\"", "{\"subtype\":\"can_use_tool\"}",
            "{\"subtype\":\"can_use_tool\",\"input\":[],\"permission_suggestions\":7}",
            "{\"type\":\"content_block_delta\",\"delta\":7}", "{\"type\":\"message_start\"}"]),
    ) {
        let line: Value = serde_json::from_str(&format!("{{\"type\":\"{kind}\",\"{key}\":{inner}}}")).unwrap();
        let mut it = prompted();
        let _outs = (it.hear(&line), it.hear(&line));
    }
}

#[test]
fn each_turn_costs_what_the_running_total_has_grown_by() {
    let mut it = prompted();
    let mut cost = |total: f64| {
        let line = json!({"type": "result", "subtype": "success", "is_error": false, "result": "said",
            "total_cost_usd": total, "usage": {"input_tokens": 5, "output_tokens": 3}});
        it.obey(ToAgent::Prompt(text()));
        let said = it.hear(&line).unwrap_or_default().into_iter().find_map(|out| match out {
            Out::Say(Said::Update(update)) => serde_json::from_str::<Value>(update.get()).ok(),
            _ => None,
        });
        said.unwrap()["cost"]["amount"].as_f64()
    };
    let costs = [0.055_008, 0.165_68, 0.277_36, 0.277_36].map(&mut cost);
    assert_eq!(costs, [Some(0.055_008), Some(0.110_672), Some(0.111_68), None]);
}

const STEERED: &str = "00000000-0000-4000-8000-000000000001";

fn result(tokens: u64, total: f64) -> Value {
    json!({"type": "result", "subtype": "success", "is_error": false, "stop_reason": "end_turn",
        "terminal_reason": "completed", "total_cost_usd": total, "usage": {"input_tokens": tokens, "output_tokens": 1}})
}

/// A turn whose agent reports what becomes of prompts, and into which another was steered.
fn steered() -> Conversation {
    let mut it = prompted();
    assert_eq!(told(it.hear(&reports("the turn's own", "started"))), "");
    let steer = ToAgent::Steer(STEERED.parse().unwrap(), text());
    assert_eq!(written(&mut it, steer), [STEERED], "by the prompt's own id");
    it
}

#[test]
fn a_turn_goes_on_with_what_was_steered_into_it_whenever_the_agent_takes_it_up() {
    let mut it = steered();
    assert_eq!(told(it.hear(&reports(STEERED, "queued"))), "");
    assert_eq!(told(it.hear(&reports(STEERED, "started"))), "", "in the turn that runs");
    assert_eq!(told(it.hear(&result(1, 0.5))), "(usage_update)[end_turn]");

    let mut it = steered();
    assert_eq!(told(it.hear(&result(1, 0.5))), "(usage_update)", "its own turn is still to come");
    assert_eq!(told(it.hear(&reports(STEERED, "started"))), "");
    let usage = it.hear(&result(2, 0.75)).unwrap().into_iter().find_map(|out| match out {
        Out::Say(Said::Update(update)) => serde_json::from_str::<Value>(update.get()).ok(),
        _ => None,
    });
    let usage = usage.unwrap();
    assert_eq!(
        (&usage["_meta"]["skep"]["input_tokens"], &usage["cost"]["amount"]),
        (&json!(3), &json!(0.75))
    );
    assert_eq!(told(it.hear(&result(2, 0.75))), "(usage_update)", "and the turn has ended");
}

#[test]
fn what_the_agent_does_not_take_up_ends_the_turn_with_a_remark() {
    let mut it = steered();
    assert_eq!(told(it.hear(&result(1, 0.5))), "(usage_update)");
    let refused = told(it.hear(&reports(STEERED, "refused")));
    assert_eq!(refused, "note the agent has not taken up a prompt that was steered: refused[end_turn]");
}

#[test]
fn a_cancel_withdraws_first_what_would_run_after_it() {
    let withdraw = format!("withdraw {STEERED}");
    let aborted = json!({"type": "result", "subtype": "error_during_execution", "is_error": true,
        "terminal_reason": "aborted_streaming"});
    let mut it = steered();
    assert_eq!(written(&mut it, ToAgent::Cancel), [withdraw.as_str(), "interrupt"]);
    assert_eq!(told(it.hear(&reports(STEERED, "cancelled"))), "");
    assert_eq!(told(it.hear(&aborted)), "[cancelled]");

    let mut it = steered();
    assert_eq!(written(&mut it, ToAgent::Cancel), [withdraw.as_str(), "interrupt"]);
    assert_eq!(told(it.hear(&aborted)), "", "its own turn may begin");
    assert!(told(it.hear(&reports(STEERED, "started"))).contains("interrupt"));
    assert_eq!(told(it.hear(&aborted)), "[cancelled]");
}

#[test]
fn a_prompt_that_comes_when_the_agent_has_just_ended_the_turn_is_answered_as_a_prompt() {
    let mut it = prompted();
    assert_eq!(told(it.hear(&result(1, 0.5))), "(usage_update)[end_turn]");
    assert_eq!(written(&mut it, ToAgent::Steer(STEERED.parse().unwrap(), text())), [STEERED]);
    assert_eq!(told(it.hear(&result(1, 0.75))), "(usage_update)[end_turn]");
}
