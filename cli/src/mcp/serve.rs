//! The connection to the agent: standard input and output carry the protocol and nothing else.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll, ready};
use std::time::Duration;

use rmcp::service::serve_server;
use rmcp::transport::async_rw::AsyncRwTransport;
use skep_worker::acp::stdio;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::authority::Authority;
use super::tools::Tools;
use crate::context::Context;
use crate::error::{CliError, Outcome};
use crate::exit::Exit;

/// The longest message of an agent: a prompt of this size is more than the daemon takes.
const MAX_MESSAGE: usize = 8 * 1024 * 1024;

/// The daemon is given this time to hear that the token is not needed any more.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Serves the agent on the standard descriptors until it closes them.
pub(crate) async fn serve(ctx: &Context, token_file: Option<&Path>) -> Outcome {
    let broken =
        |error: std::io::Error| CliError::failed(format!("cannot use standard input and output: {error}"));
    let authority = Arc::new(Authority::find(ctx, token_file)?);
    let gone = CancellationToken::new();
    let input = Input { inner: stdio::input().map_err(broken)?, gone: gone.clone() };
    let output = stdio::output().map_err(broken)?;
    let transport = AsyncRwTransport::new_server(input, output).with_max_line_length(MAX_MESSAGE);
    let tools = Tools::new(ctx, Arc::clone(&authority), gone.clone());
    let served = match serve_server(tools, transport).await {
        Ok(running) => running
            .waiting()
            .await
            .map(drop)
            .map_err(|error| CliError::failed(format!("the server of the protocol ended: {error}"))),
        // An agent that only looked whether this is here says nothing.
        Err(_) if gone.is_cancelled() => Ok(()),
        Err(error) => Err(CliError::failed(format!("the agent does not speak MCP: {error}"))),
    };
    if timeout(LAST_WORDS, authority.end(ctx)).await.is_err() {
        tracing::info!("the daemon was not told that the token of this server is not needed any more");
    }
    served.map(|()| Exit::Completed)
}

/// Standard input, which tells when it has ended.
struct Input {
    inner: Box<dyn AsyncRead + Unpin + Send>,
    gone: CancellationToken,
}

impl AsyncRead for Input {
    fn poll_read(
        self: Pin<&mut Self>,
        task: &mut Task<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut this.inner).poll_read(task, buffer));
        if read.is_err() || (buffer.filled().len() == before && buffer.remaining() > 0) {
            this.gone.cancel();
        }
        Poll::Ready(read)
    }
}
