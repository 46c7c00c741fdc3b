//! All terminal output: what it says, how it looks, and where it goes.

pub(crate) mod narrate;
pub(crate) mod printer;
pub(crate) mod sanitise;
pub(crate) mod screen;
pub(crate) mod table;
pub(crate) mod time;
pub(crate) mod words;

/// What a tool of this ACP kind does, as a verb.
pub(crate) fn verb(tool_kind: &str) -> &str {
    match tool_kind {
        "execute" => "run",
        "edit" => "edit",
        "delete" => "delete",
        "move" => "move",
        "read" => "read",
        "search" => "search",
        "fetch" => "fetch",
        _ => "do",
    }
}

/// The beginning of an id that is enough for people.
pub(crate) fn short(id: impl std::fmt::Display) -> String {
    id.to_string().chars().take(8).collect()
}
