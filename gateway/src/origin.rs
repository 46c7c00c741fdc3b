//! Which requests over TCP are meant for this server, and come from nobody else's web page (pure). Everything that is
//! not understood is refused.
//!
//! A browser lets any page send requests to any address; what protects a server on loopback is that the browser tells
//! the truth in `Host` (a page that rebinds its own name to 127.0.0.1 still sends that name) and in `Origin`.

use std::net::IpAddr;

use axum::http::header::{HOST, HeaderName, ORIGIN};
use axum::http::{HeaderMap, Method, Uri};
use ipnet::IpNet;
use skep_common::code::Code;

use crate::error::Failure;
use crate::peer::TcpPeer;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Under which names a server may be reached, and by whose pages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    hosts: Vec<String>,
    origins: Vec<String>,
    proxies: Vec<IpNet>,
}

/// Where a request really comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Client {
    /// The client's address: the connection's, or what a trusted proxy says.
    pub(crate) address: IpAddr,
    /// The authority by which it reached us: `host` or `host:port`, in lower case.
    pub(crate) authority: String,
    /// Whether its own connection is encrypted.
    pub(crate) secure: bool,
    /// The origin of another site that may read the answer (CORS).
    pub(crate) cors: Option<String>,
}

impl Expected {
    /// From the settings, which were checked when they were read.
    pub(crate) fn new(settings: &skep_config::api::ApiSettings) -> Self {
        let mut hosts: Vec<String> = settings.allowed_hosts.iter().chain(&settings.hosts).cloned().collect();
        hosts.iter_mut().for_each(|host| host.make_ascii_lowercase());
        let network =
            |text: &String| text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        Self {
            hosts,
            origins: settings.allowed_origins.iter().map(|origin| origin.to_ascii_lowercase()).collect(),
            proxies: settings.trusted_proxies.iter().filter_map(network).collect(),
        }
    }

    /// Checks the head of a request.
    ///
    /// # Errors
    ///
    /// `host_not_allowed`, `origin_not_allowed`, `invalid_request`.
    pub(crate) fn check(
        &self,
        peer: &TcpPeer,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Client, Failure> {
        if uri.authority().is_some() || uri.scheme().is_some() || *method == Method::CONNECT {
            return Err(bad("the request's target must be a path, not a whole URL: this is no proxy"));
        }
        let near = peer.remote.ip().to_canonical();
        let through_proxy = self.proxies.iter().any(|net| net.contains(&near));
        let named = if through_proxy { single(headers, &FORWARDED_HOST)? } else { None };
        let named = match named {
            Some(named) => named,
            None => single(headers, &HOST)?.ok_or_else(|| host("the request has no `host` header"))?,
        };
        let authority =
            Authority::parse(named).ok_or_else(|| host("the `host` header is no host and port"))?;
        if !self.serves(&authority, peer) {
            return Err(host(&format!(
                "nothing is served under the name `{}` here (api.allowed_hosts)",
                authority.host.chars().take(100).collect::<String>()
            )));
        }
        let secure = match if through_proxy { single(headers, &FORWARDED_PROTO)? } else { None } {
            Some(proto) => proto.eq_ignore_ascii_case("https"),
            None => peer.tls,
        };
        let cors = self.check_origin(method, headers, &authority, secure)?;
        let address = if through_proxy { self.forwarded_for(headers)?.unwrap_or(near) } else { near };
        Ok(Client { address, authority: authority.to_text(), secure, cors })
    }

    fn serves(&self, authority: &Authority, peer: &TcpPeer) -> bool {
        let local = peer.local.ip().to_canonical();
        match authority.host.parse::<IpAddr>() {
            // An address cannot be rebound. A tunnel shows loopback's, with a port of its own.
            Ok(address) => {
                address.to_canonical() == local
                    || (local.is_loopback() && address.to_canonical().is_loopback())
                    || self.hosts.contains(&authority.host)
            }
            Err(_) => {
                (authority.host == "localhost" && local.is_loopback()) || self.hosts.contains(&authority.host)
            }
        }
    }

    /// The origin that is allowed from elsewhere, if the request has one.
    fn check_origin(
        &self,
        method: &Method,
        headers: &HeaderMap,
        authority: &Authority,
        secure: bool,
    ) -> Result<Option<String>, Failure> {
        let refused = || {
            Failure::new(
                Code::OriginNotAllowed,
                "requests from other web pages are refused (api.allowed_origins)",
            )
        };
        if let Some(origin) = single(headers, &ORIGIN)? {
            let origin = origin.to_ascii_lowercase();
            let (scheme, default) = if secure { ("https://", 443) } else { ("http://", 80) };
            let same = origin
                .strip_prefix(scheme)
                .and_then(Authority::parse)
                .is_some_and(|other| other.is(authority, default));
            if same {
                return Ok(None);
            }
            return if self.origins.contains(&origin) { Ok(Some(origin)) } else { Err(refused()) };
        }
        // A page elsewhere may lead a person here, and no more: no picture, script or frame of ours is its to load.
        let site = single(headers, &FETCH_SITE)?;
        let foreign = site.is_some_and(|site| !matches!(site, "same-origin" | "none"));
        let navigates = *method == Method::GET && single(headers, &FETCH_MODE)? == Some("navigate");
        if foreign && !navigates { Err(refused()) } else { Ok(None) }
    }

    /// The last address in `X-Forwarded-For` that is no proxy of ours.
    fn forwarded_for(&self, headers: &HeaderMap) -> Result<Option<IpAddr>, Failure> {
        let mut hops = Vec::new();
        for value in headers.get_all(FORWARDED_FOR) {
            let text = value.to_str().map_err(|_| bad("`x-forwarded-for` is no list of addresses"))?;
            hops.extend(text.split(',').map(str::trim));
        }
        for hop in hops.into_iter().rev() {
            let address: IpAddr =
                hop.parse().map_err(|_| bad("`x-forwarded-for` is no list of addresses"))?;
            let address = address.to_canonical();
            if !self.proxies.iter().any(|net| net.contains(&address)) {
                return Ok(Some(address));
            }
        }
        Ok(None)
    }
}

/// `host` or `host:port`, the host in lower case and without brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Authority {
    host: String,
    port: Option<u16>,
}

impl Authority {
    fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, after) = rest.split_once(']')?;
                address.parse::<std::net::Ipv6Addr>().ok()?;
                (address, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':');
        if host.is_empty() || host.ends_with('.') || host.starts_with('.') || !host.bytes().all(is_plain) {
            return None;
        }
        let port = match port {
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(port.parse().ok()?),
            Some(_) => return None,
            None => None,
        };
        Some(Self { host: host.to_ascii_lowercase(), port })
    }

    /// Whether both name the same, where a missing port means `default`.
    fn is(&self, other: &Self, default: u16) -> bool {
        self.host == other.host && self.port.unwrap_or(default) == other.port.unwrap_or(default)
    }

    fn to_text(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match self.port {
            Some(port) => format!("{host}:{port}"),
            None => host,
        }
    }
}

/// The one value of a header; more than one is refused.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Failure> {
    let mut values = headers.get_all(name).iter();
    let refused = || {
        let code = if *name == ORIGIN { Code::OriginNotAllowed } else { Code::HostNotAllowed };
        Failure::new(code, format!("the `{name}` header does not stand once, as plain text"))
    };
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().map_err(|_| refused())?;
    if values.next().is_some() { Err(refused()) } else { Ok(Some(text)) }
}

fn host(why: &str) -> Failure {
    Failure::new(Code::HostNotAllowed, why)
}

fn bad(why: &str) -> Failure {
    Failure::new(Code::InvalidRequest, why)
}

#[cfg(test)]
mod tests;
