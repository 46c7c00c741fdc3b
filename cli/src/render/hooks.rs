//! Hooks and what they have to tell, as tables. Pure: `now` is an argument.

use jiff::Timestamp;
use skep_common::api::{DeliveryInfo, DeliveryState, HookInfo};
use skep_common::sanitise::one_line;

use super::screen::Stream;
use super::short;
use super::table::{aligned, plain};
use super::time::ago;

/// The table of hooks.
pub(crate) fn table(hooks: &[HookInfo], now: Timestamp, stream: Stream) -> String {
    if hooks.is_empty() {
        return String::from("no hooks; `[hooks.NAME]` in the configuration makes one");
    }
    let rows = hooks.iter().map(|hook| {
        let on: Vec<&str> = hook.on.iter().map(|event| event.word()).collect();
        let counts = hook.counts;
        vec![
            plain(hook.name.as_str()),
            plain(one_line(&hook.target)),
            plain(counts.pending.to_string()),
            plain(counts.dead.to_string()),
            plain(counts.delivered.to_string()),
            plain(counts.dropped.to_string()),
            plain(due(hook.next_at, now)),
            plain(on.join(",")),
        ]
    });
    aligned(&["NAME", "TARGET", "PENDING", "DEAD", "DELIVERED", "DROPPED", "NEXT", "ON"], rows, stream)
}

/// The table of deliveries.
pub(crate) fn deliveries(deliveries: &[DeliveryInfo], now: Timestamp, stream: Stream) -> String {
    if deliveries.is_empty() {
        return String::from("no deliveries");
    }
    let rows = deliveries.iter().map(|delivery| {
        let session = delivery.session.map(short);
        let about = session.or_else(|| delivery.worker.as_ref().map(ToString::to_string));
        vec![
            plain(delivery.id.to_string()),
            plain(delivery.hook.as_str()),
            plain(delivery.event.word()),
            plain(about.unwrap_or_else(|| String::from("-"))),
            plain(state(delivery.state)),
            plain(delivery.attempts.to_string()),
            plain(ago(delivery.at, now)),
            plain(due(delivery.next_at, now)),
            plain(one_line(delivery.last_error.as_deref().unwrap_or("-"))),
        ]
    });
    let header = ["ID", "HOOK", "EVENT", "ABOUT", "STATE", "TRIED", "AGE", "NEXT", "ERROR"];
    aligned(&header, rows, stream)
}

fn due(next: Option<Timestamp>, now: Timestamp) -> String {
    match next {
        None => String::from("-"),
        Some(next) if next <= now => String::from("now"),
        Some(next) => format!("in {}", ago(now, next)),
    }
}

fn state(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Pending => "pending",
        DeliveryState::Dead => "dead",
        DeliveryState::Delivered => "delivered",
        DeliveryState::Unknown => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_and_deliveries_are_told_with_what_waits_and_why() {
        let plain = Stream { terminal: false, colour: false };
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        let hooks: Vec<HookInfo> = serde_json::from_value(serde_json::json!([
            {"name": "chat", "on": ["needs_you", "turn_ended"], "target": "https://bot.example",
             "counts": {"pending": 2, "dead": 1, "delivered": 40, "failed_attempts": 9, "dropped": 0},
             "next_at": "2026-11-20T12:05:00Z", "last_error": "HTTP 500"},
            {"name": "desk", "on": ["worker_parked"], "target": "notify", "counts": {}},
        ]))
        .unwrap();
        insta::assert_snapshot!(table(&hooks, now, plain), @r"
        NAME  TARGET               PENDING  DEAD  DELIVERED  DROPPED  NEXT   ON
        chat  https://bot.example  2        1     40         0        in 5m  needs_you,turn_ended
        desk  notify               0        0     0          0        -      worker_parked
        ");
        let list: Vec<DeliveryInfo> = serde_json::from_value(serde_json::json!([
            {"id": "1a2b3c4d-0000-4000-8000-000000000000", "hook": "chat", "event": "turn_ended",
             "session": "5a2b3c4d-0000-4000-8000-000000000000", "at": "2026-11-20T11:55:00Z",
             "state": "pending", "attempts": 3, "next_at": "2026-11-20T12:05:00Z", "last_error": "HTTP 500\u{1b}[31m"},
            {"id": "2a2b3c4d-0000-4000-8000-000000000000", "hook": "desk", "event": "worker_parked",
             "worker": "background-1", "at": "2026-11-20T11:00:00Z", "state": "delivered", "attempts": 1},
        ]))
        .unwrap();
        insta::assert_snapshot!(deliveries(&list, now, plain), @r"
        ID                                    HOOK  EVENT          ABOUT         STATE      TRIED  AGE  NEXT   ERROR
        1a2b3c4d-0000-4000-8000-000000000000  chat  turn_ended     5a2b3c4d      pending    3      5m   in 5m  HTTP 500
        2a2b3c4d-0000-4000-8000-000000000000  desk  worker_parked  background-1  delivered  1      1h   -      -
        ");
        assert_eq!(deliveries(&[], now, plain), "no deliveries");
    }
}
