//! The rule of every route, on one page. A route that has none here is refused to everybody, so that a new one cannot be
//! forgotten; a method that has none is answered 405.

use axum::http::Method;
use skep_common::api::API;
use skep_common::keys::Scope::{self, Admin, Approve, Prompt, Read};

use super::{About, Need, Rule};

/// Method, path below the API's root (or, with a leading `=`, from the root), rule.
type Entry = (Method, &'static str, Rule);

const fn all(scope: Scope) -> Rule {
    Rule { need: Need::Scope(scope), about: About::Everything }
}

const fn reachable(scope: Scope) -> Rule {
    Rule { need: Need::Scope(scope), about: About::Reachable }
}

const fn one(scope: Scope) -> Rule {
    Rule { need: Need::Scope(scope), about: About::Session }
}

const OPEN: Rule = Rule { need: Need::Nothing, about: About::Everything };

/// What an address that no route knows needs: only who is let in learns that there is none.
pub(crate) const NO_ROUTE: Rule = Rule { need: Need::SignedIn, about: About::Everything };

/// Every route.
pub(crate) const RULES: &[Entry] = &[
    (Method::GET, "=/", OPEN),
    (Method::GET, "=/health", OPEN),
    (Method::GET, "=/ready", OPEN),
    (Method::GET, "=/metrics", all(Read)),
    (Method::GET, "=/openapi.json", all(Read)),
    (Method::GET, "=/login", OPEN),
    (Method::POST, "=/login", OPEN),
    (Method::POST, "=/logout", OPEN),
    (Method::GET, "/health", OPEN),
    (Method::GET, "/sessions", reachable(Read)),
    (Method::POST, "/sessions", reachable(Prompt)),
    (Method::GET, "/sessions/{id}", one(Read)),
    (Method::PATCH, "/sessions/{id}", one(Prompt)),
    (Method::DELETE, "/sessions/{id}", one(Admin)),
    (Method::POST, "/sessions/{id}/prompts", one(Prompt)),
    (Method::POST, "/sessions/{id}/cancel", one(Prompt)),
    (Method::POST, "/sessions/{id}/close", one(Prompt)),
    (Method::POST, "/sessions/{id}/queue/release", one(Prompt)),
    (Method::POST, "/sessions/{id}/permissions/{permission}", one(Approve)),
    (Method::GET, "/sessions/{id}/events", one(Read)),
    (Method::GET, "/sessions/{id}/logs", one(Read)),
    (Method::GET, "/permissions", all(Read)),
    (Method::POST, "/runs", reachable(Prompt)),
    (Method::GET, "/workers", all(Read)),
    (Method::POST, "/workers", all(Admin)),
    (Method::GET, "/workers/{id}", all(Read)),
    (Method::DELETE, "/workers/{id}", all(Admin)),
    (Method::POST, "/workers/{id}/restart", all(Admin)),
    (Method::POST, "/workers/{id}/park", all(Admin)),
    (Method::POST, "/workers/{id}/unpark", all(Admin)),
    (Method::GET, "/workers/{id}/logs", all(Read)),
    (Method::GET, "/daemon", all(Read)),
    (Method::POST, "/daemon/start", all(Admin)),
    (Method::POST, "/daemon/stop", all(Admin)),
    (Method::POST, "/daemon/restart", all(Admin)),
    (Method::POST, "/daemon/reload", all(Admin)),
    (Method::GET, "/daemon/logs", all(Read)),
    (Method::GET, "/audit", all(Admin)),
    (Method::GET, "/agents", reachable(Read)),
    (Method::GET, "/metrics", all(Read)),
    (Method::GET, "/tokens", all(Admin)),
    (Method::POST, "/tokens", all(Admin)),
    (Method::DELETE, "/tokens/{id}", all(Admin)),
    (Method::GET, "/hooks", all(Read)),
    (Method::POST, "/hooks/{name}/test", all(Admin)),
    (Method::GET, "/deliveries", all(Read)),
    (Method::POST, "/deliveries/{id}/retry", all(Admin)),
    (Method::DELETE, "/deliveries/{id}", all(Admin)),
    (Method::POST, "/login-links", all(Admin)),
];

/// What is known of a method on a path that a route matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Its rule.
    Rule(Rule),
    /// The path has rules for other methods only.
    OtherMethods,
    /// The path has no rule.
    Nothing,
}

/// The rule for a method on a matched path, as the router names it. HEAD is what GET is.
pub(crate) fn find(method: &Method, path: &str) -> Found {
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    let mut known = false;
    for (of, pattern, rule) in RULES {
        let is_this = match pattern.strip_prefix('=') {
            Some(from_root) => path == from_root,
            None => path.strip_prefix(API) == Some(pattern),
        };
        if is_this && of == method {
            return Found::Rule(*rule);
        }
        known |= is_this;
    }
    if known { Found::OtherMethods } else { Found::Nothing }
}

/// The methods that a matched path takes, for the `allow` header.
pub(crate) fn methods(path: &str) -> String {
    let of_path = |pattern: &str| match pattern.strip_prefix('=') {
        Some(from_root) => path == from_root,
        None => path.strip_prefix(API) == Some(pattern),
    };
    let names: Vec<&str> =
        RULES.iter().filter(|(_, pattern, _)| of_path(pattern)).map(|(method, ..)| method.as_str()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q5_what_changes_state_takes_post_patch_or_delete_and_never_only_read() {
        for (method, path, rule) in RULES {
            assert!([Method::GET, Method::POST, Method::PATCH, Method::DELETE].contains(method), "{path}");
            let reads = rule.need == Need::Scope(Read);
            assert!(!reads || *method == Method::GET, "{method} {path}");
        }
    }

    #[test]
    fn q3_a_rule_is_about_a_session_exactly_where_the_path_names_one() {
        for (method, path, rule) in RULES {
            assert_eq!(rule.about == About::Session, path.starts_with("/sessions/{id}"), "{method} {path}");
        }
    }

    #[test]
    fn q3_every_described_route_has_its_rule_and_every_rule_a_route() {
        let document: serde_json::Value = serde_json::from_str(&crate::openapi_json()).unwrap();
        let mut described = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                let method: Method = method.to_uppercase().parse().unwrap();
                assert!(matches!(find(&method, path), Found::Rule(_)), "{method} {path}");
                described += 1;
            }
        }
        // The pages are for people, and not described.
        let pages =
            RULES.iter().filter(|(_, path, _)| matches!(*path, "=/" | "=/login" | "=/logout")).count();
        assert_eq!(described + pages, RULES.len());
    }

    #[test]
    fn each_route_stands_here_once_and_what_does_not_is_refused() {
        for (at, (method, path, _)) in RULES.iter().enumerate() {
            let again = RULES.iter().skip(at + 1).any(|(m, p, _)| m == method && p == path);
            assert!(!again, "{method} {path}");
        }
        assert_eq!(find(&Method::GET, "/api/v1/unheard-of"), Found::Nothing);
        assert_eq!(find(&Method::PUT, "/api/v1/sessions"), Found::OtherMethods);
        assert_eq!(find(&Method::HEAD, "/api/v1/sessions"), Found::Rule(reachable(Read)));
        assert_eq!(find(&Method::GET, "/sessions"), Found::Nothing);
        assert_eq!(methods("/api/v1/sessions"), "GET, POST");
    }
}
