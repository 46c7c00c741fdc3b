//! Prompts with more than text: what reaches the agent, what is kept and how, and what is refused.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use skep_common::code::Code;
use skep_common::event::Event;
use skep_common::ids::{IncomingId, PromptId, SessionId};
use skep_common::protocol::{Action, Reply};
use skep_common::session::content::{ATTACHMENTS, INCOMING};
use skep_common::session::{Cause, ContentBlock, SessionState, TurnOutcome, WhenBusy};

use crate::common::{Worker, action, agent};

fn block(json: &str) -> ContentBlock {
    serde_json::from_str(json).unwrap()
}

fn picture(bytes: &[u8]) -> ContentBlock {
    let sha: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let length = bytes.len();
    block(&format!(
        r#"{{"type":"image","mimeType":"image/png","attachment":{{"sha256":"{sha}","bytes":{length}}}}}"#
    ))
}

/// A prompt with more than its text; the bytes are what the engine would have put down for it.
fn with(session: SessionId, text: &str, more: &[ContentBlock], when_busy: WhenBusy) -> (PromptId, Action) {
    let prompt = PromptId::random();
    let mut request = action(session, prompt, text, when_busy);
    if let Action::Prompt { content, .. } = &mut request {
        content.extend_from_slice(more);
    }
    (prompt, request)
}

/// Puts bytes down for the request as the engine does.
fn put(worker: &Worker, request: &mut Action, bytes: &[u8]) -> PathBuf {
    let Action::Prompt { incoming, content, .. } = request else { panic!() };
    let id = *incoming.get_or_insert_with(IncomingId::random);
    let dir = worker.home.join(INCOMING).join(id.to_string());
    std::fs::create_dir_all(&dir).unwrap();
    let name = content.iter().find_map(ContentBlock::file_name).unwrap();
    std::fs::write(dir.join(name), bytes).unwrap();
    dir
}

fn run(
    worker: &mut Worker,
    session: SessionId,
    text: &str,
    bytes: &[u8],
) -> (TurnOutcome, Option<Cause>, String) {
    let (prompt, mut request) = with(session, text, &[picture(bytes)], WhenBusy::Queue);
    put(worker, &mut request, bytes);
    let reply = worker.request(request);
    assert!(matches!(reply, Reply::Prompt { .. }), "{reply:?}");
    end(worker, session, prompt)
}

fn end(worker: &mut Worker, session: SessionId, prompt: PromptId) -> (TurnOutcome, Option<Cause>, String) {
    worker.snapshot("end of the turn", session, |snapshot| {
        let turn = snapshot.last_turn.as_ref().filter(|turn| turn.prompt == prompt)?;
        Some((turn.outcome, turn.cause, turn.detail.clone().unwrap_or_default()))
    })
}

fn refusal(reply: Reply) -> (Code, String) {
    match reply {
        Reply::Error { error } => (error.code, error.message),
        other => panic!("{other:?}"),
    }
}

fn session_dir(worker: &Worker, session: SessionId) -> PathBuf {
    worker.home.join("sessions").join(session.to_string())
}

fn files(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_picture_longer_than_any_line_reaches_an_agent_that_sees_and_stays_out_of_the_journal() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, &agent("sees", &["sees"], ""));
    let session = worker.open("sees", |_| {});
    let bytes = vec![7; 7 << 20];
    assert_eq!(run(&mut worker, session, "blocks", &bytes).0, TurnOutcome::Completed);
    let base64 = bytes.len().div_ceil(3) * 4;
    assert!(base64 > skep_common::protocol::MAX_LINE);
    assert_eq!(worker.texts(session), [format!("text, image {base64}")]);
    let dir = session_dir(&worker, session);
    let journal: u64 = files(&dir.join("journal")).iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(journal < 64 * 1024, "{journal}");
    let kept = files(&dir.join(ATTACHMENTS));
    assert_eq!(kept.len(), 1);
    assert_eq!(dir.join(ATTACHMENTS).metadata().unwrap().mode() & 0o777, 0o700);
    std::fs::write(&kept[0], "damaged").unwrap();
    let (prompt, request) = with(session, "blocks", &[picture(&bytes)], WhenBusy::Queue);
    assert_eq!(refusal(worker.request(request)).0, Code::InvalidRequest, "they are not there any more");
    assert!(
        !worker.kinds(session).is_empty() && worker.run(session, "say still here") == TurnOutcome::Completed
    );
    assert!(
        worker
            .journal(session)
            .iter()
            .all(|event| !matches!(event, Event::PromptQueued(queued) if queued.prompt == prompt))
    );
    worker.shut_down();
}

#[test]
fn what_the_agent_does_not_take_is_refused_with_a_stable_code_and_never_dropped() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    let (outcome, cause, why) = run(&mut worker, session, "blocks", b"hi");
    assert_eq!((outcome, cause), (TurnOutcome::Refused, Some(Cause::ContentNotSupported)), "{why}");
    assert_eq!(why, "the prompt was not sent: the session's agent does not take images");
    let before = worker.kinds(session).len();
    let (_, mut request) = with(session, "blocks", &[picture(b"ho")], WhenBusy::Queue);
    put(&worker, &mut request, b"ho");
    let (code, why) = refusal(worker.request(request));
    assert_eq!(code, Code::ContentNotSupported, "{why}");
    assert_eq!(worker.kinds(session).len(), before, "nothing was journalled");
    assert_eq!(files(&session_dir(&worker, session).join(ATTACHMENTS)).len(), 1, "and nothing kept");

    let link = block(r#"{"type":"resource_link","uri":"file:///a","name":"a"}"#);
    let text = block(r#"{"type":"resource","resource":{"uri":"x:y","text":"whole"}}"#);
    let verb = block(r#"{"type":"text","text":"log"}"#);
    let (prompt, request) = with(session, "first", &[link, text, verb], WhenBusy::Queue);
    assert!(matches!(worker.request(request), Reply::Prompt { .. }));
    assert_eq!(end(&mut worker, session, prompt).0, TurnOutcome::Completed);
    assert_eq!(worker.texts(session), ["first[content of x:y]\nwhole\n[end of x:y]"]);
    let notes = worker.notes(session).join("\n");
    assert!(notes.contains("[resource x:y 5 bytes] was given to it as text"), "{notes}");
    worker.shut_down();
}

#[test]
fn a_queue_behind_a_prompt_that_is_refused_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let (mut worker, _) = Worker::start(&home, "");
    let session = worker.open("fake", |_| {});
    let (refused, mut request) = with(session, "blocks", &[picture(b"hi")], WhenBusy::Queue);
    put(&worker, &mut request, b"hi");
    let first = worker.ask(request);
    let (next, request) = with(session, "say on", &[], WhenBusy::Queue);
    let second = worker.ask(request);
    assert!(matches!(worker.reply(first), Reply::Prompt { .. }));
    assert!(matches!(worker.reply(second), Reply::Prompt { .. }));
    assert_eq!(end(&mut worker, session, refused).1, Some(Cause::ContentNotSupported));
    assert_eq!(end(&mut worker, session, next).0, TurnOutcome::Completed);
    assert_eq!(worker.texts(session), ["on"]);
    worker.shut_down();
}

#[test]
fn attachments_survive_the_queue_a_crash_and_a_retry() {
    let home = tempfile::tempdir().unwrap();
    let extra = agent("sees", &["sees"], "");
    let (mut worker, hello) = Worker::start(&home, &extra);
    let session = worker.open("sees", |_| {});
    let (cut, mut request) = with(session, "hang", &[picture(b"first")], WhenBusy::Queue);
    put(&worker, &mut request, b"first");
    assert!(matches!(worker.request(request), Reply::Prompt { queued: false, .. }));
    worker.wait_texts(session, 1);
    let (queued, mut request) = with(session, "blocks", &[picture(b"the second")], WhenBusy::Queue);
    put(&worker, &mut request, b"the second");
    assert!(matches!(worker.request(request), Reply::Prompt { queued: true, .. }));
    skep_sys::signal::send(&hello.process, skep_sys::signal::Signal::SIGKILL).unwrap();
    assert_eq!(worker.exit(), None);

    let (mut worker, _) = Worker::start(&home, &extra);
    worker.open("sees", |spec| spec.id = session);
    worker
        .snapshot("the cut", session, |snapshot| (snapshot.state == SessionState::Interrupted).then_some(()));
    let mut again = action(session, PromptId::random(), "", WhenBusy::Queue);
    let Action::Prompt { prompt, content, retry, .. } = &mut again else { panic!() };
    (*content, *retry) = (Vec::new(), true);
    let retried = *prompt;
    assert!(matches!(worker.request(again), Reply::Prompt { .. }));
    worker.snapshot("the turn", session, |snapshot| {
        snapshot.turn.as_ref().filter(|turn| turn.prompt == retried).map(drop)
    });
    worker.wait_texts(session, 2);
    let cancel = Action::Cancel { session, prompt: None, cause: Cause::Person };
    assert!(matches!(worker.request(cancel), Reply::Done { .. }));
    assert_eq!(end(&mut worker, session, queued).0, TurnOutcome::Completed);
    assert_eq!(worker.texts(session).last().unwrap(), "text, image 16");
    let retry = worker.journal(session).into_iter().find_map(|event| match event {
        Event::PromptQueued(queued) if queued.prompt == retried => Some((queued.retry_of, queued.content)),
        _ => None,
    });
    assert_eq!(
        retry.as_ref().map(|(of, content)| (*of, content.last())),
        Some((Some(cut), Some(&picture(b"first"))))
    );
    worker.shut_down();
}

#[test]
fn what_a_session_keeps_is_bounded_and_a_refused_prompt_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let extra = format!("max_attachments = \"2 KiB\"\n{}", agent("sees", &["sees"], ""));
    let (mut worker, _) = Worker::start(&home, &extra);
    let session = worker.open("sees", |_| {});
    assert_eq!(run(&mut worker, session, "blocks", &[1; 1500]).0, TurnOutcome::Completed);
    let (_, mut request) = with(session, "blocks", &[picture(&[2; 1500])], WhenBusy::Queue);
    put(&worker, &mut request, &[2; 1500]);
    let (code, why) = refusal(worker.request(request));
    assert_eq!(code, Code::TooLarge);
    assert!(why.contains("session.max_attachments"), "{why}");
    assert_eq!(
        run(&mut worker, session, "blocks", &[1; 1500]).0,
        TurnOutcome::Completed,
        "it is there already"
    );
    worker.prompt(session, "hang");
    let (_, mut request) = with(session, "blocks", &[picture(b"busy")], WhenBusy::Refuse);
    put(&worker, &mut request, b"busy");
    assert_eq!(refusal(worker.request(request)).0, Code::SessionBusy);
    assert_eq!(files(&session_dir(&worker, session).join(ATTACHMENTS)).len(), 1);
    worker.shut_down();
}

#[test]
fn a_command_gets_a_link_to_the_file_if_its_preset_says_so() {
    let home = tempfile::tempdir().unwrap();
    let oneshot = |name: &str, more: &str| {
        format!(
            "[agents.{name}]\ndriver = \"oneshot\"\ncommand = [\"cat\"]\nmode_args = {{ ask = [] }}\n{more}\n"
        )
    };
    let config = oneshot("cat", "") + &oneshot("links", "attachments = \"link\"");
    let (mut worker, _) = Worker::start(&home, &config);
    let session = worker.open("links", |_| {});
    assert_eq!(run(&mut worker, session, "look:", b"hi").0, TurnOutcome::Completed);
    let text = worker.texts(session).concat();
    let path = text.split_once("](file://").and_then(|(_, rest)| rest.split_once(')')).unwrap().0;
    assert_eq!(std::fs::read(path).unwrap(), b"hi", "{text}");
    assert!(worker.notes(session).concat().contains("was given to it as a link to a file"));
    let session = worker.open("cat", |_| {});
    let (_, mut request) = with(session, "look:", &[picture(b"hi")], WhenBusy::Queue);
    put(&worker, &mut request, b"hi");
    assert_eq!(refusal(worker.request(request)).0, Code::ContentNotSupported);
    let link = block(r#"{"type":"resource_link","uri":"file:///a%20b","name":"a b"}"#);
    let (prompt, request) = with(session, "see", &[link], WhenBusy::Queue);
    assert!(matches!(worker.request(request), Reply::Prompt { .. }));
    assert_eq!(end(&mut worker, session, prompt).0, TurnOutcome::Completed);
    assert_eq!(worker.texts(session).concat().trim(), "see\n[@a b](file:///a%20b)");
    worker.shut_down();
}
