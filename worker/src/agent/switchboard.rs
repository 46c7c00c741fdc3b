//! Which session of an agent process a message belongs to. Pure.
//!
//! Each session has a seat. A process that has only ever had one seat gives it every message, read or not. With more
//! seats a message goes where its session id or the id of our request says; what belongs to no seat is nobody's, but for
//! updates that come before the answer which names their session: every seat that waits for such an answer gets those, and
//! picks its own.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::wire;
use crate::acp::message::Message;

/// A seat of this process; no number is given out twice.
pub(super) type SeatId = u64;

/// Whose a message is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// One seat's.
    To(SeatId),
    /// Each of these may need it.
    Each(Vec<SeatId>),
    /// No seat's.
    Nobody,
}

/// What is left when a seat has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Others sit there.
    Others,
    /// Nobody does, and nobody will.
    Nobody,
}

/// The seats of a process and the requests that wait, each seat reached by an `L`.
#[derive(Debug)]
pub(super) struct Switchboard<L> {
    seats: BTreeMap<SeatId, Seat<L>>,
    calls: HashMap<u64, Call>,
    last_seat: SeatId,
    last_call: u64,
    closed: bool,
}

#[derive(Debug)]
struct Seat<L> {
    line: L,
    /// The agent's own id of its session; empty until it has one.
    session: String,
    /// A turn of its runs.
    busy: bool,
    /// No other seat's turn has run beside its last one.
    apart: bool,
    /// Its session wants the process's end.
    quits: bool,
}

#[derive(Debug, Clone, Copy)]
struct Call {
    seat: SeatId,
    /// Its answer names the seat's session.
    opens: bool,
}

impl<L> Default for Switchboard<L> {
    fn default() -> Self {
        Self { seats: BTreeMap::new(), calls: HashMap::new(), last_seat: 0, last_call: 0, closed: false }
    }
}

impl<L> Switchboard<L> {
    /// A new seat; none once the process is to end.
    pub(super) fn join(&mut self, line: L) -> Option<SeatId> {
        if self.closed {
            return None;
        }
        self.last_seat += 1;
        self.seats.insert(
            self.last_seat,
            Seat { line, session: String::new(), busy: false, apart: false, quits: false },
        );
        Some(self.last_seat)
    }

    /// Gives up a seat. With the last one the process takes nobody any more.
    pub(super) fn leave(&mut self, seat: SeatId) -> Left {
        self.seats.remove(&seat);
        self.calls.retain(|_, call| call.seat != seat);
        if !self.seats.is_empty() {
            return Left::Others;
        }
        self.closed = true;
        Left::Nobody
    }

    /// Takes nobody any more.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// How a seat is reached.
    pub(super) fn line(&self, seat: SeatId) -> Option<&L> {
        self.seats.get(&seat).map(|seat| &seat.line)
    }

    /// Every seat that is taken.
    pub(super) fn seats(&self) -> impl Iterator<Item = SeatId> {
        self.seats.keys().copied()
    }

    /// Whether this seat is the only one.
    pub(super) fn is_alone(&self, seat: SeatId) -> bool {
        self.seats.keys().all(|other| *other == seat)
    }

    /// Whether the process serves, or has served, more than one session.
    pub(super) fn is_shared(&self) -> bool {
        self.last_seat > 1
    }

    /// Takes nobody any more if this seat is the only one; whether it is.
    pub(super) fn close_if_alone(&mut self, seat: SeatId) -> bool {
        self.closed |= self.is_alone(seat);
        self.is_alone(seat)
    }

    /// A seat wants the process's end; whether every seat does.
    pub(super) fn quit(&mut self, seat: SeatId) -> bool {
        if let Some(seat) = self.seats.get_mut(&seat) {
            seat.quits = true;
        }
        self.seats.values().all(|seat| seat.quits)
    }

    /// A seat's turn begins.
    pub(super) fn turn_begins(&mut self, seat: SeatId) {
        let beside = self.seats.iter().any(|(id, other)| *id != seat && other.busy);
        for (id, other) in &mut self.seats {
            if *id == seat {
                (other.busy, other.apart) = (true, !beside);
            } else if other.busy {
                other.apart = false;
            }
        }
    }

    /// A seat's turn is over.
    pub(super) fn turn_ends(&mut self, seat: SeatId) {
        if let Some(seat) = self.seats.get_mut(&seat) {
            seat.busy = false;
        }
    }

    /// Whether what appeared during a seat's last turn is that turn's: no other has run beside or since.
    pub(super) fn is_apart(&self, seat: SeatId) -> bool {
        let beside = self.seats.iter().any(|(id, other)| *id != seat && other.busy);
        !beside && self.seats.get(&seat).is_some_and(|seat| seat.apart)
    }

    /// The id of a seat's next request.
    pub(super) fn call(&mut self, seat: SeatId, method: &str) -> u64 {
        self.last_call += 1;
        self.calls.insert(self.last_call, Call { seat, opens: method == "session/new" });
        self.last_call
    }

    /// Names a seat's session; false if the name is another seat's.
    pub(super) fn name(&mut self, seat: SeatId, session: &str) -> bool {
        if self.owner(session).is_some_and(|owner| owner != seat) {
            return false;
        }
        if let Some(seat) = self.seats.get_mut(&seat) {
            session.clone_into(&mut seat.session);
        }
        true
    }

    /// Whose this message is. An answer is given out once.
    pub(super) fn route(&mut self, message: &Message) -> Route {
        if let Message::Response { id, result } = message {
            let Some(call) = id.number().and_then(|id| self.calls.remove(&id)) else { return Route::Nobody };
            if call.opens
                && let Some(session) = result.as_ref().ok().and_then(|result| wire::session_id(result))
            {
                // A name that is taken is refused by the seat itself.
                self.name(call.seat, &session);
            }
            return Route::To(call.seat);
        }
        if self.last_seat == 1 {
            return self.seats.keys().next().map_or(Route::Nobody, |seat| Route::To(*seat));
        }
        match message {
            Message::Notification { method, .. } if method == "$/cancel_request" => {
                Route::Each(self.seats().collect())
            }
            Message::Notification { params, .. } => match params.as_deref().and_then(session_of) {
                Some(session) => self.owner(&session).map_or_else(|| self.opening(), Route::To),
                None => Route::Nobody,
            },
            Message::Request { params, .. } => {
                let session = params.as_deref().and_then(session_of);
                session.and_then(|session| self.owner(&session)).map_or(Route::Nobody, Route::To)
            }
            Message::Response { .. } => Route::Nobody,
        }
    }

    /// The seat whose session this is.
    fn owner(&self, session: &str) -> Option<SeatId> {
        let named = |seat: &Seat<L>| !session.is_empty() && seat.session == session;
        self.seats.iter().find(|(_, seat)| named(seat)).map(|(id, _)| *id)
    }

    /// The seats that wait for the name of their session.
    fn opening(&self) -> Route {
        let mut seats: Vec<SeatId> =
            self.calls.values().filter(|call| call.opens).map(|call| call.seat).collect();
        seats.sort_unstable();
        seats.dedup();
        if seats.is_empty() { Route::Nobody } else { Route::Each(seats) }
    }
}

/// The session that parameters name.
fn session_of(params: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct View<'a> {
        #[serde(borrow)]
        session_id: Cow<'a, str>,
    }
    serde_json::from_str::<View<'_>>(params.get()).ok().map(|view| view.session_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acp::message::parse;

    fn update(session: &str) -> Message {
        let params = serde_json::json!({"sessionId": session, "update": {}});
        told(&serde_json::json!({"jsonrpc": "2.0", "method": "session/update", "params": params}))
    }

    fn told(value: &serde_json::Value) -> Message {
        parse(value.to_string().as_bytes()).unwrap()
    }

    fn answer(id: u64, session: &str) -> Message {
        told(&serde_json::json!({"jsonrpc": "2.0", "id": id, "result": {"sessionId": session}}))
    }

    #[test]
    fn a_lone_seat_hears_everything_and_each_answer_once() {
        let mut board = Switchboard::default();
        let seat = board.join(()).unwrap();
        let call = board.call(seat, "session/new");
        assert_eq!(board.route(&update("whoever")), Route::To(seat));
        assert_eq!(board.route(&answer(call, "a")), Route::To(seat));
        assert_eq!(board.route(&answer(call, "a")), Route::Nobody);
        assert_eq!(board.route(&answer(77, "a")), Route::Nobody);
        assert_eq!(board.leave(seat), Left::Nobody);
        assert_eq!(board.join(()), None, "a process that ends takes nobody");
    }

    #[test]
    fn n1_each_of_several_sessions_hears_its_own() {
        let mut board = Switchboard::default();
        let (one, two) = (board.join(()).unwrap(), board.join(()).unwrap());
        let calls = [board.call(one, "session/new"), board.call(two, "session/new")];
        assert_eq!(board.route(&update("b")), Route::Each(vec![one, two]), "its session has no name yet");
        assert_eq!(board.route(&answer(calls[1], "b")), Route::To(two));
        assert_eq!(board.route(&update("b")), Route::To(two));
        assert_eq!(board.route(&update("a")), Route::Each(vec![one]));
        assert_eq!(board.route(&answer(calls[0], "a")), Route::To(one));
        assert_eq!(board.route(&update("a")), Route::To(one));
        assert_eq!(board.route(&update("c")), Route::Nobody);
        let ask = serde_json::json!({"jsonrpc": "2.0", "id": 1000, "method": "session/request_permission",
            "params": {"sessionId": "b"}});
        assert_eq!(board.route(&told(&ask)), Route::To(two));
        let takes = serde_json::json!({"jsonrpc": "2.0", "method": "$/cancel_request", "params": {"requestId": 1000}});
        assert_eq!(board.route(&told(&takes)), Route::Each(vec![one, two]));
        let call = board.call(one, "session/prompt");
        assert_eq!(board.leave(one), Left::Others);
        assert_eq!(board.route(&answer(call, "a")), Route::Nobody, "nobody waits for it");
        assert_eq!(board.route(&update("a")), Route::Nobody, "what a session that left is told is nobody's");
        assert!(board.is_alone(two));
    }

    #[test]
    fn n4_what_a_turn_started_is_told_apart_only_if_it_ran_alone() {
        let mut board = Switchboard::default();
        let (one, two) = (board.join(()).unwrap(), board.join(()).unwrap());
        board.turn_begins(one);
        assert!(board.is_apart(one) && !board.is_apart(two));
        board.turn_begins(two);
        assert!(!board.is_apart(one) && !board.is_apart(two));
        board.turn_ends(one);
        board.turn_ends(two);
        assert!(!board.is_apart(one) && !board.is_apart(two), "both ran at once");
        board.turn_begins(two);
        board.turn_ends(two);
        assert!(board.is_apart(two));
        board.turn_begins(one);
        assert!(!board.is_apart(two), "another has begun since");
        assert!(!board.quit(one) && board.quit(two), "all want its end");
    }

    #[test]
    fn a_session_id_is_never_given_to_two_seats() {
        let mut board = Switchboard::default();
        let (one, two) = (board.join(()).unwrap(), board.join(()).unwrap());
        assert!(board.name(one, "a") && board.name(one, "a"));
        let call = board.call(two, "session/new");
        assert_eq!(board.route(&answer(call, "a")), Route::To(two));
        assert!(!board.name(two, "a"));
        assert_eq!(board.route(&update("a")), Route::To(one));
        let nonsense =
            told(&serde_json::json!({"jsonrpc": "2.0", "method": "session/update", "params": [7]}));
        assert_eq!(board.route(&nonsense), Route::Nobody);
    }
}
