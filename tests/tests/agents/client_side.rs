//! Agents that are offered files by skep: they use them, and a person is asked once.

use std::fs;

use skep_tests::env::built;
use skep_tests::recipes::{GEMINI, QWEN, Recipe};
use skep_tests::world::World;

#[test]
fn gemini_rewrites_files_through_skep() {
    // What it shows its model it reads by itself, and a file that is missing it does not recognise as such.
    works_on_files_through_skep(GEMINI, false, "given.txt");
}

#[test]
fn qwen_reads_and_makes_files_through_skep() {
    works_on_files_through_skep(QWEN, true, "made.txt");
}

fn works_on_files_through_skep(recipe: Recipe, reads: bool, written: &str) {
    let dir = tempfile::tempdir().unwrap();
    let seen = dir.path().join("seen");
    let world = World::with(recipe, &[&built("tap"), &seen], "client_fs = true\n");
    let went_by = |what: &str| {
        let seen = fs::read_to_string(&seen).unwrap();
        seen.lines().filter(|line| line.split(' ').nth(1) == Some(what)).count()
    };
    let given = world.env.work().join("given.txt");
    fs::write(&given, "kiwi\n").unwrap();
    let read = world.run(&format!("[[read {}]]", given.display()));
    assert!(read.stdout.contains("kiwi"), "{read}\n{}", world.story());
    assert_eq!(went_by("reads") > 0, reads, "it was read through skep\n{}", world.story());

    let written = world.env.work().join(written);
    let before = fs::read_to_string(&written).ok();
    let script = format!("[[write {} <- fig]]", written.display());
    let _begun = world.skep(["bg", "--agent", recipe.name, "--name", "s", &script]).run().ok();
    let asked = world.skep(["wait", "s", "--timeout", "80s"]).run();
    assert_eq!(asked.code(), 6, "{asked}\n{}", world.story());
    assert_eq!(fs::read_to_string(&written).ok(), before, "it waits for the answer");
    let _allowed = world.skep(["allow"]).run().ok();
    let done = world.skep(["wait", "s", "--timeout", "80s"]).run();
    assert_eq!(done.code(), 0, "one answer is enough: {done}\n{}", world.story());
    assert_eq!(fs::read_to_string(&written).unwrap().trim_end(), "fig");
    assert!(went_by("reads") > 0, "it looked at what was there\n{}", world.story());
    assert_eq!(went_by("writes"), 1, "it was written through skep\n{}", world.story());
}
