use jiff::Timestamp;
use skep_common::ids::PromptId;
use skep_common::session::Cause;

use super::*;

fn ask(tool_kind: &str, command: &str) -> Ask {
    Ask {
        tool_kind: tool_kind.to_owned(),
        title: String::from("a title"),
        command: Some(command.to_owned()),
        cut: false,
        paths: Some(Vec::new()),
    }
}

fn policy(mode: PermissionMode, rules: &PermissionSettings) -> Policy<'_> {
    Policy { mode, own_rules: &[], rules, cwd: "/work", agent: "shell", built_in_shell: true }
}

fn rules(text: &str) -> PermissionSettings {
    skep_config::parse(text, "test").unwrap().permissions
}

#[test]
fn g5_each_mode_allows_what_it_says_and_no_more() {
    use PermissionMode::{AcceptEdits, Ask as AskMode, Bypass, Deny, Plan};
    let none = PermissionSettings::default();
    for (mode, tool, expected) in [
        (AskMode, "read", "ask"),
        (AskMode, "edit", "ask"),
        (AcceptEdits, "edit", "allow"),
        (AcceptEdits, "delete", "ask"),
        (AcceptEdits, "execute", "ask"),
        (Plan, "read", "allow"),
        (Plan, "search", "allow"),
        (Plan, "think", "allow"),
        (Plan, "fetch", "deny"),
        (Plan, "edit", "deny"),
        (Plan, "telepathy", "deny"),
        (Deny, "read", "deny"),
        (Bypass, "execute", "allow"),
    ] {
        let verdict = match decide(policy(mode, &none), &ask(tool, "x"), ("other", Consent::None)) {
            Verdict::Ask => "ask",
            Verdict::Allow(DecidedBy::Mode { mode: by }) if by == mode => "allow",
            Verdict::Deny(DecidedBy::Mode { mode: by }) if by == mode => "deny",
            other => panic!("{other:?}"),
        };
        assert_eq!(verdict, expected, "{mode:?} {tool}");
    }
}

#[test]
fn g5_own_command_is_consent_to_this_very_command_in_the_shell_agent_only() {
    let none = PermissionSettings::default();
    let own = Verdict::Allow(DecidedBy::OwnCommand);
    let shell = policy(PermissionMode::Ask, &none);
    let typed = ("ls -l", Consent::OwnCommand);
    assert_eq!(decide(shell, &ask("execute", "ls -l"), typed), own);
    assert_eq!(decide(shell, &ask("execute", "ls -l; rm x"), typed), Verdict::Ask);
    assert_eq!(decide(shell, &ask("edit", "ls -l"), typed), Verdict::Ask);
    assert_eq!(decide(shell, &ask("execute", "ls -l"), ("ls -l", Consent::None)), Verdict::Ask);
    assert_eq!(decide(shell, &ask("execute", " "), (" ", Consent::OwnCommand)), Verdict::Ask);
    let model = Policy { built_in_shell: false, ..shell };
    assert_eq!(decide(model, &ask("execute", "ls -l"), typed), Verdict::Ask);
}

#[test]
fn n7_a_rule_comes_before_the_mode() {
    let rules = rules(
        "[[permissions.rules]]\ntool = \"execute\"\ncommand = \"cargo *\"\naction = \"allow\"\n\
         [[permissions.rules]]\ntool = \"edit\"\naction = \"ask\"",
    );
    let deny = policy(PermissionMode::Deny, &rules);
    let verdict = decide(deny, &ask("execute", "cargo test"), ("", Consent::None));
    assert!(matches!(verdict, Verdict::Allow(DecidedBy::Rule { .. })), "{verdict:?}");
    let bypass = policy(PermissionMode::Bypass, &rules);
    assert_eq!(decide(bypass, &ask("edit", "x"), ("", Consent::None)), Verdict::Ask);
}

fn option(id: &str, kind: &str) -> PermissionOption {
    PermissionOption { id: id.to_owned(), name: id.to_owned(), kind: kind.to_owned() }
}

#[test]
fn options_are_chosen_by_kind_and_once_never_becomes_always() {
    let all = [
        option("a", "reject_always"),
        option("b", "allow_always"),
        option("c", "reject_once"),
        option("d", "allow_once"),
    ];
    let id = |decision| choose(&all, &decision).map(|chosen| chosen.option.unwrap());
    assert_eq!(id(Decision::Allow { always: false }), Ok(String::from("d")));
    assert_eq!(id(Decision::Allow { always: true }), Ok(String::from("b")));
    assert_eq!(id(Decision::Deny { always: false }), Ok(String::from("c")));
    assert_eq!(id(Decision::Deny { always: true }), Ok(String::from("a")));
    assert_eq!(choose(&all, &Decision::Option { id: String::from("b") }).map(|c| c.allowed), Ok(true));
    let refused = choose(&all, &Decision::Option { id: String::from("z") });
    assert_eq!(refused, Err(AnswerRefusal::NoSuchOption));
    let refused = choose(&all[..2], &Decision::Allow { always: false });
    assert_eq!(refused, Err(AnswerRefusal::NoSuchOption));
    let denied = choose(&[], &Decision::Deny { always: false });
    assert_eq!(denied, Ok(Chosen { option: None, allowed: false }));
}

#[test]
fn n7_the_first_answer_wins_and_the_same_answer_gets_the_same_reply() {
    let mut requests = Requests::default();
    let (permission, first, second) = (PermissionId::random(), AnswerId::random(), AnswerId::random());
    let allow = Decision::Allow { always: false };
    assert_eq!(requests.answer(permission, first, &allow), Err(AnswerRefusal::NotFound));
    requests.ask(PendingPermission {
        id: permission,
        prompt: PromptId::random(),
        tool_kind: String::from("execute"),
        title: String::from("ls"),
        options: vec![option("y", "allow_once"), option("n", "reject_once")],
        requested_at: Timestamp::UNIX_EPOCH,
    });
    let Ok(Answered::First(chosen)) = requests.answer(permission, first, &allow) else { panic!() };
    let by = DecidedBy::Client { via: String::from("cli"), answer: first };
    requests.decided(permission, by.clone(), chosen.clone());
    assert!(requests.waiting().is_empty());
    assert_eq!(requests.answer(permission, first, &allow), Ok(Answered::Again(chosen)));
    let deny = Decision::Deny { always: false };
    assert_eq!(requests.answer(permission, second, &deny), Err(AnswerRefusal::AlreadyResolved(by)));
    let other = PermissionId::random();
    let gone = DecidedBy::System { cause: Cause::AgentCrashed };
    requests.decided(other, gone.clone(), Chosen { option: None, allowed: false });
    assert_eq!(requests.answer(other, first, &allow), Err(AnswerRefusal::AlreadyResolved(gone)));
}
