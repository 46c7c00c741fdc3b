//! `cargo xtask gen`: what packages need beside the binary, written by the binary itself.

use std::fs;

use anyhow::{Context as _, Result};

use crate::run::{cargo, output, root, run, say, target, tool};

/// Writes the man page, the completions, and the OpenAPI document.
pub(crate) fn run_all() -> Result<()> {
    run(cargo().args(["build", "--package", "skep"]))?;
    let skep = target().join("debug/skep");
    let packaging = root().join("packaging");
    let files = [
        ("man/skep.1", vec!["man"]),
        ("completions/skep.bash", vec!["completions", "bash"]),
        ("completions/_skep", vec!["completions", "zsh"]),
        ("completions/skep.fish", vec!["completions", "fish"]),
    ];
    let document = root().join("docs/openapi.json");
    fs::write(&document, output(tool(&skep).arg("openapi"))?)?;
    say(&format!("wrote {}", document.display()));
    for (file, words) in files {
        let path = packaging.join(file);
        fs::create_dir_all(path.parent().context("a file in a folder")?)?;
        fs::write(&path, output(tool(&skep).args(words))?)?;
        say(&format!("wrote {}", path.display()));
    }
    Ok(())
}
