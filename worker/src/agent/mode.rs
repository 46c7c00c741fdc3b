//! The agent's own permission mode, set to match the session's where the preset says which it is. It is never trusted
//! alone: skep's consent decides every request all the same.

use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use skep_common::sanitise::one_line;
use tokio::time::timeout;

use super::connection::{CallError, Connection};
use crate::acp::message::{clip, read};

/// How long an agent may take to change its mode.
const PATIENCE: Duration = Duration::from_secs(5);

/// The update by which an agent names its mode.
const UPDATE: &str = "current_mode_update";

/// How many of an agent's modes are named in a message.
const NAMED: usize = 12;

/// The modes that an agent offers, as it said when the session was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Offer {
    /// The configuration option by which the mode is set.
    option: Option<Modes>,
    /// The modes that `session/set_mode` takes.
    modes: Option<Modes>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Modes {
    id: String,
    current: String,
    ids: Vec<String>,
}

impl Offer {
    fn of(value: &Value) -> Self {
        let options = value["configOptions"].as_array().into_iter().flatten();
        let option = options.filter(|option| option["category"] == "mode").find_map(|option| {
            Some(Modes {
                id: option["id"].as_str()?.to_owned(),
                current: option["currentValue"].as_str()?.to_owned(),
                ids: choices(&option["options"]),
            })
        });
        let modes = value["modes"]["currentModeId"].as_str().map(|current| Modes {
            id: String::new(),
            current: current.to_owned(),
            ids: texts(&value["modes"]["availableModes"], "id"),
        });
        Self { option, modes }
    }

    /// All modes, for people.
    fn names(&self) -> String {
        let offered = self.option.as_ref().or(self.modes.as_ref());
        let ids = offered.map(|modes| modes.ids.as_slice()).unwrap_or_default();
        let names: Vec<_> = ids.iter().take(NAMED).map(|id| one_line(&clip(id, 60)).into_owned()).collect();
        if names.is_empty() {
            String::from("it offers none")
        } else {
            format!("it offers {}", names.join(", "))
        }
    }
}

/// The values of a choice, whether or not they come in groups.
pub(super) fn choices(options: &Value) -> Vec<String> {
    let grouped = options.as_array().into_iter().flatten();
    texts(options, "value")
        .into_iter()
        .chain(grouped.flat_map(|group| texts(&group["options"], "value")))
        .collect()
}

/// The texts under this key of the list's items.
pub(super) fn texts(list: &Value, key: &str) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(|item| item[key].as_str().map(ToOwned::to_owned)).collect()
}

/// Sets the mode; what to tell people if it is not set afterwards. `opened` is the answer that opened the session.
pub(super) async fn set(connection: &mut Connection, wanted: &str, opened: &RawValue) -> Option<String> {
    let offer = Offer::of(&read::<Value>(opened).unwrap_or_default());
    let why = match timeout(PATIENCE, try_set(connection, wanted, &offer)).await {
        Ok(Ok(())) => return None,
        Ok(Err(why)) => why,
        Err(_) => {
            // Whether or not it listens, nothing waits for it any more.
            let _told = connection.give_up_call();
            String::from("it does not answer")
        }
    };
    Some(format!(
        "the agent's own permission mode could not be set to `{wanted}`: {why}; \
         skep decides what it asks for, but not what it does without asking"
    ))
}

/// By the configuration option, else by `session/set_mode`.
async fn try_set(connection: &mut Connection, wanted: &str, offer: &Offer) -> Result<(), String> {
    let mut refused = None;
    if let Some(option) = offer.option.as_ref().filter(|option| option.ids.iter().any(|id| id == wanted)) {
        if option.current == wanted {
            return Ok(());
        }
        match by_option(connection, wanted, option).await {
            Ok(()) => return Ok(()),
            Err(why) => refused = Some(why),
        }
    }
    if let Some(modes) = offer.modes.as_ref().filter(|modes| modes.ids.iter().any(|id| id == wanted)) {
        if modes.current == wanted && refused.is_none() {
            return Ok(());
        }
        return by_mode(connection, wanted).await;
    }
    Err(refused.unwrap_or_else(|| offer.names()))
}

async fn by_option(connection: &mut Connection, wanted: &str, option: &Modes) -> Result<(), String> {
    let params = json!({"sessionId": connection.session, "configId": option.id, "value": wanted});
    let answer = connection.call("session/set_config_option", &params).await.map_err(in_words)?;
    let answer = Offer::of(&read::<Value>(&answer).unwrap_or_default());
    let now = answer.option.map(|option| option.current).or_else(|| told(connection));
    is_set(wanted, now)
}

async fn by_mode(connection: &mut Connection, wanted: &str) -> Result<(), String> {
    connection.forget(UPDATE);
    let params = json!({"sessionId": connection.session, "modeId": wanted});
    connection.call("session/set_mode", &params).await.map_err(in_words)?;
    // The answer says nothing but yes; an update says more.
    is_set(wanted, told(connection))
}

/// The mode that the agent's last update named.
fn told(connection: &Connection) -> Option<String> {
    let params: Value = read(connection.early(UPDATE)?).ok()?;
    params["update"]["currentModeId"].as_str().map(ToOwned::to_owned)
}

fn is_set(wanted: &str, now: Option<String>) -> Result<(), String> {
    match now {
        Some(now) if now != wanted => {
            Err(format!("it says that it is in mode `{}`", one_line(&clip(&now, 60))))
        }
        _ => Ok(()),
    }
}

fn in_words(error: CallError) -> String {
    one_line(&clip(&error.to_string(), 300)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_found_in_options_groups_and_lists() {
        let value = json!({
            "modes": {"currentModeId": "a", "availableModes": [{"id": "a"}, {"id": "b"}, {"name": "no id"}, 3]},
            "configOptions": [
                {"id": "model", "category": "model", "currentValue": "x", "options": [{"value": "x"}]},
                {"id": "m", "category": "mode", "currentValue": "c", "options": [
                    {"value": "c"}, {"group": "g", "options": [{"value": "d"}]},
                ]},
            ],
        });
        let offer = Offer::of(&value);
        let modes = offer.modes.clone().unwrap();
        assert_eq!((modes.current.as_str(), modes.ids), ("a", vec!["a".to_owned(), "b".to_owned()]));
        let option = offer.option.clone().unwrap();
        assert_eq!((option.id.as_str(), option.current.as_str()), ("m", "c"));
        assert_eq!(option.ids, ["c", "d"]);
        assert_eq!(offer.names(), "it offers c, d");
        for hostile in [json!(null), json!([]), json!({"modes": 5, "configOptions": {"a": [1]}})] {
            assert_eq!(Offer::of(&hostile), Offer::default());
        }
    }
}
