use axum::http::HeaderValue;

use super::*;

const LOOPBACK: &str = "127.0.0.1:7788";

fn expected(toml: &str) -> Expected {
    Expected::new(&skep_config::parse(toml, "t").unwrap().api)
}

/// The code of a refusal, or the client.
fn ask(
    toml: &str,
    local: &str,
    remote: &str,
    method: &Method,
    uri: &str,
    headers: &[(&'static str, &str)],
) -> Result<Client, Code> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    let peer = TcpPeer { remote: remote.parse().unwrap(), local: local.parse().unwrap(), tls: false };
    expected(toml).check(&peer, method, &uri.parse().unwrap(), &map).map_err(|failure| failure.0.code)
}

fn host_of(toml: &str, local: &str, host: &str) -> Result<Client, Code> {
    ask(toml, local, "127.0.0.1:50000", &Method::GET, "/", &[("host", host)])
}

#[test]
fn r6_a_rebound_name_is_refused_and_loopback_is_known_by_all_its_names() {
    for good in [
        "127.0.0.1:7788",
        "localhost:7788",
        "LOCALHOST",
        "127.0.0.1",
        "localhost:1",
        "[::1]:7788",
        "127.0.0.2",
    ] {
        assert!(host_of("", LOOPBACK, good).is_ok(), "{good}");
    }
    for bad in [
        "evil.example",
        "evil.example:7788",
        "localhost.:7788",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "",
        ":7788",
        "localhost:",
        "localhost:x",
        "localhost:99999",
        "a@localhost",
        "user:pw@localhost:7788",
        "localhost:7788, evil.example",
        "[::1",
        "[::1]x",
        "[evil]",
        "::1",
        "[::ffff:8.8.8.8]",
        "8.8.8.8",
        "0.0.0.0",
        "2130706433",
        "0x7f.1",
        "local host",
        "localhost/",
        "localhost?x",
        "localhost#x",
        ".localhost",
        "*",
    ] {
        let refused = host_of("", LOOPBACK, bad);
        // An empty port is no port either.
        assert_eq!(refused.clone().err(), Some(Code::HostNotAllowed), "{bad} {refused:?}");
    }
    assert!(host_of("", "[::1]:7788", "[::1]:7788").is_ok());
    assert!(host_of("", "[::ffff:127.0.0.1]:7788", "127.0.0.1").is_ok());
}

#[test]
fn r6_other_addresses_and_names_are_known_when_they_are_ours() {
    let lan = "192.168.1.5:7788";
    assert!(host_of("", lan, "192.168.1.5:7788").is_ok());
    for bad in ["192.168.1.6", "localhost", "127.0.0.1", "box.lan"] {
        assert_eq!(host_of("", lan, bad), Err(Code::HostNotAllowed), "{bad}");
    }
    assert!(host_of("api.allowed_hosts = ['Box.lan']", lan, "bOx.lan:80").is_ok());
    assert!(host_of("api.hosts = ['box.lan']", lan, "box.lan").is_ok());
    assert_eq!(host_of("api.allowed_hosts = ['box.lan']", lan, "x.box.lan"), Err(Code::HostNotAllowed));
}

#[test]
fn r6_a_request_names_one_host_and_a_path() {
    let two = [("host", "localhost"), ("host", "localhost")];
    let get = |uri: &str, headers: &[(&'static str, &str)]| {
        ask("", LOOPBACK, "127.0.0.1:1", &Method::GET, uri, headers).err()
    };
    assert_eq!(get("/", &two), Some(Code::HostNotAllowed));
    assert_eq!(get("/", &[]), Some(Code::HostNotAllowed));
    assert_eq!(get("http://localhost/", &[("host", "localhost")]), Some(Code::InvalidRequest));
    assert_eq!(get("http://u@localhost/", &[("host", "localhost")]), Some(Code::InvalidRequest));
    let connect = ask("", LOOPBACK, "127.0.0.1:1", &Method::CONNECT, "localhost:1", &[("host", "localhost")]);
    assert_eq!(connect.err(), Some(Code::InvalidRequest));
}

#[test]
fn r6_only_pages_of_our_own_may_call() {
    let post = |origin: &str| {
        let headers = [("host", "localhost:7788"), ("origin", origin)];
        ask("", LOOPBACK, "127.0.0.1:1", &Method::POST, "/", &headers).map(|client| client.cors)
    };
    assert_eq!(post("http://localhost:7788"), Ok(None));
    assert_eq!(post("HTTP://LOCALHOST:7788"), Ok(None));
    for bad in [
        "null",
        "",
        "http://localhost",
        "https://localhost:7788",
        "http://127.0.0.1:7788",
        "http://localhost:7789",
        "http://evil.example",
        "http://localhost:7788.evil.example",
        "http://localhost:7788/",
        "localhost:7788",
        "http://localhost:7788@evil.example",
        "file://",
        "http://localhost.:7788",
    ] {
        assert_eq!(post(bad), Err(Code::OriginNotAllowed), "{bad}");
    }
    let two = [("host", "localhost"), ("origin", "http://localhost"), ("origin", "http://localhost")];
    assert_eq!(
        ask("", LOOPBACK, "127.0.0.1:1", &Method::POST, "/", &two).err(),
        Some(Code::OriginNotAllowed)
    );
    let cors = "api.allowed_origins = ['https://page.example']";
    let headers = [("host", "localhost"), ("origin", "https://page.example")];
    let client = ask(cors, LOOPBACK, "127.0.0.1:1", &Method::GET, "/", &headers).unwrap();
    assert_eq!(client.cors.as_deref(), Some("https://page.example"));
}

#[test]
fn r6_what_a_foreign_page_loads_without_an_origin_is_refused_but_not_a_link_to_us() {
    let get = |site: &str, mode: &str| {
        let headers = [("host", "localhost"), ("sec-fetch-site", site), ("sec-fetch-mode", mode)];
        ask("", LOOPBACK, "127.0.0.1:1", &Method::GET, "/", &headers).is_ok()
    };
    assert!(get("none", "navigate") && get("same-origin", "cors") && get("cross-site", "navigate"));
    assert!(!get("cross-site", "no-cors") && !get("same-site", "cors") && !get("what", "websocket"));
}

#[test]
fn r6_forwarded_headers_count_from_trusted_proxies_only() {
    let toml = "api.trusted_proxies = ['10.0.0.0/8', '127.0.0.1']\napi.allowed_hosts = ['skep.example']";
    let headers = [
        ("host", "127.0.0.1:7788"),
        ("x-forwarded-host", "skep.example"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.1.1.1"),
        ("origin", "https://skep.example"),
    ];
    let client = ask(toml, LOOPBACK, "127.0.0.1:1", &Method::POST, "/", &headers).unwrap();
    assert_eq!(client.address.to_string(), "203.0.113.9");
    assert_eq!((client.authority.as_str(), client.secure), ("skep.example", true));
    // Without trust the same headers mean nothing, and the origin is a foreign one.
    let untrusted = ask("", LOOPBACK, "127.0.0.1:1", &Method::POST, "/", &headers);
    assert_eq!(untrusted, Err(Code::OriginNotAllowed));
    let client = ask("", LOOPBACK, "127.0.0.1:1", &Method::POST, "/", &headers[..4]).unwrap();
    assert_eq!((client.address.to_string().as_str(), client.secure), ("127.0.0.1", false));
    assert_eq!(client.authority, "127.0.0.1:7788");
    let broken = [("host", "localhost"), ("x-forwarded-for", "6.6.6.6, nonsense")];
    assert_eq!(
        ask(toml, LOOPBACK, "127.0.0.1:1", &Method::GET, "/", &broken).err(),
        Some(Code::InvalidRequest)
    );
    let stranger = [("host", "localhost"), ("x-forwarded-host", "evil.example")];
    assert_eq!(
        ask(toml, LOOPBACK, "127.0.0.1:1", &Method::GET, "/", &stranger).err(),
        Some(Code::HostNotAllowed)
    );
}
