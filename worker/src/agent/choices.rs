//! The model and the agent's own options that a session asks for: set after its agent has opened it, and verified.
//!
//! A model is set by the configuration option of category `model`, else by `session/set_model` (gone from the protocol
//! and still spoken), else it was named to the agent at its start by the preset's `model_args`. An agent that does not
//! offer what was asked for does not serve the session: another model than the chosen one is never used in its place.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use skep_common::sanitise::one_line;
use tokio::time::timeout;

use super::connection::{CallError, Connection};
use super::mode::{choices, texts};
use crate::acp::message::{clip, read};

/// How long an agent may take to change a setting.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many names a message lists.
const NAMED: usize = 20;

/// What a session asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The model.
    pub(crate) model: Option<String>,
    /// The model was named to the agent when it was started.
    pub(crate) named_at_start: bool,
    /// Options by their ids.
    pub(crate) options: BTreeMap<String, String>,
}

impl Wanted {
    /// Whether an agent without ACP, which is only told at its start, can serve the session.
    ///
    /// # Errors
    ///
    /// When it cannot be told what is asked for.
    pub(crate) fn without_acp(&self) -> Result<(), ChoiceRefused> {
        if self.model.is_some() && !self.named_at_start {
            return Err(ChoiceRefused::NoModels);
        }
        match self.options.keys().next() {
            Some(key) => Err(ChoiceRefused::Option { key: key.clone(), offered: Vec::new() }),
            None => Ok(()),
        }
    }
}

/// Why the agent does not serve the session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChoiceRefused {
    #[error("it does not offer the model `{model}`{}", known(offered))]
    Model { model: String, offered: Vec<String> },
    #[error("it lets nobody choose its model; its preset needs `model_args`")]
    NoModels,
    #[error("it has no option `{key}`{}", known(offered))]
    Option { key: String, offered: Vec<String> },
    #[error("its option `{key}` does not take `{value}`{}", known(offered))]
    Value { key: String, value: String, offered: Vec<String> },
    #[error("`{key}` could not be set to `{value}`: {why}")]
    Failed { key: String, value: String, why: String },
}

fn known(offered: &[String]) -> String {
    if offered.is_empty() {
        return String::new();
    }
    let shown: Vec<String> =
        offered.iter().take(NAMED).map(|name| one_line(&clip(name, 80)).into_owned()).collect();
    let more = offered.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("; it offers {}{more}", shown.join(", "))
}

/// What the agent offers, as it said when the session was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Offer {
    options: Vec<Choice>,
    /// By `session/set_model`.
    models: Option<Choice>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Choice {
    id: String,
    is_model: bool,
    /// It is on or off, and not one of a list.
    is_switch: bool,
    current: String,
    values: Vec<String>,
}

impl Offer {
    fn of(opened: &Value) -> Self {
        let options = opened["configOptions"].as_array().into_iter().flatten();
        let models = &opened["models"];
        Self {
            options: options.filter_map(Choice::of).collect(),
            models: models["currentModelId"].as_str().map(|current| Choice {
                id: String::from("model"),
                is_model: true,
                is_switch: false,
                current: current.to_owned(),
                values: texts(&models["availableModels"], "modelId"),
            }),
        }
    }
}

impl Choice {
    fn of(option: &Value) -> Option<Self> {
        let is_switch = option["type"] == "boolean";
        let current = &option["currentValue"];
        Some(Self {
            id: option["id"].as_str()?.to_owned(),
            is_model: option["category"] == "model",
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

    fn offers(&self, value: &str) -> bool {
        self.current == value || self.values.iter().any(|known| known == value)
    }
}

/// Sets what the session asks for. `opened` is the answer that opened it.
pub(super) async fn set(
    connection: &mut Connection,
    wanted: &Wanted,
    opened: &RawValue,
) -> Result<(), ChoiceRefused> {
    if wanted.model.is_none() && wanted.options.is_empty() {
        return Ok(());
    }
    let offer = Offer::of(&read::<Value>(opened).unwrap_or_default());
    if let Some(model) = &wanted.model {
        set_model(connection, model, wanted.named_at_start, &offer).await?;
    }
    for (key, value) in &wanted.options {
        let Some(option) = offer.options.iter().find(|option| option.id == *key) else {
            let offered = offer.options.iter().map(|option| option.id.clone()).collect();
            return Err(ChoiceRefused::Option { key: key.clone(), offered });
        };
        if !option.offers(value) {
            let (key, value) = (key.clone(), value.clone());
            return Err(ChoiceRefused::Value { key, value, offered: option.values.clone() });
        }
        set_option(connection, option, value).await?;
    }
    Ok(())
}

async fn set_model(
    connection: &mut Connection,
    model: &str,
    named_at_start: bool,
    offer: &Offer,
) -> Result<(), ChoiceRefused> {
    let options: Vec<&Choice> = offer.options.iter().filter(|option| option.is_model).collect();
    if let Some(option) = options.iter().find(|option| option.offers(model)) {
        return set_option(connection, option, model).await;
    }
    if let Some(models) = offer.models.as_ref().filter(|models| models.offers(model)) {
        if models.current == model {
            return Ok(());
        }
        let params = json!({"sessionId": connection.session, "modelId": model});
        return call(connection, "session/set_model", &params, ("model", model)).await.map(drop);
    }
    let lists = options.into_iter().chain(&offer.models);
    let offered: Vec<String> = lists.flat_map(|choice| choice.values.iter().cloned()).collect();
    match (offered.is_empty(), named_at_start) {
        (true, true) => Ok(()),
        (true, false) => Err(ChoiceRefused::NoModels),
        (false, _) => Err(ChoiceRefused::Model { model: model.to_owned(), offered }),
    }
}

async fn set_option(connection: &mut Connection, option: &Choice, value: &str) -> Result<(), ChoiceRefused> {
    if option.current == value {
        return Ok(());
    }
    let mut params = json!({"sessionId": connection.session, "configId": option.id, "value": value});
    if option.is_switch {
        params["type"] = json!("boolean");
        params["value"] = json!(value == "true");
    }
    let answer = call(connection, "session/set_config_option", &params, (&option.id, value)).await?;
    let answer = Offer::of(&read::<Value>(&answer).unwrap_or_default());
    match answer.options.into_iter().find(|now| now.id == option.id) {
        Some(now) if now.current != value => {
            let why = format!("it says that it is `{}`", one_line(&clip(&now.current, 80)));
            Err(ChoiceRefused::Failed { key: option.id.clone(), value: value.to_owned(), why })
        }
        Some(_) | None => Ok(()),
    }
}

async fn call(
    connection: &mut Connection,
    method: &'static str,
    params: &Value,
    (key, value): (&str, &str),
) -> Result<Box<RawValue>, ChoiceRefused> {
    let failed = |why: String| ChoiceRefused::Failed { key: key.to_owned(), value: value.to_owned(), why };
    match timeout(PATIENCE, connection.call(method, params)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(failed(in_words(&error))),
        Err(_) => {
            // Whether or not it listens, nothing waits for it any more.
            let _told = connection.give_up_call();
            Err(failed(String::from("it does not answer")))
        }
    }
}

fn in_words(error: &CallError) -> String {
    one_line(&clip(&error.to_string(), 300)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_and_options_are_found_in_what_an_agent_offers() {
        let offer = Offer::of(&json!({
            "models": {"currentModelId": "a", "availableModels": [{"modelId": "a"}, {"modelId": "b"}, 7]},
            "configOptions": [
                {"id": "m", "category": "model", "currentValue": "x", "options": [
                    {"value": "x"}, {"group": "g", "options": [{"value": "y"}]},
                ]},
                {"id": "brave", "type": "boolean", "currentValue": false},
                {"id": "broken"}, 3,
            ],
        }));
        assert_eq!(offer.models.as_ref().unwrap().values, ["a", "b"]);
        let ids: Vec<_> = offer.options.iter().map(|option| (option.id.as_str(), option.is_model)).collect();
        assert_eq!(ids, [("m", true), ("brave", false)]);
        assert!(
            offer.options[0].offers("y") && offer.options[1].offers("true") && !offer.options[0].offers("z")
        );
        for hostile in [json!(null), json!([]), json!({"models": 5, "configOptions": {"a": [1]}})] {
            assert_eq!(Offer::of(&hostile), Offer::default());
        }
    }

    #[test]
    fn a_refusal_names_what_there_is_and_not_without_end() {
        let offered: Vec<String> = (0..500).map(|n| format!("model-{n}")).collect();
        let refused = ChoiceRefused::Model { model: String::from("x"), offered }.to_string();
        assert!(
            refused.starts_with("it does not offer the model `x`; it offers model-0, model-1,"),
            "{refused}"
        );
        assert!(refused.ends_with("model-19 and 480 more"), "{refused}");
    }
}
