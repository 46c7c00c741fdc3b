//! `[pool.KIND]`: the worker processes, by kind.

use std::path::PathBuf;

use skep_common::session::PermissionMode;

use crate::schema::{Schema, Visitor};
use crate::value::choice;

/// Whether an ended worker is started again (promise 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RestartPolicy {
    /// Whatever its exit was; an exit that nobody asked for counts as a failure.
    Always,
    /// Unless it ended with status 0.
    OnFailure,
    /// Never.
    Never,
}

choice!(RestartPolicy { "always" => Always, "on-failure" => OnFailure, "never" => Never });

/// The pool of workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSettings {
    /// New sessions that may wait for a place on a worker, over all kinds. Default 64.
    pub max_waiting: u32,
    /// Long-running workers for everything that is not `skep bg`.
    pub remote_control: KindSettings,
    /// Workers for `skep bg`.
    pub background: KindSettings,
}

/// One kind of worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindSettings {
    /// Workers that always run. Default 1 for `remote-control` (S11), 0 for `background`.
    pub count: u32,
    /// Workers at most; more than `count` are started when sessions need them. Default 16.
    pub max_workers: u32,
    /// Sessions per worker (S3). Default 4.
    pub capacity: u32,
    /// Whether an ended worker is started again. Default `always` for `remote-control`, `on-failure` for `background`.
    pub restart: RestartPolicy,
    /// The workers' directory; none means `daemon.dir`.
    pub dir: Option<PathBuf>,
    /// The permission mode of their sessions; none means `session.permission_mode`.
    pub permission_mode: Option<PermissionMode>,
}

impl PoolSettings {
    /// The name of the default kind.
    pub const REMOTE_CONTROL: &str = "remote-control";
    /// The name of the kind for `skep bg`.
    pub const BACKGROUND: &str = "background";

    /// A kind by name.
    #[must_use]
    pub fn kind(&self, name: &str) -> Option<&KindSettings> {
        self.kinds().into_iter().find(|(kind, _)| *kind == name).map(|(_, settings)| settings)
    }

    /// Every kind with its name.
    #[must_use]
    pub fn kinds(&self) -> [(&'static str, &KindSettings); 2] {
        [(Self::REMOTE_CONTROL, &self.remote_control), (Self::BACKGROUND, &self.background)]
    }
}

impl Default for PoolSettings {
    fn default() -> Self {
        let kind = KindSettings {
            count: 1,
            max_workers: 16,
            capacity: 4,
            restart: RestartPolicy::Always,
            dir: None,
            permission_mode: None,
        };
        Self {
            max_waiting: 64,
            background: KindSettings { count: 0, restart: RestartPolicy::OnFailure, ..kind.clone() },
            remote_control: kind,
        }
    }
}

impl Schema for PoolSettings {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.ranged("max_waiting", &mut self.max_waiting, 0..=10_000);
        v.section(Self::REMOTE_CONTROL, &mut self.remote_control);
        v.section(Self::BACKGROUND, &mut self.background);
    }
}

impl Schema for KindSettings {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.ranged("count", &mut self.count, 0..=1_000);
        v.ranged("max_workers", &mut self.max_workers, 0..=1_000);
        v.ranged("capacity", &mut self.capacity, 1..=1_000);
        v.value("restart", &mut self.restart);
        v.optional("dir", &mut self.dir);
        v.optional("permission_mode", &mut self.permission_mode);
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        if self.max_workers < self.count {
            vec![("max_workers", String::from("it is lower than `count`"))]
        } else {
            Vec::new()
        }
    }
}
