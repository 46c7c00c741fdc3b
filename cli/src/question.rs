//! A person's answer to a permission request, as it is typed. Pure.

use skep_common::protocol::Decision;

/// What can be typed.
pub(crate) const CHOICES: &str = "[a]llow  [d]eny  [A]llow always  [D]eny always ?";

/// The decision that a line means, if it means one.
pub(crate) fn decision(line: &str) -> Option<Decision> {
    match line.trim() {
        "a" | "y" | "allow" | "yes" => Some(Decision::Allow { always: false }),
        "d" | "n" | "deny" | "no" => Some(Decision::Deny { always: false }),
        "A" | "always" | "allow always" => Some(Decision::Allow { always: true }),
        "D" | "never" | "deny always" => Some(Decision::Deny { always: true }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g5_nothing_is_allowed_by_accident() {
        for line in ["", " ", "ok", "sure", "1", "allowed", "yy", "\u{4}"] {
            assert_eq!(decision(line), None, "{line:?}");
        }
        assert_eq!(decision(" a \n"), Some(Decision::Allow { always: false }));
        assert_eq!(decision("D"), Some(Decision::Deny { always: true }));
    }
}
