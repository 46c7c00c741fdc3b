use serde_json::json;

use super::*;

fn command(params: serde_json::Value) -> Result<Command, RpcError> {
    Command::new(serde_json::from_value(params).unwrap())
}

fn word(error: &RpcError) -> String {
    let data: serde_json::Value = serde_json::from_str(error.data.as_ref().unwrap().get()).unwrap();
    data["code"].as_str().unwrap().to_owned()
}

#[test]
fn a_whole_shell_command_in_the_programs_place_is_run_by_a_shell() {
    for (params, line, argv) in [
        (json!({"command": "ls"}), "ls", &["ls"][..]),
        (json!({"command": "./run-it.sh", "args": null}), "./run-it.sh", &["./run-it.sh"]),
        (json!({"command": "ls -l | wc"}), "ls -l | wc", &["/bin/sh", "-c", "ls -l | wc"]),
        (json!({"command": "A=1"}), "A=1", &["/bin/sh", "-c", "A=1"]),
        (json!({"command": "ls", "args": ["-l", "a b"]}), "ls -l 'a b'", &["ls", "-l", "a b"]),
        (json!({"command": "rm -r", "args": ["x"]}), "'rm -r' x", &["rm -r", "x"]),
        (json!({"command": "ls", "args": [";", "rm"]}), "ls ';' rm", &["ls", ";", "rm"]),
    ] {
        let command = command(params.clone()).unwrap();
        assert_eq!(command.line, line, "{params}");
        assert_eq!(command.argv, argv, "{params}");
    }
}

#[test]
fn variables_are_part_of_what_is_shown_and_none_of_them_is_skeps() {
    let set = |name: &str, value: &str| {
        command(json!({"command": "make", "args": ["all"], "env": [{"name": name, "value": value}]}))
    };
    let made = set("CC", "a; b").unwrap();
    assert_eq!((made.line.as_str(), made.bare.as_str()), ("CC='a; b' make all", "make all"));
    assert_eq!(made.env, [(OsString::from("CC"), OsString::from("a; b"))]);
    for (name, value, expected) in [
        ("", "x", "invalid_params"),
        ("A B", "x", "invalid_params"),
        ("A=B", "x", "invalid_params"),
        ("1A", "x", "invalid_params"),
        ("A", "x\u{0}", "invalid_params"),
        ("SKEP_SESSION", "x", "reserved"),
    ] {
        assert_eq!(word(&set(name, value).unwrap_err()), expected, "{name:?}");
    }
    let many = vec![json!({"name": "A", "value": "b"}); VARIABLES_MAX + 1];
    assert_eq!(word(&command(json!({"command": "x", "env": many})).unwrap_err()), "too_large");
    let long = "x".repeat(LINE_MAX + 1);
    assert_eq!(word(&command(json!({"command": long})).unwrap_err()), "too_large");
}

#[test]
fn what_is_kept_of_the_output_has_a_ceiling() {
    for (limit, keep) in
        [(json!(null), KEEP_MAX), (json!(10), 10), (json!(0), 0), (json!(u64::MAX), KEEP_MAX)]
    {
        assert_eq!(command(json!({"command": "x", "outputByteLimit": limit})).unwrap().keep, keep);
    }
}
