//! `[api]`: where the HTTP API listens beside the Unix socket, who may come in, and its limits.

mod limits;
mod tls;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::schema::{Schema, Visitor};
use crate::value::{ByteSize, choice};

pub use limits::ClientLimits;
pub use tls::{TlsMode, TlsSettings};

/// How somebody who comes over TCP shows who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Auth {
    /// By a token, or by a browser that was signed in with a link. On an address that is not loopback also by password.
    #[default]
    Token,
    /// By those, or by password, on every address.
    Password,
    /// Not at all. Only on loopback.
    None,
}

choice!(Auth { "token" => Token, "password" => Password, "none" => None });

/// The HTTP API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiSettings {
    /// The TCP port; 0 picks one. None, with no hosts either: no TCP at all.
    pub port: Option<u16>,
    /// Host names and addresses to listen on; none: 127.0.0.1.
    pub hosts: Vec<String>,
    /// How clients show who they are.
    pub auth: Auth,
    /// A file that holds the password, or its argon2id hash. None: `password` in the state directory.
    pub password_file: Option<PathBuf>,
    /// Names under which browsers may reach a listener, beside its own address.
    pub allowed_hosts: Vec<String>,
    /// Origins of web pages elsewhere that may call (CORS).
    pub allowed_origins: Vec<String>,
    /// Networks of reverse proxies whose forwarded headers count.
    pub trusted_proxies: Vec<String>,
    /// The path below which a reverse proxy shows the API; empty: none.
    pub base_path: String,
    /// The largest request body (G13). Default 4 MiB.
    pub max_body: ByteSize,
    /// The largest body of a prompt or a run, in which attachments stand as base64. Default 32 MiB.
    pub max_prompt: ByteSize,
    /// Connections at once. Default 256.
    pub max_connections: u32,
    /// How long a client may take to send a request's head, and how long an idle connection is kept. Default 10 s.
    pub header_timeout: Duration,
    /// How often a silent event stream sends a comment, so that a dead client is noticed. Default 15 s.
    pub stream_heartbeat: Duration,
    /// `[api.limits]`.
    pub limits: ClientLimits,
    /// `[api.tls]`.
    pub tls: TlsSettings,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            port: None,
            hosts: Vec::new(),
            auth: Auth::Token,
            password_file: None,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            base_path: String::new(),
            max_body: ByteSize::mib(4),
            max_prompt: ByteSize::mib(32),
            max_connections: 256,
            header_timeout: Duration::from_secs(10),
            stream_heartbeat: Duration::from_secs(15),
            limits: ClientLimits::default(),
            tls: TlsSettings::default(),
        }
    }
}

impl ApiSettings {
    /// The hosts and the port to listen on over TCP; none where it was not asked for.
    #[must_use]
    pub fn tcp(&self) -> Option<(Vec<String>, u16)> {
        if self.port.is_none() && self.hosts.is_empty() {
            return None;
        }
        let hosts = if self.hosts.is_empty() { vec![String::from("127.0.0.1")] } else { self.hosts.clone() };
        Some((hosts, self.port.unwrap_or(0)))
    }
}

impl Schema for ApiSettings {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.optional("port", &mut self.port);
        v.value("hosts", &mut self.hosts);
        v.value("auth", &mut self.auth);
        v.optional("password_file", &mut self.password_file);
        v.value("allowed_hosts", &mut self.allowed_hosts);
        v.value("allowed_origins", &mut self.allowed_origins);
        v.value("trusted_proxies", &mut self.trusted_proxies);
        v.value("base_path", &mut self.base_path);
        // A command must fit into one line of a worker's pipe (`protocol::MAX_LINE`, 8 MiB) when JSON escapes double it.
        v.ranged("max_body", &mut self.max_body, ByteSize::kib(1)..=ByteSize::mib(4));
        v.ranged("max_prompt", &mut self.max_prompt, ByteSize::kib(1)..=ByteSize::mib(256));
        v.ranged("max_connections", &mut self.max_connections, 1..=65_536);
        v.ranged(
            "header_timeout",
            &mut self.header_timeout,
            Duration::from_millis(100)..=Duration::from_secs(600),
        );
        v.ranged(
            "stream_heartbeat",
            &mut self.stream_heartbeat,
            Duration::from_millis(100)..=Duration::from_secs(600),
        );
        v.section("limits", &mut self.limits);
        v.section("tls", &mut self.tls);
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        wrong.extend(self.hosts.iter().find_map(|host| no_host(host)).map(|why| ("hosts", why)));
        wrong.extend(
            self.allowed_hosts.iter().find_map(|host| no_host(host)).map(|why| ("allowed_hosts", why)),
        );
        wrong.extend(self.allowed_origins.iter().find(|origin| !is_origin(origin)).map(|origin| {
            ("allowed_origins", format!("{origin:?} is no origin such as https://example.org"))
        }));
        wrong.extend(
            self.trusted_proxies
                .iter()
                .find(|net| !is_network(net))
                .map(|net| ("trusted_proxies", format!("{net:?} is no network such as 10.0.0.0/8"))),
        );
        if !is_base(&self.base_path) {
            wrong
                .push(("base_path", String::from("it must be empty, or begin with `/` and not end with it")));
        }
        wrong
    }
}

/// Why `host` is no host name or address.
fn no_host(host: &str) -> Option<String> {
    let is_name = !host.is_empty()
        && host.len() <= 253
        && !host.ends_with('.')
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    let is_address = host.parse::<IpAddr>().is_ok();
    (!is_name && !is_address)
        .then(|| format!("{host:?} is no host name or address (without port and brackets)"))
}

fn is_origin(origin: &str) -> bool {
    let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['/', '@', ' ', '?', '#', '*']))
}

fn is_network(text: &str) -> bool {
    text.parse::<ipnet::IpNet>().is_ok() || text.parse::<IpAddr>().is_ok()
}

fn is_base(path: &str) -> bool {
    path.is_empty()
        || (path.starts_with('/')
            && !path.ends_with('/')
            && !path.contains("//")
            && path
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/' | b'.'))
            && !path.split('/').any(|part| part == "." || part == ".."))
}

#[cfg(test)]
mod tests {

    #[test]
    fn r6_tcp_is_off_until_it_is_asked_for_and_then_loopback() {
        let tcp = |toml: &str| crate::parse(toml, "t").unwrap().api.tcp();
        assert_eq!(tcp(""), None);
        assert_eq!(tcp("api.port = 0"), Some((vec![String::from("127.0.0.1")], 0)));
        assert_eq!(tcp("api.hosts = ['::1', 'box']"), Some((vec!["::1".into(), "box".into()], 0)));
    }

    #[test]
    fn r6_what_cannot_be_meant_is_refused() {
        for wrong in [
            "api.hosts = ['[::1]']",
            "api.hosts = ['a b']",
            "api.hosts = ['']",
            "api.allowed_hosts = ['box:80']",
            "api.allowed_hosts = ['*']",
            "api.allowed_hosts = ['box.']",
            "api.allowed_origins = ['*']",
            "api.allowed_origins = ['null']",
            "api.allowed_origins = ['https://a/']",
            "api.trusted_proxies = ['10.0.0.0/33']",
            "api.trusted_proxies = ['proxy']",
            "api.base_path = 'x'",
            "api.base_path = '/x/'",
            "api.base_path = '/../x'",
            "api.auth = 'nothing'",
            "api.port = 65536",
            "api.limits.max_head = '1 B'",
            "api.tls.mode = 'on'",
            "api.tls.mode = 'files'",
            "api.tls = { mode = 'files', certificate = '/c.pem' }",
        ] {
            assert!(crate::parse(wrong, "t").is_err(), "{wrong}");
        }
    }
}
