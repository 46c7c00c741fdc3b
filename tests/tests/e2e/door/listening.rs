//! Where the daemon listens, and who is told (R6, C1, C3, C8).

use super::*;

#[test]
fn r6_tcp_is_off_until_it_is_asked_for_and_then_loopback_only() {
    let env = TestEnv::new();
    env.start_daemon();
    let status = env.skep(["daemon", "status", "--json"]).run().ok().json();
    assert!(status["endpoint"].as_str().unwrap().starts_with("unix:"), "{status}");
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let inodes =
        env.program("sh".as_ref()).args(["-c", &format!("ls -l /proc/{}/fd", status["pid"])]).run().ok();
    for line in tables.iter().flat_map(|table| table.lines().skip(1)) {
        let inode = line.split_ascii_whitespace().nth(9).unwrap();
        assert!(inode == "0" || !inodes.stdout.contains(&format!("socket:[{inode}]")), "{line}");
    }
    let at = start(&env);
    assert!(at.ip().is_loopback() && at.port() != 0);
}

#[test]
fn c1_the_status_and_the_state_file_tell_every_endpoint() {
    let env = TestEnv::new();
    let started = env.skep(["daemon", "start", "--port", "0", "--json"]).run().ok().json();
    let at = address(&env);
    assert_eq!(started["endpoint"], format!("http://{at}"));
    assert_eq!(started["endpoints"][1], format!("http://{at}"));
    let file: Value =
        serde_json::from_slice(&std::fs::read(env.state().join("daemon.json")).unwrap()).unwrap();
    assert_eq!(file["urls"], json!([format!("http://{at}")]));
    let text = env.skep(["daemon", "status"]).run().ok();
    assert!(text.stdout.contains(&format!("http://{at}")), "{text}");
    // The very same API serves both.
    let over_tcp = call(at, &token(&env), "GET", "/daemon", &Value::Null).is(200).json();
    assert_eq!(over_tcp["pid"], env.api().get("/daemon").is(200).json()["pid"]);
}

#[test]
fn c3_a_start_with_a_port_adds_a_listener_to_the_daemon_that_serves() {
    let env = TestEnv::new();
    env.start_daemon();
    let before = env.skep(["daemon", "status", "--json"]).run().ok().json();
    let at = start(&env);
    let after = env.skep(["daemon", "status", "--json"]).run().ok().json();
    assert_eq!(before["pid"], after["pid"]);
    let _health = ask(at, "GET", "/health", &[], "").is(200);
    // Once more changes nothing: any port will do, and that one is open.
    assert_eq!(start(&env), at);
    let added = env.api().post("/daemon/start", &json!({"port": 0, "host": "::1"})).is(200).json();
    assert_eq!(added["endpoints"].as_array().unwrap().len(), 3, "{added}");
    let six: SocketAddr =
        added["endpoints"][2].as_str().unwrap().split_once("//").unwrap().1.parse().unwrap();
    assert!(six.is_ipv6());
    let _health = ask(six, "GET", "/health", &[], "").is(200);
    skep_tests::wait::wait_until("the state file to tell it", || {
        let file: Value =
            serde_json::from_slice(&std::fs::read(env.state().join("daemon.json")).unwrap()).unwrap();
        file["urls"].as_array().is_some_and(|urls| urls.len() == 2)
    });
    // A port that somebody else has is said so, and changes nothing.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let refused = env.api().post("/daemon/start", &json!({ "port": port }));
    assert!(refused.refuses(422, "invalid_value").text().contains(&port.to_string()));
}

#[test]
fn c8_an_address_beyond_loopback_without_a_password_is_refused_by_name() {
    let env = TestEnv::new();
    let refused = env.skep(["daemon", "start", "--host", "0.0.0.0"]).run();
    assert_ne!(refused.code(), 0);
    assert!(refused.stderr.contains("SKEP_PASSWORD_FILE"), "{refused}");
    env.start_daemon();
    let refused = env.api().post("/daemon/start", &json!({"host": "0.0.0.0"}));
    assert!(refused.refuses(422, "password_required").text().contains("SKEP_PASSWORD_FILE"));
    let _stopped = env.skep(["daemon", "stop"]).run().ok();
    let none = env.skep(["daemon", "start", "--host", "0.0.0.0"]).env("SKEP_AUTH", "none").run();
    assert_ne!(none.code(), 0);
    assert!(none.stderr.contains("loopback only"), "{none}");
}
