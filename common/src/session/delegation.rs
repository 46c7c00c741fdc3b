//! What a session that was opened from inside another may be given: never more than its opener has. Pure.

use super::{Limits, PermissionMode, RuleVerdict, SessionOptions};

/// How deep sessions may ever be nested, whatever is configured.
pub const MAX_DEPTH: usize = 8;

impl PermissionMode {
    /// Whether a session of this mode may open one of mode `child`: whatever the child does without being asked, this
    /// one may do as well, and whatever a person can allow the child, a person can allow this one.
    ///
    /// `plan` and `ask` do not cover each other: the one reads unasked, the other can be allowed to write.
    #[must_use]
    pub const fn covers(self, child: Self) -> bool {
        matches!(
            (self, child),
            (Self::Bypass, _)
                | (_, Self::Deny)
                | (Self::AcceptEdits, Self::AcceptEdits | Self::Ask)
                | (Self::Ask, Self::Ask)
                | (Self::Plan, Self::Plan)
        )
    }

    /// The mode of a session that is opened from inside one of this mode and names none, where `default` is configured.
    #[must_use]
    pub const fn of_child(self, default: Self) -> Self {
        if self.covers(default) { default } else { self }
    }
}

impl Limits {
    /// These limits, none of them above `outer`.
    #[must_use]
    pub fn within(self, outer: Self) -> Self {
        Self {
            max_turns: least(self.max_turns, outer.max_turns),
            max_tokens: least(self.max_tokens, outer.max_tokens),
            max_cost: least(self.max_cost, outer.max_cost),
        }
    }
}

impl SessionOptions {
    /// These options for a session that is opened from inside one with the options `outer`: what `outer` denies or asks
    /// a person about comes before its own rules, and its limits are no wider.
    #[must_use]
    pub fn within(mut self, outer: &Self) -> Self {
        self.limits = self.limits.within(outer.limits);
        let strict = outer.rules.iter().flatten().filter(|rule| rule.action != RuleVerdict::Allow).cloned();
        let rules: Vec<_> = strict.chain(self.rules.take().unwrap_or_default()).collect();
        self.rules = Some(rules).filter(|rules| !rules.is_empty());
        self
    }
}

fn least<T: PartialOrd>(own: Option<T>, outer: Option<T>) -> Option<T> {
    match (own, outer) {
        (Some(own), Some(outer)) => Some(if outer < own { outer } else { own }),
        (own, outer) => own.or(outer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [PermissionMode; 5] = [
        PermissionMode::Deny,
        PermissionMode::Plan,
        PermissionMode::Ask,
        PermissionMode::AcceptEdits,
        PermissionMode::Bypass,
    ];

    #[test]
    fn n9_a_child_is_never_allowed_what_its_parent_is_not() {
        // What each mode allows unasked, and what a person can be asked for: reading, editing, anything else.
        let unasked = |mode| match mode {
            PermissionMode::Deny | PermissionMode::Ask => [false, false, false],
            PermissionMode::Plan => [true, false, false],
            PermissionMode::AcceptEdits => [false, true, false],
            PermissionMode::Bypass => [true, true, true],
        };
        let possible = |mode| match mode {
            PermissionMode::Ask | PermissionMode::AcceptEdits => [true, true, true],
            mode => unasked(mode),
        };
        for parent in ALL {
            for child in ALL {
                let no_more = |of: &dyn Fn(PermissionMode) -> [bool; 3]| {
                    of(child).iter().zip(of(parent)).all(|(child, parent)| !child || parent)
                };
                assert_eq!(
                    parent.covers(child),
                    no_more(&unasked) && no_more(&possible),
                    "{parent:?} {child:?}"
                );
                assert!(parent.covers(parent.of_child(child)), "{parent:?} {child:?}");
            }
            assert!(parent.covers(parent) && parent.covers(PermissionMode::Deny));
        }
        assert_eq!(PermissionMode::Bypass.of_child(PermissionMode::Ask), PermissionMode::Ask);
    }

    #[test]
    fn n9_a_child_inherits_denials_and_limits_and_never_permissions() {
        let options = |json| serde_json::from_str::<SessionOptions>(json).unwrap();
        let outer = options(
            r#"{"limits":{"max_turns":5,"max_cost":"2.50"},"rules":[
                {"tool":"execute","command":"cargo *","action":"allow"},
                {"tool":"execute","command":"rm *","action":"deny"}]}"#,
        );
        let child =
            options(r#"{"limits":{"max_turns":9,"max_tokens":7},"rules":[{"tool":"read","action":"ask"}]}"#);
        let expected = options(
            r#"{"limits":{"max_turns":5,"max_tokens":7,"max_cost":"2.50"},"rules":[
                {"tool":"execute","command":"rm *","action":"deny"},{"tool":"read","action":"ask"}]}"#,
        );
        assert_eq!(child.within(&outer), expected);
        assert_eq!(SessionOptions::default().within(&SessionOptions::default()), SessionOptions::default());
    }
}
