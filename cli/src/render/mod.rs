//! All terminal output: what it says, how it looks, and where it goes.

pub(crate) mod hooks;
pub(crate) mod keys;
pub(crate) mod printer;
pub(crate) mod qr;
pub(crate) mod screen;
pub(crate) mod table;
pub(crate) mod time;

/// The beginning of an id that is enough for people.
pub(crate) fn short(id: impl std::fmt::Display) -> String {
    id.to_string().chars().take(8).collect()
}
