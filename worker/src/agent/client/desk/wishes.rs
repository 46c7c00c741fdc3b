//! Requests taken on: checked, resolved, and put to the session where somebody must decide.

use std::path::Path;
use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use skep_config::permissions::AskedPath;
use skep_sys::rooted::{FileError, Lines, Place, TEXT_MAX};
use tokio::sync::OwnedSemaphorePermit;

use super::super::command::Command;
use super::super::refusal::{file, refused};
use super::super::request::Request;
use super::super::uses::{Deed, Wish};
use super::{Answer, CHANGE, Desk, REMARKS, Refusal, SHOWN, TERMINALS, Waiting, Work, blocking};
use crate::acp::message::{RpcError, clip};

/// What a person is told of a wish.
struct Told {
    title: String,
    paths: Vec<AskedPath>,
    /// ACP's `rawInput` and `content` of a tool call.
    input: Value,
    content: Value,
}

impl Desk {
    /// Takes on a request: what the session must decide, or why it is not done.
    pub(super) async fn take(&mut self, answer: Answer, request: Request) -> Result<Option<Wish>, Refusal> {
        match request {
            Request::Read { path, lines } => self.wish_to_read(answer, path, lines).await.map(Some),
            Request::Write { path, text } => self.wish_to_write(answer, path, text).await.map(Some),
            Request::Create(command) => self.wish_for_terminal(answer, command).await.map(Some),
            Request::Output(name) => self.show(answer, &name).map(|()| None),
            Request::Wait(name) => self.tell_exit(answer, &name).map(|()| None),
            Request::Kill(name) => self.kill(answer, &name).map(|()| None),
            Request::Release(name) => self.release(answer, &name).map(|()| None),
        }
    }

    async fn wish_to_read(&mut self, answer: Answer, path: String, lines: Lines) -> Result<Wish, Refusal> {
        let (asked, place) = match self.locate(&path).await {
            Ok(found) => found,
            Err(error) => return Err(self.unreachable(answer, &path, "read", &error)),
        };
        let (title, input) = (format!("Read {}", clip(&path, SHOWN)), json!({"path": path}));
        let work = Work::Read { named: path, place, lines };
        Ok(self.wish(answer, work, Deed::Read, Told { title, paths: vec![asked], input, content: json!([]) }))
    }

    async fn wish_to_write(&mut self, answer: Answer, path: String, text: String) -> Result<Wish, Refusal> {
        let (asked, place) = match self.locate(&path).await {
            Ok(found) => found,
            Err(error) => return Err(self.unreachable(answer, &path, "write", &error)),
        };
        let room = match self.room(&text) {
            Ok(room) => room,
            Err(error) => return Err(Refusal { answer, error, remark: None }),
        };
        let title = format!("Write {} ({} bytes)", clip(&path, SHOWN), text.len());
        let input = json!({"path": path, "content": clip(&text, SHOWN)});
        let content = change(&path, &place, &text).await;
        let work = Work::Write { named: path, place, text, room };
        Ok(self.wish(answer, work, Deed::Write, Told { title, paths: vec![asked], input, content }))
    }

    async fn wish_for_terminal(&mut self, answer: Answer, command: Command) -> Result<Wish, Refusal> {
        let wanted = self.waiting.values().filter(|waiting| matches!(waiting.work, Work::Run { .. })).count();
        if self.terminals.len() + wanted >= TERMINALS {
            let error = refused("too_many_terminals", format!("release some of your {TERMINALS} terminals"));
            return Err(Refusal { answer, error, remark: None });
        }
        let (cwd, input) = match &command.cwd {
            None => (self.cwd.clone(), json!({"command": command.line})),
            Some(cwd) => match self.locate(cwd).await {
                Ok((_, place)) => {
                    (place.path().to_owned(), json!({"command": command.line, "directory": cwd}))
                }
                Err(error) => return Err(self.unreachable(answer, cwd, "run a command in", &error)),
            },
        };
        let title = match &command.cwd {
            Some(named) if cwd != self.cwd => {
                format!("{} (in {})", clip(&command.line, SHOWN), clip(named, SHOWN))
            }
            _ => clip(&command.line, SHOWN),
        };
        let lines = (command.line.clone(), command.bare.clone());
        let work = Work::Run { command, cwd };
        let told = Told { title, paths: Vec::new(), input, content: json!([]) };
        let wish = self.wish(answer, work, Deed::Run, told);
        Ok(Wish { command: Some(lines.0), bare: Some(lines.1), ..wish })
    }

    /// Puts a request aside until it is decided.
    fn wish(&mut self, answer: Answer, work: Work, deed: Deed, told: Told) -> Wish {
        let Told { title, paths, input, content } = told;
        self.last_use += 1;
        let locations: Vec<Value> = paths.iter().map(|path| json!({"path": path.named()})).collect();
        let call = json!({
            "toolCallId": format!("skep-{}", self.last_use),
            "kind": deed.tool_kind(),
            "title": title,
            "status": "pending",
            "locations": locations,
            "rawInput": input,
            "content": content,
        });
        let id = answer.id.clone();
        self.waiting.insert(self.last_use, Waiting { answer, work });
        Wish {
            number: self.last_use,
            id,
            deed,
            title,
            command: None,
            bare: None,
            paths,
            tool_call: serde_json::value::to_raw_value(&call).unwrap_or_else(|_| RawValue::NULL.to_owned()),
        }
    }

    /// Where a path leads, if that is below the session's directory.
    async fn locate(&self, path: &str) -> Result<(AskedPath, Place), FileError> {
        let (roots, cwd, path) = (self.roots.clone(), self.cwd.clone(), path.to_owned());
        let look = move || {
            let asked = AskedPath::resolve(&cwd, &path).ok_or(FileError::Outside)?;
            let place =
                roots.ok_or(FileError::Outside)?.place(Path::new(asked.real().ok_or(FileError::Outside)?))?;
            Ok((asked, place))
        };
        blocking(look).await
    }

    /// A path leads nowhere that is served; a person hears of the first ones that lie outside.
    fn unreachable(&mut self, answer: Answer, path: &str, what: &str, why: &FileError) -> Refusal {
        let mut remark = None;
        if matches!(why, FileError::Outside) && self.remarks < REMARKS {
            self.remarks += 1;
            let last = if self.remarks == REMARKS { "; further ones are not told" } else { "" };
            let path = clip(path, SHOWN);
            remark = Some(format!(
                "the agent wanted to {what} {path}, outside of the session's directory; refused{last}"
            ));
        }
        Refusal { answer, error: file(path, why), remark }
    }

    fn room(&self, text: &str) -> Result<OwnedSemaphorePermit, RpcError> {
        if text.len() > TEXT_MAX {
            return Err(refused("too_large", format!("the text is over the limit of {TEXT_MAX} bytes")));
        }
        let size = u32::try_from(text.len().div_ceil(1024)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.text_room).try_acquire_many_owned(size);
        room.map_err(|_| refused("too_many", "too much text waits to be written"))
    }
}

/// The change that a write would be, where it is short enough to be looked at: ACP's content of a tool call.
async fn change(path: &str, place: &Place, new: &str) -> Value {
    if new.len() > CHANGE {
        return json!([]);
    }
    let place = place.clone();
    let old = match blocking(move || place.read(Lines::default())).await {
        Ok(old) if old.len() <= CHANGE => Some(old),
        Err(FileError::NotFound) => None,
        // What is no text, or too long, cannot be shown as a change.
        Ok(_) | Err(_) => return json!([]),
    };
    json!([{"type": "diff", "path": path, "oldText": old, "newText": new}])
}
