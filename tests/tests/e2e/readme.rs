//! The README's first command, on a machine where nothing runs yet.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use skep_tests::env::TestEnv;
use skep_tests::wait::wait_for;

#[test]
fn readme_first_command_starts_all_it_needs_and_streams_its_output() {
    let env = TestEnv::new();
    let output = env.skep(["run", "uname -a; pwd; ls"]).run().ok();
    assert!(output.stdout.contains("Linux"), "{output}");
    let work = env.work();
    let work = work.file_name().and_then(|name| name.to_str()).unwrap();
    assert!(output.stdout.lines().any(|line| line.ends_with(work)), "{output}");
    let first = output.stderr.lines().next().unwrap_or_default();
    assert!(first.contains("shell") && first.contains(work), "agent, session, directory: {output}");
    assert!(env.daemon_pid() > 0);
}

#[test]
fn readme_output_appears_while_the_command_runs() {
    let env = TestEnv::new();
    let fifo = env.work().join("gate");
    let _made = env.program("mkfifo".as_ref()).arg(&fifo).run().ok();
    let run = env.skep(["run", "echo begun; cat gate; echo ended"]).start();
    run.wait_stdout("begun");
    assert!(!run.stdout_so_far().contains("ended"));
    fs::write(&fifo, "through the gate\n").unwrap();
    let output = run.finish().ok();
    assert_eq!(output.stdout, "begun\nthrough the gate\nended\n");
}

#[test]
fn readme_exit_status_is_the_outcome_of_the_turn() {
    let env = TestEnv::new();
    let _completed = env.skep(["run", "true"]).run().exits(0);
    let _failed = env.skep(["run", "echo out; echo err >&2; exit 3"]).run().exits(1).warns("exit status 3");
}

#[test]
fn readme_an_english_sentence_is_explained() {
    let env = TestEnv::new();
    let output = env.skep(["run", "summarise this folder, please"]).run().exits(1);
    for part in ["no model agent", "shell command", "--agent"] {
        assert!(output.stderr.to_lowercase().contains(part), "{part}: {output}");
    }
}

#[test]
fn g22_an_unnamed_run_whose_output_nobody_reads_ends_its_turn() {
    let env = TestEnv::new();
    env.start_daemon();
    let script = r#""$1" run yes | head -n 1"#;
    let line = env.program(Path::new("/bin/sh")).args(["-c", script, "sh"]).arg(env.bin()).run();
    assert_eq!(line.ok().stdout, "y\n");
    let closed = wait_for("the session's close", || {
        let sessions = env.skep(["ps", "--all", "--json"]).run().ok().json();
        let session = sessions["sessions"][0].clone();
        (session["state"] == "closed").then_some(session)
    });
    assert_eq!(closed["last_turn"]["outcome"], "cancelled");
}

#[test]
fn readme_an_unnamed_run_closes_its_session_unless_told_to_keep_it() {
    let env = TestEnv::new();
    let _closed = env.skep(["run", "true"]).run().ok();
    let open = env.skep(["ps", "--json"]).run().ok().json();
    assert_eq!(open["sessions"].as_array().map(Vec::len), Some(0), "{open}");
    let _kept = env.skep(["run", "--keep", "true"]).run().ok();
    let open = env.skep(["ps", "--json"]).run().ok().json();
    assert_eq!(open["sessions"].as_array().map(Vec::len), Some(1), "{open}");
}

/// The commands that a document tells its reader to type: in code blocks at the start of a line, and in backticks.
fn told(document: &str) -> Vec<&str> {
    let blocks = document.split("```").skip(1).step_by(2);
    let typed = blocks.flat_map(str::lines).filter_map(|line| line.strip_prefix("skep "));
    typed.chain(document.split("`skep ").skip(1).map(|rest| &rest[..rest.find('`').unwrap_or(0)])).collect()
}

#[test]
fn the_documentation_names_only_commands_that_exist() {
    let env = TestEnv::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = vec![root.join("README.md")];
    files.extend(fs::read_dir(root.join("docs/manual")).unwrap().flatten().map(|entry| entry.path()));
    let documents: Vec<_> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let is_word = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
    let commands: BTreeSet<Vec<&str>> = documents
        .iter()
        .flat_map(|document| told(document))
        .map(|line| {
            let grouped = ["daemon", "worker", "config"].iter().any(|group| line.starts_with(group));
            line.split_whitespace().take(if grouped { 2 } else { 1 }).filter(is_word).collect()
        })
        .filter(|words: &Vec<&str>| !words.is_empty() && words[0] != "help")
        .collect();
    assert!(commands.len() > 20, "{commands:?}");
    for words in commands {
        let _known = env.skep(words).arg("--help").run().ok();
    }
}

/// The names of functions that a document puts into backticks: whole ones, and beginnings that end with `_…`.
fn named_tests(document: &str) -> impl Iterator<Item = &str> {
    let quoted = document.split('`').skip(1).step_by(2);
    quoted.filter(|name| {
        let plain = name.strip_suffix('…').unwrap_or(name);
        let is_word =
            plain.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        is_word && (plain.len() < name.len() || plain.matches('_').count() >= 4)
    })
}

/// The functions in all sources below a directory.
fn functions(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("node_modules") && !path.ends_with("target") {
            functions(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let names = text.lines().filter_map(|line| line.split_once("fn ")?.1.split(['(', '<']).next());
            found.extend(names.map(str::to_owned));
        }
    }
}

#[test]
fn every_test_that_the_documentation_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut known = BTreeSet::new();
    for entry in fs::read_dir(root).unwrap().flatten() {
        let path = entry.path();
        if path.join("Cargo.toml").is_file() {
            functions(&path, &mut known);
        }
    }
    let mut files = vec![root.join("docs/threat-model.md")];
    files.extend(fs::read_dir(root.join("docs/manual")).unwrap().flatten().map(|entry| entry.path()));
    let mut named = 0;
    for file in files {
        for name in named_tests(&fs::read_to_string(&file).unwrap()) {
            let is_known = match name.strip_suffix('…') {
                Some(beginning) => {
                    known.range(beginning.to_owned()..).next().is_some_and(|next| next.starts_with(beginning))
                }
                None => known.contains(name),
            };
            assert!(is_known, "{} names the test `{name}`, which there is not", file.display());
            named += 1;
        }
    }
    assert!(named > 40, "{named}");
}

#[test]
fn packaging_holds_what_the_binary_says() {
    let env = TestEnv::new();
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("packaging");
    for (file, words) in [
        ("man/skep.1", &["man"][..]),
        ("completions/skep.bash", &["completions", "bash"]),
        ("completions/_skep", &["completions", "zsh"]),
        ("completions/skep.fish", &["completions", "fish"]),
    ] {
        let fresh = env.skep(words.iter().copied()).run().ok();
        let kept = fs::read_to_string(packaging.join(file)).unwrap();
        assert!(kept == fresh.stdout, "packaging/{file} is stale: `cargo xtask gen` writes it");
    }
}
