//! Consent to what skep does for an agent as its client. Pure.
//!
//! Reading below the session's directory is free, unless a rule says otherwise: the agent could as well read by itself.
//! Writing and running commands go by rules, mode and persons, as what the agent does by its own tools.

use skep_common::session::Consent;

use super::{Ask, Policy, Verdict, by_rules, decide};

/// What an agent wants skep to do.
#[derive(Debug, Clone, Copy)]
pub struct Use<'a> {
    /// As its own tool would ask for it.
    pub ask: &'a Ask,
    /// The command line without the variables that are set for it.
    pub bare: Option<&'a str>,
    /// It may be done unasked where nothing speaks against it: a file is read, or a permission covers it.
    pub free: bool,
}

/// What is decided without a person: none that nothing had to be decided.
#[must_use]
pub fn decide_use(policy: Policy<'_>, wanted: Use<'_>) -> Option<Verdict> {
    let ruled = by_rules(policy, wanted.ask);
    let bare = wanted.bare.map(|bare| Ask { command: Some(bare.to_owned()), ..wanted.ask.clone() });
    // What is set in a command's environment must not hide it from a rule that denies.
    let barely = bare.and_then(|bare| by_rules(policy, &bare));
    match (ruled, barely) {
        (Some(deny @ Verdict::Deny(_)), _) | (_, Some(deny @ Verdict::Deny(_))) => Some(deny),
        (Some(Verdict::Ask), _) if wanted.ask.tool_kind == "read" => Some(Verdict::Ask),
        _ if wanted.free => None,
        (Some(ruled), _) => Some(ruled),
        (None, Some(Verdict::Ask)) => Some(Verdict::Ask),
        (None, _) => Some(decide(policy, wanted.ask, ("", Consent::None))),
    }
}

#[cfg(test)]
mod tests {
    use skep_common::session::{DecidedBy, PermissionMode};
    use skep_config::permissions::{AskedPath, PermissionSettings};

    use super::*;

    const RULES: &str = r#"
        [[permissions.rules]]
        tool = "read"
        path = "private/**"
        action = "deny"
        [[permissions.rules]]
        tool = "read"
        path = "asked/**"
        action = "ask"
        [[permissions.rules]]
        tool = "execute"
        command = "rm *"
        action = "deny"
        [[permissions.rules]]
        tool = "execute"
        command = "make *"
        action = "allow"
        [[permissions.rules]]
        tool = "edit"
        path = "src/**"
        action = "allow"
        "#;

    fn verdict(mode: PermissionMode, tool: &str, what: &str, free: bool) -> &'static str {
        let cwd = tempfile::tempdir().unwrap();
        let cwd = cwd.path().canonicalize().unwrap();
        let rules: PermissionSettings = skep_config::parse(RULES, "test").unwrap().permissions;
        let (line, bare, paths) = match tool {
            "execute" => {
                let bare = what.split_once('=').map_or(what, |(_, rest)| rest.split_once(' ').unwrap().1);
                (Some(what.to_owned()), Some(bare), Vec::new())
            }
            _ => (None, None, vec![AskedPath::resolve(&cwd, what).unwrap()]),
        };
        let ask = Ask {
            tool_kind: tool.to_owned(),
            title: what.to_owned(),
            command: line,
            cut: false,
            paths: Some(paths),
        };
        let cwd = cwd.to_str().unwrap();
        let policy = Policy { mode, own_rules: &[], rules: &rules, cwd, agent: "a", built_in_shell: false };
        match decide_use(policy, Use { ask: &ask, bare, free }) {
            None => "free",
            Some(Verdict::Ask) => "ask",
            Some(Verdict::Allow(DecidedBy::Rule { .. })) => "allowed by a rule",
            Some(Verdict::Deny(DecidedBy::Rule { .. })) => "denied by a rule",
            Some(Verdict::Allow(_)) => "allowed",
            Some(Verdict::Deny(_)) => "denied",
        }
    }

    #[test]
    fn n7_reading_is_free_and_writing_and_running_go_by_rules_modes_and_persons() {
        use PermissionMode::{AcceptEdits, Ask, Bypass, Deny, Plan};
        for (mode, tool, what, free, expected) in [
            (Ask, "read", "src/a", true, "free"),
            (Plan, "read", "src/a", true, "free"),
            (Deny, "read", "src/a", true, "free"),
            (Ask, "read", "private/key", true, "denied by a rule"),
            (Bypass, "read", "private/key", true, "denied by a rule"),
            (Ask, "read", "asked/x", true, "ask"),
            (Ask, "edit", "a", false, "ask"),
            (Ask, "edit", "a", true, "free"),
            (Ask, "edit", "src/a", false, "allowed by a rule"),
            (AcceptEdits, "edit", "a", false, "allowed"),
            (AcceptEdits, "execute", "ls", false, "ask"),
            (Plan, "edit", "a", false, "denied"),
            (Plan, "execute", "ls", false, "denied"),
            (Deny, "edit", "a", false, "denied"),
            (Deny, "execute", "ls", false, "denied"),
            (Bypass, "execute", "ls", false, "allowed"),
            (Bypass, "execute", "rm x", false, "denied by a rule"),
            (Ask, "execute", "rm x", true, "denied by a rule"),
            (Bypass, "execute", "A=b rm x", false, "denied by a rule"),
            (Ask, "execute", "make all", false, "allowed by a rule"),
            (Ask, "execute", "CC=evil make all", false, "ask"),
        ] {
            assert_eq!(verdict(mode, tool, what, free), expected, "{mode:?} {tool} {what} {free}");
        }
    }
}
