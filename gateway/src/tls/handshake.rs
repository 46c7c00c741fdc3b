//! The first words of a connection over TLS. Who speaks plain HTTP instead is told so, briefly; who says nothing, or
//! half of it, is left when the time is over.

use std::time::Duration;

use skep_common::code::{ApiError, Code, ErrorBody};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The first byte of whoever speaks TLS: a record that holds a handshake.
const HANDSHAKE: u8 = 22;

/// What may wait, encrypted, for a client that does not read, in bytes.
const WAITING: usize = 16 * 1024;

/// How much of a request is read, and thrown away, before its answer.
const REQUEST: usize = 64 * 1024;

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Encrypts a connection; none where the client does not go along in time.
pub(crate) async fn greet(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    within: Duration,
) -> Option<TlsStream<TcpStream>> {
    let handshake = async {
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(1) if first[0] == HANDSHAKE => {}
            Ok(1) if first[0].is_ascii_uppercase() => {
                tokio::time::timeout(FAREWELL, refuse(stream)).await.unwrap_or_default();
                return None;
            }
            // Nothing, or nothing that is understood.
            Ok(_) | Err(_) => return None,
        }
        let accepted = acceptor.accept_with(stream, |session| session.set_buffer_limit(Some(WAITING))).await;
        accepted.inspect_err(|error| tracing::debug!("a TLS handshake failed: {error}")).ok()
    };
    match tokio::time::timeout(within, handshake).await {
        Ok(done) => done,
        Err(_) => {
            tracing::debug!("a TLS handshake did not come in time");
            None
        }
    }
}

/// Tells a client that speaks plain HTTP what is spoken here.
async fn refuse(mut stream: TcpStream) {
    let error = ApiError::new(Code::InvalidRequest, "this port speaks TLS: use https:// in place of http://");
    let body = serde_json::to_string(&ErrorBody { error }).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    if stream.write_all(answer.as_bytes()).await.is_err() || stream.shutdown().await.is_err() {
        return;
    }
    // What was sent must be read, or the answer would be lost with the reset of the connection.
    let mut read = 0;
    let mut block = [0; 4096];
    while read < REQUEST {
        match stream.read(&mut block).await {
            Ok(0) | Err(_) => return,
            Ok(count) => read += count,
        }
    }
}
