use agent_client_protocol_schema::v1;

use super::*;

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

#[test]
fn what_we_say_is_what_the_schema_says() {
    let request: v1::InitializeRequest = serde_json::from_value(initialize(Offers::default())).unwrap();
    assert!(!request.client_capabilities.terminal && !request.client_capabilities.fs.read_text_file);
    let all = Offers { files: true, terminals: true };
    let request: v1::InitializeRequest = serde_json::from_value(initialize(all)).unwrap();
    let offered = request.client_capabilities;
    assert!(offered.terminal && offered.fs.read_text_file && offered.fs.write_text_file);
    let content: Vec<ContentBlock> = serde_json::from_str(
        r#"[{"type":"text","text":"hi"},{"type":"image","mimeType":"image/png","data":"aGk=","uri":"file:///a"},
            {"type":"audio","mimeType":"audio/wav","data":"aGk="},
            {"type":"resource_link","uri":"file:///a","name":"a","size":3},
            {"type":"resource","resource":{"uri":"x:y","mimeType":"text/plain","text":"t"}},
            {"type":"resource","resource":{"uri":"x:y","blob":"aGk="}}]"#,
    )
    .unwrap();
    let params = PromptParams { session_id: "s", prompt: &content };
    let value = serde_json::to_value(&params).unwrap();
    serde_json::from_value::<v1::PromptRequest>(value).unwrap();
    for option in [Some("o"), None] {
        serde_json::from_value::<v1::RequestPermissionResponse>(permission_answer(option)).unwrap();
    }
}

#[test]
fn abilities_are_read_and_nonsense_is_none() {
    let result = raw(
        r#"{"protocolVersion":1,"agentCapabilities":{"loadSession":true,"sessionCapabilities":{"resume":{},"close":null}},
        "agentInfo":{"name":"x","version":"2"}}"#,
    );
    let abilities = Abilities::of(&result);
    assert_eq!(abilities.title.as_deref(), Some("x 2"));
    assert_eq!(
        (abilities.protocol, abilities.load, abilities.resume, abilities.close),
        (1, true, true, false)
    );
    for nonsense in ["null", "[]", r#"{"protocolVersion":"1","agentCapabilities":7}"#] {
        assert_eq!(Abilities::of(&raw(nonsense)), Abilities::default(), "{nonsense}");
    }
}

#[test]
fn g9_an_update_of_another_session_is_not_ours() {
    let params = raw(r#"{"sessionId":"a","update":{"sessionUpdate":"novelty","n":1.00}}"#);
    assert_eq!(update(&params, "a").unwrap().get(), r#"{"sessionUpdate":"novelty","n":1.00}"#);
    assert!(update(&params, "b").is_none());
    assert!(update(&raw("[]"), "a").is_none());
}

#[test]
fn text_and_tools_are_work_and_the_rest_is_not() {
    for (text, work) in [
        (r#"{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"hi"}}"#, true),
        (r#"{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":" \n"}}"#, false),
        (r#"{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"\ud800"}}"#, true),
        (r#"{"sessionUpdate":"agent_message_chunk","content":{"type":"image"}}"#, true),
        (r#"{"sessionUpdate":"agent_thought_chunk","content":{"type":"text","text":"hm"}}"#, false),
        (r#"{"sessionUpdate":"tool_call","toolCallId":"1"}"#, true),
        (r#"{"sessionUpdate":"plan"}"#, false),
        ("{}", false),
    ] {
        assert_eq!(is_work(&raw(text)), work, "{text}");
    }
}

#[test]
fn a_prompts_answer_is_read_with_our_hint() {
    let answer = stop(&raw(r#"{"stopReason":"end_turn","_meta":{"skep":{"exit_code":3,"signal":null}}}"#));
    assert_eq!(answer, Stop { reason: String::from("end_turn"), exit_code: Some(3), ..Stop::default() });
    assert_eq!(stop(&raw("null")).reason, "");
    assert!(
        stop(&raw(r#"{"stopReason":"end_turn","_meta":{"codex":{"threadStatus":"systemError"}}}"#)).broken
    );
}

#[test]
fn g13_a_permission_request_is_read_whatever_its_shape() {
    let params = raw(
        r#"{"sessionId":"s","toolCall":{"toolCallId":"1","kind":"execute","title":"ls","rawInput":{"command":["ls","a b"]},
        "locations":[{"path":"/x"}]},"options":[{"optionId":"1","name":"Yes","kind":"allow_once"},{"name":"no id"},5]}"#,
    );
    let request = permission(&params, "s").unwrap();
    assert_eq!(request.call.ask().command.as_deref(), Some("ls 'a b'"));
    assert_eq!(request.options.len(), 1);
    assert!(permission(&params, "t").is_none());
    let bare = permission(&raw(r#"{"sessionId":"s","toolCall":{}}"#), "s").unwrap();
    let ask = bare.call.ask();
    assert_eq!((ask.tool_kind.as_str(), ask.title.as_str()), ("other", "use a tool"));
    let cut = permission(&raw(r#"{"sessionId":"s","toolCall":{"title":"\ud800"}}"#), "s").unwrap();
    assert_eq!((cut.call.ask().title.as_str(), cut.tool_call.get()), ("\u{fffd}", r#"{"title":"\ufffd"}"#));
}
