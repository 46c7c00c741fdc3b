//! Effects of the lifecycle machine, performed.

use std::error::Error as _;
use std::ffi::OsString;
use std::io;

use skep_common::session::Cause;
use skep_config::env::SKEP_WORKER;
use skep_sys::limits;
use skep_sys::spawn::{SpawnSpec, Stdio3, spawn};

use super::process::Live;
use super::{Driver, Intent};
use crate::lifecycle::{Effect, Event, Pace};
use crate::spec::declared;
use crate::worker_file::{RUN_MARK, RunFile};

impl Driver {
    pub(super) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Spawn(Pace::Immediate) => self.spawn(),
            Effect::Spawn(Pace::Limited) => self.spawn_in_turn(),
            Effect::AbortSpawn => self.spawn_at = None,
            Effect::Terminate(cause) => self.terminate(cause),
            Effect::Kill => self.kill(),
            Effect::Sweep => self.sweep(),
            Effect::SetTimer(at) => self.timer = Some(at),
            Effect::CancelTimer => self.timer = None,
            Effect::Ended(ended) => self.ended(&ended),
            Effect::Publish => self.publish(),
        }
    }

    fn spawn_in_turn(&mut self) {
        let now = self.shared.clock.now();
        let place = {
            let mut limiter = self.shared.limiter.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            limiter.reserve(now)
        };
        if place <= now {
            self.spawn();
        } else {
            self.spawn_at = Some(place);
        }
    }

    /// Makes the process. On this path no file is synced and the process table is not searched.
    pub(super) fn spawn(&mut self) {
        self.restarts += u64::from(self.spawns > 0);
        self.spawns += 1;
        let event = match self.try_spawn() {
            Ok(live) => {
                let process = live.process();
                self.live = Some(live);
                self.greet();
                Event::Spawned(process)
            }
            Err(why) => Event::SpawnFailed(why),
        };
        self.follow.push_back(event);
    }

    fn try_spawn(&mut self) -> Result<Live, String> {
        self.intend().map_err(|error| format!("its intent cannot be written: {error}"))?;
        let child = spawn(self.process_spec(&self.run.mark)).map_err(|error| match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        })?;
        Ok(Live::new(child, self.run.mark.clone(), &self.log, &self.shared.tracker))
    }

    /// Leaves word for the next supervisor before there is a process. All processes of a driver carry the same mark, of
    /// which at most one tree lives, so a restart finds the intent written.
    fn intend(&mut self) -> io::Result<()> {
        if self.intent == Intent::Absent {
            self.run.write(&RunFile::path(&self.shared.paths, &self.spec.id))?;
            self.intent = Intent::Written;
        }
        Ok(())
    }

    fn process_spec(&self, mark: &str) -> SpawnSpec {
        let common = &self.shared.common;
        let mut args: Vec<OsString> =
            vec!["worker".into(), "--id".into(), self.spec.id.as_str().into(), "--state-dir".into()];
        args.push(common.state_dir.clone().into());
        if let Some(given) = limits::given() {
            args.extend(["--limits".into(), given.to_string().into()]);
        }
        if common.debug {
            args.push("--debug".into());
        }
        let mut env = declared(&common.environment, &self.spec.keys);
        env.push((SKEP_WORKER.into(), self.spec.id.as_str().into()));
        env.push((RUN_MARK.into(), mark.into()));
        SpawnSpec {
            program: common.exe.clone(),
            args,
            cwd: self.spec.dir.clone(),
            env,
            stdin: Stdio3::Pipe,
            stdout: Stdio3::Pipe,
            stderr: Stdio3::Pipe,
            // A worker makes a session of its own first thing, which a group leader cannot.
            new_group: false,
        }
    }

    fn terminate(&mut self, cause: Cause) {
        self.close_commands();
        if let Some(live) = &mut self.live {
            live.terminate(cause, &self.spec.id);
        }
    }

    fn kill(&mut self) {
        self.close_commands();
        if let Some(live) = &self.live {
            live.kill(&self.spec.id);
        }
    }
}
