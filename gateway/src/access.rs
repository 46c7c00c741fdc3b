//! Who may do what (pure): a principal, a route's rule, and the decision. The rules of all routes are in [`rules`].
//!
//! ```text
//!  request ─▶ shows nothing ── or ── the owner's token · a scoped token · a browser's cookie ─▶ Principal?
//!  route   ─▶ rules::rule ─▶ Rule { need, about }
//!  decide(Principal?, Rule, named session) ─▶ go on · 401 · 403
//! ```

pub(crate) mod rules;

use jiff::Timestamp;
use skep_common::ids::SessionId;
use skep_common::keys::Scope;
use tokio_util::sync::CancellationToken;

/// What a route needs of who calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: who knows no secret may see it.
    Nothing,
    /// Any principal.
    SignedIn,
    /// A scope.
    Scope(Scope),
}

/// What a route is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// The one session that its path names first.
    Session,
    /// More than one session, or none; it narrows itself to the sessions that the principal reaches.
    Reachable,
    /// More than one session, or none.
    Everything,
}

/// Which sessions a principal reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// All.
    All,
    /// This one.
    One(SessionId),
    /// Those that were opened from inside this one, or from inside such a one; not this one itself.
    Below(SessionId),
}

impl Reach {
    /// Whether it takes in a session of this lineage.
    pub(crate) fn covers(self, session: SessionId, lineage: &[SessionId]) -> bool {
        match self {
            Self::All => true,
            Self::One(own) => own == session,
            Self::Below(root) => lineage.contains(&root),
        }
    }

    /// The one session that it reaches, if there is such a limit.
    pub(crate) const fn one(self) -> Option<SessionId> {
        match self {
            Self::One(session) => Some(session),
            Self::All | Self::Below(_) => None,
        }
    }

    /// The session below which alone it reaches, if there is such a limit.
    pub(crate) const fn root(self) -> Option<SessionId> {
        match self {
            Self::Below(root) => Some(root),
            Self::All | Self::One(_) => None,
        }
    }
}

/// The rule of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) need: Need,
    pub(crate) about: About,
}

/// What a principal is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The token in the state directory: the user.
    Owner,
    /// A key of the store, by its id.
    Key(String),
    /// Nobody in particular: `api.auth = "none"`, on loopback.
    Anyone,
}

/// Who makes a request.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    pub(crate) identity: Identity,
    pub(crate) scopes: Vec<Scope>,
    /// The sessions that it is limited to.
    pub(crate) reach: Reach,
    /// Cancelled when it is revoked: its open streams end.
    pub(crate) revoked: CancellationToken,
    /// When it ends by itself.
    pub(crate) expires_at: Option<Timestamp>,
    /// Whether it came as a cookie, which a browser sends of its own accord.
    pub(crate) is_cookie: bool,
    /// What its key is called, for people.
    pub(crate) label: Option<String>,
}

/// Why a request goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// Nobody is known to have made it.
    Unauthenticated,
    /// The principal has not this scope.
    Scope(Scope),
    /// The principal is limited to another session.
    OtherSession,
    /// The principal is limited to some sessions, and the route is about more.
    SomeSessions,
}

impl Principal {
    /// One that may do everything.
    pub(crate) fn all(identity: Identity) -> Self {
        Self {
            identity,
            scopes: vec![Scope::Admin],
            reach: Reach::All,
            revoked: CancellationToken::new(),
            expires_at: None,
            is_cookie: false,
            label: None,
        }
    }

    /// Whether it holds `scope`.
    pub(crate) fn holds(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|held| held.allows(scope))
    }

    /// How logs and journals name it; no secret.
    pub(crate) fn name(&self) -> &str {
        match &self.identity {
            Identity::Owner => "owner",
            Identity::Key(id) => id,
            Identity::Anyone => "anyone",
        }
    }
}

/// Whether the request may go on. `reached`: its path names a session, and the principal reaches that one.
pub(crate) fn decide(principal: Option<&Principal>, rule: Rule, reached: bool) -> Result<(), Denied> {
    if rule.need == Need::Nothing {
        return Ok(());
    }
    let principal = principal.ok_or(Denied::Unauthenticated)?;
    match (principal.reach, rule.about) {
        (Reach::All, _) | (Reach::Below(_), About::Reachable) => {}
        // Where any principal will do, nothing is shown or done.
        _ if rule.need == Need::SignedIn => {}
        (_, About::Session) if reached => {}
        (_, About::Session) => return Err(Denied::OtherSession),
        (_, About::Everything | About::Reachable) => return Err(Denied::SomeSessions),
    }
    match rule.need {
        Need::Scope(scope) if !principal.holds(scope) => Err(Denied::Scope(scope)),
        Need::Scope(_) | Need::SignedIn | Need::Nothing => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: [About; 3] = [About::Session, About::Reachable, About::Everything];

    fn with(scopes: &[Scope], reach: Reach) -> Principal {
        Principal { scopes: scopes.to_vec(), reach, ..Principal::all(Identity::Key(String::from("k"))) }
    }

    const fn rule(need: Need, about: About) -> Rule {
        Rule { need, about }
    }

    #[test]
    fn q5_nobody_gets_401_everywhere_but_where_nothing_is_needed() {
        for about in ABOUT {
            assert_eq!(decide(None, rule(Need::Nothing, about), false), Ok(()));
            for need in Scope::ALL.map(Need::Scope).into_iter().chain([Need::SignedIn]) {
                assert_eq!(decide(None, rule(need, about), false), Err(Denied::Unauthenticated));
            }
        }
    }

    #[test]
    fn g4_the_owner_may_do_everything() {
        for identity in [Identity::Owner, Identity::Anyone] {
            let owner = Principal::all(identity);
            for scope in Scope::ALL {
                for reached in [false, true] {
                    for about in ABOUT {
                        assert_eq!(decide(Some(&owner), rule(Need::Scope(scope), about), reached), Ok(()));
                    }
                }
            }
        }
    }

    #[test]
    fn q3_a_key_does_what_its_scopes_allow_and_no_more() {
        for held in Scope::ALL {
            for needed in Scope::ALL {
                let expected = if held.allows(needed) { Ok(()) } else { Err(Denied::Scope(needed)) };
                let rule = rule(Need::Scope(needed), About::Everything);
                assert_eq!(
                    decide(Some(&with(&[held], Reach::All)), rule, false),
                    expected,
                    "{held:?} {needed:?}"
                );
            }
        }
        assert_eq!(
            decide(Some(&with(&[], Reach::All)), rule(Need::Scope(Scope::Read), About::Everything), false),
            Err(Denied::Scope(Scope::Read))
        );
    }

    #[test]
    fn q3_a_key_of_one_session_reaches_that_session_only_whatever_its_scopes() {
        let own = SessionId::random();
        for scope in Scope::ALL {
            let key = with(&[Scope::Admin], Reach::One(own));
            let of_session = rule(Need::Scope(scope), About::Session);
            assert_eq!(decide(Some(&key), of_session, true), Ok(()));
            assert_eq!(decide(Some(&key), of_session, false), Err(Denied::OtherSession));
            for about in [About::Everything, About::Reachable] {
                let all = rule(Need::Scope(scope), about);
                assert_eq!(decide(Some(&key), all, true), Err(Denied::SomeSessions));
            }
        }
        let reader = with(&[Scope::Read], Reach::One(own));
        assert_eq!(
            decide(Some(&reader), rule(Need::Scope(Scope::Prompt), About::Session), true),
            Err(Denied::Scope(Scope::Prompt))
        );
    }

    #[test]
    fn n9_a_key_for_children_reaches_what_is_below_its_session_and_routes_that_know_how() {
        let (root, child, other) = (SessionId::random(), SessionId::random(), SessionId::random());
        let key = with(&[Scope::Prompt], Reach::Below(root));
        let prompts = |about| rule(Need::Scope(Scope::Prompt), about);
        assert_eq!(decide(Some(&key), prompts(About::Reachable), false), Ok(()));
        assert_eq!(decide(Some(&key), prompts(About::Session), true), Ok(()));
        assert_eq!(decide(Some(&key), prompts(About::Session), false), Err(Denied::OtherSession));
        assert_eq!(decide(Some(&key), prompts(About::Everything), true), Err(Denied::SomeSessions));
        let approves = rule(Need::Scope(Scope::Approve), About::Session);
        assert_eq!(decide(Some(&key), approves, true), Err(Denied::Scope(Scope::Approve)));

        assert!(key.reach.covers(child, &[root]) && key.reach.covers(other, &[root, child]));
        assert!(!key.reach.covers(root, &[]) && !key.reach.covers(other, &[child]));
        assert!(Reach::One(child).covers(child, &[root]) && !Reach::One(child).covers(other, &[root, child]));
        assert!(Reach::All.covers(other, &[]));
    }
}
