//! Text that somebody else wrote, made safe for a terminal. Pure.
//!
//! An agent's output may contain colours, and nothing else that a terminal obeys: no cursor movement, no title, no
//! clipboard, no answerback. Names and titles are shown on one line without any control character at all.

use std::borrow::Cow;

/// One line without control characters, direction overrides or escape sequences, for names, titles, paths, errors.
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut filter = Filter::new(Colours::Drop);
    filter.push(text, &mut clean);
    Cow::Owned(clean.replace(['\n', '\r', '\t'], " "))
}

/// JSON for a terminal: what a terminal would obey, which JSON itself lets stand, is written as an escape.
#[must_use]
pub fn json(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| c != '\n' && is_unsafe(c);
    if !text.chars().any(obeyed) {
        return Cow::Borrowed(text);
    }
    let escaped = |c: char| if obeyed(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    Cow::Owned(text.chars().map(escaped).collect())
}

/// Whether a terminal would obey the character, or show text in another order for it.
fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

/// Whether colour sequences pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// They do (SGR only).
    Keep,
    /// They do not.
    Drop,
}

/// Filters a stream of text; sequences split between two pushes are recognised.
#[derive(Debug)]
pub struct Filter {
    state: State,
    colours: Colours,
    coloured: bool,
}

#[derive(Debug)]
enum State {
    Ground,
    /// After ESC.
    Escape,
    /// After ESC and an intermediate byte: one final byte follows.
    Intermediate,
    /// Inside `ESC [`, with its parameters so far.
    Csi(String),
    /// Inside an operating-system command or another string; `true` after an ESC that may end it.
    Text(bool),
}

/// Parameters of a colour sequence are never longer.
const MAX_PARAMETERS: usize = 64;

impl Filter {
    /// A filter at the beginning of a text.
    #[must_use]
    pub const fn new(colours: Colours) -> Self {
        Self { state: State::Ground, colours, coloured: false }
    }

    /// Appends what is safe of `text` to `out`.
    pub fn push(&mut self, text: &str, out: &mut String) {
        if matches!(self.state, State::Ground) && !text.chars().any(is_unsafe) {
            out.push_str(text);
            return;
        }
        for c in text.chars() {
            self.state = self.step(c, out);
        }
    }

    /// Ends the text: what was left on is switched off.
    pub fn finish(&mut self, out: &mut String) {
        self.state = State::Ground;
        if std::mem::take(&mut self.coloured) {
            out.push_str("\u{1b}[0m");
        }
    }

    fn step(&mut self, c: char, out: &mut String) -> State {
        match std::mem::replace(&mut self.state, State::Ground) {
            State::Ground => Self::ground(c, out),
            State::Escape => Self::escape(c, out),
            State::Intermediate => State::Ground,
            State::Csi(parameters) => self.csi(parameters, c, out),
            State::Text(escaped) => match c {
                '\u{7}' | '\u{9c}' => State::Ground,
                '\\' if escaped => State::Ground,
                _ => State::Text(c == '\u{1b}'),
            },
        }
    }

    fn ground(c: char, out: &mut String) -> State {
        match c {
            '\u{1b}' => return State::Escape,
            '\u{9b}' => return State::Csi(String::new()),
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => return State::Text(false),
            '\n' | '\t' | '\r' => out.push(c),
            _ if is_unsafe(c) => {}
            _ => out.push(c),
        }
        State::Ground
    }

    fn escape(c: char, out: &mut String) -> State {
        match c {
            '[' => State::Csi(String::new()),
            ']' | 'P' | 'X' | '^' | '_' => State::Text(false),
            ' '..='/' => State::Intermediate,
            '\u{1b}' => State::Escape,
            '\n' => Self::ground(c, out),
            _ => State::Ground,
        }
    }

    fn csi(&mut self, mut parameters: String, c: char, out: &mut String) -> State {
        match c {
            '\u{1b}' => State::Escape,
            'm' => {
                let is_colour = parameters.bytes().all(|b| b.is_ascii_digit() || b == b';' || b == b':');
                if self.colours == Colours::Keep && is_colour {
                    out.push_str("\u{1b}[");
                    out.push_str(&parameters);
                    out.push('m');
                    self.coloured = !matches!(parameters.as_str(), "" | "0");
                }
                State::Ground
            }
            ' '..='?' if parameters.len() < MAX_PARAMETERS => {
                parameters.push(c);
                State::Csi(parameters)
            }
            ' '..='?' => State::Csi(parameters),
            '@'..='~' => State::Ground,
            _ => Self::ground(c, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filtered(colours: Colours, parts: &[&str]) -> String {
        let (mut filter, mut out) = (Filter::new(colours), String::new());
        for part in parts {
            filter.push(part, &mut out);
        }
        filter.finish(&mut out);
        out
    }

    #[test]
    fn g7_json_says_the_same_and_holds_nothing_that_a_terminal_obeys() {
        let value = serde_json::json!({"a\u{9b}": "\u{1b}]0;x\u{7}\u{7f}\u{85}\u{202e}\u{e4}", "b": [1]});
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let shown = json(&text);
            assert!(!shown.chars().any(|c| c != '\n' && is_unsafe(c)), "{shown:?}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        }
        assert!(matches!(json("{\"plain\":\n1}"), Cow::Borrowed(_)));
    }

    #[test]
    fn g7_only_colours_pass() {
        let table = [
            ("plain\ttext\n", "plain\ttext\n"),
            ("\u{1b}[31mred\u{1b}[0m", "\u{1b}[31mred\u{1b}[0m"),
            ("\u{1b}[31mred", "\u{1b}[31mred\u{1b}[0m"),
            ("\u{1b}[2J\u{1b}[Hgone", "gone"),
            ("\u{1b}]0;title\u{7}x", "x"),
            ("\u{1b}]52;c;ZXZpbA==\u{1b}\\x", "x"),
            ("\u{1b}P1$r\u{1b}\\x\u{9b}5mz", "x\u{1b}[5mz\u{1b}[0m"),
            ("a\u{8}b\u{7f}c\u{0}d", "abcd"),
            ("\u{1b}[?1049hx", "x"),
            ("\u{1b}[>4;1mx", "x"),
            ("\u{1b}(0x", "x"),
            ("\u{202e}evil", "evil"),
        ];
        for (input, wanted) in table {
            assert_eq!(filtered(Colours::Keep, &[input]), wanted, "{input:?}");
        }
        assert_eq!(filtered(Colours::Drop, &["\u{1b}[31mred\u{1b}[0m"]), "red");
    }

    #[test]
    fn g7_a_title_is_one_line_without_controls() {
        assert_eq!(one_line("rm -rf /\n\u{1b}[1Aecho \u{202e}hi"), "rm -rf / echo hi");
        assert!(matches!(one_line("harmless"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn g9_a_split_anywhere_changes_nothing(
            text in "([a-z]|\u{1b}|\\[|\\]|[0-9;?]|m|H|\n|\u{7}|\u{9b}|ä|\\\\){0,40}",
            cut in 0usize..40,
        ) {
            let cut = (0..=text.len()).filter(|at| text.is_char_boundary(*at)).nth(cut).unwrap_or(text.len());
            let (head, tail) = text.split_at(cut);
            prop_assert_eq!(filtered(Colours::Keep, &[head, tail]), filtered(Colours::Keep, &[&text]));
        }

        #[test]
        fn g7_no_control_character_survives_without_colours(text in "\\PC*|[\u{0}-\u{9f}]{0,60}") {
            let out = filtered(Colours::Drop, &[&text]);
            prop_assert!(out.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\t' | '\r')));
        }
    }
}
