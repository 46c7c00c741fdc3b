//! As much of HTTP/1.1 as agents' clients use: one request on each connection, a body of known length or in chunks.

use std::io::{BufRead, Error, Read as _, Result, Write};

use serde_json::Value;

/// The largest body that is read.
const BODY: u64 = 64 * 1024 * 1024;

/// A request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn read(reader: &mut impl BufRead) -> Result<Self> {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let mut words = line.split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Err(Error::other("not HTTP"));
        };
        let path = target.split('?').next().unwrap_or_default().to_owned();
        let method = method.to_owned();
        let (mut length, mut chunked) = (0, false);
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().map_err(Error::other)?,
                "transfer-encoding" => chunked = value.contains("chunked"),
                _ => {}
            }
        }
        let mut body = Vec::new();
        if chunked {
            read_chunks(reader, &mut body)?;
        } else {
            reader.take(u64::min(length, BODY)).read_to_end(&mut body)?;
        }
        Ok(Self { method, path, body })
    }
}

fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> Result<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = u64::from_str_radix(line.trim(), 16).map_err(Error::other)?;
        reader.take(u64::min(size, BODY)).read_to_end(body)?;
        reader.read_line(&mut line)?;
        if size == 0 {
            return Ok(());
        }
    }
}

/// Answers with JSON.
pub(crate) fn json(stream: &mut impl Write, status: u16, body: &Value) -> Result<()> {
    let body = body.to_string();
    write!(
        stream,
        "HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Begins a stream of server-sent events, in chunks, so that its end can be told from a broken connection.
pub(crate) fn begin_events(stream: &mut impl Write) -> Result<()> {
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n\
         transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    )
}

/// One server-sent event.
pub(crate) fn event(stream: &mut impl Write, kind: Option<&str>, data: &str) -> Result<()> {
    let kind = kind.map(|kind| format!("event: {kind}\n")).unwrap_or_default();
    let text = format!("{kind}data: {data}\n\n");
    write!(stream, "{:x}\r\n{text}\r\n", text.len())
}

/// The whole end of a stream of events.
pub(crate) fn end_events(stream: &mut impl Write) -> Result<()> {
    write!(stream, "0\r\n\r\n")
}
