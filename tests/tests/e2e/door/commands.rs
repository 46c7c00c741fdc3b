//! `skep token` and `skep open` (Q3).

use std::os::unix::fs::PermissionsExt as _;

use skep_tests::wait::wait_until;

use super::*;

#[test]
fn q3_a_token_is_made_listed_and_revoked_by_hand_and_the_revocation_holds_at_once() {
    let env = TestEnv::new();
    let at = start(&env);
    session(&env, "own");
    session(&env, "other");
    let line = ["token", "create", "--scope", "read", "--session", "own", "--ttl", "7d", "--name", "phone"];
    let made = env.skep(line).run().ok().warns("told this once");
    let secret = made.stdout.trim();
    assert_eq!(made.stdout.lines().count(), 1, "the secret alone, for `$(…)`: {made}");
    assert!(!made.stderr.contains(secret), "{made}");
    let _read = call(at, secret, "GET", "/sessions/own", &Value::Null).is(200);
    let _refused = call(at, secret, "GET", "/sessions/other", &Value::Null).refuses(403, "forbidden");

    let table = env.skep(["token", "ls"]).run().ok().says("phone").says("in ");
    let list = env.skep(["token", "ls", "--json"]).run().ok();
    assert!(!table.stdout.contains(secret) && !list.stdout.contains(secret), "{table}\n{list}");
    let listed = &list.json()["tokens"][0];
    assert_eq!((&listed["scopes"], &listed["name"]), (&json!(["read"]), &json!("phone")));
    let id = listed["id"].as_str().unwrap();
    let _revoked = env.skep(["token", "revoke", id]).run().ok().says("revoked");
    let _refused = call(at, secret, "GET", "/sessions/own", &Value::Null).refuses(401, "unauthorized");
    let _empty = env.skep(["token", "ls"]).run().ok().says("no tokens");
    let _gone = env.skep(["token", "revoke", id]).run().exits(4);
    let _nobody = env.skep(["token", "create", "--scope", "read", "--session", "nobody"]).run().exits(4);
}

#[test]
fn q3_a_token_that_may_prompt_approves_nothing_and_one_that_may_approve_does() {
    let env = TestEnv::new();
    let at = start(&env);
    let _begun = env.skep(["bg", "--agent", "fake", "--name", "asks", "ask execute a deed"]).run().ok();
    let session = env.wait_session("asks", "a question", |session| session["state"] == "needs_you");
    let question = session["waiting"][0]["id"].as_str().unwrap_or_else(|| panic!("{session}"));
    let path = format!("/sessions/asks/permissions/{question}");
    let make = |scope: &str| {
        let line = ["token", "create", "--json", "--session", "asks", "--scope", scope];
        env.skep(line).run().ok().json()["token"].as_str().unwrap().to_owned()
    };
    let answer = json!({"decision": {"type": "allow"}});
    for scope in ["read", "prompt", "read,prompt"] {
        let _refused = call(at, &make(scope), "POST", &path, &answer).refuses(403, "forbidden");
    }
    let answered = call(at, &make("approve"), "POST", &path, &answer);
    assert!((200..300).contains(&answered.status), "{}", answered.text());
    env.wait_session("asks", "the end of the turn", |session| session["state"] == "idle");
}

#[test]
fn q3_the_daemons_own_token_is_shown_and_is_the_one_that_opens_everything() {
    let env = TestEnv::new();
    let _none_yet = env.skep(["token", "show"]).run().exits(4);
    let at = start(&env);
    let shown = env.skep(["token", "show"]).run().ok();
    assert_eq!(shown.stdout.trim(), token(&env));
    let _all = call(at, shown.stdout.trim(), "GET", "/tokens", &Value::Null).is(200);
    let json = env.skep(["token", "show", "--json"]).run().ok().json();
    assert_eq!(json["token"], shown.stdout.trim());
}

#[test]
fn q3_open_makes_a_listener_on_this_machine_and_its_link_signs_in_exactly_once() {
    let env = TestEnv::new();
    // No daemon, no listener: both are there afterwards.
    let opened = env.skep(["open", "--print"]).env("SSH_CONNECTION", "10.0.0.2 5 10.0.0.1 22").run().ok();
    let at = address(&env);
    assert!(at.ip().is_loopback(), "{at}");
    let opened = opened.warns(&format!("ssh -L {}:{at}", at.port())).warns("10.0.0.1");
    let code = code(at, opened.stdout.trim());
    let signed_in = sign_in(at, &code).is(303);
    let cookie = signed_in.header("set-cookie").unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = format!("cookie: {}", cookie.split(';').next().unwrap());
    let _in = ask(at, "GET", "/api/v1/sessions", &[&cookie], "").is(200);
    assert_eq!(sign_in(at, &code).status, 401, "a link works once");

    // The browser is listed, and signed out like a token. A second link uses the same listener.
    let list = env.skep(["token", "ls", "--json"]).run().ok().json();
    assert_eq!(
        (&list["tokens"][0]["kind"], list["tokens"].as_array().unwrap().len()),
        (&json!("browser"), 1)
    );
    let _out = env.skep(["token", "revoke", list["tokens"][0]["id"].as_str().unwrap()]).run().ok();
    let _refused = ask(at, "GET", "/api/v1/sessions", &[&cookie], "").refuses(401, "unauthorized");
    let again = env.skep(["open", "--json"]).run().ok().json();
    let _in = sign_in(at, &self::code(at, again["url"].as_str().unwrap())).is(303);
}

#[test]
fn q3_a_browser_is_opened_with_a_private_file_and_no_other_user_can_read_the_link() {
    let env = TestEnv::new();
    let bin = env.root().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let seen = env.work().join("seen");
    let script =
        format!("#!/bin/sh\nprintf '%s\\n' \"$@\" > '{0}.new' && mv '{0}.new' '{0}'\n", seen.display());
    std::fs::write(bin.join(opener), script).unwrap();
    std::fs::set_permissions(bin.join(opener), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let open = || env.skep(["open"]).env("PATH", &path).env("DISPLAY", ":0");
    let opened = open().run().ok();
    wait_until("the browser", || seen.exists());
    let file = std::fs::read_to_string(&seen).unwrap();
    let file = std::path::Path::new(file.trim());
    assert!(!format!("{opened}").contains("code="), "{opened}");
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    let page = std::fs::read_to_string(file).unwrap();
    let at = address(&env);
    let url = page.split_once("url=").unwrap().1.split_once('"').unwrap().0;
    let _in = sign_in(at, &code(at, url)).is(303);

    // A browser that does not open is told, with what to do instead.
    std::fs::write(bin.join(opener), "#!/bin/sh\nexit 3\n").unwrap();
    let _failed = open().run().exits(1).warns("skep open --print");
    if cfg!(not(target_os = "macos")) {
        let _nowhere = env.skep(["open"]).env("PATH", &path).run().exits(1).warns("skep open --print");
    }
}

#[test]
fn q3_a_phone_gets_a_code_for_an_address_that_it_can_reach() {
    let env = TestEnv::new();
    let at = start(&env);
    let _nowhere = env.skep(["open", "--qr"]).run().exits(1).warns("--url");
    let drawn = env.skep(["open", "--qr", "--url", "https://skep.example.org/skep/"]).run().ok();
    let url = drawn.stdout.lines().last().unwrap();
    assert!(url.starts_with("https://skep.example.org/skep/login?code="), "{drawn}");
    assert!(drawn.stdout.lines().count() > 15 && drawn.stdout.contains('█'), "{drawn}");
    let _in = sign_in(at, url.split_once("code=").unwrap().1).is(303);
}

#[test]
fn q3_a_link_to_one_session_signs_a_browser_in_that_sees_that_session_alone() {
    let env = TestEnv::new();
    let at = start(&env);
    let (own, _) = (session(&env, "own"), session(&env, "other"));
    let cookie_of = |words: &[&str]| {
        let opened = env.skep(["open", "--print"].iter().chain(words).copied()).run().ok();
        let signed_in = sign_in(at, &code(at, opened.stdout.trim())).is(303);
        let cookie = signed_in.header("set-cookie").unwrap().to_owned();
        (format!("cookie: {}", cookie.split(';').next().unwrap()), cookie, signed_in)
    };
    let (reader, whole, answer) = cookie_of(&["own", "--ttl", "1h"]);
    assert!(whole.contains("Max-Age=3600"), "{whole}");
    assert_eq!(answer.header("location"), Some(format!("/#/sessions/{own}").as_str()));
    let get = |cookie: &str, path: &str| ask(at, "GET", &format!("/api/v1{path}"), &[cookie], "").status;
    assert_eq!((get(&reader, "/sessions/own"), get(&reader, "/sessions/own/events")), (200, 200));
    for refused in ["/sessions/other", "/sessions", "/daemon", "/tokens", "/permissions", "/audit"] {
        assert_eq!(get(&reader, refused), 403, "{refused}");
    }
    let own_page = format!("origin: http://{at}");
    let prompt = json!({"content": [{"type": "text", "text": "true"}], "when_busy": "queue"}).to_string();
    let prompts = |cookie: &str, name: &str| {
        ask(at, "POST", &format!("/api/v1/sessions/{name}/prompts"), &[cookie, &own_page], &prompt).status
    };
    assert_eq!(prompts(&reader, "own"), 403, "it may read and no more");
    let (writer, ..) = cookie_of(&["own", "--scope", "read,prompt"]);
    assert_eq!((prompts(&writer, "own"), prompts(&writer, "other")), (202, 403));
    let page = ask(at, "GET", "/", &[&reader], "").is(200).text();
    assert!(
        page.contains(&format!("/api/v1/sessions/{own}/logs")) && !page.contains("/api/v1/daemon"),
        "{page}"
    );

    // A browser that sees all of them keeps that.
    let (all, ..) = cookie_of(&[]);
    let opened = env.skep(["open", "--json", "own"]).run().ok().json();
    assert_eq!((&opened["session"], &opened["scopes"]), (&json!(own), &json!(["read"])));
    let form = format!("code={}", code(at, opened["url"].as_str().unwrap()));
    let head = format!(
        "POST /login HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n{own_page}\r\n{all}\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
        form.len()
    );
    assert_eq!(raw(at, &head).is(303).header("set-cookie"), None);
    assert_eq!(get(&all, "/sessions"), 200);

    let _nobody = env.skep(["open", "--print", "nobody"]).run().exits(4);
    // Signed out like any other, at once.
    let list = env.skep(["token", "ls", "--json"]).run().ok().json();
    for key in list["tokens"].as_array().unwrap() {
        let _out = env.skep(["token", "revoke", key["id"].as_str().unwrap()]).run().ok();
    }
    assert_eq!(get(&reader, "/sessions/own"), 401);
}

/// The code of a link to this address.
fn code(at: SocketAddr, url: &str) -> String {
    let code = url.strip_prefix(&format!("http://{at}/login?code="));
    code.unwrap_or_else(|| panic!("no link to {at}: {url}")).to_owned()
}

/// Presses the button of the link's page.
fn sign_in(at: SocketAddr, code: &str) -> Response {
    let form = format!("code={code}");
    let head = format!(
        "POST /login HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\norigin: http://{at}\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
        form.len()
    );
    raw(at, &head)
}
