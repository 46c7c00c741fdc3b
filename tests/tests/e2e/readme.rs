//! The README's first command, on a machine where nothing runs yet.

use skep_tests::env::TestEnv;

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
    std::fs::write(&fifo, "through the gate\n").unwrap();
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
        assert!(output.stderr.contains(part), "{part}: {output}");
    }
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
