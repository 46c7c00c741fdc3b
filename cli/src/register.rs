//! The registry entry of a foreground `run` or `attach`: who watches which session from where (C6).

use jiff::Timestamp;
use skep_common::api::{RegistryEntry, SessionInfo};
use skep_common::session::SessionKind;
use skep_supervisor::registry::{Registration, Registry};

use crate::commands::version::VERSION;
use crate::context::Context;

/// Registers this process as one that shows `session`, until the entry is dropped. That it cannot be written hinders
/// nobody.
pub(crate) fn register(ctx: &Context, session: &SessionInfo) -> Option<Registration> {
    let process = skep_sys::process::current();
    let name = format!("cli-{}", process.pid).parse().ok()?;
    let hostname = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let entry = RegistryEntry {
        process,
        session_id: Some(session.id),
        cwd: session.cwd.clone(),
        started_at: Timestamp::now(),
        kind: SessionKind::Interactive,
        url: None,
        mode: session.permission_mode,
        version: String::from(VERSION),
        hostname: hostname.unwrap_or_default(),
    };
    let written = Registry::new(&ctx.paths).write(&name, &entry);
    written.inspect_err(|error| tracing::warn!("this process could not register itself: {error}")).ok()
}
