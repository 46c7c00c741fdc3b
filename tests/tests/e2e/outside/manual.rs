//! The manual page on the API: its commands are run, in their order, as they stand there.

use std::fs;

use super::*;
use skep_tests::wait::SOON;

/// The lines of the page's `sh` blocks.
fn blocks(page: &str) -> Vec<&str> {
    let opened = page.split("```sh\n").skip(1);
    opened.map(|rest| rest.split("```").next().expect("a block ends")).collect()
}

#[test]
fn the_manuals_calls_of_the_api_work_as_they_are_printed() {
    let env = TestEnv::new();
    env.start_daemon();
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs").join("manual");
    let page = fs::read_to_string(manual.join("api.md")).unwrap();
    let blocks = blocks(&page);
    assert!(blocks.len() >= 4 && blocks.iter().all(|block| block.contains("curl") || block.contains("skep")));
    // Where the page says `~/.local/state/skep`, the test's daemon is.
    let state = env.home().join(".local/state");
    fs::create_dir_all(&state).unwrap();
    std::os::unix::fs::symlink(env.state(), state.join("skep")).unwrap();
    let bin = env.bin().parent().unwrap().display();
    let script = format!("set -eu\nPATH='{bin}':$PATH\n{}", blocks.join("\n"));
    let output = env.program("sh".as_ref()).args(["-c", &script]).limit(SOON * 3).run().ok();
    for told in
        ["\"name\":\"ci\"", "\"outcome\":\"completed\"", "event: turn_ended", "hello from the API", "# EOF"]
    {
        assert!(output.stdout.contains(told), "{told}: {output}");
    }
    assert!(!output.stdout.contains("\"error\":"), "no call was refused: {output}");
}
