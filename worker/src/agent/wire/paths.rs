//! The files that a tool call names, wherever its agent writes them: its locations, its input, the changes that it shows.
//! Pure. Rather too many than too few: a rule that allows must fit them all.

use serde_json::Value;

/// How many are looked at; a call that names more names none, so that no rule allows it.
const PATHS: usize = 64;

/// How deep in a tool's input they are looked for.
const DEPTH: usize = 6;

/// What else a tool calls a file, beside a name with `path` or `file` in it.
const NAMES: [&str; 8] = ["source", "destination", "from", "to", "src", "dst", "target", "directory"];

/// The files that `call` names.
pub(super) fn named(call: &Value) -> Option<Vec<String>> {
    let mut found = Vec::new();
    for list in [&call["locations"], &call["content"]] {
        let texts = list.as_array().into_iter().flatten().filter_map(|item| item["path"].as_str());
        found.extend(texts.take(PATHS + 1).map(ToOwned::to_owned));
    }
    if look(&call["rawInput"], 0, &mut found) { each_once(found) } else { None }
}

/// The files of what a call says now and of what it said before.
pub(super) fn together(now: Option<Vec<String>>, before: Option<&Vec<String>>) -> Option<Vec<String>> {
    let mut all = now?;
    all.extend(before?.iter().cloned());
    each_once(all)
}

/// Each file once; none of them where they are too many.
fn each_once(mut found: Vec<String>) -> Option<Vec<String>> {
    found.sort_unstable();
    found.dedup();
    (found.len() <= PATHS).then_some(found)
}

/// Looks into a tool's input; whether all of it was looked at.
fn look(value: &Value, depth: usize, found: &mut Vec<String>) -> bool {
    if depth > DEPTH || found.len() > PATHS {
        return value.is_string() || value.is_number() || value.is_boolean() || value.is_null();
    }
    match value {
        Value::Object(members) => members.iter().all(|(key, member)| {
            let key = key.to_ascii_lowercase();
            if key.contains("path") || key.contains("file") || NAMES.contains(&key.as_str()) {
                texts(member, found);
            }
            look(member, depth + 1, found)
        }),
        Value::Array(items) => items.iter().all(|item| look(item, depth + 1, found)),
        _ => true,
    }
}

fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => {
            found.extend(items.iter().take(PATHS + 1).filter_map(Value::as_str).map(ToOwned::to_owned));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn n7_a_file_is_found_wherever_it_is_named() {
        let call = json!({
            "locations": [{"path": "/a"}, {"line": 3}],
            "content": [{"type": "diff", "path": "/b", "newText": ""}],
            "rawInput": {"file_path": "/c", "filePath": "/c", "edits": [{"target": "/d"}], "paths": ["/e"],
                "content": "path: /no", "options": {"notebook_path": "/f"}},
        });
        assert_eq!(named(&call).unwrap(), ["/a", "/b", "/c", "/d", "/e", "/f"]);
        assert_eq!(named(&json!({"rawInput": "/x"})), Some(Vec::new()));
    }

    #[test]
    fn n7_what_cannot_be_looked_at_whole_names_no_file_that_a_rule_could_allow() {
        let many: Vec<String> = (0..=PATHS).map(|n| format!("/{n}")).collect();
        assert_eq!(named(&json!({"rawInput": {"paths": many}})), None);
        let mut deep = json!({"path": "/x"});
        for _ in 0..2 * DEPTH {
            deep = json!({"more": deep});
        }
        assert_eq!(named(&json!({"rawInput": deep})), None);
    }

    #[test]
    fn n7_a_call_that_is_updated_for_ever_names_each_file_once_and_none_when_they_are_too_many() {
        let file = |n: usize| Some(vec![format!("/{n}")]);
        let mut known = Some(Vec::new());
        for _ in 0..1000 {
            known = together(file(1), known.as_ref());
        }
        assert_eq!(known, file(1));
        for n in 0..=PATHS {
            known = together(file(n), known.as_ref());
        }
        assert_eq!(known, None);
        assert_eq!(together(file(1), None), None, "what was too much once stays too much");
    }
}
