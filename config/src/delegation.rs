//! `[delegation]`: what sessions may open from inside: how deep, how many, and where.

use std::path::PathBuf;

use skep_common::session::MAX_DEPTH;

use crate::schema::{Schema, Visitor};

/// The limits of sessions that were opened from inside another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegationSettings {
    /// How deep they may be nested; 0: no session opens another. Default 2.
    pub max_depth: u32,
    /// Open sessions that one session has opened, at most. Default 16.
    pub max_children: u32,
    /// Open sessions below one that nobody inside a session has opened, at most, however deep. Default 32.
    pub max_tree: u32,
    /// Directories below which `skep mcp` may open sessions beside the opener's own directory.
    pub roots: Vec<PathBuf>,
}

impl Default for DelegationSettings {
    fn default() -> Self {
        Self { max_depth: 2, max_children: 16, max_tree: 32, roots: Vec::new() }
    }
}

impl Schema for DelegationSettings {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        let deepest = u32::try_from(MAX_DEPTH).unwrap_or(u32::MAX);
        v.ranged("max_depth", &mut self.max_depth, 0..=deepest);
        v.ranged("max_children", &mut self.max_children, 1..=10_000);
        v.ranged("max_tree", &mut self.max_tree, 1..=10_000);
        v.value("roots", &mut self.roots);
    }
}

#[cfg(test)]
mod tests {
    use crate::parse;

    #[test]
    fn g13_limits_out_of_range_are_refused_with_their_place() {
        let settings = parse("delegation.max_depth = 0\ndelegation.max_children = 3\n", "t").unwrap();
        assert_eq!((settings.delegation.max_depth, settings.delegation.max_children), (0, 3));
        for (text, said) in [
            ("delegation.max_depth = 9", "`delegation.max_depth`"),
            ("delegation.max_tree = 0", "`delegation.max_tree`"),
            ("delegation.max_childs = 1", "did you mean `max_children`?"),
        ] {
            let error = parse(text, "t").unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
