//! The door to TCP, driven through the real binary over real loopback connections, by hand: hosts and origins, tokens,
//! browsers, passwords, limits.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};
use skep_tests::api::Response;
use skep_tests::env::TestEnv;
use skep_tests::wait::SOON;

mod audit;
mod clients;
mod commands;
mod encrypted;
mod hostile;
mod keys;
mod listening;
mod passwords;

/// Starts the daemon with a listener on a free port of loopback, and says where.
fn start(env: &TestEnv) -> SocketAddr {
    let _started = env.skep(["daemon", "start", "--port", "0"]).run().ok();
    address(env)
}

/// The first address over TCP that the daemon tells.
fn address(env: &TestEnv) -> SocketAddr {
    let status = env.skep(["daemon", "status", "--json"]).run().ok().json();
    let endpoint = status["endpoint"].as_str().unwrap();
    let address = endpoint.split_once("://").unwrap_or_else(|| panic!("{status}")).1;
    address.parse().unwrap_or_else(|_| panic!("{status}"))
}

fn token(env: &TestEnv) -> String {
    std::fs::read_to_string(env.state().join("token")).unwrap().trim().to_owned()
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    stream
}

/// Sends these bytes and reads one answer.
fn raw(to: SocketAddr, bytes: &str) -> Response {
    let mut stream = connect(to);
    // A server may refuse a request before it has read all of it.
    drop(stream.write_all(bytes.as_bytes()));
    Response::read(&mut BufReader::new(stream)).unwrap()
}

/// Everything that comes back until the server closes.
fn until_closed(mut stream: TcpStream) -> String {
    let mut all = Vec::new();
    drop(stream.read_to_end(&mut all));
    String::from_utf8_lossy(&all).into_owned()
}

/// A request with these further headers, a right `host`, and the connection closed afterwards.
fn ask(to: SocketAddr, method: &str, path: &str, headers: &[&str], body: &str) -> Response {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\n");
    for header in headers {
        head = head + header + "\r\n";
    }
    if !body.is_empty() {
        head = format!("{head}content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    }
    raw(to, &format!("{head}\r\n{body}"))
}

/// The same with a bearer token, below the API's root.
fn call(to: SocketAddr, token: &str, method: &str, path: &str, body: &Value) -> Response {
    let bearer = format!("authorization: Bearer {token}");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    ask(to, method, &format!("/api/v1{path}"), &[&bearer], &body)
}

fn session(env: &TestEnv, name: &str) -> String {
    let body = json!({"name": name, "cwd": env.work()});
    env.api().post("/sessions", &body).is(201).json()["id"].as_str().unwrap().to_owned()
}
