//! A file that a tool call names: as it is named, and where it really is.
//!
//! A name can say one thing and mean another: `..` behind a symbolic link, a link inside an allowed directory. So a rule
//! that allows must fit both. What is changed on the disk between the answer and the tool's work is the agent's doing,
//! and no rule sees that.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// How many missing parts a path may end with.
const MISSING: usize = 64;

/// A file that a tool call names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedPath {
    named: String,
    real: Option<String>,
}

impl AskedPath {
    /// Resolves `path` from `cwd`; none for what cannot be a path. Looks at the disk.
    #[must_use]
    pub fn resolve(cwd: &Path, path: &str) -> Option<Self> {
        let path = path.strip_prefix("file://").unwrap_or(path);
        if path.is_empty() || path.contains('\0') {
            return None;
        }
        let whole = cwd.join(path);
        let named = text(&without_dots(&whole))?;
        Some(Self { named, real: real(&whole).as_deref().and_then(text) })
    }

    /// As it is named: absolute, without `.` and `..`.
    #[must_use]
    pub fn named(&self) -> &str {
        &self.named
    }

    /// Where it is, symbolic links resolved; none where that cannot be told.
    #[must_use]
    pub fn real(&self) -> Option<&str> {
        self.real.as_deref()
    }
}

fn text(path: &Path) -> Option<String> {
    path.to_str().map(ToOwned::to_owned)
}

fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::Normal(part) => plain.push(part),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    plain
}

/// The deepest directory that is there, resolved, and what is to be made below it. A dangling link is not followed to
/// what it would make, so that is not known; nor is what lies behind a `..` of something missing.
fn real(path: &Path) -> Option<PathBuf> {
    let mut missing: Vec<OsString> = Vec::new();
    let mut rest = path;
    loop {
        if let Ok(found) = rest.canonicalize() {
            return Some(missing.into_iter().rev().fold(found, |path, part| path.join(part)));
        }
        if rest.is_symlink() || missing.len() >= MISSING {
            return None;
        }
        match rest.components().next_back()? {
            Component::Normal(part) => missing.push(part.to_owned()),
            _ => return None,
        }
        rest = rest.parent()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glob::Glob;
    use crate::permissions::{Request, Rule, RuleAction, ToolPattern};

    /// Whether a rule of this action with the pattern `src/**` fits an edit of the files.
    fn fits(action: RuleAction, cwd: &Path, files: &[&str]) -> bool {
        let rule = Rule {
            tool: ToolPattern::Kind(String::from("edit")),
            path: Some(Glob::parse("src/**").unwrap()),
            action,
            ..Rule::default()
        };
        let paths: Vec<AskedPath> = files.iter().filter_map(|file| AskedPath::resolve(cwd, file)).collect();
        let cwd = cwd.to_str().unwrap();
        let request =
            Request { agent: "a", tool: "edit", command: "Edit", cut: false, paths: Some(&paths), cwd };
        rule.fits(&request)
    }

    #[test]
    fn n7_an_allowed_directory_cannot_be_left() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let cwd = root.join("work *");
        std::fs::create_dir_all(cwd.join("src/deep")).unwrap();
        std::fs::create_dir_all(root.join("outside")).unwrap();
        std::fs::write(root.join("outside/secret"), "").unwrap();
        let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, cwd.join(name)).unwrap();
        link(&root.join("outside"), "src/away");
        link(&root.join("nowhere"), "src/dangling");
        link(&cwd.join("src/deep"), "src/near");
        let absolute = cwd.join("src/new.rs");
        for (files, allowed) in [
            (&["src/main.rs"][..], true),
            (&["src/deep/../x.rs", "./src//y"], true),
            (&["src/deep/not/there/yet.rs"], true),
            (&["src/near/x"], true),
            (&[absolute.to_str().unwrap()], true),
            (&[], false),
            (&["src"], false),
            (&["srcs/x"], false),
            (&["src/../secret"], false),
            (&["src/../../outside/secret"], false),
            (&["/etc/passwd"], false),
            (&["src/away/secret"], false),
            (&["src/away/new"], false),
            (&["src/dangling"], false),
            (&["src/dangling/x"], false),
            (&["src/missing/../../x"], false),
            (&["src/main.rs", "/etc/passwd"], false),
            (&["src/near/../../../outside/secret"], false),
        ] {
            assert_eq!(fits(RuleAction::Allow, &cwd, files), allowed, "{files:?}");
        }
        // A rule that denies looks at the name and at the place.
        for (files, denied) in [
            (&["src/away/secret"][..], true),
            (&["src/main.rs", "other"], true),
            (&["other"], false),
            (&[], false),
        ] {
            assert_eq!(fits(RuleAction::Deny, &cwd, files), denied, "{files:?}");
        }
        std::os::unix::fs::symlink(cwd.join("src"), root.join("alias")).unwrap();
        assert!(fits(RuleAction::Deny, &cwd, &[root.join("alias/x").to_str().unwrap()]));
        assert!(!fits(RuleAction::Allow, &cwd, &[root.join("alias/x").to_str().unwrap()]));
    }
}
