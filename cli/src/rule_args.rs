//! `--allow` and `--deny`, repeated and mixed: the session's own permission rules, in the order in which they were typed.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use skep_common::session::{MAX_RULES, RuleVerdict, SessionRule};
use skep_config::permissions::Rule;

/// Tools that work on files: their pattern is one of paths.
const FILE_TOOLS: [&str; 5] = ["edit", "read", "delete", "move", "search"];

/// The rules, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RuleArgs(pub(crate) Vec<SessionRule>);

/// What follows `--allow` or `--deny`, understood.
#[derive(Debug, Clone)]
struct Pattern {
    tool: String,
    command: Option<String>,
    path: Option<String>,
}

impl Pattern {
    fn rule(self, action: RuleVerdict) -> SessionRule {
        SessionRule { tool: self.tool, command: self.command, path: self.path, action }
    }
}

fn parse(text: &str) -> Result<Pattern, String> {
    let (tool, pattern) = match text.split_once(':') {
        Some((tool, pattern)) => (tool, Some(pattern.to_owned())),
        None => (text, None),
    };
    let is_path = FILE_TOOLS.contains(&tool);
    let (path, command) = if is_path { (pattern, None) } else { (None, pattern) };
    let pattern = Pattern { tool: tool.to_owned(), command, path };
    Rule::of_session(&pattern.clone().rule(RuleVerdict::Ask))?;
    Ok(pattern)
}

const KINDS: [(&str, RuleVerdict, &str); 2] = [
    ("allow", RuleVerdict::Allow, "Allow what fits without asking: `execute:cargo *`, `edit:src/**`, `read`"),
    ("deny", RuleVerdict::Deny, "Deny what fits without asking. Of both, the first that fits decides"),
];

impl Args for RuleArgs {
    fn augment_args(command: Command) -> Command {
        KINDS.iter().fold(command, |command, (name, _, help)| {
            let arg = Arg::new(*name).long(*name).value_name("TOOL[:PATTERN]").help(*help);
            command.arg(arg.action(ArgAction::Append).value_parser(parse))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for RuleArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut rules = Vec::new();
        for (name, action, _) in KINDS {
            let places = matches.indices_of(name).into_iter().flatten();
            let patterns = matches.get_many::<Pattern>(name).into_iter().flatten().cloned();
            rules.extend(places.zip(patterns.map(|pattern| pattern.rule(action))));
        }
        if rules.len() > MAX_RULES {
            let why = format!("a session takes at most {MAX_RULES} rules\n");
            return Err(clap::Error::raw(clap::error::ErrorKind::TooManyValues, why));
        }
        rules.sort_by_key(|(place, _)| *place);
        Ok(Self(rules.into_iter().map(|(_, rule)| rule).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(args: &[&str]) -> Result<Vec<String>, clap::Error> {
        let command = RuleArgs::augment_args(Command::new("x"));
        let matches = command.try_get_matches_from(std::iter::once(&"x").chain(args))?;
        let rules = RuleArgs::from_arg_matches(&matches)?.0;
        Ok(rules.iter().map(|rule| Rule::of_session(rule).unwrap().to_string()).collect())
    }

    #[test]
    fn n7_rules_stand_in_the_order_in_which_they_were_typed() {
        let args = [
            "--deny",
            "execute:cargo publish*",
            "--allow",
            "execute:cargo *",
            "--deny",
            "*",
            "--allow",
            "edit:src/**",
        ];
        assert_eq!(
            rules(&args).unwrap(),
            [
                r#"{ tool = "execute", command = "cargo publish*", action = "deny" }"#,
                r#"{ tool = "execute", command = "cargo *", action = "allow" }"#,
                r#"{ tool = "*", action = "deny" }"#,
                r#"{ tool = "edit", path = "src/**", action = "allow" }"#,
            ]
        );
    }

    #[test]
    fn n7_a_bad_rule_is_an_error_of_usage() {
        for (rule, said) in [
            ("excute:ls", "did you mean"),
            ("", "tool"),
            ("execute:", "the pattern is empty"),
            ("edit:a\\", "ends in"),
        ] {
            let error = rules(&["--allow", rule]).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("--allow"), "{rule}: {error}");
        }
    }
}
