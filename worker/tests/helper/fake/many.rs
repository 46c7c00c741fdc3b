//! The scripted agent with several sessions in one process.

use std::collections::BTreeMap;
use std::io::BufRead as _;

use serde_json::Value;

use super::Fake;

/// How far the ids of two sessions' requests are apart.
pub(super) const IDS: u64 = 100_000;

pub(super) fn serve(options: &[String]) {
    let mut sessions: BTreeMap<u64, Fake> = BTreeMap::new();
    let mut itself = Fake { options: options.to_vec(), ..Fake::default() };
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let message: Value = serde_json::from_str(&line).expect("the driver writes JSON");
        match message["method"].as_str() {
            Some("session/new" | "session/load") => {
                let number = u64::try_from(sessions.len()).expect("few") + 1;
                let mut session = Fake { number, options: options.to_vec(), ..Fake::default() };
                session.hear(&message);
                sessions.insert(number, session);
            }
            Some(_) if message["params"]["sessionId"].is_string() => {
                let named = |fake: &&mut Fake| message["params"]["sessionId"] == fake.session;
                sessions.values_mut().find(named).expect("a session that was opened").hear(&message);
            }
            Some(_) => itself.hear(&message),
            None => {
                let number = message["id"].as_u64().expect("an id of ours") / IDS;
                sessions.get_mut(&number).expect("a session that asked").hear(&message);
            }
        }
    }
}
