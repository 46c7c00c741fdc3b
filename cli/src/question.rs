//! A permission request's question at the terminal, and a person's answer as it is typed.

use skep_common::protocol::Decision;

use crate::render::screen::Screen;

/// What can be typed.
pub(crate) const CHOICES: &str = "[a]llow  [d]eny  [A]llow always  [D]eny always ?";

/// Whether the cursor stands behind a question. Whatever is written next begins a line of its own then.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    behind_question: bool,
}

impl Cursor {
    /// Asks.
    pub(crate) fn ask(&mut self, screen: Screen, question: &str) {
        self.end_line(screen);
        screen.ask(question);
        self.behind_question = true;
    }

    /// The person ended the line.
    pub(crate) const fn entered(&mut self) {
        self.behind_question = false;
    }

    /// Something else is about to be written.
    pub(crate) fn end_line(&mut self, screen: Screen) {
        if std::mem::take(&mut self.behind_question) {
            screen.err_bytes(b"\n");
        }
    }
}

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
