//! The supervisor's commands: whole lines from stdin, each a command or garbage.

use std::collections::VecDeque;
use std::io;

use skep_common::framing::{Frame, LineSplitter};
use skep_common::ids::SessionId;
use skep_common::protocol::{Action, Command, MAX_LINE};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// How much one read takes.
const READ_SIZE: usize = 16 * 1024;

/// Reads commands.
#[derive(Debug)]
pub(super) struct Commands<R> {
    inner: R,
    splitter: LineSplitter,
    buffer: Box<[u8]>,
    ready: VecDeque<Command>,
}

impl<R: AsyncRead + Unpin> Commands<R> {
    pub(super) fn new(inner: R) -> Self {
        let buffer = vec![0; READ_SIZE].into_boxed_slice();
        Self { inner, splitter: LineSplitter::new(MAX_LINE), buffer, ready: VecDeque::new() }
    }

    /// The next command; `None` at the end. Garbage is logged and passed over. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Command> {
        loop {
            if let Some(command) = self.ready.pop_front() {
                return Some(command);
            }
            let count = match self.inner.read(&mut self.buffer).await {
                Ok(0) => return None,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::warn!(%error, "the command pipe cannot be read");
                    return None;
                }
            };
            let ready = &mut self.ready;
            self.splitter.push(&self.buffer[..count], |frame| match frame {
                Frame::Line(line) => match serde_json::from_slice(line) {
                    Ok(command) => ready.push_back(command),
                    Err(error) => tracing::warn!(%error, bytes = line.len(), "a line is no command"),
                },
                Frame::TooLong(bytes) => tracing::warn!(bytes, "a command is over the limit"),
            });
        }
    }
}

/// The session that an action is for.
pub(super) fn session_of(action: &Action) -> Option<SessionId> {
    match action {
        Action::OpenSession { spec, .. } => Some(spec.id),
        Action::Prompt { session, .. }
        | Action::Cancel { session, .. }
        | Action::Answer { session, .. }
        | Action::ReleaseQueue { session, .. }
        | Action::Change { session, .. }
        | Action::Close { session, .. }
        | Action::Release { session, .. } => Some(*session),
        Action::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_common::session::Cause;

    #[tokio::test]
    async fn g13_garbage_and_long_lines_are_passed_over() {
        let mut input = b"garbage\n{\"type\":5}\n".to_vec();
        input.extend(std::iter::repeat_n(b'x', MAX_LINE + 1));
        input.extend_from_slice(
            b"\n{\"type\":\"dance\"}\n{\"type\":\"shutdown\",\"cause\":\"parked\"}\n{\"type\"",
        );
        let mut commands = Commands::new(&input[..]);
        assert_eq!(commands.next().await, Some(Command::Unknown));
        assert_eq!(commands.next().await, Some(Command::Shutdown { cause: Cause::Parked }));
        assert_eq!(commands.next().await, None);
    }
}
