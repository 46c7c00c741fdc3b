//! Patterns of permission rules. Pure.
//!
//! `*` stands for any characters, `?` for one, `\` takes the next character as it is. A rule that *allows* must not
//! allow more than was meant: there, `*` and `?` do not stand for characters by which a shell runs a further command
//! or writes a file ([`SHELL_CONTROL`]), so that `cargo *` never covers `cargo fmt; curl … | sh`. `**` stands for
//! any characters everywhere.

/// What `*` and `?` do not stand for in a rule that allows.
pub const SHELL_CONTROL: [char; 12] = [';', '&', '|', '<', '>', '(', ')', '$', '`', '\n', '\r', '\0'];

/// The longest pattern, in bytes.
pub const MAX_PATTERN: usize = 1_000;

/// A parsed pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    text: String,
    tokens: Vec<Token>,
}

/// What a wildcard may stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Anything.
    Anything,
    /// Anything but [`SHELL_CONTROL`].
    OneCommand,
    /// Anything but `/`: a part of a path.
    OnePart,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Literal(char),
    One,
    Many,
    Everything,
}

impl Glob {
    /// Parses a pattern; refuses one that is empty, too long, or ends in `\`.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("the pattern is empty");
        }
        if text.len() > MAX_PATTERN {
            return Err("the pattern is longer than 1000 bytes");
        }
        let mut tokens = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '\\' => Token::Literal(chars.next().ok_or("the pattern ends in `\\`")?),
                '?' => Token::One,
                '*' if chars.next_if_eq(&'*').is_some() => Token::Everything,
                '*' => Token::Many,
                c => Token::Literal(c),
            });
        }
        Ok(Self { text: text.to_owned(), tokens })
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the whole of `text` fits. Time is proportional to pattern times text, whatever they are.
    #[must_use]
    pub fn matches(&self, text: &str, reach: Reach) -> bool {
        let allowed = |c: char| match reach {
            Reach::Anything => true,
            Reach::OneCommand => !SHELL_CONTROL.contains(&c),
            Reach::OnePart => c != '/',
        };
        // `at[i]`: the text so far fits the first i tokens.
        let mut at = vec![false; self.tokens.len() + 1];
        at[0] = true;
        self.skip_empty(&mut at);
        for c in text.chars() {
            let mut next = vec![false; at.len()];
            for (i, token) in self.tokens.iter().enumerate().filter(|(i, _)| at[*i]) {
                match token {
                    Token::Literal(literal) => next[i + 1] |= *literal == c,
                    Token::One => next[i + 1] |= allowed(c),
                    Token::Many => next[i] |= allowed(c),
                    Token::Everything => next[i] = true,
                }
            }
            self.skip_empty(&mut next);
            at = next;
        }
        at[self.tokens.len()]
    }

    /// The same pattern for absolute paths: one that does not begin with `/` is meant under `dir`.
    #[must_use]
    pub fn under(&self, dir: &str) -> Self {
        if self.text.starts_with('/') {
            return self.clone();
        }
        let dir = dir.trim_end_matches('/').chars().chain(['/']).map(Token::Literal);
        Self { text: self.text.clone(), tokens: dir.chain(self.tokens.iter().copied()).collect() }
    }

    fn skip_empty(&self, at: &mut [bool]) {
        for (i, token) in self.tokens.iter().enumerate() {
            if at[i] && matches!(token, Token::Many | Token::Everything) {
                at[i + 1] = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn n7_patterns_fit_what_they_should() {
        let cases = [
            ("cargo *", "cargo test -p x", true),
            ("cargo *", "cargo", false),
            ("cargo*", "cargo", true),
            ("ls", "ls -l", false),
            ("git ?tatus", "git status", true),
            (r"echo \*", "echo *", true),
            (r"echo \*", "echo x", false),
            ("*.rs", "src/ä.rs", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-d", false),
        ];
        for (pattern, text, fits) in cases {
            assert_eq!(
                Glob::parse(pattern).unwrap().matches(text, Reach::OneCommand),
                fits,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn n7_an_allowed_pattern_covers_one_command_only() {
        let cargo = Glob::parse("cargo *").unwrap();
        for text in [
            "cargo fmt; rm -rf /",
            "cargo fmt && x",
            "cargo fmt | sh",
            "cargo $(x)",
            "cargo `x`",
            "cargo fmt\nx",
            "cargo fmt > ~/.bashrc",
            "cargo fmt & x",
        ] {
            assert!(!cargo.matches(text, Reach::OneCommand), "{text}");
            assert!(cargo.matches(text, Reach::Anything), "{text}");
        }
        assert!(Glob::parse("cargo **").unwrap().matches("cargo a; b", Reach::OneCommand));
        assert!(Glob::parse("a; *").unwrap().matches("a; b", Reach::OneCommand));
    }

    #[test]
    fn bad_patterns_are_refused() {
        assert!(Glob::parse("").is_err());
        assert!(Glob::parse("a\\").is_err());
        assert!(Glob::parse(&"x".repeat(MAX_PATTERN + 1)).is_err());
    }

    proptest! {
        #[test]
        fn a_literal_pattern_fits_itself_and_stars_fit_insertions(text in "[a-z ]{1,20}", more in "[a-z ]{0,20}") {
            let glob = Glob::parse(&text).unwrap();
            prop_assert!(glob.matches(&text, Reach::OneCommand));
            prop_assert_eq!(glob.matches(&more, Reach::OneCommand), text == more);
            let (a, b) = text.split_at(text.len() / 2);
            let star = Glob::parse(&format!("{a}*{b}")).unwrap();
            let joined = format!("{a}{more}{b}");
            prop_assert!(star.matches(&joined, Reach::OneCommand));
        }
    }
}
