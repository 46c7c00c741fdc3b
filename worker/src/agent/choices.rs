//! The model and the agent's own options that a session asks for: set after its agent has opened it, and verified.
//!
//! A model is set by the configuration option of category `model`, else by `session/set_model` (gone from the protocol
//! and still spoken), else it was named to the agent at its start by the preset's `model_args`. An agent that does not
//! offer what was asked for does not serve the session: another model than the chosen one is never used in its place.

use std::collections::BTreeMap;
use std::time::Duration;

use skep_common::sanitise::one_line;
use tokio::time::timeout;

use super::connection::Connection;
use super::offer::{Choice, Offer, known};
use super::step::{Sets, Step};
use crate::acp::message::clip;

/// How long an agent may take to change a setting.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

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
    #[error("it does not offer the model `{model}`{}", offering(offered))]
    Model { model: String, offered: Vec<String> },
    #[error("it lets nobody choose its model; its preset needs `model_args`")]
    NoModels,
    #[error("it has no option `{key}`{}", offering(offered))]
    Option { key: String, offered: Vec<String> },
    #[error("its option `{key}` does not take `{value}`{}", offering(offered))]
    Value { key: String, value: String, offered: Vec<String> },
    #[error("`{key}` could not be set to `{value}`: {why}")]
    Failed { key: String, value: String, why: String },
}

fn offering(offered: &[String]) -> String {
    if offered.is_empty() { String::new() } else { format!("; it offers {}", known(offered)) }
}

/// How what is wanted is set, in order; nothing that is set already.
///
/// # Errors
///
/// When the agent does not offer something of it.
pub(crate) fn plan(wanted: &Wanted, offer: &Offer) -> Result<Vec<Step>, ChoiceRefused> {
    let mut steps = Vec::new();
    if let Some(model) = &wanted.model {
        steps.extend(model_step(model, wanted.named_at_start, offer)?);
    }
    for (key, value) in &wanted.options {
        let Some(option) = offer.option(key) else {
            let offered = offer.options.iter().map(|option| option.id.clone()).collect();
            return Err(ChoiceRefused::Option { key: key.clone(), offered });
        };
        if !option.offers(value) {
            let (key, value) = (key.clone(), value.clone());
            return Err(ChoiceRefused::Value { key, value, offered: option.values.clone() });
        }
        if option.current != *value {
            steps.push(Step::by_option(Sets::Option(key.clone()), option, value));
        }
    }
    Ok(steps)
}

fn model_step(model: &str, named_at_start: bool, offer: &Offer) -> Result<Option<Step>, ChoiceRefused> {
    if let Some(option) = offer.model_options().find(|option| option.offers(model)) {
        return Ok((option.current != model).then(|| Step::by_option(Sets::Model, option, model)));
    }
    if let Some(models) = offer.models.as_ref().filter(|models| models.offers(model)) {
        return Ok((models.current != model).then(|| Step::by_model(models, model)));
    }
    let offered = offered_models(offer);
    match (offered.is_empty(), named_at_start) {
        (true, true) => Ok(None),
        (true, false) => Err(ChoiceRefused::NoModels),
        (false, _) => Err(ChoiceRefused::Model { model: model.to_owned(), offered }),
    }
}

/// The models that the agent names.
fn offered_models(offer: &Offer) -> Vec<String> {
    let lists = offer.model_options().chain(&offer.models);
    lists.flat_map(|choice: &Choice| choice.values.iter().cloned()).collect()
}

/// Sets what the session asks for, once it was opened.
pub(super) async fn set(
    connection: &mut Connection,
    wanted: &Wanted,
    offer: &mut Offer,
) -> Result<(), ChoiceRefused> {
    for step in plan(wanted, offer)? {
        take(connection, &step, offer).await.map_err(|why| ChoiceRefused::Failed {
            key: step.name().to_owned(),
            value: step.value.clone(),
            why,
        })?;
    }
    Ok(())
}

async fn take(connection: &mut Connection, step: &Step, offer: &mut Offer) -> Result<(), String> {
    let params = step.params(&connection.session);
    match timeout(PATIENCE, connection.call(step.method(), &params)).await {
        Ok(Ok(answer)) => step.answered(&answer, offer),
        Ok(Err(error)) => Err(one_line(&clip(&error.to_string(), 300)).into_owned()),
        Err(_) => {
            // Whether or not it listens, nothing waits for it any more.
            let _told = connection.give_up_call();
            Err(String::from("it does not answer"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn offer() -> Offer {
        Offer::of(&json!({
            "models": {"currentModelId": "a", "availableModels": [{"modelId": "a"}, {"modelId": "b"}]},
            "configOptions": [
                {"id": "m", "category": "model", "currentValue": "x", "options": [{"value": "x"}, {"value": "y"}]},
                {"id": "brave", "type": "boolean", "currentValue": false},
            ],
        }))
    }

    fn wanted(model: Option<&str>, options: &[(&str, &str)]) -> Wanted {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Wanted { model: model.map(str::to_owned), named_at_start: false, options: options.collect() }
    }

    #[test]
    fn what_is_wanted_is_set_where_the_agent_offers_it() {
        let steps = |model, options: &[(&str, &str)]| {
            let steps = plan(&wanted(model, options), &offer()).unwrap();
            steps.iter().map(|step| (step.method(), step.value.clone())).collect::<Vec<_>>()
        };
        let option = "session/set_config_option";
        assert_eq!(steps(Some("y"), &[("brave", "true")]), [(option, "y".into()), (option, "true".into())]);
        assert_eq!(steps(Some("b"), &[]), [("session/set_model", "b".into())]);
        assert_eq!(steps(Some("x"), &[("brave", "false")]), [], "it is so already");
        assert_eq!(steps(Some("a"), &[]), []);
    }

    #[test]
    fn what_is_not_offered_is_refused_whole() {
        let refused = |model, options: &[(&str, &str)]| plan(&wanted(model, options), &offer()).unwrap_err();
        let says = |refused: ChoiceRefused| refused.to_string();
        assert_eq!(
            says(refused(Some("z"), &[("brave", "true")])),
            "it does not offer the model `z`; it offers x, y, a, b"
        );
        assert_eq!(says(refused(Some("y"), &[("tone", "1")])), "it has no option `tone`; it offers m, brave");
        let value = says(refused(None, &[("brave", "very")]));
        assert_eq!(value, "its option `brave` does not take `very`; it offers true, false");
        let none = Offer::default();
        assert_eq!(plan(&wanted(Some("z"), &[]), &none), Err(ChoiceRefused::NoModels));
        let named = Wanted { named_at_start: true, ..wanted(Some("z"), &[]) };
        assert_eq!(plan(&named, &none), Ok(Vec::new()));
    }
}
