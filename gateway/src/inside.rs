//! An agent must not approve itself: a peer inside a session's process tree neither answers nor administers, whatever
//! token it shows.
//!
//! Examined at the moment of the request, by ancestry (a worker, an agent, or the supervisor itself, to which orphans
//! of a dead worker fall) and by the session's mark in the environment. A peer that cannot be examined counts as inside.
//! Only a sandbox makes this a real boundary; the threat model says so.

use std::collections::BTreeMap;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use skep_common::api::{Opener, SessionInfo};
use skep_common::code::{ApiError, Code};
use skep_common::ids::{Process, SessionId};
use skep_common::keys::Scope;
use skep_config::env::SKEP_SESSION;
use skep_supervisor::engine::Engine;
use skep_sys::peer::{Holders, is_own_address, tcp_holders};
use skep_sys::process::{ancestors, environ_value, is_alive};

use crate::access::{Principal, Reach};
use crate::error::Failure;
use crate::peer::{Peer, TcpPeer};
use crate::router::App;

/// Where a peer stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Outside of every session.
    Outside,
    /// Inside a session's tree; which one, if that is known.
    Inside(Option<SessionId>),
    /// Inside a session's tree by its mark alone, which a process can put on itself; which one, if the mark is one.
    Marked(Option<SessionId>),
    /// Gone, or not to be examined.
    Obscure,
}

/// The peer of a request, to be asked where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    peer: Option<Peer>,
    principal: Option<Principal>,
    engine: Engine,
}

impl FromRequestParts<App> for Asker {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        Ok(Self {
            peer: parts.extensions.get::<Peer>().cloned(),
            principal: parts.extensions.get::<Principal>().cloned(),
            engine: app.engine.clone(),
        })
    }
}

impl Asker {
    /// Lets only principals with this scope go on, where a route's own scope is not enough.
    ///
    /// # Errors
    ///
    /// `forbidden`.
    pub(crate) fn must_hold(&self, scope: Scope, to: &str) -> Result<(), Failure> {
        if self.principal.as_ref().is_some_and(|principal| principal.holds(scope)) {
            return Ok(());
        }
        let word = scope.word();
        Err(Failure::new(Code::Forbidden, format!("to {to} needs a token with the scope `{word}`")))
    }

    /// Lets only peers on the Unix socket go on: a person's own terminal.
    ///
    /// # Errors
    ///
    /// `forbidden`.
    pub(crate) fn must_be_local(&self, to: &str) -> Result<(), Failure> {
        match self.peer {
            Some(Peer::Unix(_)) => Ok(()),
            Some(Peer::Tcp(_)) | None => {
                Err(Failure::new(Code::Forbidden, format!("only a client on the Unix socket may {to}")))
            }
        }
    }

    /// Whether the peer came over TCP.
    pub(crate) fn is_remote(&self) -> bool {
        !matches!(self.peer, Some(Peer::Unix(_)))
    }

    /// Lets only peers outside of every session go on.
    ///
    /// # Errors
    ///
    /// `inside_session`.
    pub(crate) async fn must_be_outside(&self, to: &str) -> Result<(), Failure> {
        match self.standing().await? {
            Standing::Outside => Ok(()),
            Standing::Inside(_) | Standing::Marked(_) => {
                Err(inside(&format!("a process inside a session may not {to}")))
            }
            Standing::Obscure => {
                Err(inside(&format!("the calling process cannot be examined, so it may not {to}")))
            }
        }
    }

    /// Whether the peer is a process of this machine and user, outside of every session.
    pub(crate) async fn is_outside(&self) -> Result<bool, Failure> {
        Ok(!self.is_remote() && self.standing().await? == Standing::Outside)
    }

    /// The sessions that the principal reaches.
    pub(crate) fn reach(&self) -> Reach {
        self.principal.as_ref().map_or(Reach::All, |principal| principal.reach)
    }

    /// From inside of which session a new one is asked for: the one in whose tree the peer is, else the one for whose
    /// children its token is. A peer inside no session in particular (of an agent that serves several, a child of the
    /// daemon's own, a session of another daemon) is as one outside.
    pub(crate) async fn opener(&self) -> Result<Option<Opener>, Failure> {
        let confined_to = self.reach().root();
        let (session, by_descent) = match self.standing().await? {
            Standing::Inside(Some(own)) => (Some(own), true),
            // The mark may be of a session of another daemon.
            Standing::Marked(Some(own)) if self.engine.session(&own.to_string()).await.is_ok() => {
                (Some(own), false)
            }
            Standing::Inside(None) | Standing::Marked(_) | Standing::Obscure | Standing::Outside => {
                (confined_to, false)
            }
        };
        Ok(session.map(|session| Opener { session, by_descent, confined_to }))
    }

    /// The session in whose tree the peer is, if it is known to be in one.
    pub(crate) async fn session(&self) -> Result<Option<SessionId>, Failure> {
        match self.standing().await? {
            Standing::Inside(session) | Standing::Marked(session) => Ok(session),
            Standing::Outside | Standing::Obscure => Ok(None),
        }
    }

    /// Lets peers outside of every session go on, those inside the session itself, and those inside one that opened it.
    ///
    /// # Errors
    ///
    /// `inside_session`.
    pub(crate) async fn must_be_outside_or_above(
        &self,
        session: &SessionInfo,
        to: &str,
    ) -> Result<(), Failure> {
        match self.standing().await? {
            Standing::Inside(Some(own)) | Standing::Marked(Some(own)) if session.lineage.contains(&own) => {
                Ok(())
            }
            _ => self.must_be_outside_of_others(session.id, to).await,
        }
    }

    /// Lets peers outside of every session go on, and those inside `session` itself.
    ///
    /// # Errors
    ///
    /// `inside_session`.
    pub(crate) async fn must_be_outside_of_others(
        &self,
        session: SessionId,
        to: &str,
    ) -> Result<(), Failure> {
        match self.standing().await? {
            Standing::Outside => Ok(()),
            Standing::Inside(Some(own)) | Standing::Marked(Some(own)) if own == session => Ok(()),
            Standing::Inside(_) | Standing::Marked(_) => {
                Err(inside(&format!("a process inside a session may not {to} another session")))
            }
            Standing::Obscure => {
                Err(inside(&format!("the calling process cannot be examined, so it may not {to} a session")))
            }
        }
    }

    async fn standing(&self) -> Result<Standing, Failure> {
        let process = match &self.peer {
            Some(Peer::Unix(peer)) => peer.process.clone(),
            Some(Peer::Tcp(peer)) => return self.standing_over_tcp(*peer).await,
            None => None,
        };
        let Some(process) = process else { return Ok(Standing::Obscure) };
        let roots = self.roots().await?;
        let examined = tokio::task::spawn_blocking(move || examine(&process, &roots)).await;
        examined.map_err(|error| Failure::internal("the examination of a peer crashed", &error))
    }

    /// From another machine nobody is inside a session. On this one, the process that holds the connection is found.
    async fn standing_over_tcp(&self, peer: TcpPeer) -> Result<Standing, Failure> {
        let roots = self.roots().await?;
        let examine = move || {
            if is_of_this_machine(&peer) { examine_connection(&peer, &roots) } else { Standing::Outside }
        };
        let examined = tokio::task::spawn_blocking(examine).await;
        examined.map_err(|error| Failure::internal("the examination of a peer crashed", &error))
    }

    /// The processes whose descendants are inside, each with its session where it has one.
    async fn roots(&self) -> Result<Vec<(u32, Option<SessionId>)>, ApiError> {
        let agents = self.engine.agent_pids().await?.into_iter();
        let workers = self.engine.worker_pids().into_iter().map(|pid| (pid, None));
        Ok(of_sessions(agents).into_iter().chain(workers).chain([(std::process::id(), None)]).collect())
    }
}

/// Agents with their sessions; of one that serves several nobody can say for which of them a process of it acts.
fn of_sessions(agents: impl Iterator<Item = (u32, SessionId)>) -> BTreeMap<u32, Option<SessionId>> {
    let mut roots = BTreeMap::new();
    for (pid, session) in agents {
        roots.entry(pid).and_modify(|of| *of = None).or_insert(Some(session));
    }
    roots
}

/// Where `process` stands among the trees that begin at `roots`, the innermost first.
fn examine(process: &Process, roots: &[(u32, Option<SessionId>)]) -> Standing {
    let own = std::process::id();
    let parents = ancestors(process.pid);
    let marked = environ_value(process.pid, SKEP_SESSION);
    // What was read above was read of this very process only if it is still there.
    if !is_alive(process) {
        return Standing::Obscure;
    }
    let chain = std::iter::once(process.pid).filter(|pid| *pid != own).chain(parents);
    let mut inside = None;
    for pid in chain {
        if let Some((_, session)) = roots.iter().find(|(root, _)| *root == pid) {
            inside = inside.or(Some(*session));
            if session.is_some() {
                return Standing::Inside(*session);
            }
        }
    }
    match (inside, marked) {
        (_, Err(_)) => Standing::Obscure,
        (_, Ok(Some(mark))) => Standing::Marked(mark.to_str().and_then(|mark| mark.parse().ok())),
        (Some(session), Ok(None)) => Standing::Inside(session),
        (None, Ok(None)) => Standing::Outside,
    }
}

/// Whether both ends of a connection are this machine's.
fn is_of_this_machine(peer: &TcpPeer) -> bool {
    let (remote, local) = (peer.remote.ip().to_canonical(), peer.local.ip().to_canonical());
    // The other end chooses which of its machine's addresses it comes from.
    remote == local || is_own_address(remote)
}

/// Where the holders of the other end of a connection stand. One inside makes the connection an inside one; where no
/// holder can be named although there is one (another user's, or one that hides), it stands outside, unless it could be
/// hiding in a session.
fn examine_connection(peer: &TcpPeer, roots: &[(u32, Option<SessionId>)]) -> Standing {
    match tcp_holders(peer.remote, peer.local) {
        Ok(Holders::Gone) | Err(_) => Standing::Obscure,
        // Nobody has it open: it is on its way from one process to another.
        Ok(Holders::Found { holders, hidden }) if holders.is_empty() && hidden.is_empty() => {
            Standing::Obscure
        }
        Ok(Holders::Found { holders, hidden }) => {
            let mut worst = Standing::Outside;
            for process in holders {
                match examine(&process, roots) {
                    Standing::Outside => {}
                    Standing::Obscure => worst = Standing::Obscure,
                    inside @ (Standing::Inside(_) | Standing::Marked(_)) => return inside,
                }
            }
            let is_inside =
                |pid: &u32| ancestors(*pid).iter().any(|pid| roots.iter().any(|(root, _)| root == pid));
            if hidden.iter().any(is_inside) { Standing::Obscure } else { worst }
        }
    }
}

fn inside(message: &str) -> Failure {
    Failure::new(Code::InsideSession, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_sys::process::current;

    #[test]
    fn a_descendant_of_an_agent_is_inside_its_session() {
        let session = SessionId::random();
        let parent = ancestors(std::process::id())[0];
        assert_eq!(examine(&current(), &[(parent, Some(session))]), Standing::Inside(Some(session)));
        assert_eq!(examine(&current(), &[(parent, None)]), Standing::Inside(None));
        assert_eq!(examine(&current(), &[]), Standing::Outside);
    }

    #[test]
    fn a_descendant_of_an_agent_that_several_sessions_share_acts_for_none_of_them() {
        let (one, two, three) = (SessionId::random(), SessionId::random(), SessionId::random());
        let roots = of_sessions([(7, one), (8, two), (7, three)].into_iter());
        assert_eq!(roots, BTreeMap::from([(7, None), (8, Some(two))]));
    }

    #[test]
    fn a_peer_that_is_gone_or_another_one_now_is_not_trusted() {
        let mut other = current();
        other.start_time += 1;
        assert_eq!(examine(&other, &[]), Standing::Obscure);
    }
}
