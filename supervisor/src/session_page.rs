//! Pages of sessions: which ones a client asks for, in an order that nothing but creation and removal changes. Pure.

use std::cmp::Reverse;

use jiff::Timestamp;
use skep_common::api::{SessionList, SessionQuery};
use skep_common::code::{ApiError, Code};
use skep_common::ids::SessionId;
use skep_common::session::SessionState;

use crate::sessions::{Entry, Index};

/// Sessions on a page, where the client does not say.
const DEFAULT_LIMIT: u32 = 100;

/// Sessions on a page at most.
const MAX_LIMIT: u32 = 500;

/// A query that makes sense.
#[derive(Debug, Clone)]
pub struct Wanted {
    query: SessionQuery,
    limit: usize,
    after: Option<Place>,
}

/// A session's place in the order: the latest created first.
type Place = (Reverse<Timestamp>, SessionId);

impl Wanted {
    /// Checks a query.
    ///
    /// # Errors
    ///
    /// `invalid_value` for a page size out of bounds, a cursor that is none, a state that there is not, or
    /// conditions that exclude each other.
    pub fn check(query: SessionQuery) -> Result<Self, ApiError> {
        let invalid = |message| Err(ApiError::new(Code::InvalidValue, message));
        let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return invalid("`limit` must be from 1 to 500");
        }
        if query.all && query.closed.is_some() {
            return invalid("`all` and `closed` exclude each other");
        }
        if query.state == Some(SessionState::Unknown) {
            return invalid("`state` is none that a session can have");
        }
        let after = match query.cursor.as_deref().map(place_of) {
            Some(None) => return invalid("`cursor` is not what an earlier page gave as `next`"),
            Some(place) => place,
            None => None,
        };
        Ok(Self { query, limit: usize::try_from(limit).unwrap_or(usize::MAX), after })
    }

    /// The page.
    #[must_use]
    pub fn page(&self, index: &Index) -> SessionList {
        let after = |entry: &&Entry| self.after.is_none_or(|after| place(entry) > after);
        let mut found: Vec<&Entry> = index.iter().filter(after).filter(|entry| self.takes(entry)).collect();
        found.sort_unstable_by_key(|entry| place(entry));
        let more = found.len() > self.limit;
        found.truncate(self.limit);
        let last = found.last().filter(|_| more);
        let next = last.map(|entry| {
            let spec = entry.spec();
            format!("{}.{}", spec.created_at.as_nanosecond(), spec.id)
        });
        SessionList { sessions: found.into_iter().map(Entry::info).collect(), next }
    }

    fn takes(&self, entry: &Entry) -> bool {
        let (query, spec) = (&self.query, entry.spec());
        let closed = match query.closed {
            Some(closed) => entry.is_closed() == closed,
            None => query.all || !entry.is_closed() || query.state == Some(SessionState::Closed),
        };
        let name = spec.name.as_ref().map_or("", |name| name.as_str());
        closed
            && query.state.is_none_or(|state| entry.state() == state)
            && query.agent.as_ref().is_none_or(|agent| spec.agent == *agent)
            && query.name_prefix.as_ref().is_none_or(|prefix| name.starts_with(prefix.as_str()))
            && query.kind.is_none_or(|kind| spec.kind == kind)
            && query.cwd.as_ref().is_none_or(|cwd| spec.cwd == *cwd)
            && query.below.is_none_or(|root| spec.lineage.contains(&root))
            && query.needs_you.is_none_or(|needs| needs_you(entry) == needs)
    }
}

/// Whether a person must do something before the session goes on.
fn needs_you(entry: &Entry) -> bool {
    let now = entry.snapshot();
    !entry.is_closed()
        && (entry.state() == SessionState::NeedsYou || !now.waiting.is_empty() || now.queue_held)
}

fn place(entry: &Entry) -> Place {
    (Reverse(entry.spec().created_at), entry.spec().id)
}

fn place_of(cursor: &str) -> Option<Place> {
    let (at, id) = cursor.split_once('.')?;
    Some((Reverse(Timestamp::from_nanosecond(at.parse().ok()?).ok()?), id.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use skep_common::session::{PermissionMode, SessionKind, SessionOptions, SessionSnapshot, SessionSpec};

    use crate::sessions::Place as Held;

    fn spec(number: u32, at: i64) -> SessionSpec {
        SessionSpec {
            id: SessionId::random(),
            name: Some(format!("s{number}").parse().unwrap()),
            agent: String::from(if number.is_multiple_of(2) { "even" } else { "odd" }),
            cwd: format!("/w{}", number % 3),
            permission_mode: PermissionMode::Ask,
            kind: if number.is_multiple_of(5) { SessionKind::Bg } else { SessionKind::Daemon },
            ephemeral: false,
            options: SessionOptions::default(),
            lineage: Vec::new(),
            created_at: Timestamp::from_second(at).unwrap(),
        }
    }

    fn index(times: &[i64]) -> Index {
        let mut index = Index::default();
        for (number, at) in (0_u32..).zip(times) {
            let spec = spec(number, *at);
            let state = match number % 4 {
                0 => SessionState::Closed,
                1 => SessionState::Idle,
                2 => SessionState::NeedsYou,
                _ => SessionState::Interrupted,
            };
            let snapshot = SessionSnapshot::blank(spec.id, state, spec.created_at);
            index.insert(spec, snapshot, Held::Stored);
        }
        index
    }

    fn names(query: &SessionQuery, index: &Index) -> Vec<String> {
        let page = Wanted::check(query.clone()).unwrap().page(index);
        page.sessions.into_iter().map(|session| session.name.unwrap().to_string()).collect()
    }

    proptest! {
        #[test]
        fn pages_put_together_are_the_whole_list_whatever_comes_meanwhile(
            times in proptest::collection::vec(0_i64..6, 0..40),
            limit in 1_u32..9,
        ) {
            let mut index = index(&times);
            let everything = SessionQuery { all: true, limit: Some(500), ..SessionQuery::default() };
            let whole = names(&everything, &index);
            let (mut seen, mut cursor) = (Vec::new(), None);
            loop {
                let query = SessionQuery { all: true, limit: Some(limit), cursor, ..SessionQuery::default() };
                let page = Wanted::check(query).unwrap().page(&index);
                prop_assert!(page.sessions.len() <= 8);
                seen.extend(page.sessions.into_iter().map(|session| session.name.unwrap().to_string()));
                // A newer session begins while the client pages: it shifts nothing.
                let new = spec(1000 + u32::try_from(seen.len()).unwrap(), 100);
                let snapshot = SessionSnapshot::blank(new.id, SessionState::Idle, new.created_at);
                index.insert(new, snapshot, Held::Stored);
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            prop_assert_eq!(seen, whole);
        }
    }

    #[test]
    fn each_filter_takes_what_it_says() {
        let index = index(&[1, 2, 3, 4, 5, 6]);
        let query = SessionQuery::default();
        assert_eq!(names(&query, &index), ["s5", "s3", "s2", "s1"], "closed ones must be asked for");
        assert_eq!(names(&SessionQuery { closed: Some(true), ..query.clone() }, &index), ["s4", "s0"]);
        assert_eq!(names(&SessionQuery { agent: Some("even".into()), ..query.clone() }, &index), ["s2"]);
        assert_eq!(names(&SessionQuery { cwd: Some("/w2".into()), ..query.clone() }, &index), ["s5", "s2"]);
        assert_eq!(names(&SessionQuery { kind: Some(SessionKind::Bg), ..query.clone() }, &index), ["s5"]);
        assert_eq!(names(&SessionQuery { needs_you: Some(true), ..query.clone() }, &index), ["s2"]);
        let idle = SessionQuery { state: Some(SessionState::Idle), ..query.clone() };
        assert_eq!(names(&idle, &index), ["s5", "s1"]);
        let closed = SessionQuery { state: Some(SessionState::Closed), ..query.clone() };
        assert_eq!(names(&closed, &index), ["s4", "s0"]);
        assert_eq!(names(&SessionQuery { name_prefix: Some("s3".into()), ..query }, &index), ["s3"]);
    }

    #[test]
    fn g13_a_query_that_makes_no_sense_is_refused() {
        let base = SessionQuery::default;
        let senseless = [
            SessionQuery { limit: Some(0), ..base() },
            SessionQuery { limit: Some(501), ..base() },
            SessionQuery { all: true, closed: Some(true), ..base() },
            SessionQuery { state: Some(SessionState::Unknown), ..base() },
            SessionQuery { cursor: Some(String::from("7")), ..base() },
            SessionQuery { cursor: Some(String::from("7.x")), ..base() },
            SessionQuery { cursor: Some(format!("{}0.{}", i128::MAX, SessionId::random())), ..base() },
        ];
        for query in senseless {
            assert_eq!(Wanted::check(query.clone()).unwrap_err().code, Code::InvalidValue, "{query:?}");
        }
    }
}
