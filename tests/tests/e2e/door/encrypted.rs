//! TLS over TCP (R6): with a certificate that skep makes, and with one that is given; as curl and Python see it, and as
//! those do who mean no good.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use skep_tests::agents;
use skep_tests::cmd::Output;
use skep_tests::wait::wait_until;

use super::*;

const OWN: &str = "[api.tls]\nmode = 'self'\n";

/// What curl says to a GET that trusts this certificate: the status, then the body.
fn curl(env: &TestEnv, certificate: &Path, url: &str, headers: &[&str]) -> Output {
    let mut args = vec!["-sS", "-m", "20", "-w", "\n%{http_code}", "--cacert", certificate.to_str().unwrap()];
    args.extend(headers.iter().flat_map(|header| ["-H", header]));
    args.push(url);
    env.program("curl".as_ref()).args(args).run()
}

fn certificate(env: &TestEnv) -> PathBuf {
    env.state().join("certificate.pem")
}

/// What `daemon status` tells of the certificate.
fn told(env: &TestEnv) -> Value {
    env.skep(["daemon", "status", "--json"]).run().ok().json()["tls"].clone()
}

/// Everything that the server answers to these bytes, until it closes.
fn answer_to(at: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(at);
    drop(stream.write_all(bytes));
    until_closed(stream)
}

/// A certificate and its key as files of their own, made by a daemon of its own.
fn pair(into: &Path) -> (PathBuf, PathBuf, String) {
    let env = TestEnv::with_config(OWN);
    start(&env);
    let whole = std::fs::read_to_string(env.state().join("tls.pem")).unwrap();
    let (certificate, key) = whole.split_at(whole.find("-----BEGIN PRIVATE").unwrap());
    let paths = (into.join("fullchain.pem"), into.join("privkey.pem"));
    std::fs::write(&paths.0, certificate).unwrap();
    std::fs::write(&paths.1, key).unwrap();
    std::fs::set_permissions(&paths.1, std::fs::Permissions::from_mode(0o600)).unwrap();
    (paths.0, paths.1, told(&env)["fingerprint"].as_str().unwrap().to_owned())
}

#[test]
fn r6_a_self_made_certificate_encrypts_and_is_known_by_its_file_and_its_fingerprint() {
    let env = TestEnv::with_config(OWN);
    let at = start(&env);
    let file: Value =
        serde_json::from_slice(&std::fs::read(env.state().join("daemon.json")).unwrap()).unwrap();
    assert_eq!(file["urls"], json!([format!("https://{at}")]));
    assert_eq!(file["tls"]["certificate"], json!(certificate(&env)));
    let mode = std::fs::metadata(env.state().join("tls.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // By address and by name, with the token and without.
    let bearer = format!("authorization: Bearer {}", token(&env));
    for host in [at.to_string(), format!("localhost:{}", at.port())] {
        let _health = curl(&env, &certificate(&env), &format!("https://{host}/health"), &[]).ok().says("200");
        let url = format!("https://{host}/api/v1/sessions");
        let _in = curl(&env, &certificate(&env), &url, &[&bearer]).ok().says("200");
        let _out = curl(&env, &certificate(&env), &url, &[]).ok().says("unauthorized").says("401");
    }
    // Who does not know the certificate does not trust it.
    let stranger = env.program("curl".as_ref()).args(["-sS", &format!("https://{at}/health")]).run();
    assert_eq!(stranger.code(), 60, "{stranger}");
    // The fingerprint is the one that others compute of what the port shows.
    let fingerprint = told(&env)["fingerprint"].as_str().unwrap().to_owned();
    let seen = client(&env, &["show", &at.to_string()]).run().ok();
    assert_eq!(seen.stdout.trim(), fingerprint.replace(':', "").to_lowercase());
    let status = env.skep(["daemon", "status"]).run().ok();
    let _told = status.says(&fingerprint).says(&format!("https://{at}"));
    let opened = env.skep(["open", "--print"]).run().ok();
    assert!(opened.stdout.starts_with(&format!("https://{at}/login?code=")), "{opened}");
    let _told = opened.warns(&fingerprint);
    // It is kept: a restart does not make browsers ask again.
    let _again = env.skep(["daemon", "restart"]).run().ok();
    assert_eq!(told(&env)["fingerprint"], json!(fingerprint));
}

#[test]
fn r6_plain_http_on_an_encrypted_port_is_told_so_at_once() {
    let env = TestEnv::with_config(OWN);
    let at = start(&env);
    let begun = Instant::now();
    for request in ["GET /api/v1/sessions HTTP/1.1\r\nhost: x\r\n\r\n", "POST / HTTP/1.1\r\n"] {
        let answer = raw(at, request).refuses(400, "invalid_request");
        assert!(answer.text().contains("https://"), "{}", answer.text());
    }
    assert!(begun.elapsed() < SOON);
    // A large request hears it as well, whole.
    let large = format!("POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 60000\r\n\r\n{}", "x".repeat(60_000));
    let _refused = raw(at, &large).refuses(400, "invalid_request");
}

#[test]
fn g13_broken_and_half_handshakes_are_dropped_in_time_and_disturb_nobody() {
    let env = TestEnv::with_config(&format!("[api]\nheader_timeout = '500 ms'\nmax_connections = 16\n{OWN}"));
    let at = start(&env);
    let hello: &[&[u8]] = &[
        // A record of nonsense, one larger than records may be, one of another protocol, and none at all.
        b"\x16\x03\x01\x00\x05hello",
        &[&b"\x16\x03\x03\xff\xff"[..], &[0; 70_000]].concat(),
        b"\x16\xff\xff\x00\x01\x00",
        b"\x80\x2e\x01\x00\x02",
        b"\x15\x03\x01\x00\x02\x02\x00",
        b"hello\r\n\r\n",
    ];
    for bytes in hello {
        let answer = answer_to(at, bytes);
        assert!(!answer.contains("HTTP"), "{answer:?}");
    }
    // So many as handshakes may be under way begin one, and stop in its middle. The user's own terminal gets in.
    let half: Vec<TcpStream> = (0..14)
        .map(|_| {
            let mut stream = connect(at);
            drop(stream.write_all(b"\x16\x03\x01\x02\x00\x01"));
            stream
        })
        .collect();
    let _in = env.skep(["daemon", "status"]).run().ok();
    for stream in half {
        assert!(!until_closed(stream).contains("HTTP"));
    }
    let url = format!("https://{at}/health");
    wait_until("room for a good client", || curl(&env, &certificate(&env), &url, &[]).code() == 0);
}

#[test]
fn r6_only_current_versions_of_tls_and_hosts_of_ours_whatever_name_was_asked_for() {
    let env = TestEnv::with_config(OWN);
    let at = start(&env);
    let place = at.to_string();
    for version in ["1.2", "1.3"] {
        let spoken = client(&env, &["version", &place, version]).run().ok();
        assert_eq!(spoken.stdout.trim(), format!("TLSv{version}"));
    }
    let _refused = client(&env, &["version", &place, "1.1"]).run().exits(3);
    // The name in the handshake opens nothing: the request's own does.
    for name in ["evil.example", "localhost", &"a".repeat(63)] {
        let own = format!("GET /health HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n\r\n");
        let _served = client(&env, &["ask", &place, name]).stdin(own).run().ok().says("200 OK");
        let other = "GET /health HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
        let _refused = client(&env, &["ask", &place, name]).stdin(other).run().ok().says("host_not_allowed");
    }
}

#[test]
fn r6_a_browser_over_tls_has_a_secure_cookie_and_an_origin_of_https() {
    let env = TestEnv::with_config(OWN);
    let at = start(&env);
    let place = at.to_string();
    let code = |url: &str| url.trim().split_once("code=").unwrap().1.to_owned();
    let form = |origin: &str, code: &str| {
        let body = format!("code={code}");
        let head = format!(
            "POST /login HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\norigin: {origin}\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        client(&env, &["ask", &place, "localhost"]).stdin(head).run().ok()
    };
    let code = code(&env.skep(["open", "--print"]).run().ok().stdout);
    let _foreign = form(&format!("http://{at}"), &code).says("origin_not_allowed");
    let signed_in = form(&format!("https://{at}"), &code).says("303 See Other");
    assert!(signed_in.stdout.contains("; Secure"), "{signed_in}");
    assert!(!signed_in.stdout.to_lowercase().contains("strict-transport"), "{signed_in}");
}

#[test]
fn q2_a_websocket_runs_over_tls_as_well() {
    let env = TestEnv::with_config(OWN);
    let at = start(&env);
    let _ran = env.skep(["run", "--agent", "fake", "--name", "s", "updates 40"]).run().ok();
    let _closed = env.skep(["close", "s"]).run().ok();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/websocket.py");
    let url = format!("wss://{at}/api/v1/sessions/s/events");
    let heard = env
        .program(&agents::python())
        .arg(script)
        .args([url.as_str(), &token(&env)])
        .env("SSL_CERT_FILE", certificate(&env))
        .run()
        .ok();
    let lines: Vec<Value> = heard.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<u64> = lines.iter().filter_map(|line| line["id"].as_u64()).collect();
    assert!(ids.len() > 40 && ids.iter().copied().eq(1..=ids.len() as u64), "{ids:?}");
    assert_eq!(lines.last().unwrap()["closed"], 1000, "{heard}");
}

#[test]
fn r6_a_given_certificate_is_used_read_anew_on_a_reload_and_never_replaced_by_a_broken_one() {
    let env = TestEnv::new();
    let (certificate, key, first) = pair(&env.work());
    let config = format!(
        "[api.tls]\nmode = 'files'\ncertificate = '{}'\nkey = '{}'\n",
        certificate.display(),
        key.display()
    );
    env.configure(&config);
    let at = start(&env);
    assert_eq!(
        (told(&env)["fingerprint"].as_str(), told(&env)["mode"].as_str()),
        (Some(&*first), Some("files"))
    );
    let url = format!("https://{at}/health");
    let _health = curl(&env, &certificate, &url, &[]).ok().says("200");
    // Another one in its place, as `certbot renew` puts it there.
    let former = std::fs::read(&certificate).unwrap();
    let (_, _, second) = pair(&env.work());
    let _reloaded = env.skep(["daemon", "reload"]).run().ok();
    assert_eq!(told(&env)["fingerprint"], json!(second));
    let _health = curl(&env, &certificate, &url, &[]).ok().says("200");
    // The former certificate with the new key: refused, said, and nothing changes.
    std::fs::write(&certificate, former).unwrap();
    let refused = env.skep(["daemon", "reload"]).run();
    assert!(refused.code() != 0 && refused.stderr.contains("is not its key"), "{refused}");
    let told = told(&env);
    assert_eq!(told["fingerprint"], json!(second));
    assert!(told["problem"].as_str().unwrap().contains("is not its key"), "{told}");
}

#[test]
fn r6_a_certificate_that_cannot_be_used_stops_the_start_and_is_said_by_name() {
    let env = TestEnv::new();
    let (certificate, key, _) = pair(&env.work());
    let config = |certificate: &Path, key: &Path| {
        env.configure(&format!(
            "[api.tls]\nmode = 'files'\ncertificate = '{}'\nkey = '{}'\n",
            certificate.display(),
            key.display()
        ));
    };
    let refused = |with: &str| {
        let refused = env.skep(["daemon", "start", "--port", "0"]).run();
        assert!(refused.code() != 0 && refused.stderr.contains(with), "{refused}");
    };
    config(&certificate, &env.work().join("nothing.pem"));
    refused("nothing.pem");
    config(&key, &key);
    refused("holds no certificate");
    config(&certificate, &certificate);
    std::fs::set_permissions(&certificate, std::fs::Permissions::from_mode(0o600)).unwrap();
    refused("holds no private key");
    config(&certificate, &key);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    refused("chmod 600");
    // Without TCP nobody asks for a certificate.
    let _started = env.skep(["daemon", "start"]).run().ok();
    let refused = env.api().post("/daemon/start", &json!({"port": 0}));
    assert!(refused.refuses(422, "config_invalid").text().contains("chmod 600"));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let _started = env.api().post("/daemon/start", &json!({"port": 0})).is(200);
}

/// `tests/clients/tls.py`: TLS by hand, trusting anybody.
fn client(env: &TestEnv, args: &[&str]) -> skep_tests::cmd::Cmd {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/tls.py");
    env.program(&agents::python()).arg(script).args(args.iter().copied())
}
