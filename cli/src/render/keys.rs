//! Tokens and signed-in browsers, as a table. Pure: `now` is an argument.

use jiff::Timestamp;
use skep_common::keys::{KeyInfo, KeyKind};

use super::screen::Stream;
use super::short;
use super::table::{aligned, plain};
use super::time::ago;

/// The table of keys.
pub(crate) fn table(keys: &[KeyInfo], now: Timestamp, stream: Stream) -> String {
    if keys.is_empty() {
        return String::from("no tokens");
    }
    let rows = keys.iter().map(|key| {
        let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.word()).collect();
        vec![
            plain(key.id.as_str()),
            plain(kind(key.kind)),
            plain(scopes.join(",")),
            plain(match (key.session, key.children_of) {
                (Some(session), _) => short(session),
                (None, Some(root)) => format!("below {}", short(root)),
                (None, None) => String::from("all"),
            }),
            plain(ago(key.created_at, now)),
            // The time that is left, in the same unit as a time that is past.
            plain(
                key.expires_at.map_or_else(|| String::from("never"), |end| format!("in {}", ago(now, end))),
            ),
            plain(key.name.as_deref().unwrap_or("-")),
        ]
    });
    aligned(&["ID", "KIND", "SCOPES", "SESSION", "AGE", "ENDS", "NAME"], rows, stream)
}

fn kind(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Token => "token",
        KeyKind::Browser => "browser",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q3_keys_are_told_with_what_they_may_do_and_until_when() {
        let plain = Stream { terminal: false, colour: false };
        let keys: Vec<KeyInfo> = serde_json::from_value(serde_json::json!([
            {"id": "k1", "kind": "token", "name": "phone\u{1b}[31m", "scopes": ["read", "approve"],
             "session": "1a2b3c4d-0000-4000-8000-000000000000",
             "created_at": "2026-11-20T11:55:00Z", "expires_at": "2026-11-27T12:00:00Z"},
            {"id": "k2", "kind": "browser", "scopes": ["admin"], "created_at": "2026-11-18T12:00:00Z"},
        ]))
        .unwrap();
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        insta::assert_snapshot!(table(&keys, now, plain), @r"
        ID  KIND     SCOPES        SESSION   AGE  ENDS   NAME
        k1  token    read,approve  1a2b3c4d  5m   in 7d  phone
        k2  browser  admin         all       2d   never  -
        ");
        assert_eq!(table(&[], now, plain), "no tokens");
    }
}
