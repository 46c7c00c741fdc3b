//! The session's attachments: taken in from where the engine put them, durable before their prompt is acknowledged, and
//! never more than the session may keep. Whether the session's agent takes what a prompt holds.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use skep_common::code::{ApiError, Code};
use skep_common::ids::IncomingId;
use skep_common::session::ContentBlock;
use skep_common::session::content::{ATTACHMENTS, Fitted, INCOMING, Takes, Unfit, fit, human};
use skep_config::{AgentPreset, Attachments};

use super::{Session, Slot};

/// Why attachments are not taken in.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error("the prompt's attachments are not there any more; send it again")]
    Gone,
    #[error("the session keeps {} of attachments already; with this prompt's it would be over {} (session.max_attachments)", human(*kept), human(*limit))]
    Full { kept: u64, limit: u64 },
    #[error("the prompt's attachments cannot be kept: {0}")]
    Disk(#[from] io::Error),
}

impl From<NotTaken> for ApiError {
    fn from(why: NotTaken) -> Self {
        let code = match why {
            NotTaken::Gone => Code::InvalidRequest,
            NotTaken::Full { .. } => Code::TooLarge,
            NotTaken::Disk(_) => Code::StorageFailed,
        };
        Self::new(code, why.to_string())
    }
}

/// An attachment that a prompt names: its file's name, and how long that must be.
type Named = (String, u64);

impl Session {
    /// What the agent is known to take now.
    fn takes(&self) -> Option<Takes> {
        let of_preset = self.preset().and_then(AgentPreset::takes);
        of_preset.or_else(|| self.takes.filter(|_| matches!(self.slot, Slot::Ready(..))))
    }

    /// The prompt's parts as its agent takes them; one that is not known yet takes words only.
    pub(super) fn fitted(&self, content: &[ContentBlock]) -> Result<Fitted, Unfit> {
        let links = self.preset().is_some_and(|preset| preset.attachments == Attachments::Link);
        let files = links.then(|| self.dir.join(ATTACHMENTS));
        fit(content, self.takes().unwrap_or_default(), files.as_deref())
    }

    /// Refuses a prompt that the agent is known not to take.
    pub(super) fn check_fit(&self, content: &[ContentBlock]) -> Result<(), ApiError> {
        match self.takes().map(|_| self.fitted(content)) {
            Some(Err(unfit)) => Err(ApiError::new(Code::ContentNotSupported, unfit.to_string())),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// Takes a prompt's attachments into the session; the new files among them.
    pub(super) async fn take_in(
        &self,
        content: &[ContentBlock],
        incoming: Option<IncomingId>,
    ) -> Result<Vec<PathBuf>, ApiError> {
        let named: Vec<Named> = content
            .iter()
            .filter_map(|block| Some((block.file_name()?, block.attachment()?.bytes)))
            .collect();
        if named.is_empty() {
            return Ok(Vec::new());
        }
        let dir = self.dir.clone();
        let from = incoming.map(|id| self.shared.state_dir.join(INCOMING).join(id.to_string()));
        let limit = self.shared.settings.session.max_attachments.as_u64();
        let taken = tokio::task::spawn_blocking(move || take_in(&dir, from.as_deref(), &named, limit)).await;
        let taken = taken.unwrap_or_else(|error| Err(NotTaken::Disk(io::Error::other(error))));
        taken.map_err(|why| {
            tracing::warn!(session.id = %self.spec.id, "attachments were not taken in: {why}");
            why.into()
        })
    }
}

/// Removes what a prompt brought that was refused after all.
pub(super) async fn give_back(taken: Vec<PathBuf>) {
    if !taken.is_empty() {
        drop(tokio::task::spawn_blocking(move || remove(&taken)).await);
    }
}

fn remove(files: &[PathBuf]) {
    for file in files {
        if let Err(error) = std::fs::remove_file(file) {
            tracing::warn!("{} cannot be removed: {error}", file.display());
        }
    }
}

fn take_in(
    session_dir: &Path,
    from: Option<&Path>,
    named: &[Named],
    limit: u64,
) -> Result<Vec<PathBuf>, NotTaken> {
    let dir = session_dir.join(ATTACHMENTS);
    match DirBuilder::new().mode(0o700).create(&dir) {
        Ok(()) => File::open(session_dir)?.sync_all()?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error.into()),
    }
    let mut new: Vec<&Named> = Vec::new();
    for one in named {
        let is_kept = length(&dir.join(&one.0))? == Some(one.1);
        if !is_kept && !new.contains(&one) {
            new.push(one);
        }
    }
    let (kept, more) = (total(&dir)?, new.iter().map(|(_, bytes)| bytes).sum::<u64>());
    if kept.saturating_add(more) > limit && more > 0 {
        return Err(NotTaken::Full { kept, limit });
    }
    let mut taken = Vec::with_capacity(new.len());
    for (name, bytes) in new {
        let moved = move_in(from, &dir, name, *bytes);
        taken.push(dir.join(name));
        if let Err(why) = moved {
            taken.pop();
            remove(&taken);
            return Err(why);
        }
    }
    File::open(&dir)?.sync_all()?;
    Ok(taken)
}

fn move_in(from: Option<&Path>, to: &Path, name: &str, bytes: u64) -> Result<(), NotTaken> {
    let file = from.ok_or(NotTaken::Gone)?.join(name);
    if length(&file)? != Some(bytes) {
        return Err(NotTaken::Gone);
    }
    File::open(&file)?.sync_all()?;
    match std::fs::rename(&file, to.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(NotTaken::Gone),
        done => Ok(done?),
    }
}

/// How long a regular file is; none where there is none. Links are not followed.
fn length(file: &Path) -> io::Result<Option<u64>> {
    match file.symlink_metadata() {
        Ok(found) => Ok(Some(found.len()).filter(|_| found.is_file())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn total(dir: &Path) -> io::Result<u64> {
    let mut total = 0;
    for entry in std::fs::read_dir(dir)? {
        total += entry?.metadata()?.len();
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let (session, from) = (home.path().join("a session"), home.path().join("in"));
        std::fs::create_dir(&session).unwrap();
        std::fs::create_dir(&from).unwrap();
        std::fs::write(from.join("a"), "12345").unwrap();
        std::fs::write(from.join("b"), "123").unwrap();
        (home, session, from)
    }

    fn named(names: &[(&str, u64)]) -> Vec<Named> {
        names.iter().map(|(name, bytes)| ((*name).to_owned(), *bytes)).collect()
    }

    #[test]
    fn attachments_are_taken_in_once_and_count_once() {
        let (_home, session, from) = setup();
        let both = named(&[("a", 5), ("b", 3), ("a", 5)]);
        let taken = take_in(&session, Some(&from), &both, 8).unwrap();
        assert_eq!(taken.len(), 2);
        assert_eq!(std::fs::read_to_string(session.join("attachments/a")).unwrap(), "12345");
        assert_eq!(take_in(&session, None, &both, 8).unwrap(), Vec::<PathBuf>::new(), "they are there");
        remove(&taken);
        assert_eq!(total(&session.join(ATTACHMENTS)).unwrap(), 0);
    }

    #[test]
    fn g13_what_is_too_much_gone_or_no_file_is_refused_and_nothing_is_kept() {
        let (_home, session, from) = setup();
        std::os::unix::fs::symlink("/etc/passwd", from.join("link")).unwrap();
        nix::unistd::mkfifo(&from.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let passwd = Path::new("/etc/passwd").metadata().unwrap().len();
        for (wanted, from, code) in [
            (vec![("a", 5), ("b", 3)], Some(&from), Code::TooLarge),
            (vec![("b", 3), ("missing", 1)], Some(&from), Code::InvalidRequest),
            (vec![("a", 4)], Some(&from), Code::InvalidRequest),
            (vec![("link", passwd)], Some(&from), Code::TooLarge),
            (vec![("link", 7)], Some(&from), Code::InvalidRequest),
            (vec![("fifo", 0)], Some(&from), Code::InvalidRequest),
            (vec![("a", 5)], None, Code::InvalidRequest),
        ] {
            let refused = take_in(&session, from.map(PathBuf::as_path), &named(&wanted), 7).unwrap_err();
            assert_eq!(ApiError::from(refused).code, code, "{wanted:?}");
            assert_eq!(total(&session.join(ATTACHMENTS)).unwrap(), 0, "{wanted:?}");
            std::fs::write(session.parent().unwrap().join("in/b"), "123").unwrap();
        }
    }
}
