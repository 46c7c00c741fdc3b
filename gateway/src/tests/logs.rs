//! Logs over HTTP.

use http_body_util::BodyExt as _;
use hyper::Method;
use tokio::time::timeout;

use super::bench::{Bench, SOON};

async fn text(bench: &Bench, path: &str) -> (String, String) {
    let response = bench.send(Method::GET, &format!("/api/v1{path}"), b"", &[]).await;
    assert_eq!(response.status(), 200);
    let log_type = response.headers()["x-skep-log-type"].to_str().unwrap().to_owned();
    let body = timeout(SOON, response.into_body().collect()).await.unwrap().unwrap().to_bytes();
    (log_type, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn c5_a_session_without_other_logs_shows_its_transcript() {
    let bench = Bench::start().await;
    let id = bench.session("s").await;
    bench.prompt("s", "3").await;
    bench.until_seq(id, 8).await;
    let (log_type, whole) = text(&bench, "/sessions/s/logs").await;
    assert_eq!(log_type, "transcript");
    assert_eq!(whole, "> 3\nline 0 é\nline 1 é\nline 2 é\n✓ completed\n");
    assert_eq!(text(&bench, "/sessions/s/logs?tail=2").await.1, "line 2 é\n✓ completed\n");
    std::fs::write(bench.engine.paths().session(&id).join("process.log"), "oops\n").unwrap();
    assert_eq!(text(&bench, "/sessions/s/logs").await, (String::from("process"), String::from("oops\n")));
    assert_eq!(text(&bench, "/sessions/s/logs?type=transcript&tail=1").await.1, "✓ completed\n");
    assert_eq!(text(&bench, "/sessions/s/logs?type=debug").await.1, "");
    bench.end().await;
}

#[tokio::test]
async fn a_followed_log_goes_on_across_its_rotation_and_ends_with_the_daemon() {
    let bench = Bench::start().await;
    let logs = bench.engine.paths().logs();
    std::fs::create_dir_all(&logs).unwrap();
    let path = logs.join("w1.log");
    std::fs::write(&path, "1\n2\n3\n").unwrap();
    let response =
        bench.send(Method::GET, "/api/v1/workers/w1/logs?type=process&tail=1&follow=true", b"", &[]).await;
    let mut body = response.into_body();
    let mut seen = String::new();
    let mut until = async |wanted: &str| {
        while seen != wanted {
            let frame = timeout(SOON, body.frame()).await.expect("the log goes on").unwrap().unwrap();
            seen.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
        }
    };
    until("3\n").await;
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    std::io::Write::write_all(&mut file, b"4\n").unwrap();
    until("3\n4\n").await;
    std::fs::rename(&path, logs.join("w1.log.1")).unwrap();
    std::fs::write(&path, "5\n").unwrap();
    until("3\n4\n5\n").await;
    bench.stop.cancel();
    assert!(timeout(SOON, body.frame()).await.expect("the stream ends").is_none());
    bench.end().await;
}

#[tokio::test]
async fn c5_a_followed_log_goes_on_with_the_next_day() {
    let bench = Bench::start().await;
    let logs = bench.engine.paths().logs();
    let (old, new) = (logs.join("2026-11-20"), logs.join("2026-11-21"));
    std::fs::create_dir_all(&old).unwrap();
    std::fs::write(old.join("repo.log"), "23:59\n").unwrap();
    let path = "/api/v1/daemon/logs?type=telemetry&tail=1&follow=true";
    let mut body = bench.send(Method::GET, path, b"", &[]).await.into_body();
    let mut seen = String::new();
    let mut until = async |wanted: &str| {
        while seen != wanted {
            let frame = timeout(SOON, body.frame()).await.expect("the log goes on").unwrap().unwrap();
            seen.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
        }
    };
    until("23:59\n").await;
    std::fs::create_dir(&new).unwrap();
    std::fs::write(new.join("repo.log"), "00:00\n").unwrap();
    until("23:59\n00:00\n").await;
    let mut file = std::fs::OpenOptions::new().append(true).open(new.join("repo.log")).unwrap();
    std::io::Write::write_all(&mut file, b"00:01\n").unwrap();
    until("23:59\n00:00\n00:01\n").await;
    bench.end().await;
}

#[tokio::test]
async fn c4_a_log_is_searched_in_upper_and_lower_case_before_its_tail_is_cut() {
    let bench = Bench::start().await;
    let logs = bench.engine.paths().logs();
    std::fs::create_dir_all(&logs).unwrap();
    std::fs::write(logs.join("w1.log"), "an Error\nfine\nÄRGER\nerror again\nthe end, an ERROR").unwrap();
    let found = async |query: &str| text(&bench, &format!("/workers/w1/logs?type=process&{query}")).await.1;
    assert_eq!(found("grep=eRRor").await, "an Error\nerror again\nthe end, an ERROR");
    assert_eq!(found("grep=error&tail=1").await, "the end, an ERROR");
    assert_eq!(found("grep=%C3%A4rger").await, "ÄRGER\n");
    assert_eq!(found("grep=.*").await, "", "it is a text and no pattern");
    for senseless in ["grep=".to_owned(), format!("grep={}", "x".repeat(201))] {
        let path = format!("/api/v1/workers/w1/logs?{senseless}");
        assert_eq!(bench.send(Method::GET, &path, b"", &[]).await.status(), 422, "{senseless}");
    }
    bench.end().await;
}
