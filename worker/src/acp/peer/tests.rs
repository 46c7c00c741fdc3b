use super::*;
use proptest::prelude::*;

async fn all(bytes: &[u8], limit: usize) -> (Vec<Message>, u64, Vec<usize>) {
    let mut reader = Reader::with_limit(bytes, limit);
    let (mut messages, mut noise, mut dropped) = (Vec::new(), 0, Vec::new());
    while let Some(batch) = reader.read().await.unwrap() {
        messages.extend(batch.messages);
        noise += batch.noise;
        dropped.extend(batch.dropped);
    }
    (messages, noise, dropped)
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[tokio::test]
async fn g13_noise_is_counted_and_the_messages_around_it_are_read() {
    let input = concat!(
        "Starting up...\n",
        "\n",
        r#"{"jsonrpc":"2.0","method":"session/update","params":{"x":1.00}}"#,
        "\n[1,2]\n{\"id\":null}\n42\n",
        r#"{"jsonrpc":"2.0","id":"str","method":"fs/read","params":null}"#,
        "\n{\"id\":[1],\"method\":\"x\"}\n",
        r#"{"jsonrpc":"2.0","id":7,"result":null}"#,
        "\n",
        r#"{"jsonrpc":"2.0","id":8,"error":{"code":-32000,"message":"no"}}"#,
        "\n",
        r#"{"jsonrpc":"2.0","id":9,"error":"odd"}"#
    );
    let (messages, noise, dropped) = all(input.as_bytes(), MAX_FRAME).await;
    assert_eq!((noise, dropped.len()), (5, 0));
    assert!(matches!(&messages[0], Message::Notification { method, params: Some(params) }
        if method == "session/update" && params.get() == r#"{"x":1.00}"#));
    assert!(matches!(&messages[1], Message::Request { method, .. } if method == "fs/read"));
    assert!(matches!(&messages[2], Message::Response { id, result: Ok(_) } if id.number() == Some(7)));
    assert!(matches!(&messages[3], Message::Response { result: Err(error), .. } if error.code == -32000));
    assert!(
        matches!(&messages[4], Message::Response { result: Err(error), .. } if error.message == "\"odd\"")
    );
    assert_eq!(messages.len(), 5);
}

#[tokio::test]
async fn g13_a_line_over_the_limit_is_dropped_and_reported() {
    let mut input = vec![b'x'; 100_000];
    input.extend_from_slice(b"\n{\"id\":1,\"result\":{}}\n");
    let (messages, noise, dropped) = all(&input, 1000).await;
    assert_eq!((messages.len(), noise, dropped), (1, 0, vec![100_000]));
}

#[tokio::test]
async fn g9_surrogates_and_broken_utf8_do_not_lose_the_message() {
    let surrogate = br#"{"method":"a\ud800","params":{"t":"\ud800"}}"#;
    let (messages, noise, _) = all(surrogate, MAX_FRAME).await;
    assert_eq!(noise, 0);
    let Message::Notification { params: Some(params), .. } = &messages[0] else { panic!("{messages:?}") };
    let value: serde_json::Value = message::read(params).unwrap();
    assert_eq!(value["t"], "\u{fffd}");
    let (messages, noise, _) = all(b"{\"method\":\"a\",\"params\":{\"t\":\"\xff\"}}", MAX_FRAME).await;
    assert_eq!((messages.len(), noise), (1, 0));
}

#[tokio::test]
async fn a_string_id_is_echoed_exactly() {
    let (messages, ..) = all(br#"{"id":"a\u0062\"","method":"x"}"#, MAX_FRAME).await;
    let Message::Request { id, .. } = &messages[0] else { panic!("{messages:?}") };
    let line = message::response(id, Err::<&(), _>(&RpcError::new(message::METHOD_NOT_FOUND, "no"))).unwrap();
    assert!(String::from_utf8(line).unwrap().contains(r#""id":"a\u0062\"""#));
}

#[tokio::test]
async fn calls_get_their_own_answers_and_unknown_ids_are_told() {
    let calls = Calls::default();
    let (one, first) = calls.register();
    let (two, second) = calls.register();
    let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
    assert!(calls.resolve(&Id::from(two), Ok(raw("2"))));
    assert!(!calls.resolve(&Id::from(two), Ok(raw("2"))), "a double answer");
    assert!(!calls.resolve(&Id::from(99), Ok(raw("2"))), "an unknown id");
    assert!(calls.resolve(&Id::from(one), Ok(raw("1"))));
    assert_eq!((first.await.unwrap().unwrap().get(), second.await.unwrap().unwrap().get()), ("1", "2"));
    let (_, third) = calls.register();
    calls.clear();
    assert!(third.await.is_err());
}

#[tokio::test]
async fn the_writer_keeps_the_order_and_ends_with_its_handles() {
    let (ours, mut theirs) = tokio::io::duplex(64);
    let (writer, task) = writer(ours);
    let send = async move {
        for n in 0..100 {
            writer.notify("n", &n).await.unwrap();
        }
    };
    let mut text = String::new();
    let (written, (), read) = tokio::join!(task, send, theirs.read_to_string(&mut text));
    written.unwrap();
    read.unwrap();
    assert_eq!(text.lines().count(), 100);
    assert!(text.lines().enumerate().all(|(n, line)| line.ends_with(&format!("\"params\":{n}}}"))));
}

proptest! {
    #[test]
    fn g13_any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
        let (messages, noise, dropped) = block_on(all(&bytes, 50));
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
        prop_assert!(messages.len() + usize::try_from(noise).unwrap() + dropped.len() <= lines);
    }

    #[test]
    fn g9_messages_do_not_depend_on_the_reads(text in "[a-zé\"\\\\]{0,30}", cut in 1usize..9) {
        let line = message::notification("m", &text).unwrap();
        let mut input = line.clone();
        input.extend_from_slice(&line);
        let (ours, theirs) = tokio::io::duplex(cut);
        let messages = block_on(async {
            let mut theirs = theirs;
            let write = async move { theirs.write_all(&input).await.unwrap() };
            let read = async {
                let mut reader = Reader::new(ours);
                let mut messages = Vec::new();
                while let Some(batch) = reader.read().await.unwrap() {
                    messages.extend(batch.messages);
                }
                messages
            };
            tokio::join!(write, read).1
        });
        prop_assert_eq!(messages.len(), 2);
        for message in messages {
            let Message::Notification { params: Some(params), .. } = message else { panic!() };
            prop_assert_eq!(&message::read::<String>(&params).unwrap(), &text);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_peer_that_does_not_read_is_bounded_in_bytes() {
    let (near, _far) = tokio::io::duplex(1);
    let (writer, write_loop) = writer(near);
    let mut sent = 0;
    let flood = async {
        loop {
            writer.send(vec![b'y'; 64 * 1024]).await.unwrap();
            sent += 64 * 1024;
        }
    };
    let both = async { tokio::join!(write_loop, flood) };
    assert!(tokio::time::timeout(std::time::Duration::from_secs(1), both).await.is_err());
    assert!(sent <= OUTGOING_BYTES, "{sent}");
}

#[tokio::test]
async fn a_line_that_is_longer_than_all_that_may_wait_is_written() {
    let (near, mut far) = tokio::io::duplex(1024);
    let (writer, write_loop) = writer(near);
    let long = vec![b'y'; OUTGOING_BYTES + 7];
    let mut read = Vec::new();
    let send = async {
        for _ in 0..2 {
            writer.send(long.clone()).await.unwrap();
        }
        drop(writer);
    };
    let (_, written, _) = tokio::join!(send, write_loop, far.read_to_end(&mut read));
    written.unwrap();
    assert_eq!(read.len(), 2 * long.len());
}
