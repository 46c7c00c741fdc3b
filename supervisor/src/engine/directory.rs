//! Which directories sessions may run in (G6). Blocking: call it on a blocking thread.

use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};
use skep_common::code::{ApiError, Code};

/// The directory that `cwd` really is: absolute, symlinks resolved, existing, enterable, under one of `roots` (which
/// are resolved too; none means anywhere).
///
/// # Errors
///
/// `directory_not_allowed`, with what is wrong.
pub(crate) fn check(cwd: &str, roots: &[PathBuf]) -> Result<String, ApiError> {
    let refused = |why: &str| {
        let shown: String = cwd.chars().take(200).flat_map(char::escape_debug).collect();
        ApiError::new(Code::DirectoryNotAllowed, format!("cwd `{shown}` {why}"))
    };
    if cwd.contains('\0') || !Path::new(cwd).is_absolute() {
        return Err(refused("is not an absolute path"));
    }
    let real = std::fs::canonicalize(cwd).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => refused("does not exist"),
        std::io::ErrorKind::NotADirectory => refused("is not a directory"),
        std::io::ErrorKind::PermissionDenied => refused("cannot be entered"),
        _ => refused("cannot be resolved"),
    })?;
    if !real.is_dir() {
        return Err(refused("is not a directory"));
    }
    if access(&real, AccessFlags::X_OK).is_err() {
        return Err(refused("cannot be entered"));
    }
    let allowed = roots.is_empty()
        || roots.iter().any(|root| std::fs::canonicalize(root).is_ok_and(|root| real.starts_with(root)));
    if !allowed {
        return Err(refused("lies outside the allowed roots (session.allowed_roots)"));
    }
    real.into_os_string().into_string().map_err(|_| refused("is not valid UTF-8"))
}

/// The same under one of `roots`, and under one of `of_opener` for a session that is opened from inside another.
///
/// # Errors
///
/// `directory_not_allowed`.
pub(crate) fn check_both(cwd: &str, roots: &[PathBuf], of_opener: &[PathBuf]) -> Result<String, ApiError> {
    let real = check(cwd, roots)?;
    check(&real, of_opener).map_err(|_| {
        let why = "cwd lies outside the directory of the session that opens it, and outside delegation.roots";
        ApiError::new(Code::DirectoryNotAllowed, why)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn text(path: &Path) -> &str {
        path.to_str().unwrap()
    }

    #[test]
    fn g6_a_directory_is_what_its_links_resolve_to() {
        let base = tempfile::tempdir().unwrap();
        let real = std::fs::canonicalize(base.path()).unwrap().join("real");
        std::fs::create_dir(&real).unwrap();
        let link = base.path().join("link");
        symlink(&real, &link).unwrap();
        assert_eq!(check(text(&link), &[]).unwrap(), text(&real));
        assert_eq!(check(text(&link), std::slice::from_ref(&link)).unwrap(), text(&real));
    }

    #[test]
    fn g6_missing_files_relative_paths_and_escapes_are_refused() {
        let base = tempfile::tempdir().unwrap();
        let (root, outside) = (base.path().join("root"), base.path().join("outside"));
        std::fs::create_dir(&root).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(base.path().join("file"), "").unwrap();
        symlink(&outside, root.join("escape")).unwrap();
        symlink("loop", base.path().join("loop")).unwrap();
        let cases = [
            (String::from("relative"), "absolute"),
            (String::from("/a\0b"), "absolute"),
            (format!("{}/gone", base.path().display()), "does not exist"),
            (format!("{}/file", base.path().display()), "not a directory"),
            (format!("{}/file/below", base.path().display()), "not a directory"),
            (format!("{}/loop", base.path().display()), "cannot be resolved"),
            (format!("{}/escape", root.display()), "outside the allowed roots"),
            (format!("{}/../outside", root.display()), "outside the allowed roots"),
            (format!("{}x", root.display()), "does not exist"),
        ];
        for (cwd, why) in cases {
            let error = check(&cwd, std::slice::from_ref(&root)).unwrap_err();
            assert_eq!(error.code, Code::DirectoryNotAllowed, "{cwd}");
            assert!(error.message.contains(why), "{cwd}: {}", error.message);
        }
        let sibling = base.path().join("rootling");
        std::fs::create_dir(&sibling).unwrap();
        assert!(
            check(text(&sibling), std::slice::from_ref(&root)).is_err(),
            "a prefix of a name is not a parent"
        );
        assert!(check(text(&root), std::slice::from_ref(&root)).is_ok());
    }
}
