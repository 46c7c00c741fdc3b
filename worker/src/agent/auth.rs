//! Signing in: by the method that the preset names, or by the only one that needs nobody; else words that say how.

use serde_json::json;

use super::connection::{CallError, Connection};
use super::launch::Launch;
use super::wire::{AuthHow, AuthMethod};

/// Signs in by the preset's method; false if there is none, or nothing to sign in to.
pub(super) async fn by_preset(connection: &mut Connection, launch: &Launch) -> Result<bool, String> {
    let offered = &connection.abilities.auth;
    let Some(named) = launch.authenticate.as_deref().filter(|_| !offered.is_empty()) else {
        return Ok(false);
    };
    if !offered.iter().any(|method| method.id == named) {
        let advice = advice(launch, offered);
        return Err(format!("agent `{}` has no sign-in method `{named}`; {advice}", launch.agent));
    }
    authenticate(connection, launch, named).await?;
    Ok(true)
}

/// Signs in by the only method that needs nobody, since the agent said `refused`.
pub(super) async fn by_itself(
    connection: &mut Connection,
    launch: &Launch,
    refused: &CallError,
) -> Result<(), String> {
    let keys: Vec<&AuthMethod> =
        connection.abilities.auth.iter().filter(|method| method.how == AuthHow::Key).collect();
    if let [only] = keys.as_slice() {
        let id = only.id.clone();
        return authenticate(connection, launch, &id).await;
    }
    Err(wanted(connection, launch, refused))
}

/// That a person must sign in first.
pub(super) fn wanted(connection: &Connection, launch: &Launch, refused: &CallError) -> String {
    let advice = advice(launch, &connection.abilities.auth);
    format!("agent `{}` wants you to sign in first ({refused}); {advice}", launch.agent)
}

async fn authenticate(connection: &mut Connection, launch: &Launch, method: &str) -> Result<(), String> {
    match connection.call("authenticate", &json!({"methodId": method})).await {
        Ok(_) => Ok(()),
        Err(CallError::Refused(error)) => {
            let advice = advice(launch, &connection.abilities.auth);
            Err(format!("agent `{}` could not be signed in by `{method}`: {error}; {advice}", launch.agent))
        }
        Err(error) => Err(format!("agent `{}` could not be signed in by `{method}`: {error}", launch.agent)),
    }
}

/// How a person signs in.
fn advice(launch: &Launch, methods: &[AuthMethod]) -> String {
    let program = launch.argv.first().map(|program| program.to_string_lossy().into_owned());
    let program = program.unwrap_or_default();
    let terminal = methods.iter().find_map(|method| match &method.how {
        AuthHow::Terminal(args) => Some(args),
        AuthHow::Key | AuthHow::Agent => None,
    });
    let command = terminal.map_or_else(
        || program.clone(),
        |args| shell_words::join(std::iter::once(&program).chain(args).map(String::as_str)),
    );
    let callable = methods.iter().filter(|method| !matches!(method.how, AuthHow::Terminal(_)));
    let offered: Vec<String> =
        callable.map(|method| format!("\"{}\" ({})", method.id.escape_debug(), method.name)).collect();
    if offered.is_empty() {
        return format!("sign in with `{command}` in a terminal");
    }
    let agent = &launch.agent;
    let offered = offered.join(", ");
    format!(
        "sign in with `{command}` in a terminal, or set `authenticate` under [agents.{agent}] to one of {offered}"
    )
}
