//! One value for each of skep's permission modes: the tables `mode`, `mode_args` and `mode_env` of an agent.

use skep_common::session::PermissionMode;

use crate::schema::{Schema, Setting, Visitor};

/// A value for each permission mode that has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PerMode<T> {
    /// For `ask`.
    pub ask: Option<T>,
    /// For `accept-edits`.
    pub accept_edits: Option<T>,
    /// For `plan`.
    pub plan: Option<T>,
    /// For `deny`.
    pub deny: Option<T>,
    /// For `bypass`.
    pub bypass: Option<T>,
}

impl<T> PerMode<T> {
    /// The mode's value.
    #[must_use]
    pub const fn of(&self, mode: PermissionMode) -> Option<&T> {
        match mode {
            PermissionMode::Ask => self.ask.as_ref(),
            PermissionMode::AcceptEdits => self.accept_edits.as_ref(),
            PermissionMode::Plan => self.plan.as_ref(),
            PermissionMode::Deny => self.deny.as_ref(),
            PermissionMode::Bypass => self.bypass.as_ref(),
        }
    }

    /// Whether no mode has a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values().next().is_none()
    }

    /// The values that are there.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        [&self.ask, &self.accept_edits, &self.plan, &self.deny, &self.bypass].into_iter().flatten()
    }
}

impl<T> Default for PerMode<T> {
    fn default() -> Self {
        Self { ask: None, accept_edits: None, plan: None, deny: None, bypass: None }
    }
}

impl<T: Setting + PartialEq> Schema for PerMode<T> {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.optional("ask", &mut self.ask);
        v.optional("accept-edits", &mut self.accept_edits);
        v.optional("plan", &mut self.plan);
        v.optional("deny", &mut self.deny);
        v.optional("bypass", &mut self.bypass);
    }
}
