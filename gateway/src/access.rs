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
    /// More than one session, or none.
    Everything,
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
    /// The one session that it is limited to.
    pub(crate) session: Option<SessionId>,
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
    /// The principal is limited to one session, and the route is about more.
    OneSession,
}

impl Principal {
    /// One that may do everything.
    pub(crate) fn all(identity: Identity) -> Self {
        Self {
            identity,
            scopes: vec![Scope::Admin],
            session: None,
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

/// Whether the request may go on. `named` is the session that its path names, if there is one of that name.
pub(crate) fn decide(
    principal: Option<&Principal>,
    rule: Rule,
    named: Option<SessionId>,
) -> Result<(), Denied> {
    if rule.need == Need::Nothing {
        return Ok(());
    }
    let principal = principal.ok_or(Denied::Unauthenticated)?;
    match (principal.session, rule.about) {
        // Where any principal will do, nothing is shown or done.
        (Some(_), _) if rule.need == Need::SignedIn => {}
        (Some(own), About::Session) if named != Some(own) => return Err(Denied::OtherSession),
        (Some(_), About::Everything) => return Err(Denied::OneSession),
        (Some(_), About::Session) | (None, _) => {}
    }
    match rule.need {
        Need::Scope(scope) if !principal.holds(scope) => Err(Denied::Scope(scope)),
        Need::Scope(_) | Need::SignedIn | Need::Nothing => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(scopes: &[Scope], session: Option<SessionId>) -> Principal {
        Principal { scopes: scopes.to_vec(), session, ..Principal::all(Identity::Key(String::from("k"))) }
    }

    const fn rule(need: Need, about: About) -> Rule {
        Rule { need, about }
    }

    #[test]
    fn q5_nobody_gets_401_everywhere_but_where_nothing_is_needed() {
        for about in [About::Session, About::Everything] {
            assert_eq!(decide(None, rule(Need::Nothing, about), None), Ok(()));
            for need in Scope::ALL.map(Need::Scope).into_iter().chain([Need::SignedIn]) {
                assert_eq!(decide(None, rule(need, about), None), Err(Denied::Unauthenticated));
            }
        }
    }

    #[test]
    fn g4_the_owner_may_do_everything() {
        for identity in [Identity::Owner, Identity::Anyone] {
            let owner = Principal::all(identity);
            for scope in Scope::ALL {
                for named in [None, Some(SessionId::random())] {
                    for about in [About::Session, About::Everything] {
                        assert_eq!(decide(Some(&owner), rule(Need::Scope(scope), about), named), Ok(()));
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
                assert_eq!(decide(Some(&with(&[held], None)), rule, None), expected, "{held:?} {needed:?}");
            }
        }
        assert_eq!(
            decide(Some(&with(&[], None)), rule(Need::Scope(Scope::Read), About::Everything), None),
            Err(Denied::Scope(Scope::Read))
        );
    }

    #[test]
    fn q3_a_key_of_one_session_reaches_that_session_only_whatever_its_scopes() {
        let (own, other) = (SessionId::random(), SessionId::random());
        for scope in Scope::ALL {
            let key = with(&[Scope::Admin], Some(own));
            let of_session = rule(Need::Scope(scope), About::Session);
            assert_eq!(decide(Some(&key), of_session, Some(own)), Ok(()));
            assert_eq!(decide(Some(&key), of_session, Some(other)), Err(Denied::OtherSession));
            assert_eq!(decide(Some(&key), of_session, None), Err(Denied::OtherSession));
            let all = rule(Need::Scope(scope), About::Everything);
            assert_eq!(decide(Some(&key), all, Some(own)), Err(Denied::OneSession));
        }
        let reader = with(&[Scope::Read], Some(own));
        assert_eq!(
            decide(Some(&reader), rule(Need::Scope(Scope::Prompt), About::Session), Some(own)),
            Err(Denied::Scope(Scope::Prompt))
        );
    }
}
