//! The agent's own permission mode, set to match the session's where the preset says which it is. It is never trusted
//! alone: skep's consent decides every request all the same.

use std::time::Duration;

use serde_json::Value;
use skep_common::sanitise::one_line;
use tokio::time::timeout;

use super::connection::{CallError, Connection};
use super::offer::Offer;
use super::step::{Sets, Step};
use crate::acp::message::{clip, read};

/// How long an agent may take to change its mode.
const PATIENCE: Duration = Duration::from_secs(5);

/// The update by which an agent names its mode.
const UPDATE: &str = "current_mode_update";

/// How the mode is set: by the configuration option, else by `session/set_mode`; none if it is set already.
///
/// # Errors
///
/// When the agent does not offer it, in words.
pub(crate) fn plan(wanted: &str, offer: &Offer) -> Result<Option<Step>, String> {
    let listed = |modes: &&super::offer::Choice| modes.values.iter().any(|id| id == wanted);
    let by_mode = offer.modes.as_ref().filter(listed);
    match (offer.mode_option().filter(listed), by_mode) {
        (Some(option), _) if option.current == wanted => Ok(None),
        (Some(option), by_mode) => {
            let otherwise = by_mode.map(|modes| Step::by_mode(modes, wanted));
            Ok(Some(Step::by_option(Sets::Mode, option, wanted).or(otherwise)))
        }
        (None, Some(modes)) if modes.current == wanted => Ok(None),
        (None, Some(modes)) => Ok(Some(Step::by_mode(modes, wanted))),
        (None, None) => Err(offer.mode_names()),
    }
}

/// What people are told where the mode is not set.
pub(crate) fn not_set(wanted: &str, why: &str) -> String {
    format!(
        "the agent's own permission mode could not be set to `{wanted}`: {why}; \
         skep decides what it asks for, but not what it does without asking"
    )
}

/// Sets the mode in a session that was just opened; what to tell people if it is not set afterwards.
pub(super) async fn set(connection: &mut Connection, wanted: &str, offer: &mut Offer) -> Option<String> {
    let why = match timeout(PATIENCE, try_set(connection, wanted, offer)).await {
        Ok(Ok(())) => return None,
        Ok(Err(why)) => why,
        Err(_) => {
            // Whether or not it listens, nothing waits for it any more.
            let _told = connection.give_up_call();
            String::from("it does not answer")
        }
    };
    Some(not_set(wanted, &why))
}

async fn try_set(connection: &mut Connection, wanted: &str, offer: &mut Offer) -> Result<(), String> {
    let mut next = plan(wanted, offer)?;
    while let Some(step) = next {
        match take(connection, &step, offer).await {
            Ok(()) => return Ok(()),
            Err(why) => next = Some(*step.otherwise.ok_or(why)?),
        }
    }
    Ok(())
}

async fn take(connection: &mut Connection, step: &Step, offer: &mut Offer) -> Result<(), String> {
    connection.forget(UPDATE);
    let params = step.params(&connection.session);
    let answer = connection.call(step.method(), &params).await.map_err(in_words)?;
    step.answered(&answer, offer)?;
    match told(connection) {
        Some(now) if now != step.value => {
            Err(format!("it says that it is in mode `{}`", one_line(&clip(&now, 60))))
        }
        _ => Ok(()),
    }
}

/// The mode that the agent's last update named.
fn told(connection: &Connection) -> Option<String> {
    let params: Value = read(connection.early(UPDATE)?).ok()?;
    params["update"]["currentModeId"].as_str().map(ToOwned::to_owned)
}

fn in_words(error: CallError) -> String {
    one_line(&clip(&error.to_string(), 300)).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_mode_is_set_by_its_option_else_by_its_list() {
        let option = json!({"id": "m", "category": "mode", "currentValue": "c", "options": [{"value": "c"}, {"value": "b"}]});
        let modes = json!({"currentModeId": "a", "availableModes": [{"id": "a"}, {"id": "b"}]});
        let offer = Offer::of(&json!({"configOptions": [option], "modes": modes}));
        assert_eq!(plan("c", &offer), Ok(None));
        let step = plan("b", &offer).unwrap().unwrap();
        assert_eq!(step.method(), "session/set_config_option");
        assert_eq!(step.otherwise.unwrap().method(), "session/set_mode");
        assert_eq!(plan("a", &offer), Ok(None), "the list has it already");
        assert_eq!(plan("z", &offer), Err(String::from("it offers c, b")));
    }
}
