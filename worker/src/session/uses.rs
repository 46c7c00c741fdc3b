//! What an agent wants skep to do for it as its client: decided here, done by the driver.

use skep_config::permissions::AskedPath;

use super::Session;
use super::journal::Broken;
use super::permissions::{Asker, Question};
use crate::agent::acp::ToAgent;
use crate::agent::client::uses::{Decided, Deed, Offers, Wish, options};
use crate::consent::grants::Grant;
use crate::consent::uses::{Use, decide_use};
use crate::consent::{Ask, Verdict};

impl Session {
    /// The agent wants something done for it.
    pub(super) async fn wants(&mut self, wish: Wish) -> Result<(), Broken> {
        let Wish { number, id, deed, title, command, bare, paths, tool_call } = wish;
        let covered = grant(deed, command.as_deref(), &paths);
        let ask =
            Ask { tool_kind: deed.tool_kind().to_owned(), title, command, cut: false, paths: Some(paths) };
        let free = match &covered {
            Some(covered) => self.grants.covers(covered),
            None => deed == Deed::Read,
        };
        let verdict = decide_use(self.policy(), Use { ask: &ask, bare: bare.as_deref(), free });
        let prompt = self.turns.running().filter(|_| self.takes_questions()).map(|prompt| prompt.id);
        let decided = match (verdict, prompt) {
            (None, _) if deed == Deed::Read => Decided::Allowed,
            (None, Some(_)) => {
                if let Some(covered) = covered {
                    self.grants.used(&covered);
                }
                Decided::Allowed
            }
            (Some(verdict), Some(prompt)) => {
                let question = Question { prompt, ask, options: options(), tool_call };
                return self.put(Asker::Use { number, id }, question, verdict).await;
            }
            // Without a turn there is nobody to ask, and nothing that a decision could be journalled with.
            (Some(Verdict::Deny(_)), None) => Decided::Denied,
            (_, None) => Decided::Cancelled,
        };
        self.tell(ToAgent::Use { number, decided });
        Ok(())
    }

    /// What the session's agent is offered.
    pub(super) fn offers(&self) -> Offers {
        self.shared.settings.agents.get(&self.spec.agent).map(Offers::of).unwrap_or_default()
    }
}

/// What a permission must have named to cover this; reading needs none.
fn grant(deed: Deed, command: Option<&str>, paths: &[AskedPath]) -> Option<Grant> {
    match deed {
        Deed::Read => None,
        Deed::Write => {
            Some(Grant::Write(paths.first().and_then(AskedPath::real).unwrap_or_default().to_owned()))
        }
        Deed::Run => Some(Grant::Run(command.unwrap_or_default().to_owned())),
    }
}

/// What a permission covers that the agent asks for its own tool.
pub(super) fn grants_of(ask: &Ask) -> Vec<Grant> {
    let real = |path: &AskedPath| path.real().map(|real| Grant::Write(real.to_owned()));
    match (ask.tool_kind.as_str(), &ask.paths, &ask.command) {
        ("edit", Some(paths), _) => paths.iter().filter_map(real).collect(),
        ("execute", _, Some(command)) => vec![Grant::Run(command.clone())],
        _ => Vec::new(),
    }
}
