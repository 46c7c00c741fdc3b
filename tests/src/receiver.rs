//! A receiver of webhooks on loopback that answers as a test tells it to, written with the standard library only.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::wait::wait_for;

/// How a request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// With this status.
    Status(u16),
    /// With a redirect to this path of the receiver.
    Redirect(&'static str),
    /// With the end of the connection.
    Close,
    /// Not at all, until the receiver is told to go on.
    Hang,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Posted {
    /// Its path.
    pub path: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Posted {
    /// A header's value; empty if there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(header, _)| header == name).map_or("", |(_, value)| value)
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a body of JSON")
    }
}

/// A receiver.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    posted: Mutex<Vec<Posted>>,
    answers: Mutex<Vec<Answer>>,
    ended: AtomicBool,
    go_on: Condvar,
}

impl Receiver {
    /// A receiver that answers the first requests so, in order, and every further one with 204.
    ///
    /// # Panics
    ///
    /// When loopback has no port.
    #[must_use]
    pub fn start(answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared::default());
        shared.answers().extend(answers);
        let served = Arc::clone(&shared);
        let serving = std::thread::spawn(move || {
            let mut connections = Vec::new();
            for stream in listener.incoming().flatten() {
                if served.ended.load(Ordering::SeqCst) {
                    break;
                }
                let shared = Arc::clone(&served);
                connections.push(std::thread::spawn(move || shared.serve(stream)));
            }
            connections.into_iter().for_each(|connection| drop(connection.join()));
        });
        Self { address, shared, serving: Some(serving) }
    }

    /// The address of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What came so far.
    #[must_use]
    pub fn posted(&self) -> Vec<Posted> {
        self.shared.posted().clone()
    }

    /// What came, once there are so many.
    ///
    /// # Panics
    ///
    /// When they do not come in time.
    #[must_use]
    pub fn wait(&self, count: usize) -> Vec<Posted> {
        wait_for(&format!("{count} posts"), || Some(self.posted()).filter(|posted| posted.len() >= count))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.shared.go_on.notify_all();
        // So that it looks up.
        drop(TcpStream::connect(self.address));
        if let Some(serving) = self.serving.take() {
            drop(serving.join());
        }
    }
}

impl Shared {
    fn posted(&self) -> std::sync::MutexGuard<'_, Vec<Posted>> {
        self.posted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answers(&self) -> std::sync::MutexGuard<'_, Vec<Answer>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut stream: TcpStream) {
        let Some(posted) = read(&stream) else { return };
        let answer = {
            let mut answers = self.answers();
            self.posted().push(posted);
            if answers.is_empty() { Answer::Status(204) } else { answers.remove(0) }
        };
        let head = match answer {
            Answer::Status(status) => format!("{status} x"),
            Answer::Redirect(path) => format!("302 Found\r\nlocation: {path}"),
            Answer::Close => return,
            Answer::Hang => {
                let mut posted = self.posted();
                while !self.ended.load(Ordering::SeqCst) {
                    posted = self.go_on.wait(posted).unwrap_or_else(PoisonError::into_inner);
                }
                return;
            }
        };
        // Who asked may have gone.
        drop(write!(stream, "HTTP/1.1 {head}\r\ncontent-length: 0\r\n\r\n"));
    }
}

fn read(stream: &TcpStream) -> Option<Posted> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Posted { path, headers, body: String::from_utf8(body).ok()? })
}
