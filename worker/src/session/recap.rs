//! A recap of a session from its journal, for an agent that cannot bring back its context: the beginning of its first
//! prompt, marked as what it is.

use std::path::Path;

use skep_common::event::{Event, Record};
use skep_common::ids::PromptId;
use skep_common::session::Head;
use skep_common::transcript::Transcript;
use skep_journal::{CursorError, Line, Reader, first_seq};

/// How long a recap may become, in bytes: the end of a longer history.
const LENGTH: usize = 32 * 1024;

/// How many events are looked at.
const EVENTS: u64 = 20_000;

/// How much of the journal is read at once.
const PAGE: usize = 256 * 1024;

const BEGIN: &str = "[A note of skep, which runs this session: you do not remember what happened in it before, because your \
    former process ended and its context could not be brought back. This is a recap from skep's journal:]";

const END: &str = "[End of the recap. The prompt comes next.]";

/// The recap as a text that stands before the prompt `next`; none where nothing has happened. Blocks on the disk.
///
/// # Errors
///
/// When the journal cannot be read.
pub(super) fn recap(dir: &Path, head: Head, next: PromptId) -> Result<Option<String>, CursorError> {
    let first = first_seq(dir)?.unwrap_or(1);
    let after = head.seq.saturating_sub(EVENTS).max(first - first.min(1));
    let mut reader = Reader::open(dir, after, None, head)?;
    let (mut transcript, mut text) = (Transcript::default(), String::new());
    loop {
        let lines = reader.read(head, PAGE)?;
        if lines.is_empty() {
            break;
        }
        for line in lines {
            let Line::Record(line) = line else { continue };
            if let Ok(record) = line.decode()
                && belongs(&record, next)
            {
                transcript.push(&record, &mut text);
            }
            shorten(&mut text, 4 * LENGTH);
        }
    }
    shorten(&mut text, LENGTH);
    let text = text.trim();
    Ok((!text.is_empty()).then(|| format!("{BEGIN}\n\n{text}\n\n{END}")))
}

/// What was said and done; nothing about processes, and not the prompt that comes next.
fn belongs(record: &Record, next: PromptId) -> bool {
    match &record.event {
        Event::PromptQueued(queued) => queued.prompt != next,
        Event::TurnStarted(started) => started.prompt != next,
        Event::Update(_)
        | Event::PromptSteered(_)
        | Event::TurnEnded(_)
        | Event::PermissionRequested(_)
        | Event::PermissionResolved(_) => true,
        _ => false,
    }
}

/// Cuts whole lines off the beginning where the text is over `limit` (or the beginning of a longer line).
fn shorten(text: &mut String, limit: usize) {
    if text.len() <= limit {
        return;
    }
    let from = text.ceil_char_boundary(text.len() - limit / 2);
    let from = text[from..].find('\n').map_or(from, |newline| from + newline + 1);
    text.replace_range(..from, "[earlier parts are left out]\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_history_loses_its_beginning_in_whole_lines() {
        let mut text = "é".repeat(30) + "\n" + &"one line\n".repeat(20);
        let whole = text.clone();
        shorten(&mut text, 1000);
        assert_eq!(text, whole);
        shorten(&mut text, 100);
        assert!(text.len() < 100 && text.starts_with("[earlier parts are left out]\none line\n"), "{text}");
        let mut text = "é".repeat(1000);
        shorten(&mut text, 101);
        assert!(text.len() < 100 && text.ends_with('é'), "{text}");
    }
}
