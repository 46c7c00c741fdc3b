//! The memory budget over all agents (N5): which idle sessions are hibernated when it is exceeded. Pure.

use jiff::Timestamp;
use skep_common::ids::SessionId;

/// An agent's processes, as they were measured, and whom they serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    /// The sessions that it serves.
    pub(crate) sessions: Vec<SessionId>,
    /// What its processes take.
    pub(crate) memory_bytes: u64,
    /// Nothing runs in any of them, waits or is kept awake.
    pub(crate) idle: bool,
    /// When one of them was used last.
    pub(crate) used_at: Timestamp,
}

/// The sessions to hibernate so that what is left of `total` bytes fits into `budget`: of idle agents only, least recently
/// used first, and no more than it takes.
pub(crate) fn choose(budget: u64, mut total: u64, held: &[Held]) -> Vec<SessionId> {
    let mut idle: Vec<&Held> = held.iter().filter(|held| held.idle && held.memory_bytes > 0).collect();
    idle.sort_by_key(|held| (held.used_at, held.sessions.first().copied()));
    let mut chosen = Vec::new();
    for held in idle {
        if total <= budget {
            break;
        }
        total = total.saturating_sub(held.memory_bytes);
        chosen.extend_from_slice(&held.sessions);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(number: usize) -> SessionId {
        format!("00000000-0000-4000-8000-0000000000{number:02x}").parse().unwrap()
    }

    fn held(number: usize, memory_bytes: u64, idle: bool, used: i64) -> Held {
        let used_at = Timestamp::from_second(used).unwrap();
        Held { sessions: vec![id(number)], memory_bytes, idle, used_at }
    }

    fn sum<'a>(held: impl IntoIterator<Item = &'a Held>) -> u64 {
        held.into_iter().map(|held| held.memory_bytes).sum()
    }

    #[test]
    fn n5_the_least_recently_used_idle_sessions_go_first_and_only_as_many_as_needed() {
        let sessions =
            [held(1, 100, true, 30), held(2, 100, false, 1), held(3, 100, true, 10), held(4, 0, true, 0)];
        for (budget, chosen) in
            [(300, vec![]), (299, vec![3]), (200, vec![3]), (199, vec![3, 1]), (0, vec![3, 1])]
        {
            let chosen: Vec<SessionId> = chosen.into_iter().map(id).collect();
            assert_eq!(choose(budget, 300, &sessions), chosen, "{budget}");
        }
        assert_eq!(choose(300, 301, &sessions), [id(3)], "what belongs to nobody counts, too");
    }

    #[test]
    fn n5_an_agent_that_several_sessions_share_goes_with_all_of_them_or_not_at_all() {
        let both = Held { sessions: vec![id(1), id(2)], ..held(1, 100, true, 5) };
        assert_eq!(choose(0, 100, std::slice::from_ref(&both)), [id(1), id(2)]);
        assert_eq!(choose(0, 100, &[Held { idle: false, ..both }]), []);
    }

    proptest! {
        #[test]
        fn n5_nobody_goes_without_need_and_never_one_that_works(
            budget in 0u64..2000,
            others in 0u64..500,
            facts in proptest::collection::vec((0u64..500, any::<bool>(), 0i64..50), 0..20),
        ) {
            let all: Vec<Held> = facts
                .iter()
                .enumerate()
                .map(|(number, (memory, idle, used))| held(number, *memory, *idle, *used))
                .collect();
            let total = others + sum(&all);
            let chosen = choose(budget, total, &all);
            let gone = |held: &&Held| chosen.contains(&held.sessions[0]);
            prop_assert!(all.iter().filter(gone).all(|held| held.idle));
            let freed = sum(all.iter().filter(gone));
            // Without the last of them, it would not have fitted.
            if let Some(last) = chosen.last() {
                let last = sum(all.iter().filter(|held| held.sessions[0] == *last));
                prop_assert!(total - (freed - last) > budget);
            }
            let left: Vec<&Held> =
                all.iter().filter(|held| held.idle && held.memory_bytes > 0 && !gone(held)).collect();
            prop_assert!(total - freed <= budget || left.is_empty());
            for went in all.iter().filter(gone) {
                prop_assert!(left.iter().all(|held| held.used_at >= went.used_at));
            }
        }
    }
}
