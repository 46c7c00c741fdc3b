//! One attempt of a delivery, whatever its hook leads to.

use std::time::Duration;

use skep_common::api::HookEvent;
use skep_common::ids::DeliveryId;
use skep_config::Environment;
use skep_config::hooks::{HookSettings, HookTarget};

use crate::policy::Outcome;
use crate::program::{self, Run};
use crate::sign::Secret;
use crate::tls::Tls;
use crate::web::{self, Allowed, Message};

/// What attempts are made with.
#[derive(Debug)]
pub(crate) struct Attempts {
    pub(crate) environment: Environment,
    pub(crate) tls: Tls,
}

/// What is to be delivered.
#[derive(Debug, Clone)]
pub(crate) struct Parcel {
    pub(crate) id: DeliveryId,
    pub(crate) hook: String,
    pub(crate) event: HookEvent,
    pub(crate) body: String,
}

impl Attempts {
    /// Tries once, within the hook's time limit.
    pub(crate) async fn attempt(&self, hook: &HookSettings, parcel: &Parcel) -> Outcome {
        let Parcel { id, hook: name, event, body } = parcel;
        match hook.target() {
            Some(HookTarget::Url(url)) => {
                let posted = tokio::time::timeout(hook.timeout, self.post(url, hook, *id, body)).await;
                posted.unwrap_or_else(|_| Outcome::failed(took_too_long(hook.timeout)))
            }
            Some(HookTarget::Command(program, args)) => {
                let run =
                    Run { hook: name, program, args, id: *id, event: *event, body, timeout: hook.timeout };
                program::run(&run, &self.environment).await
            }
            None => Outcome::Refused { why: String::from("the hook leads nowhere") },
        }
    }

    async fn post(&self, url: &str, hook: &HookSettings, id: DeliveryId, body: &str) -> Outcome {
        let secret = match self.secret(hook).await {
            Ok(secret) => secret,
            Err(why) => return Outcome::failed(why),
        };
        let allowed = if hook.allow_private { Allowed::Anywhere } else { Allowed::Public };
        web::post(url, allowed, &Message { id, body, secret: &secret }, &self.tls).await
    }

    /// The hook's secret, read anew with every attempt: it may be changed at any time.
    async fn secret(&self, hook: &HookSettings) -> Result<Secret, String> {
        if let Some(name) = &hook.secret_env {
            let value = self.environment.get(name).and_then(|value| value.to_str());
            let value = value.ok_or_else(|| format!("the daemon was started without the variable {name}"))?;
            return Secret::parse(value).map_err(|why| format!("the secret in {name} cannot be used: {why}"));
        }
        let Some(file) = hook.secret_file.clone() else { return Err(String::from("the hook has no secret")) };
        let read = tokio::task::spawn_blocking(move || Secret::read(&file)).await;
        read.unwrap_or_else(|_| Err(String::from("reading the secret crashed")))
    }
}

fn took_too_long(timeout: Duration) -> String {
    format!("no answer within {} ms", timeout.as_millis())
}
