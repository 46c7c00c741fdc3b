//! What an agent lets be set of a session: its modes, its models and its own options, read from the one shape in which
//! it tells them. Hostile input: what is no offer is none.

use serde_json::Value;
use serde_json::value::RawValue;
use skep_common::sanitise::one_line;

use crate::acp::message::{clip, read};

/// How many names a message lists.
const NAMED: usize = 20;

/// What can be set, as the agent said last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// Configuration options, those for mode and model among them.
    pub(crate) options: Vec<Choice>,
    /// The modes that `session/set_mode` takes.
    pub(crate) modes: Option<Choice>,
    /// The models that `session/set_model` takes (gone from the protocol and still spoken).
    pub(crate) models: Option<Choice>,
}

/// What a configuration option is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The agent's own permission mode.
    Mode,
    /// The model.
    Model,
    /// Anything else.
    #[default]
    Other,
}

/// One thing that can be set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) id: String,
    pub(crate) purpose: Purpose,
    /// It is on or off, and not one of a list.
    pub(crate) is_switch: bool,
    pub(crate) current: String,
    pub(crate) values: Vec<String>,
}

impl Offer {
    /// What the answer that opened a session, or the one to a set option, offers.
    pub(crate) fn read(answer: &RawValue) -> Self {
        Self::of(&read::<Value>(answer).unwrap_or_default())
    }

    pub(crate) fn of(value: &Value) -> Self {
        let options = value["configOptions"].as_array().into_iter().flatten();
        let list = |under: &str, current: &str, list: &str, key: &str| {
            let current = value[under][current].as_str()?.to_owned();
            let values = texts(&value[under][list], key);
            Some(Choice { current, values, ..Choice::default() })
        };
        Self {
            options: options.filter_map(Choice::of).collect(),
            modes: list("modes", "currentModeId", "availableModes", "id"),
            models: list("models", "currentModelId", "availableModels", "modelId"),
        }
    }

    /// Takes what a later answer offers; what it does not tell stays.
    pub(crate) fn learn(&mut self, later: Self) {
        if !later.options.is_empty() {
            self.options = later.options;
        }
        self.modes = later.modes.or_else(|| self.modes.take());
        self.models = later.models.or_else(|| self.models.take());
    }

    /// Takes what an update of the session tells of it.
    pub(crate) fn hear(&mut self, update: &RawValue) {
        let text = update.get();
        let tells = ["config_option_update", "current_mode_update"].iter().any(|kind| text.contains(kind));
        let Some(update) = tells.then(|| read::<Value>(update).ok()).flatten() else { return };
        match update["sessionUpdate"].as_str() {
            Some("config_option_update") => self.learn(Self::of(&update)),
            Some("current_mode_update") => {
                if let (Some(modes), Some(now)) = (&mut self.modes, update["currentModeId"].as_str()) {
                    now.clone_into(&mut modes.current);
                }
            }
            _ => {}
        }
    }

    /// The configuration option for the agent's mode.
    pub(crate) fn mode_option(&self) -> Option<&Choice> {
        self.options.iter().find(|option| option.purpose == Purpose::Mode)
    }

    /// The configuration options for the model.
    pub(crate) fn model_options(&self) -> impl Iterator<Item = &Choice> {
        self.options.iter().filter(|option| option.purpose == Purpose::Model)
    }

    /// The option of this id.
    pub(crate) fn option(&self, id: &str) -> Option<&Choice> {
        self.options.iter().find(|option| option.id == id)
    }

    /// All modes, for people.
    pub(crate) fn mode_names(&self) -> String {
        let offered = self.mode_option().or(self.modes.as_ref());
        match offered.map(|modes| known(&modes.values)).filter(|names| !names.is_empty()) {
            Some(names) => format!("it offers {names}"),
            None => String::from("it offers none"),
        }
    }
}

impl Choice {
    fn of(option: &Value) -> Option<Self> {
        let is_switch = option["type"] == "boolean";
        let current = &option["currentValue"];
        Some(Self {
            id: option["id"].as_str()?.to_owned(),
            purpose: match option["category"].as_str() {
                Some("mode") => Purpose::Mode,
                Some("model") => Purpose::Model,
                _ => Purpose::Other,
            },
            is_switch,
            current: current
                .as_bool()
                .map(|on| on.to_string())
                .or_else(|| Some(current.as_str()?.to_owned()))?,
            values: if is_switch {
                vec![String::from("true"), String::from("false")]
            } else {
                choices(&option["options"])
            },
        })
    }

    /// Whether it can have this value.
    pub(crate) fn offers(&self, value: &str) -> bool {
        self.current == value || self.values.iter().any(|known| known == value)
    }
}

/// Names in a message, and not without end.
pub(crate) fn known(offered: &[String]) -> String {
    let shown: Vec<String> =
        offered.iter().take(NAMED).map(|name| one_line(&clip(name, 80)).into_owned()).collect();
    let more = offered.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

/// The values of a choice, whether or not they come in groups.
fn choices(options: &Value) -> Vec<String> {
    let grouped = options.as_array().into_iter().flatten();
    texts(options, "value")
        .into_iter()
        .chain(grouped.flat_map(|group| texts(&group["options"], "value")))
        .collect()
}

/// The texts under this key of the list's items.
fn texts(list: &Value, key: &str) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(|item| item[key].as_str().map(ToOwned::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn offer() -> Offer {
        Offer::of(&json!({
            "modes": {"currentModeId": "a", "availableModes": [{"id": "a"}, {"id": "b"}, {"name": "no id"}, 3]},
            "models": {"currentModelId": "a", "availableModels": [{"modelId": "a"}, {"modelId": "b"}, 7]},
            "configOptions": [
                {"id": "m", "category": "model", "currentValue": "x", "options": [
                    {"value": "x"}, {"group": "g", "options": [{"value": "y"}]},
                ]},
                {"id": "brave", "type": "boolean", "currentValue": false},
                {"id": "mode", "category": "mode", "currentValue": "c", "options": [
                    {"value": "c"}, {"group": "g", "options": [{"value": "d"}]},
                ]},
                {"id": "broken"}, 3,
            ],
        }))
    }

    #[test]
    fn modes_models_and_options_are_found_in_what_an_agent_offers() {
        let offer = offer();
        assert_eq!(offer.models.as_ref().unwrap().values, ["a", "b"]);
        let modes = offer.modes.as_ref().unwrap();
        assert_eq!((modes.current.as_str(), modes.values.as_slice()), ("a", &["a".into(), "b".into()][..]));
        let ids: Vec<_> = offer.options.iter().map(|option| (option.id.as_str(), option.purpose)).collect();
        assert_eq!(ids, [("m", Purpose::Model), ("brave", Purpose::Other), ("mode", Purpose::Mode)]);
        let option = offer.mode_option().unwrap();
        assert_eq!((option.current.as_str(), option.values.as_slice()), ("c", &["c".into(), "d".into()][..]));
        let models: Vec<_> = offer.model_options().collect();
        assert!(models[0].offers("y") && !models[0].offers("z"));
        assert!(offer.option("brave").unwrap().offers("true") && offer.option("nothing").is_none());
        assert_eq!(offer.mode_names(), "it offers c, d");
        assert_eq!(Offer::default().mode_names(), "it offers none");
    }

    #[test]
    fn g13_what_is_no_offer_is_none() {
        let none = json!({"models": 5, "modes": [], "configOptions": {"a": [1]}});
        for hostile in [json!(null), json!([]), none] {
            assert_eq!(Offer::of(&hostile), Offer::default());
        }
    }

    #[test]
    fn an_update_says_what_is_set_now() {
        let mut offer = offer();
        let mut hear = |text: &str| offer.hear(&RawValue::from_string(text.to_owned()).unwrap());
        hear(r#"{"sessionUpdate":"agent_message_chunk","content":{"text":"current_mode_update"}}"#);
        hear(r#"{"sessionUpdate":"current_mode_update","currentModeId":"b"}"#);
        hear(
            r#"{"sessionUpdate":"config_option_update","configOptions":[{"id":"n","currentValue":"1","options":[]}]}"#,
        );
        hear(r#"{"sessionUpdate":"config_option_update","configOptions":"none"}"#);
        assert_eq!(offer.modes.as_ref().unwrap().current, "b");
        assert_eq!(offer.options.iter().map(|option| option.id.as_str()).collect::<Vec<_>>(), ["n"]);
        assert!(offer.models.is_some());
    }

    #[test]
    fn names_are_not_listed_without_end() {
        let offered: Vec<String> = (0..500).map(|n| format!("model-{n}")).collect();
        let listed = known(&offered);
        assert!(
            listed.starts_with("model-0, model-1,") && listed.ends_with("model-19 and 480 more"),
            "{listed}"
        );
    }
}
