use jiff::Timestamp;
use proptest::prelude::*;
use skep_common::code::Code;
use skep_common::session::{PermissionMode, SessionKind, SessionSnapshot};

use super::*;

fn spec(name: Option<&str>, created: i64) -> SessionSpec {
    SessionSpec {
        id: SessionId::random(),
        name: name.map(|name| name.parse().unwrap()),
        agent: String::from("shell"),
        cwd: String::from("/"),
        permission_mode: PermissionMode::Ask,
        kind: SessionKind::Daemon,
        ephemeral: false,
        options: skep_common::session::SessionOptions::default(),
        lineage: Vec::new(),
        created_at: Timestamp::from_second(created).unwrap(),
    }
}

fn add(index: &mut Index, name: Option<&str>, state: SessionState, created: i64) -> SessionId {
    let spec = spec(name, created);
    let id = spec.id;
    index.insert(
        spec,
        SessionSnapshot::blank(id, state, Timestamp::from_second(created).unwrap()),
        Place::Stored,
    );
    id
}

#[test]
fn a_name_means_the_open_session_else_the_latest_closed_one() {
    let mut index = Index::default();
    let older = add(&mut index, Some("build"), SessionState::Closed, 1);
    let newer = add(&mut index, Some("build"), SessionState::Closed, 2);
    assert_eq!(index.resolve("build").unwrap(), newer);
    let open = add(&mut index, Some("build"), SessionState::Hibernated, 0);
    assert_eq!(index.resolve("build").unwrap(), open);
    assert_eq!(index.resolve(&older.to_string()).unwrap(), older);
    assert_eq!(index.resolve("bui").unwrap(), open, "namesakes are not an ambiguity");
    drop(index.remove(open));
    assert_eq!(index.resolve("build").unwrap(), newer);
}

#[test]
fn a_prefix_must_be_unique_and_an_ambiguous_one_lists_the_candidates() {
    let mut index = Index::default();
    let one = add(&mut index, Some("alpha"), SessionState::Idle, 1);
    let two = add(&mut index, Some("alp"), SessionState::Idle, 2);
    assert_eq!(index.resolve("alp").unwrap(), two, "a whole name wins over a prefix");
    assert_eq!(index.resolve("alph").unwrap(), one);
    let error = index.resolve("al").unwrap_err();
    assert_eq!(error.code, Code::SessionAmbiguous);
    assert_eq!(error.details.unwrap()["candidates"].as_array().unwrap().len(), 2);
    for missing in ["", "zzz", "../..", "\u{1b}"] {
        let error = index.resolve(missing).unwrap_err();
        assert_eq!(error.code, Code::SessionNotFound);
        assert!(!error.message.contains('\u{1b}'));
    }
    assert_eq!(index.resolve(&one.to_string()[..13]).unwrap(), one);
    assert_eq!(index.resolve(&one.to_string()[..13].to_uppercase()).unwrap(), one);
}

#[test]
fn g17_closed_and_hibernated_sessions_do_not_count() {
    let mut index = Index::default();
    add(&mut index, None, SessionState::Closed, 1);
    add(&mut index, None, SessionState::Hibernated, 1);
    let live = add(&mut index, None, SessionState::Idle, 1);
    assert_eq!(index.counted(), 0);
    index.set_place(live, Place::Live("w".parse().unwrap()));
    assert_eq!(index.counted(), 1);
    index.set_place(live, Place::Waiting);
    assert_eq!(index.counted(), 1);
}

#[test]
fn a_head_never_goes_back_and_rings_once_per_step() {
    let mut index = Index::default();
    let id = add(&mut index, None, SessionState::Idle, 1);
    let mut bell = index.watch_head(id).unwrap();
    let head = |epoch, seq| Head { seq, segment: 1, bytes: seq, epoch };
    index.set_head(id, head(1, 5));
    assert_eq!(bell.borrow_and_update().seq, 5);
    index.set_head(id, head(1, 4));
    assert!(!bell.has_changed().unwrap());
    let mut snapshot = index.get(id).unwrap().snapshot().clone();
    snapshot.head = head(1, 3);
    drop(index.set_snapshot(snapshot));
    assert!(!bell.has_changed().unwrap());
    assert_eq!(index.get(id).unwrap().snapshot().head.seq, 5);
    index.set_head(id, head(2, 3));
    assert_eq!(bell.borrow_and_update().seq, 3, "a new writer may have lost unsynced events");
    drop(index.remove(id));
    assert!(bell.has_changed().is_err(), "followers of a removed session hear its end");
}

#[test]
fn a_thousand_stored_sessions_cost_little() {
    let per_session = size_of::<Entry>() + 4 * size_of::<usize>() + 200;
    assert!(per_session * 1000 <= 2 << 20, "{per_session} bytes each");
}

#[derive(Debug, Clone)]
enum Step {
    Add(u8),
    Remove(usize),
    Change(usize),
    Move(usize, u8),
    Look,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4u8).prop_map(Step::Add),
        (0..50usize).prop_map(Step::Remove),
        (0..50usize).prop_map(Step::Change),
        (0..50usize, 0..5u8).prop_map(|(which, place)| Step::Move(which, place)),
        Just(Step::Look),
    ]
}

proptest! {
    #[test]
    fn a_reader_of_the_change_feed_always_ends_up_with_the_truth(steps in proptest::collection::vec(step(), 0..60)) {
        let mut index = Index::default();
        let (mut ids, mut seen, mut generation) = (Vec::new(), HashMap::new(), 0);
        let look = |index: &Index, seen: &mut HashMap<SessionId, SessionInfo>, generation: &mut u64| {
            let changes = index.changed_since(*generation);
            *generation = changes.generation;
            if changes.reset {
                seen.clear();
            }
            seen.extend(changes.changed.into_iter().map(|info| (info.id, info)));
            changes.removed.iter().for_each(|id| drop(seen.remove(id)));
        };
        for (at, step) in steps.into_iter().enumerate() {
            match step {
                Step::Add(name) => {
                    let name = (name > 0).then(|| format!("n{name}"));
                    ids.push(add(&mut index, name.as_deref(), SessionState::Idle, i64::try_from(at).unwrap()));
                }
                Step::Remove(which) if !ids.is_empty() => {
                    let id = ids.swap_remove(which % ids.len());
                    prop_assert!(index.remove(id).is_some());
                }
                Step::Change(which) if !ids.is_empty() => {
                    let id = ids[which % ids.len()];
                    let mut snapshot = index.get(id).unwrap().snapshot().clone();
                    snapshot.state = SessionState::Running;
                    snapshot.head.seq += 1;
                    drop(index.set_snapshot(snapshot));
                }
                Step::Move(which, place) if !ids.is_empty() => {
                    let (one, two): (WorkerId, WorkerId) = ("w1".parse().unwrap(), "w2".parse().unwrap());
                    let places = [
                        Place::Stored,
                        Place::Waiting,
                        Place::Opening(one),
                        Place::Live(two.clone()),
                        Place::Releasing(two),
                    ];
                    index.set_place(ids[which % ids.len()], places[usize::from(place)].clone());
                }
                Step::Look => look(&index, &mut seen, &mut generation),
                Step::Remove(_) | Step::Change(_) | Step::Move(..) => {}
            }
            for worker in ["w1", "w2"].map(|worker| worker.parse().unwrap()) {
                let ids = |held: &mut dyn Iterator<Item = &Entry>| {
                    held.map(|entry| entry.spec.id).collect::<HashSet<_>>()
                };
                let held = ids(&mut index.iter().filter(|entry| entry.place.worker() == Some(&worker)));
                prop_assert_eq!(ids(&mut index.on_worker(&worker)), held);
            }
            for id in &ids {
                prop_assert_eq!(index.resolve(&id.to_string()).unwrap(), *id);
            }
        }
        look(&index, &mut seen, &mut generation);
        let truth: HashMap<_, _> = index.list(true).into_iter().map(|info| (info.id, info)).collect();
        prop_assert_eq!(seen, truth);
    }
}
