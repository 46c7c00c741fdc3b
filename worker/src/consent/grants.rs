//! What an agent was allowed to do in its turn and now wants skep to do for it: that is not asked a second time. Pure.
//!
//! An agent asks by `session/request_permission` before its tool writes a file, and then writes it through skep. A
//! permission covers exactly what it named: the files, or the command line; one use for each time that it was given, any
//! number if it was given for good.

use std::collections::HashMap;

use skep_common::ids::PermissionId;
use skep_common::session::PermissionOption;

use super::Chosen;

/// How many are remembered.
const REMEMBERED: usize = 256;

/// A permission that names more files says little about each of them.
const FILES: usize = 2;

/// What a permission is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// Writing this file, where it really is.
    Write(String),
    /// Running this command line.
    Run(String),
}

/// What was asked in a session, and what was allowed.
#[derive(Debug, Default)]
pub struct Grants {
    asked: HashMap<PermissionId, (Vec<Grant>, Vec<String>)>,
    given: Vec<(Grant, Lasts)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lasts {
    Once,
    ForGood,
}

impl Grants {
    /// A permission for these is asked for.
    pub fn asks(&mut self, permission: PermissionId, mut grants: Vec<Grant>, options: &[PermissionOption]) {
        grants.dedup();
        if !grants.is_empty() && grants.len() <= FILES {
            let always = options.iter().filter(|option| option.kind == "allow_always");
            self.asked.insert(permission, (grants, always.map(|option| option.id.clone()).collect()));
        }
    }

    /// It was decided.
    pub fn decided(&mut self, permission: PermissionId, chosen: &Chosen) {
        let Some((grants, always)) = self.asked.remove(&permission).filter(|_| chosen.allowed) else {
            return;
        };
        let lasts = match &chosen.option {
            Some(option) if always.contains(option) => Lasts::ForGood,
            _ => Lasts::Once,
        };
        self.given.extend(grants.into_iter().map(|grant| (grant, lasts)));
        let over = self.given.len().saturating_sub(REMEMBERED);
        self.given.drain(..over);
    }

    /// What was allowed once was allowed in its turn.
    pub fn turn_begins(&mut self) {
        self.asked.clear();
        self.given.retain(|(_, lasts)| *lasts == Lasts::ForGood);
    }

    /// Whether this is allowed already.
    #[must_use]
    pub fn covers(&self, what: &Grant) -> bool {
        self.given.iter().any(|(grant, _)| grant == what)
    }

    /// It is done.
    pub fn used(&mut self, what: &Grant) {
        if let Some(at) = self.given.iter().position(|given| given == &(what.clone(), Lasts::Once)) {
            self.given.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Vec<PermissionOption> {
        ["allow_once", "allow_always", "reject_once"]
            .map(|kind| PermissionOption { id: kind.to_owned(), name: String::new(), kind: kind.to_owned() })
            .to_vec()
    }

    fn write(path: &str) -> Grant {
        Grant::Write(path.to_owned())
    }

    fn given(grants: Vec<Grant>, option: &str) -> Grants {
        let mut all = Grants::default();
        let permission = PermissionId::random();
        all.asks(permission, grants, &options());
        let chosen = Chosen { option: Some(option.to_owned()), allowed: option.starts_with("allow") };
        all.decided(permission, &chosen);
        all
    }

    #[test]
    fn n7_a_permission_covers_what_it_named_once() {
        let mut grants = given(vec![write("/a")], "allow_once");
        assert!(grants.covers(&write("/a")) && !grants.covers(&write("/b")));
        assert!(!grants.covers(&Grant::Run(String::from("/a"))));
        grants.used(&write("/b"));
        grants.used(&write("/a"));
        assert!(!grants.covers(&write("/a")), "it was for once");
        let mut grants = given(vec![write("/a")], "allow_once");
        grants.turn_begins();
        assert!(!grants.covers(&write("/a")), "it was for its turn");
        assert!(!given(vec![write("/a")], "reject_once").covers(&write("/a")));
    }

    #[test]
    fn n7_a_permission_for_good_stays() {
        let mut grants = given(vec![write("/a"), write("/b")], "allow_always");
        grants.used(&write("/a"));
        grants.turn_begins();
        assert!(grants.covers(&write("/a")) && grants.covers(&write("/b")));
    }

    #[test]
    fn n7_a_permission_that_names_many_files_covers_none() {
        let many: Vec<Grant> = ["/a", "/b", "/c"].map(write).to_vec();
        assert!(!given(many, "allow_always").covers(&write("/a")));
    }
}
