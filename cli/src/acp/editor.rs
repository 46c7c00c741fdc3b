//! The editor at the other end of standard output, and what every session of the connection shares.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use skep_common::session::PermissionMode;
use skep_worker::acp::message::{Id, RpcError};
use skep_worker::acp::peer::{Calls, Closed, Writer};
use tokio_util::task::TaskTracker;

use super::{Choice, wire};
use crate::client::Client;
use crate::context::Context;
use crate::error::CliError;
use crate::{autostart, settings};

/// The connection to one editor.
#[derive(Debug)]
pub(super) struct Editor {
    /// The surroundings.
    pub(super) ctx: Context,
    /// What new sessions get.
    pub(super) choice: Choice,
    /// Our requests that the editor has not answered.
    pub(super) calls: Calls,
    /// Everything that runs for this editor.
    pub(super) tasks: TaskTracker,
    writer: Writer,
    notices: AtomicBool,
}

impl Editor {
    /// The editor that reads what `writer` writes.
    pub(super) fn new(ctx: &Context, choice: Choice, writer: Writer) -> Self {
        Self {
            ctx: ctx.clone(),
            choice,
            calls: Calls::default(),
            tasks: TaskTracker::new(),
            writer,
            notices: AtomicBool::new(false),
        }
    }

    /// What the editor can show.
    pub(super) fn introduce(&self, client: &wire::Initialize) {
        self.notices.store(client.notices(), Ordering::Relaxed);
    }

    /// A client of the daemon, which is started if none runs.
    pub(super) async fn daemon(&self) -> Result<Client, CliError> {
        autostart::client_apart(&self.ctx).await
    }

    /// The permission mode of new sessions.
    pub(super) fn mode(&self) -> Result<PermissionMode, CliError> {
        match self.choice.mode {
            Some(mode) => Ok(mode),
            None => Ok(settings::load(&self.ctx)?.session.permission_mode),
        }
    }

    /// Answers a request.
    pub(super) async fn answer(&self, id: &Id, answer: Result<Value, RpcError>) -> Result<(), Closed> {
        self.writer.respond(id, answer.as_ref()).await
    }

    /// Passes an update on, byte for byte.
    pub(super) async fn update(&self, session: &str, update: &RawValue) -> Result<(), Closed> {
        self.writer.notify("session/update", &wire::Update { session_id: session, update }).await
    }

    /// Tells an update of our own.
    pub(super) async fn tell(&self, session: &str, update: Value) -> Result<(), Closed> {
        self.writer.notify("session/update", &wire::Update { session_id: session, update }).await
    }

    /// A remark of skep's own, for the person.
    pub(super) async fn remark(&self, session: &str, text: &str) -> Result<(), Closed> {
        self.tell(session, wire::remark(text, self.notices.load(Ordering::Relaxed))).await
    }

    /// Any notification.
    pub(super) async fn notify(&self, method: &str, params: &impl Serialize) -> Result<(), Closed> {
        self.writer.notify(method, params).await
    }

    /// A line that is made already.
    pub(super) async fn send(&self, line: Vec<u8>) -> Result<(), Closed> {
        self.writer.send(line).await
    }
}
