//! One call that sets something of an agent's session, and what its answer says. Pure.

use serde_json::value::RawValue;
use serde_json::{Value, json};
use skep_common::sanitise::one_line;

use super::offer::{Choice, Offer};
use crate::acp::message::clip;

/// A call that sets something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// What is set.
    pub(crate) sets: Sets,
    /// The value that it is to have.
    pub(crate) value: String,
    /// The value that it has before.
    before: String,
    by: By,
    /// What is tried where this is refused.
    pub(crate) otherwise: Option<Box<Self>>,
}

/// What a step sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sets {
    /// The agent's own permission mode.
    Mode,
    /// The model.
    Model,
    /// An option by its id.
    Option(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum By {
    Option { id: String, is_switch: bool },
    Mode,
    Model,
}

impl Step {
    /// By this configuration option.
    pub(crate) fn by_option(sets: Sets, option: &Choice, value: &str) -> Self {
        let by = By::Option { id: option.id.clone(), is_switch: option.is_switch };
        Self { sets, value: value.to_owned(), before: option.current.clone(), by, otherwise: None }
    }

    /// By `session/set_mode`.
    pub(crate) fn by_mode(modes: &Choice, value: &str) -> Self {
        let before = modes.current.clone();
        Self { sets: Sets::Mode, value: value.to_owned(), before, by: By::Mode, otherwise: None }
    }

    /// By `session/set_model`.
    pub(crate) fn by_model(models: &Choice, value: &str) -> Self {
        let before = models.current.clone();
        Self { sets: Sets::Model, value: value.to_owned(), before, by: By::Model, otherwise: None }
    }

    /// With another one that is tried where this is refused.
    pub(crate) fn or(self, otherwise: Option<Self>) -> Self {
        Self { otherwise: otherwise.map(Box::new), ..self }
    }

    /// The step that takes this one back.
    pub(crate) fn back(&self) -> Self {
        let (value, before) = (self.before.clone(), self.value.clone());
        Self { sets: self.sets.clone(), value, before, by: self.by.clone(), otherwise: None }
    }

    /// What it sets, for a person.
    pub(crate) fn name(&self) -> &str {
        match &self.sets {
            Sets::Mode => "mode",
            Sets::Model => "model",
            Sets::Option(key) => key,
        }
    }

    /// The method to call.
    pub(crate) const fn method(&self) -> &'static str {
        match self.by {
            By::Option { .. } => "session/set_config_option",
            By::Mode => "session/set_mode",
            By::Model => "session/set_model",
        }
    }

    /// Its parameters, for the agent's session of this id.
    pub(crate) fn params(&self, session: &str) -> Value {
        let value = self.value.as_str();
        match &self.by {
            By::Mode => json!({"sessionId": session, "modeId": value}),
            By::Model => json!({"sessionId": session, "modelId": value}),
            By::Option { id, is_switch: false } => {
                json!({"sessionId": session, "configId": id, "value": value})
            }
            By::Option { id, is_switch: true } => {
                let value = value == "true";
                json!({"sessionId": session, "configId": id, "type": "boolean", "value": value})
            }
        }
    }

    /// Takes the answer: what is offered now, and whether the value is set.
    ///
    /// # Errors
    ///
    /// When the answer says that it has another value.
    pub(crate) fn answered(&self, answer: &RawValue, offer: &mut Offer) -> Result<(), String> {
        offer.learn(Offer::read(answer));
        let current = match &self.by {
            // The answer says nothing but yes.
            By::Mode => offer.modes.as_mut().map(|modes| &mut modes.current),
            By::Model => offer.models.as_mut().map(|models| &mut models.current),
            By::Option { id, .. } => {
                let told = !Offer::read(answer).options.is_empty();
                let option = offer.options.iter_mut().find(|option| option.id == *id);
                match option {
                    Some(now) if told && now.current != self.value => {
                        let now = one_line(&clip(&now.current, 80)).into_owned();
                        let mode = if self.sets == Sets::Mode { "in mode " } else { "" };
                        return Err(format!("it says that it is {mode}`{now}`"));
                    }
                    option => option.map(|option| &mut option.current),
                }
            }
        };
        if let Some(current) = current {
            current.clone_from(&self.value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(value: &Value) -> Box<RawValue> {
        serde_json::value::to_raw_value(value).unwrap()
    }

    fn offer(model: &str) -> Value {
        json!({
            "modes": {"currentModeId": "a", "availableModes": [{"id": "a"}, {"id": "b"}]},
            "configOptions": [
                {"id": "m", "category": "model", "currentValue": model, "options": [{"value": "x"}, {"value": "y"}]},
                {"id": "brave", "type": "boolean", "currentValue": false},
            ],
        })
    }

    #[test]
    fn each_kind_of_setting_has_its_call() {
        let now = Offer::of(&offer("x"));
        let model = Step::by_option(Sets::Model, &now.options[0], "y");
        assert_eq!(model.method(), "session/set_config_option");
        assert_eq!(model.params("s"), json!({"sessionId": "s", "configId": "m", "value": "y"}));
        assert_eq!(model.back().params("s")["value"], "x");
        let brave = Step::by_option(Sets::Option("brave".into()), &now.options[1], "true");
        let params = json!({"sessionId": "s", "configId": "brave", "type": "boolean", "value": true});
        assert_eq!((brave.params("s"), brave.name()), (params, "brave"));
        let mode = Step::by_mode(now.modes.as_ref().unwrap(), "b");
        assert_eq!(
            (mode.method(), mode.params("s")),
            ("session/set_mode", json!({"sessionId": "s", "modeId": "b"}))
        );
        let models = Choice { current: String::from("x"), ..Choice::default() };
        let model = Step::by_model(&models, "y");
        assert_eq!((model.method(), model.params("s")["modelId"].as_str()), ("session/set_model", Some("y")));
    }

    #[test]
    fn an_answer_that_says_something_else_is_a_refusal() {
        let mut now = Offer::of(&offer("x"));
        let model = Step::by_option(Sets::Model, &now.options[0], "y");
        assert_eq!(
            model.answered(&answer(&offer("x")), &mut now),
            Err(String::from("it says that it is `x`"))
        );
        assert_eq!(model.answered(&answer(&json!({})), &mut now), Ok(()));
        assert_eq!(now.options[0].current, "y");
        let mode = Step::by_mode(now.modes.as_ref().unwrap(), "b");
        assert_eq!(mode.answered(&answer(&json!(null)), &mut now), Ok(()));
        assert_eq!(now.modes.as_ref().unwrap().current, "b");
    }
}
