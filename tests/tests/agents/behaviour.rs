//! What every agent must do through skep, one test for each agent and behaviour.

use std::fs;

use nix::sys::signal::Signal;
use skep_tests::cmd::Output;
use skep_tests::procs;
use skep_tests::recipes::{CLAUDE, CLAUDE_CLI, CODEX, GEMINI, KEY, OPENCODE, QWEN, Recipe};
use skep_tests::world::World;

/// A module of tests for each agent.
macro_rules! agents {
    ($($name:ident: $recipe:expr;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn answers_remembers_and_is_gone_when_closed() {
                super::answers_remembers_and_is_gone_when_closed($recipe);
            }

            #[test]
            fn keeps_its_key_to_itself() {
                super::keeps_its_key_to_itself($recipe);
            }

            #[test]
            fn works_with_the_model_that_was_chosen() {
                super::works_with_the_model_that_was_chosen($recipe);
            }

            #[test]
            fn asks_before_its_tool_runs_and_obeys() {
                super::asks_before_its_tool_runs_and_obeys($recipe);
            }

            #[test]
            fn is_cancelled_in_mid_turn_and_goes_on() {
                super::is_cancelled_in_mid_turn_and_goes_on($recipe);
            }

            #[test]
            fn fails_when_its_model_does_and_goes_on() {
                super::fails_when_its_model_does_and_goes_on($recipe);
            }

            #[test]
            fn is_told_apart_when_its_model_is_busy_or_breaks_off() {
                super::is_told_apart_when_its_model_is_busy_or_breaks_off($recipe);
            }

            #[test]
            fn resumes_with_its_memory_after_sigkill_in_mid_turn() {
                super::resumes_with_its_memory_after_sigkill_in_mid_turn($recipe);
            }
        }
    )*};
}

agents! {
    qwen: QWEN;
    gemini: GEMINI;
    opencode: OPENCODE;
    claude: CLAUDE;
    claude_cli: CLAUDE_CLI;
    codex: CODEX;
}

/// A picture of one pixel that is one.
const PICTURE: &[u8] = include_bytes!("pixel.png");

/// What each agent gives to its model that takes pictures whatever the model is called.
macro_rules! seeing {
    ($($name:ident: $recipe:expr;)*) => {$(
        #[test]
        fn $name() {
            let world = World::new($recipe);
            let path = world.env.root().join("a pixel.png");
            fs::write(&path, PICTURE).unwrap();
            let path = path.to_str().unwrap();
            let run = ["run", "--agent", world.recipe.name, "--name", "s", "--attach", path, "[[say look]]"];
            let run = world.skep(run).run();
            completed(&world, &run, "look {prompts: 1; marks: ; pictures: image/png ");
            let again = world.run("[[say again]]");
            completed(&world, &again, "again {prompts: 2; marks: ; pictures: image/png ");
        }
    )*};
}

seeing! {
    a_picture_reaches_the_model_of_claude: CLAUDE;
    a_picture_reaches_the_model_of_claude_cli: CLAUDE_CLI;
    a_picture_reaches_the_model_of_gemini: GEMINI;
    a_picture_reaches_the_model_of_codex: CODEX;
}

/// Asserts that a turn was completed with `text` in its answer.
#[track_caller]
fn completed(world: &World, output: &Output, text: &str) {
    assert!(output.code() == 0 && output.stdout.contains(text), "no {text:?}: {output}\n{}", world.story());
}

fn answers_remembers_and_is_gone_when_closed(recipe: Recipe) {
    let world = World::new(recipe);
    completed(
        &world,
        &world.run("[[mark kiwi]] [[say good morning]]"),
        "good morning {prompts: 1; marks: kiwi}",
    );
    completed(
        &world,
        &world.run("[[mark fig]] [[say good night]]"),
        "good night {prompts: 2; marks: kiwi, fig}",
    );
    assert!(!world.served_by().is_empty(), "the agent stays for the next prompt");
    let _closed = world.skep(["close", "s"]).run().ok();
    let left = world.served_by();
    assert!(left.is_empty(), "left behind: {left:#?}");
}

fn keeps_its_key_to_itself(recipe: Recipe) {
    let world = World::new(recipe);
    completed(&world, &world.run("[[say good morning]]"), "good morning");
    let has = |bytes: &[u8]| bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes());
    for trace in procs::carrying(world.env.root()) {
        assert!(!trace.command.contains(KEY), "anybody sees {trace:?}");
        let variables = procs::environment(trace.pid).unwrap_or_default();
        let serves = variables.iter().any(|variable| variable.starts_with("SKEP_SESSION="));
        assert!(serves || !variables.iter().any(|variable| variable.contains(KEY)), "no agent: {trace:?}");
    }
    let mut dirs = vec![world.env.state()];
    while let Some(dir) = dirs.pop() {
        for path in fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                dirs.push(path);
            } else if path != world.env.config_file() && path.is_file() {
                assert!(!has(&fs::read(&path).unwrap()), "{} has the key", path.display());
            }
        }
    }
}

/// At its creation, and when it is changed later; what the agent does not have is refused.
fn works_with_the_model_that_was_chosen(recipe: Recipe) {
    let world = World::new(recipe);
    let Some([(first, asked_first), (second, asked_second)]) = recipe.models else {
        let other = ["run", "--agent", recipe.name, "--name", "s", "--model", "no-such-model", "[[say no]]"];
        let refused = world.skep(other).run().exits(1);
        assert!(refused.stderr.contains("does not offer the model `no-such-model`"), "{refused}");
        return;
    };
    let asked = |words: &str, model: &str| {
        let requests = world.requests();
        let by = requests.lines().any(|line| line.contains(words) && line.contains(model));
        assert!(by, "no {model} for {words}:\n{requests}\n{}", world.story());
    };
    let run = [
        "run",
        "--agent",
        recipe.name,
        "--name",
        "s",
        "--model",
        first,
        "[[mark kiwi]] [[say good morning]]",
    ];
    completed(&world, &world.skep(run).run(), "good morning");
    asked("good morning", asked_first);
    let _set = world.skep(["set", "s", "--model", second]).run().ok().says(second);
    completed(&world, &world.run("[[mark fig]] [[say good night]]"), "marks: kiwi, fig}");
    asked("good night", asked_second);
    assert_eq!(world.session()["options"]["model"], second);
    if recipe.name != CLAUDE_CLI.name {
        let refused = world.skep(["set", "s", "--model", "no-such-model"]).run().exits(4);
        assert!(
            refused.stderr.contains(first) || refused.stderr.contains("more"),
            "it says which: {refused}"
        );
        assert_eq!(world.session()["options"]["model"], second, "nothing changed");
    }
}

fn asks_before_its_tool_runs_and_obeys(recipe: Recipe) {
    let world = World::new(recipe);
    let file = |name: &str| world.env.work().join(name).exists();
    let asked = world.ask("echo by-the-tool > allowed.txt; cat allowed.txt");
    assert!(asked.to_string().contains("allowed.txt"), "a person sees what it is about: {asked}");
    assert!(!file("allowed.txt"), "it waits for the answer");
    let _allowed = world.skep(["allow"]).run().ok();
    let _done = world.skep(["wait", "s"]).run().ok();
    assert!(file("allowed.txt"), "{}", world.story());
    let answer = world.skep(["logs", "s"]).run().ok();
    assert!(answer.stdout.contains("the tool gave: "), "{answer}\n{}", world.story());

    world.ask("echo by-the-tool > denied.txt");
    let _denied = world.skep(["deny"]).run().ok();
    let _ended = world.skep(["wait", "s"]).run();
    assert!(!file("denied.txt"), "{}", world.story());
    assert_eq!(world.last("permission_resolved")["resolution"], "denied");
    completed(&world, &world.run("[[say and on]]"), "and on {prompts: 3; ");
}

fn is_cancelled_in_mid_turn_and_goes_on(recipe: Recipe) {
    let world = World::new(recipe);
    completed(&world, &world.run("[[mark kiwi]] [[say good morning]]"), "good morning");
    let slow = world.begin("[[slow 100]]");
    slow.wait_stdout("word-1");
    let _cancelled = world.skep(["cancel", "s"]).run().ok();
    let _ended = slow.finish().exits(130);
    let ended = world.last("turn_ended");
    assert_eq!(ended["outcome"], "cancelled", "{ended}");
    let silent = world.begin("[[silent]]");
    world.wait("the model to be asked", || world.requests().contains("-> Silent").then_some(()));
    let _cancelled = world.skep(["cancel", "s"]).run().ok();
    let _ended = silent.finish().exits(130);
    let asked = world.ask("echo by-the-tool > cancelled.txt");
    let _cancelled = world.skep(["cancel", "s"]).run().ok();
    let _ended = world.skep(["wait", "s"]).run();
    assert_eq!(world.last("turn_ended")["outcome"], "cancelled", "while it asked {asked}");
    assert!(!world.env.work().join("cancelled.txt").exists());
    completed(&world, &world.run("[[say and on]]"), "marks: kiwi}");
}

fn fails_when_its_model_does_and_goes_on(recipe: Recipe) {
    let world = World::new(recipe);
    let output = world.run("[[fail 400]]");
    let ended = world.last("turn_ended");
    assert!(output.code() == 1 && ended["outcome"] == "failed", "{ended} {output}\n{}", world.story());
    completed(&world, &world.run("[[say and on]]"), "and on");
}

/// An agent gives up, or tries again in silence for as long as it likes: then skep shows that, and it can be cancelled.
fn is_told_apart_when_its_model_is_busy_or_breaks_off(recipe: Recipe) {
    let world = World::new(recipe);
    completed(&world, &world.run("[[mark kiwi]] [[say good morning]]"), "good morning");
    for (script, answered) in [("[[fail 429]]", "-> Fail(429)"), ("[[half]]", "-> Half")] {
        let prompt = world.begin(script);
        world.wait("the model to be asked", || world.requests().contains(answered).then_some(()));
        let tries_on = world.wait("an end, or silence that is shown", || {
            let session = world.session();
            match session["turn"].is_null() {
                true => Some(false),
                false => (!session["agent_silent_since"].is_null()).then_some(true),
            }
        });
        if tries_on {
            let _cancelled = world.skep(["cancel", "s"]).run().ok();
        }
        let output = prompt.finish();
        let ended = world.last("turn_ended");
        let outcome = match script {
            // Cancelled when it had said something already, an agent may answer that it is done.
            "[[half]]"
                if tries_on
                    && output.stdout.contains("a beginning")
                    && ended["stop_reason"] == "end_turn" =>
            {
                "completed"
            }
            _ if tries_on => "cancelled",
            "[[half]]" if recipe.takes_half_for_whole => "completed",
            _ => "failed",
        };
        assert_eq!(ended["outcome"], outcome, "{script} {output}\n{}", world.story());
    }
    completed(&world, &world.run("[[say and on]]"), "marks: kiwi}");
}

fn resumes_with_its_memory_after_sigkill_in_mid_turn(recipe: Recipe) {
    let world = World::new(recipe);
    completed(&world, &world.run("[[mark kiwi]] [[say good morning]]"), "good morning");
    // Agents refuse a bare `sleep`, and allow by themselves what only reads.
    world.ask("touch begun && tail -F no-such-file");
    let _allowed = world.skep(["allow"]).run().ok();
    let tool =
        || world.served_by().into_iter().any(|trace| trace.command.starts_with("tail -F no-such-file"));
    world.wait("the tool to run", || tool().then_some(()));
    let agent = world.agent();
    procs::signal(agent, Signal::SIGKILL);
    let waited = world.skep(["wait", "s"]).run();
    let ended = world.last("turn_ended");
    assert_eq!(
        (waited.code(), &ended["outcome"], &ended["cause"]),
        (1, &"interrupted".into(), &"agent_crashed".into()),
        "{ended}\n{}",
        world.story(),
    );
    let left = world.served_by();
    assert!(left.is_empty(), "its tool died with it: {left:#?}");
    world.let_a_minute_begin();
    completed(&world, &world.run("[[mark fig]] [[say good night]]"), "marks: kiwi, fig}");
    let context = world.last("agent_started")["context"].clone();
    assert!(context == "resumed" || context == "loaded", "{context}");
}

#[test]
fn g9_claude_cli_takes_a_prompt_into_the_turn_that_runs() {
    let world = World::new(CLAUDE_CLI);
    let steer = |script: &str| world.skep(["prompt", "s", "--steer", script]).start();
    let steered = |count: usize| {
        world.wait("the steered prompt", || {
            let all = world.env.events("s");
            (all.iter().filter(|event| event["kind"] == "prompt_steered").count() == count).then_some(())
        });
    };
    let ends = || world.env.events("s").iter().filter(|event| event["kind"] == "turn_ended").count();

    // Between two of its requests to the model: with what its tool gave.
    world.ask("echo by-the-tool > first.txt; cat first.txt");
    let watch = steer("[[mark fig]] [[say taken]]");
    steered(1);
    let _allowed = world.skep(["allow"]).run().ok();
    completed(&world, &watch.finish(), "taken {prompts: 2; marks: fig}");
    assert_eq!(
        (ends(), world.last("turn_ended")["steered"].as_array().unwrap().len()),
        (1, 1),
        "{}",
        world.story()
    );

    // After the last of them: a turn of its own, which is the same to skep.
    let slow = world.begin("[[slow 4]]");
    slow.wait_stdout("word-1");
    completed(&world, &steer("[[mark kiwi]] [[say late]]").finish(), "late {prompts: 4; marks: fig, kiwi}");
    completed(&world, &slow.finish(), "late {prompts: 4; ");
    assert_eq!(ends(), 2, "{}", world.story());

    // Withdrawn with its turn.
    let slow = world.begin("[[slow 100]]");
    slow.wait_stdout("word-1");
    let never = steer("[[say never]]");
    steered(3);
    let _cancelled = world.skep(["cancel", "s"]).run().ok();
    let _ended = (slow.finish().exits(130), never.finish().exits(130));
    assert_eq!(world.last("turn_ended")["outcome"], "cancelled", "{}", world.story());
    completed(&world, &world.run("[[say and on]]"), "and on {prompts: 6; marks: fig, kiwi}");
    assert!(!world.requests().contains("never"), "{}", world.requests());
    assert_eq!(ends(), 4, "{}", world.story());
}
