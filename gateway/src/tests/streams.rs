//! Events: pages, streams, resuming exactly, slow readers.

use std::time::{Duration, Instant};

use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::bench::{Bench, SOON, Sse, TOKEN, json_of};

#[tokio::test]
async fn a_page_has_the_events_the_next_cursor_and_the_head() {
    let bench = Bench::start().await;
    let id = bench.session("s").await;
    bench.prompt("s", "5").await;
    bench.until_seq(id, 10).await;
    let (_, page) = bench.get("/sessions/s/events?limit=4").await;
    let seqs = |page: &Value| -> Vec<u64> {
        page["events"].as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap()).collect()
    };
    assert_eq!((seqs(&page), page["next"].as_u64()), (vec![1, 2, 3, 4], Some(4)));
    assert_eq!(page["head"]["seq"], 10);
    assert_eq!(page["events"][0]["kind"], "session_opened");
    assert!(page["events"][0].get("crc").is_none(), "the checksum is the file's affair");
    let (_, page) = bench.get("/sessions/s/events?after=4").await;
    assert_eq!((seqs(&page), page["next"].as_u64()), ((5..=10).collect(), Some(10)));
    let (_, page) = bench.get("/sessions/s/events?after=10").await;
    assert_eq!((seqs(&page), page["next"].as_u64()), (vec![], Some(10)));
    let (_, page) = bench.get("/sessions/s/events?tail_turns=1").await;
    assert_eq!(page["events"][0]["kind"], "prompt_queued");
    bench.end().await;
}

#[tokio::test]
async fn a_cursor_that_was_never_true_is_refused_with_the_way_on() {
    let bench = Bench::start().await;
    bench.session("s").await;
    for accept in ["application/json", "text/event-stream"] {
        let headers = [("accept", accept)];
        let response = bench.send(Method::GET, "/api/v1/sessions/s/events?after=99", b"", &headers).await;
        let (status, body) = json_of(response).await;
        assert_eq!((status, body["error"]["code"].as_str()), (StatusCode::CONFLICT, Some("cursor_invalid")));
        assert_eq!(body["error"]["details"]["resume_from"], 2);
    }
    let response = bench.send(Method::GET, "/api/v1/sessions/s/events", b"", &[("last-event-id", "x")]).await;
    assert_eq!(json_of(response).await.0, StatusCode::BAD_REQUEST);
    bench.end().await;
}

#[tokio::test]
async fn n2_each_event_comes_once_and_in_order_across_reconnects() {
    let bench = Bench::start().await;
    let id = bench.session("s").await;
    bench.prompt("s", "2000").await;
    let mut seen: Vec<u64> = Vec::new();
    let mut turns = 1;
    while seen.last().is_none_or(|last| *last < 4000) {
        let mut stream: Sse = bench.follow("s", "?after=0", seen.last().copied()).await;
        let first = stream.next().await.unwrap();
        assert_eq!((first.event.as_str(), first.id), ("epoch", None), "the epoch comes first");
        for _ in 0..(37 + seen.len() % 400) {
            if let Some(id) = stream.next().await.unwrap().id {
                seen.push(id);
            }
            if seen.last().is_some_and(|last| *last >= 4000) {
                break;
            }
            if turns < 2 && seen.len() > 500 {
                turns += 1;
                bench.prompt("s", "2000").await;
                bench.until_seq(id, 4000).await;
            }
        }
    }
    let expected: Vec<u64> = (1..=*seen.last().unwrap()).collect();
    assert_eq!(seen, expected);
    bench.end().await;
}

#[tokio::test]
async fn a_follower_sees_what_is_written_while_it_follows_and_the_end_of_the_session() {
    let bench = Bench::start().await;
    bench.session("s").await;
    let mut stream = bench.follow("s", "", None).await;
    stream.until("writer_opened").await;
    bench.prompt("s", "hang").await;
    stream.until("turn_started").await;
    bench.post("/sessions/s/cancel", json!({})).await;
    stream.until("turn_ended").await;
    bench.post("/sessions/s/close", json!({})).await;
    stream.until("session_closed").await;
    let end = stream.next().await.unwrap();
    assert_eq!((end.event.as_str(), end.data.as_str()), ("end", r#"{"reason":"complete"}"#));
    assert_eq!(stream.next().await, None, "a closed session's stream is complete");
    let mut again = bench.follow("s", "", None).await;
    again.until("session_closed").await;
    assert_eq!(again.next().await.map(|end| end.event), Some(String::from("end")));
    assert_eq!(again.next().await, None);
    bench.end().await;
}

#[tokio::test]
async fn a_silent_stream_sends_comments_and_a_removed_session_ends_it() {
    let bench = Bench::configured("api.stream_heartbeat = '1 s'").await;
    bench.session("s").await;
    let mut stream = bench.follow("s", "", None).await;
    stream.until("writer_opened").await;
    let beat = stream.next().await.unwrap();
    assert_eq!((beat.id, beat.event.as_str(), beat.data.as_str()), (None, "", ""));
    bench.call(Method::DELETE, "/sessions/s?force=true", &Value::Null).await;
    while stream.next().await.is_some() {}
    bench.end().await;
}

#[tokio::test]
async fn a_slow_reader_gets_everything_and_holds_nobody_up() {
    let bench = Bench::start().await;
    let id = bench.session("s").await;
    let mut slow = bench.connect().await;
    let head = format!(
        "GET /api/v1/sessions/s/events HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\nauthorization: Bearer {TOKEN}\r\n\r\n"
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    // Far more than a socket's buffers hold, while the slow one reads nothing.
    for turn in 1..=5 {
        bench.prompt("s", "10000").await;
        bench.until_seq(id, turn * 10_000).await;
    }
    let mut quick = bench.follow("s", "?after=40000", None).await;
    quick.until("turn_ended").await;
    drop(quick);
    let mut text = Vec::new();
    let last = format!("id: {}\n", 5 * 10_003 + 2);
    let all = async {
        let mut block = vec![0; 64 * 1024];
        while !String::from_utf8_lossy(&text[text.len().saturating_sub(70_000)..]).contains(&last) {
            let read = slow.read(&mut block).await.unwrap();
            assert!(read > 0, "the stream goes on");
            text.extend_from_slice(&block[..read]);
        }
    };
    timeout(SOON, all).await.expect("the slow reader catches up");
    let ids = memchr::memmem::find_iter(&text, b"\nid: ").count() + usize::from(text.starts_with(b"id: "));
    assert!(ids >= 50_000, "{ids}");
    bench.end().await;
}

#[tokio::test]
async fn the_stream_of_all_sessions_begins_with_a_snapshot_and_goes_on_with_changes() {
    let bench = Bench::start().await;
    bench.session("one").await;
    let headers = [("accept", "text/event-stream")];
    let response = bench.send(Method::GET, "/api/v1/sessions", b"", &headers).await;
    let mut stream = Sse::of(response);
    let first = stream.next().await.unwrap();
    assert_eq!(first.event, "snapshot");
    let snapshot: Value = serde_json::from_str(&first.data).unwrap();
    assert_eq!(snapshot["sessions"][0]["name"], "one");
    bench.session("two").await;
    let mut names = Vec::new();
    while !names.contains(&json!("two")) {
        let message = stream.next().await.unwrap();
        assert_eq!(message.event, "session");
        names.push(serde_json::from_str::<Value>(&message.data).unwrap()["name"].clone());
    }
    bench.call(Method::DELETE, "/sessions/one?force=true", &Value::Null).await;
    stream.until("removed").await;
    drop(stream);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_reach_a_reader_at_the_rate_at_which_the_disk_gives_them() {
    let bench = Bench::start().await;
    let id = bench.session("s").await;
    bench.prompt("s", "30000").await;
    bench.until_seq(id, 30_005).await;
    let began = Instant::now();
    let mut stream = bench.follow("s", "", None).await;
    let seen = stream.until("turn_ended").await;
    assert_eq!(seen.len(), 30_005);
    // No timed test: only a rate that would mean that something is read again and again.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    drop(stream);
    bench.end().await;
}
