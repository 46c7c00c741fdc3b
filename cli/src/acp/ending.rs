//! How a turn's end, and what the daemon refuses, are said to an editor. Pure.

use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use skep_common::code::Code;
use skep_common::event::TurnEnded;
use skep_common::session::{Cause, TurnOutcome};
use skep_common::words;
use skep_worker::acp::message::{self, RpcError};

use crate::error::CliError;

/// The answer to the prompt whose turn ended. `cancelled`: the editor has asked for that, and ACP wants to hear so
/// however the turn ended.
pub(super) fn answer(end: &TurnEnded, cancelled: bool) -> Result<Value, RpcError> {
    if end.cause == Some(Cause::ContentNotSupported) {
        let data = json!({"skep": {"code": Code::ContentNotSupported, "turn_ended": end}});
        return Err(error(message::INVALID_PARAMS, words::turn_ended(end), &data));
    }
    match stop_reason(end, cancelled) {
        Some(reason) => Ok(json!({"stopReason": reason, "_meta": meta(end)})),
        None => Err(error(message::INTERNAL_ERROR, words::turn_ended(end), &meta(end))),
    }
}

/// ACP's stop reason; none where the turn failed.
fn stop_reason(end: &TurnEnded, cancelled: bool) -> Option<&'static str> {
    match end.outcome {
        TurnOutcome::Completed | TurnOutcome::Suspect => Some("end_turn"),
        TurnOutcome::Refused => Some("refusal"),
        TurnOutcome::Cancelled => Some("cancelled"),
        TurnOutcome::Failed | TurnOutcome::Interrupted | TurnOutcome::Limit if cancelled => Some("cancelled"),
        TurnOutcome::Limit => match (end.stop_reason.as_deref(), end.cause) {
            (Some("max_turn_requests"), _) => Some("max_turn_requests"),
            (Some("max_tokens"), _) => Some("max_tokens"),
            (_, Some(Cause::TimedOut)) => None,
            (_, _) => Some("max_tokens"),
        },
        // The shell's command ran and failed; the editor sees that in its tool call.
        TurnOutcome::Failed if end.exit_code.is_some() => Some("end_turn"),
        TurnOutcome::Failed | TurnOutcome::Interrupted | TurnOutcome::Unknown => None,
    }
}

/// What skep knows of a turn's end beyond ACP's stop reason.
pub(super) fn meta(end: &TurnEnded) -> Value {
    json!({"skep": {"turn_ended": end}})
}

/// What went wrong, as the editor hears it: the message with what to do, and the API's stable code.
pub(super) fn refusal(failure: &CliError) -> RpcError {
    let code = match failure.code {
        Some(Code::SessionNotFound) => message::NOT_FOUND,
        Some(
            Code::InvalidRequest
            | Code::InvalidValue
            | Code::TooLarge
            | Code::ContentNotSupported
            | Code::DirectoryNotAllowed
            | Code::AgentNotFound
            | Code::SessionConflict
            | Code::NotSupported,
        ) => message::INVALID_PARAMS,
        _ => message::INTERNAL_ERROR,
    };
    let mut text = failure.message.clone();
    for hint in &failure.hints {
        text = format!("{text}; {hint}");
    }
    match failure.code {
        Some(api) => error(code, text, &json!({"skep": {"code": api}})),
        None => RpcError::new(code, text),
    }
}

fn error(code: i64, text: String, data: &Value) -> RpcError {
    RpcError { data: to_raw_value(data).ok(), ..RpcError::new(code, text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(outcome: TurnOutcome) -> TurnEnded {
        TurnEnded {
            prompt: skep_common::ids::PromptId::random(),
            steered: Vec::new(),
            outcome,
            cause: None,
            stop_reason: None,
            detail: None,
            exit_code: None,
            usage: skep_common::usage::Usage::default(),
        }
    }

    #[test]
    fn c9_every_outcome_has_its_stop_reason_or_is_an_error() {
        use TurnOutcome::{Cancelled, Completed, Failed, Interrupted, Limit, Refused, Suspect, Unknown};
        let limit = |reason: &str| TurnEnded { stop_reason: Some(reason.to_owned()), ..end(Limit) };
        let table = [
            (end(Completed), Some("end_turn"), Some("end_turn")),
            (end(Suspect), Some("end_turn"), Some("end_turn")),
            (end(Refused), Some("refusal"), Some("refusal")),
            (end(Cancelled), Some("cancelled"), Some("cancelled")),
            (limit("max_tokens"), Some("max_tokens"), Some("cancelled")),
            (limit("max_turn_requests"), Some("max_turn_requests"), Some("cancelled")),
            (TurnEnded { cause: Some(Cause::Limit), ..end(Limit) }, Some("max_tokens"), Some("cancelled")),
            (TurnEnded { cause: Some(Cause::TimedOut), ..end(Limit) }, None, Some("cancelled")),
            (end(Failed), None, Some("cancelled")),
            (TurnEnded { exit_code: Some(3), ..end(Failed) }, Some("end_turn"), Some("cancelled")),
            (end(Interrupted), None, Some("cancelled")),
            (end(Unknown), None, None),
        ];
        for (end, reason, when_cancelled) in table {
            assert_eq!(stop_reason(&end, false), reason, "{end:?}");
            assert_eq!(stop_reason(&end, true), when_cancelled, "{end:?}");
        }
    }

    #[test]
    fn a_failed_turn_is_an_error_with_its_reason() {
        let failed = TurnEnded { detail: Some(String::from("no credit")), ..end(TurnOutcome::Failed) };
        let error = answer(&failed, false).unwrap_err();
        assert!(error.message.contains("no credit"), "{error}");
        assert!(error.data.unwrap().get().contains(r#""outcome":"failed""#));
    }

    #[test]
    fn a_prompt_that_the_agent_does_not_take_is_an_error_and_no_refusal_of_the_model() {
        let cause = Some(Cause::ContentNotSupported);
        let error = answer(&TurnEnded { cause, ..end(TurnOutcome::Refused) }, false).unwrap_err();
        assert_eq!(error.code, message::INVALID_PARAMS);
        assert!(error.data.unwrap().get().contains(r#""code":"content_not_supported""#));
    }

    #[test]
    fn a_refusal_has_its_code_and_what_to_do() {
        let refused = skep_common::code::ApiError::new(Code::SessionNotFound, "no such session");
        let error = refusal(&CliError::from(refused));
        assert_eq!(error.code, message::NOT_FOUND);
        assert!(error.message.contains("skep ps -a"), "{error}");
        assert_eq!(error.data.unwrap().get(), r#"{"skep":{"code":"session_not_found"}}"#);
        assert_eq!(refusal(&CliError::failed("x")).code, message::INTERNAL_ERROR);
    }
}
