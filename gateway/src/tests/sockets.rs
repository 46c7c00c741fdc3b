//! Streams as WebSockets, by a client that others wrote.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::bench::{Bench, SOON, TOKEN};

type Client = WebSocketStream<UnixStream>;

async fn connect(bench: &Bench, path: &str) -> Result<Client, Error> {
    let mut request = format!("ws://skep/api/v1{path}").into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {TOKEN}").parse().unwrap());
    tokio_tungstenite::client_async(request, bench.connect().await).await.map(|(client, _)| client)
}

/// The next message, or the close code with its reason.
async fn next(client: &mut Client) -> Result<Value, (CloseCode, String)> {
    loop {
        match timeout(SOON, client.next()).await.expect("the stream goes on in time") {
            Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Close(Some(frame)))) => return Err((frame.code, frame.reason.to_string())),
            Some(Ok(_)) => {}
            other => panic!("the connection ended without a close: {other:?}"),
        }
    }
}

async fn until(client: &mut Client, kind: &str) -> Vec<Value> {
    let mut seen = Vec::new();
    loop {
        seen.push(next(client).await.unwrap());
        if seen.last().unwrap()["event"] == kind {
            return seen;
        }
    }
}

#[tokio::test]
async fn q2_a_websocket_has_the_same_events_and_cursors_as_the_stream() {
    let bench = Bench::start().await;
    bench.session("s").await;
    bench.prompt("s", "5").await;
    let mut stream = bench.follow("s", "?after=2", None).await;
    let mut client = connect(&bench, "/sessions/s/events?after=2").await.unwrap();
    loop {
        let (sse, ws) = (stream.next().await.unwrap(), next(&mut client).await.unwrap());
        assert_eq!((sse.id, sse.event.as_str()), (ws["id"].as_u64(), ws["event"].as_str().unwrap()));
        assert_eq!(serde_json::from_str::<Value>(&sse.data).unwrap(), ws["data"]);
        if sse.event == "turn_ended" {
            break;
        }
    }
    drop(stream);
    bench.post("/sessions/s/close", json!({})).await;
    until(&mut client, "session_closed").await;
    assert_eq!(next(&mut client).await, Err((CloseCode::Normal, String::from("complete"))));
    bench.end().await;
}

#[tokio::test]
async fn a_websocket_that_cannot_begin_says_why_in_its_close_code() {
    let bench = Bench::start().await;
    bench.session("s").await;
    for (path, number, code) in [
        ("/sessions/s/events?after=99", 4409, "cursor_invalid"),
        ("/sessions/nobody/events", 4404, "session_not_found"),
    ] {
        let mut client = connect(&bench, path).await.unwrap();
        let last = next(&mut client).await.unwrap();
        assert_eq!((&last["event"], &last["data"]["error"]["code"]), (&json!("error"), &json!(code)));
        assert_eq!(next(&mut client).await, Err((CloseCode::from(number), code.to_owned())));
    }
    assert!(matches!(connect(&bench, "/sessions/s/events?limit=5").await, Err(Error::Http(_))));
    bench.end().await;
}

#[tokio::test]
async fn a_websocket_beats_answers_pings_and_ends_with_the_daemon() {
    let bench = Bench::configured("api.stream_heartbeat = '1 s'").await;
    bench.session("s").await;
    let mut client = connect(&bench, "/sessions/s/events").await.unwrap();
    until(&mut client, "heartbeat").await;
    client.send(Message::Ping(vec![7].into())).await.unwrap();
    loop {
        if let Message::Pong(payload) = timeout(SOON, client.next()).await.unwrap().unwrap().unwrap() {
            assert_eq!(payload[..], [7]);
            break;
        }
    }
    bench.stop.cancel();
    let closed = async {
        loop {
            if let Err(closed) = next(&mut client).await {
                break closed;
            }
        }
    };
    assert_eq!(closed.await, (CloseCode::Away, String::from("shutting_down")));
    bench.end().await;
}

#[tokio::test]
async fn a_websocket_that_answers_no_ping_is_given_up_and_its_place_is_free_again() {
    let bench = Bench::configured("api.stream_heartbeat = '1 s'\napi.max_connections = 2").await;
    bench.session("s").await;
    let silent = connect(&bench, "/sessions/s/events").await.unwrap();
    let second = connect(&bench, "/sessions").await.unwrap();
    assert!(connect(&bench, "/sessions").await.is_err(), "both places are taken");
    drop(second);
    let again = async {
        while connect(&bench, "/sessions").await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, again).await.expect("a closed connection's place is free");
    // Nobody reads `silent`, so no pong is sent; once it is given up, two others fit.
    let two = async {
        loop {
            let first = connect(&bench, "/sessions").await;
            let other = connect(&bench, "/sessions").await;
            if first.is_ok() && other.is_ok() {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, two).await.expect("a dead client's place is free");
    drop(silent);
    bench.end().await;
}

#[tokio::test]
async fn a_slow_websocket_gets_everything() {
    let bench = Bench::start().await;
    let id = bench.session("s").await;
    let mut slow = connect(&bench, "/sessions/s/events").await.unwrap();
    for turn in 1..=2 {
        bench.prompt("s", "10000").await;
        bench.until_seq(id, turn * 10_000).await;
    }
    let mut ids = Vec::new();
    while ids.last().is_none_or(|last| *last < 20_000) {
        ids.extend(next(&mut slow).await.unwrap()["id"].as_u64());
    }
    assert_eq!(ids, (1..=*ids.last().unwrap()).collect::<Vec<_>>());
    bench.end().await;
}

#[tokio::test]
async fn the_stream_of_all_sessions_is_a_websocket_too() {
    let bench = Bench::start().await;
    bench.session("one").await;
    let mut client = connect(&bench, "/sessions").await.unwrap();
    let snapshot = next(&mut client).await.unwrap();
    assert_eq!(snapshot["event"], "snapshot");
    assert_eq!(snapshot["data"]["sessions"][0]["name"], "one");
    bench.session("two").await;
    while until(&mut client, "session").await.last().unwrap()["data"]["name"] != "two" {}
    bench.call(hyper::Method::DELETE, "/sessions/one?force=true", &Value::Null).await;
    until(&mut client, "removed").await;
    bench.end().await;
}
