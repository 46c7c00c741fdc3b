//! What an agent wants skep to do for it, as the session hears of it.

use serde_json::value::RawValue;
use skep_common::session::PermissionOption;
use skep_config::permissions::AskedPath;
use skep_config::{AgentPreset, Driver};

use crate::acp::message::Id;

/// What an agent is offered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Offers {
    /// `fs/read_text_file` and `fs/write_text_file`.
    pub(crate) files: bool,
    /// `terminal/*`.
    pub(crate) terminals: bool,
}

impl Offers {
    /// What the preset says.
    pub(crate) fn of(preset: &AgentPreset) -> Self {
        let speaks = preset.driver == Driver::Acp;
        Self { files: speaks && preset.client_fs, terminals: speaks && preset.client_terminal }
    }

    /// Whether there is anything.
    pub(crate) fn any(self) -> bool {
        self.files || self.terminals
    }

    /// Whether a method is offered.
    pub(crate) fn has(self, method: &str) -> bool {
        match method {
            "fs/read_text_file" | "fs/write_text_file" => self.files,
            "terminal/create"
            | "terminal/output"
            | "terminal/wait_for_exit"
            | "terminal/kill"
            | "terminal/release" => self.terminals,
            _ => false,
        }
    }
}

/// One thing that an agent wants; no number is given out twice in a session's driver.
pub(crate) type UseId = u64;

/// What kind of thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// A file is to be read.
    Read,
    /// A file is to be written.
    Write,
    /// A command is to be run.
    Run,
}

impl Deed {
    /// ACP's tool kind for it.
    pub(crate) fn tool_kind(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "edit",
            Self::Run => "execute",
        }
    }
}

/// What an agent wants, put to the session.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) number: UseId,
    /// The agent's id of its request.
    pub(crate) id: Id,
    pub(crate) deed: Deed,
    /// For a person.
    pub(crate) title: String,
    /// The command line, with the variables that are set for it.
    pub(crate) command: Option<String>,
    /// The same without them.
    pub(crate) bare: Option<String>,
    /// The file.
    pub(crate) paths: Vec<AskedPath>,
    /// The same as ACP's tool call, for the journal.
    pub(crate) tool_call: Box<RawValue>,
}

/// What became of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decided {
    /// It is to be done.
    Allowed,
    /// It is not.
    Denied,
    /// Nobody decides it any more.
    Cancelled,
}

const ALLOW: &str = "allow";

/// What a person can answer.
pub(crate) fn options() -> Vec<PermissionOption> {
    let option = |id: &str, name: &str, kind: &str| PermissionOption {
        id: id.to_owned(),
        name: name.to_owned(),
        kind: kind.to_owned(),
    };
    vec![option(ALLOW, "Allow", "allow_once"), option("reject", "Reject", "reject_once")]
}

impl Decided {
    /// What the choice of an option means; none was chosen when nobody could.
    pub(crate) fn by(option: Option<&str>) -> Self {
        match option {
            Some(ALLOW) => Self::Allowed,
            Some(_) => Self::Denied,
            None => Self::Cancelled,
        }
    }
}
