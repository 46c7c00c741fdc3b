//! Which workers there shall be, from configuration, start options and what people added. Pure.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use skep_common::api::AddWorker;
use skep_common::code::{ApiError, Code};
use skep_common::ids::WorkerId;
use skep_config::pool::PoolSettings;
use skep_config::{KindSettings, Settings};

use crate::launch::LaunchOptions;
use crate::lifecycle::policy::Policy;
use crate::spec::{Origin, Spec};
use crate::worker_file::{Added, WorkerFile};

/// What the specs of all workers are made from.
#[derive(Debug)]
pub(super) struct Plan {
    settings: Settings,
    launch: LaunchOptions,
    /// The workers' directory where nothing else names one.
    dir: PathBuf,
    config: Arc<str>,
    keys: Arc<BTreeSet<String>>,
}

impl Plan {
    pub(super) fn new(settings: Settings, launch: LaunchOptions, dir: PathBuf) -> Self {
        let config = settings.to_toml().into();
        let keys = settings.agents.values().flat_map(|agent| agent.keys.iter());
        let keys = keys.chain(&settings.session.capture_env).cloned().collect();
        Self { settings, launch, dir, config, keys: Arc::new(keys) }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The same with new settings.
    pub(super) fn with(&self, settings: Settings) -> Self {
        Self::new(settings, self.launch.clone(), self.dir.clone())
    }

    /// The workers that the configuration wants.
    pub(super) fn configured(&self) -> Vec<Spec> {
        let of_kind = |(kind, settings): (&'static str, &KindSettings)| {
            (1..=settings.count)
                .filter_map(|number| {
                    let id = numbered(kind, number)?;
                    self.spec(id, kind, Origin::Configured, &Added::default())
                })
                .collect::<Vec<_>>()
        };
        self.settings.pool.kinds().into_iter().flat_map(of_kind).collect()
    }

    /// A worker that somebody added in the time of a former daemon, if it is to live on: long-running ones do; those
    /// for single jobs only as long as they wait for a person.
    pub(super) fn kept(&self, file: &WorkerFile) -> Option<Spec> {
        let added = file.added.as_ref()?;
        let parked = matches!(file.desired, crate::worker_file::Desired::Parked { .. });
        (parked || file.kind == PoolSettings::REMOTE_CONTROL)
            .then(|| self.spec(file.id.clone(), &file.kind, Origin::Added, added))?
    }

    /// A worker that somebody adds.
    pub(super) fn added(
        &self,
        worker: AddWorker,
        taken: &BTreeSet<WorkerId>,
    ) -> Result<(Spec, Added), ApiError> {
        let kind = worker.kind.as_deref().unwrap_or(PoolSettings::REMOTE_CONTROL);
        let added = Added {
            dir: worker.dir.map(PathBuf::from),
            capacity: worker.capacity,
            permission_mode: worker.permission_mode,
        };
        check(&added)?;
        if self.settings.pool.kind(kind).is_none() {
            let kinds = self.settings.pool.kinds().map(|(kind, _)| format!("`{kind}`")).join(" or ");
            let kind = kind.escape_debug().take(80).collect::<String>();
            return Err(ApiError::new(
                Code::InvalidValue,
                format!("`{kind}` is no kind of worker; use {kinds}"),
            ));
        }
        let id = match worker.id {
            Some(id) if taken.contains(&id) => {
                return Err(ApiError::new(Code::WorkerState, format!("worker `{id}` exists already")));
            }
            Some(id) => Some(id),
            None => (1..=u32::MAX).filter_map(|number| numbered(kind, number)).find(|id| !taken.contains(id)),
        };
        id.and_then(|id| self.spec(id, kind, Origin::Added, &added))
            .map(|spec| (spec, added))
            .ok_or_else(|| ApiError::new(Code::Internal, "no id is left for another worker"))
    }

    /// How many workers of a kind there may be.
    pub(super) fn max_workers(&self, kind: &str) -> usize {
        let most = self.settings.pool.kind(kind).map_or(0, |kind| kind.max_workers);
        usize::try_from(most).unwrap_or(usize::MAX)
    }

    /// The spec of one worker; none for a kind that is not configured.
    pub(super) fn spec(&self, id: WorkerId, kind: &str, origin: Origin, added: &Added) -> Option<Spec> {
        let of_kind = self.settings.pool.kind(kind)?;
        let launch = &self.launch;
        let dir = added
            .dir
            .as_ref()
            .or(launch.dir.as_ref())
            .or(of_kind.dir.as_ref())
            .or(self.settings.daemon.dir.as_ref())
            .unwrap_or(&self.dir);
        Some(Spec {
            id,
            kind: kind.to_owned(),
            origin,
            dir: dir.clone(),
            spawn_mode: launch.spawn_mode,
            capacity: added.capacity.or(launch.capacity).unwrap_or(of_kind.capacity),
            permission_mode: added
                .permission_mode
                .or(launch.permission_mode)
                .or(of_kind.permission_mode)
                .unwrap_or(self.settings.session.permission_mode),
            sandbox: launch.sandbox,
            // Opened by the engine, which knows whether it is open already.
            config: Arc::clone(&self.config),
            keys: Arc::clone(&self.keys),
            policy: Policy::configured(of_kind.restart, &self.settings.restart),
        })
    }
}

fn numbered(kind: &str, number: u32) -> Option<WorkerId> {
    format!("{kind}-{number}").parse().ok()
}

fn check(added: &Added) -> Result<(), ApiError> {
    if added.capacity.is_some_and(|capacity| capacity == 0 || capacity > 1_000) {
        return Err(ApiError::new(Code::InvalidValue, "a worker's capacity must be between 1 and 1000"));
    }
    let is_fine = |dir: &Path| dir.is_absolute() && dir.is_dir();
    match &added.dir {
        Some(dir) if !is_fine(dir) => Err(ApiError::new(
            Code::DirectoryNotAllowed,
            format!("`{}` is not the absolute path of a directory", dir.display().to_string().escape_debug()),
        )),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_common::session::PermissionMode;

    fn plan(toml: &str, launch: LaunchOptions) -> Plan {
        Plan::new(skep_config::parse(toml, "test").unwrap(), launch, "/work".into())
    }

    fn ids(specs: &[Spec]) -> Vec<&str> {
        specs.iter().map(|spec| spec.id.as_str()).collect()
    }

    #[test]
    fn s11_the_default_pool_is_one_remote_control_worker() {
        let specs = plan("", LaunchOptions::default()).configured();
        assert_eq!(ids(&specs), ["remote-control-1"]);
        assert_eq!((specs[0].capacity, specs[0].dir.as_path()), (4, Path::new("/work")));
        assert_eq!(specs[0].policy, Policy::contract(skep_config::RestartPolicy::Always));
    }

    #[test]
    fn s3_start_options_win_over_the_configuration_and_an_added_workers_own_over_both() {
        let launch = LaunchOptions {
            capacity: Some(7),
            permission_mode: Some(PermissionMode::Deny),
            ..LaunchOptions::default()
        };
        let plan = plan("pool.remote-control.capacity = 2\npool.background.count = 1", launch);
        let specs = plan.configured();
        assert_eq!(ids(&specs), ["remote-control-1", "background-1"]);
        assert!(specs.iter().all(|spec| spec.capacity == 7 && spec.permission_mode == PermissionMode::Deny));
        let taken = specs.iter().map(|spec| spec.id.clone()).collect();
        let worker = AddWorker { kind: Some("background".into()), capacity: Some(1), ..AddWorker::default() };
        let (spec, _) = plan.added(worker, &taken).unwrap();
        assert_eq!((spec.id.as_str(), spec.capacity), ("background-2", 1));
    }

    #[test]
    fn c3_what_is_added_is_checked() {
        let plan = plan("", LaunchOptions::default());
        let taken: BTreeSet<WorkerId> = ["a".parse().unwrap()].into();
        let code = |worker| plan.added(worker, &taken).map(|_| ()).map_err(|error| error.code);
        let add = AddWorker::default;
        assert_eq!(code(AddWorker { id: Some("a".parse().unwrap()), ..add() }), Err(Code::WorkerState));
        assert_eq!(code(AddWorker { kind: Some("x".into()), ..add() }), Err(Code::InvalidValue));
        assert_eq!(code(AddWorker { capacity: Some(0), ..add() }), Err(Code::InvalidValue));
        for dir in ["relative", "/does/not/exist", "/etc/passwd"] {
            assert_eq!(code(AddWorker { dir: Some(dir.into()), ..add() }), Err(Code::DirectoryNotAllowed));
        }
        assert_eq!(code(add()), Ok(()));
    }
}
