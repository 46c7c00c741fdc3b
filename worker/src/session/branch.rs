//! Which branch of git the session's directory is on (R5): looked at when a turn begins and when it ends, and journalled
//! when it is another one. Nothing of git's is run: the name stands in a file, which may be anything and anywhere.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::OFlag;
use skep_common::event::{Event, GitBranch};
use skep_common::sanitise::one_line;
use tokio::time::timeout;

use super::Session;

/// How long a disk may take to say it; a turn does not wait longer for it.
const PATIENCE: Duration = Duration::from_millis(200);

/// How much of a file is read, in bytes: a name of git's and a path are not longer.
const LONGEST: u64 = 8 * 1024;

/// How many directories above the session's are looked at.
const DEPTH: usize = 64;

/// How much of a commit's name stands for a branch where none is checked out, in characters.
const COMMIT: usize = 12;

impl Session {
    /// The event that says that the branch is another one, if it is.
    pub(super) async fn branch_changed(&mut self) -> Option<Event> {
        let dir = PathBuf::from(&self.spec.cwd);
        let found = timeout(PATIENCE, tokio::task::spawn_blocking(move || branch_of(&dir))).await;
        // A disk that hangs, or a thread that died, has said nothing.
        let branch = found.ok()?.ok()?;
        if branch == self.branch {
            return None;
        }
        self.branch.clone_from(&branch);
        Some(Event::GitBranch(GitBranch { branch }))
    }
}

/// The branch that is checked out in `dir`, or the beginning of the commit's name if none is; nothing outside of a
/// repository.
fn branch_of(dir: &Path) -> Option<String> {
    let git = dir.ancestors().take(DEPTH).find_map(git_directory)?;
    let head = read(&git.join("HEAD"))?;
    let head = head.trim_end();
    let name = match head.strip_prefix("ref: ") {
        Some(name) => name.strip_prefix("refs/heads/").unwrap_or(name),
        None if head.bytes().all(|byte| byte.is_ascii_hexdigit()) => head.get(..COMMIT)?,
        None => return None,
    };
    let name = one_line(name);
    (!name.is_empty() && name.len() <= 255).then(|| name.into_owned())
}

/// The directory of git's own files of the work tree at `root`, if there is one.
fn git_directory(root: &Path) -> Option<PathBuf> {
    let git = root.join(".git");
    if git.join("HEAD").is_file() {
        return Some(git);
    }
    // A worktree or submodule names it in a file.
    let text = read(&git)?;
    Some(root.join(text.strip_prefix("gitdir: ")?.trim_end()))
}

/// A small text file. What is no file is not waited for.
fn read(path: &Path) -> Option<String> {
    let file: File = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(root: &Path, text: &str) {
        std::fs::create_dir_all(root.join(".git")).unwrap();
        std::fs::write(root.join(".git/HEAD"), text).unwrap();
    }

    #[test]
    fn r5_the_branch_is_read_from_above_and_through_a_worktrees_file() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(branch_of(&root.path().join("no/such")), None);
        head(root.path(), "ref: refs/heads/feature/x\n");
        let below = root.path().join("src/deep");
        std::fs::create_dir_all(&below).unwrap();
        assert_eq!(branch_of(&below).unwrap(), "feature/x");
        head(root.path(), "0123456789abcdef0123456789abcdef01234567\n");
        assert_eq!(branch_of(&below).unwrap(), "0123456789ab");

        let tree = root.path().join("tree");
        let own = root.path().join(".git/worktrees/tree");
        std::fs::create_dir_all(&tree).unwrap();
        std::fs::create_dir_all(&own).unwrap();
        std::fs::write(own.join("HEAD"), "ref: refs/heads/other\n").unwrap();
        std::fs::write(tree.join(".git"), "gitdir: ../.git/worktrees/tree\n").unwrap();
        assert_eq!(branch_of(&tree).unwrap(), "other");
    }

    #[test]
    fn g13_whatever_stands_in_gits_files_neither_hangs_nor_speaks_to_the_terminal() {
        let root = tempfile::tempdir().unwrap();
        for (text, branch) in [
            ("", None),
            ("nonsense", None),
            ("ref: \n", None),
            ("abc", None),
            ("ref: refs/heads/\u{1b}[31mred\n", Some("red")),
        ] {
            head(root.path(), text);
            assert_eq!(branch_of(root.path()).as_deref(), branch, "{text:?}");
        }
        std::fs::write(root.path().join(".git/HEAD"), vec![b'a'; 1 << 20]).unwrap();
        assert_eq!(branch_of(root.path()).unwrap().len(), COMMIT);
        std::fs::write(root.path().join(".git/HEAD"), [0xff, 0xfe]).unwrap();
        assert_eq!(branch_of(root.path()), None);
        std::fs::remove_file(root.path().join(".git/HEAD")).unwrap();
        nix::unistd::mkfifo(&root.path().join(".git/HEAD"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(branch_of(root.path()), None);
    }
}
