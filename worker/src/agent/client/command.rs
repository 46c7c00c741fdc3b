//! A command that an agent wants to have run: what it is for people and rules, and what is executed. Pure.
//!
//! Agents give a program and its arguments, or a whole shell command in the program's place. The latter is run by
//! `/bin/sh -c`, as clients do. Both are shown as one line that a shell would read in the same way.

use std::ffi::OsString;

use super::output::KEEP_MAX;
use super::refusal::{invalid, refused};
use super::request::{Create, absolute};
use crate::acp::message::RpcError;

/// How long the line may be, in bytes.
const LINE_MAX: usize = 64 * 1024;

/// How many variables may be set.
const VARIABLES_MAX: usize = 256;

/// What a command of one word may consist of beside letters and digits, to be run without a shell.
const PLAIN: &str = "_-./+@%,:";

/// A command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// The whole, as a shell would read it.
    pub(super) line: String,
    /// The same without the variables.
    pub(super) bare: String,
    /// Program and arguments.
    pub(super) argv: Vec<OsString>,
    /// The variables that are set for it.
    pub(super) env: Vec<(OsString, OsString)>,
    /// Where, absolute; none is the session's directory.
    pub(super) cwd: Option<String>,
    /// How much of its output is kept, in bytes.
    pub(super) keep: usize,
}

impl Command {
    /// Checks what an agent wants.
    pub(super) fn new(create: Create) -> Result<Self, RpcError> {
        let args = create.args.unwrap_or_default();
        let variables = create.env.unwrap_or_default();
        if create.command.trim().is_empty() {
            return Err(invalid("the command is empty"));
        }
        if variables.len() > VARIABLES_MAX {
            return Err(refused("too_large", format!("more than {VARIABLES_MAX} variables")));
        }
        let bare = if args.is_empty() {
            create.command.clone()
        } else {
            shell_words::join(std::iter::once(&create.command).chain(&args))
        };
        let mut line = String::new();
        let mut env = Vec::with_capacity(variables.len());
        for variable in variables {
            name(&variable.name)?;
            let value = shell_words::quote(&variable.value);
            line.extend([variable.name.as_str(), "=", &*value, " "]);
            env.push((OsString::from(variable.name), OsString::from(variable.value)));
        }
        line += &bare;
        if line.contains('\0') {
            return Err(invalid("a NUL cannot be part of a command"));
        }
        if line.len() > LINE_MAX {
            return Err(refused("too_large", format!("the command is over the limit of {LINE_MAX} bytes")));
        }
        let argv = match args.is_empty() {
            true if is_plain(&create.command) => vec![create.command],
            true => vec![String::from("/bin/sh"), String::from("-c"), create.command],
            false => std::iter::once(create.command).chain(args).collect(),
        };
        Ok(Self {
            line,
            bare,
            argv: argv.into_iter().map(OsString::from).collect(),
            env,
            cwd: create.cwd.map(absolute).transpose()?,
            keep: create
                .output_byte_limit
                .map_or(KEEP_MAX, |keep| usize::try_from(keep).unwrap_or(KEEP_MAX).min(KEEP_MAX)),
        })
    }
}

/// A variable's name, which is none of skep's.
fn name(name: &str) -> Result<(), RpcError> {
    let valid = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !valid {
        return Err(invalid("a variable's name is letters, digits and `_`"));
    }
    if name.starts_with("SKEP_") {
        return Err(refused("reserved", "variables named `SKEP_…` are skep's own"));
    }
    Ok(())
}

fn is_plain(command: &str) -> bool {
    command.chars().all(|c| c.is_ascii_alphanumeric() || PLAIN.contains(c))
}

#[cfg(test)]
mod tests;
