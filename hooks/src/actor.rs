//! The task that owns the outbox: watches, looks through journals, keeps records, starts attempts.
//!
//! It waits for the disk where a record must be kept before anything follows from it; nobody else waits for that, but
//! who asks for a list. One journal is looked through at a time.

mod answers;
mod watch;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use skep_common::api::{DeliveryInfo, DeliveryQuery, HookList, HookTested};
use skep_common::backoff::Jitter;
use skep_common::ids::{DeliveryId, SessionId};
use skep_config::{Environment, Settings};
use skep_supervisor::engine::Engine;
use tokio::sync::{mpsc, watch as channel};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use self::watch::Seen;
use crate::attempt::{Attempts, Parcel};
use crate::handle::ReplyTo;
use crate::outbox::Outbox;
use crate::policy::{Ctx, HooksByName, Input, Outcome, due, step};
use crate::record::Record;
use crate::scan::Scan;
use crate::store::{Durability, Store};

/// Reports of attempts and looks that may wait.
const REPORTS: usize = 256;

/// After the disk refused, how long until it is tried again.
const STORAGE_PAUSE: Duration = Duration::from_secs(10);

/// What waits longer is looked at so often: the clock may have been set.
const LONGEST_SLEEP: Duration = Duration::from_secs(600);

/// Deliveries that arrived and are remembered for lists.
const REMEMBERED: usize = 100;

/// What a handle asks.
#[derive(Debug)]
pub(crate) enum Call {
    List(ReplyTo<HookList>),
    Deliveries(DeliveryQuery, usize, ReplyTo<Vec<DeliveryInfo>>),
    Retry(DeliveryId, ReplyTo<DeliveryInfo>),
    Dismiss(DeliveryId, ReplyTo<()>),
    Test(String, ReplyTo<HookTested>),
}

/// What a task reports.
#[derive(Debug)]
enum Done {
    Looked(SessionId, io::Result<Scan>),
    Attempted(DeliveryId, Outcome),
    Tested(String),
}

/// The next thing that happens.
enum Event {
    Call(Option<Call>),
    Done(Done),
    Sessions,
    Workers,
    Settings,
    Timer,
}

/// The task.
#[derive(Debug)]
pub(crate) struct Actor {
    engine: Engine,
    attempts: Arc<Attempts>,
    tracker: TaskTracker,
    settings: channel::Receiver<Arc<Settings>>,
    report: mpsc::Sender<Done>,
    done: mpsc::Receiver<Done>,
    store: Option<Store>,
    outbox: Outbox,
    /// Why nothing can be kept, while nothing can.
    problem: Option<String>,
    /// When everything is looked at again, after the disk refused.
    look_again: Option<Instant>,
    /// Up to which change the sessions are known.
    generation: u64,
    /// Sessions whose journals have grown.
    grown: BTreeMap<SessionId, Seen>,
    looking: Option<SessionId>,
    under_way: BTreeSet<DeliveryId>,
    testing: BTreeSet<String>,
    arrived: VecDeque<DeliveryInfo>,
}

impl Actor {
    pub(crate) fn new(engine: Engine, environment: Environment, tracker: TaskTracker) -> Self {
        let (report, done) = mpsc::channel(REPORTS);
        Self {
            settings: engine.watch_settings(),
            engine,
            attempts: Arc::new(Attempts { environment, tls: crate::tls::Tls::default() }),
            tracker,
            report,
            done,
            store: None,
            outbox: Outbox::default(),
            problem: None,
            look_again: None,
            generation: 0,
            grown: BTreeMap::new(),
            looking: None,
            under_way: BTreeSet::new(),
            testing: BTreeSet::new(),
            arrived: VecDeque::new(),
        }
    }

    /// Runs until every handle is gone; whoever stops it sooner loses nothing that is kept.
    pub(crate) async fn run(mut self, mut calls: mpsc::Receiver<Call>) {
        let (mut sessions, mut workers) = (self.engine.changes(), self.engine.worker_changes());
        let mut settings = self.settings.clone();
        self.configure().await;
        loop {
            let timer = self.go_on();
            let on = self.outbox.on.is_some();
            let event = tokio::select! {
                call = calls.recv() => Event::Call(call),
                Some(done) = self.done.recv() => Event::Done(done),
                Ok(()) = settings.changed() => Event::Settings,
                Ok(()) = sessions.changed(), if on => Event::Sessions,
                Ok(()) = workers.changed(), if on => Event::Workers,
                () = sleep_until(timer) => Event::Timer,
            };
            match event {
                Event::Call(None) => break,
                Event::Call(Some(call)) => self.answer(call).await,
                Event::Done(done) => self.on_done(done).await,
                Event::Sessions => self.look_at_sessions().await,
                Event::Workers => self.look_at_workers().await,
                Event::Settings => self.configure().await,
                Event::Timer => self.on_timer().await,
            }
        }
    }

    /// Starts what can be started; the answer is when to look again.
    fn go_on(&mut self) -> Option<Instant> {
        self.look_through_next();
        let settings = self.settings.borrow().clone();
        let ctx = ctx(&settings.hooks);
        // What is not kept must not be told.
        let (ready, next) =
            if self.store.is_some() { due(&self.outbox, &self.under_way, &ctx) } else { (Vec::new(), None) };
        for id in ready {
            self.start_attempt(id, &settings);
        }
        let wait = next.map(|next| Duration::try_from(next.duration_since(ctx.now)).unwrap_or_default());
        // A millisecond more: timers are no finer, and must not be early.
        let due_at = wait.map(|wait| Instant::now() + wait.min(LONGEST_SLEEP) + Duration::from_millis(1));
        [due_at, self.look_again].into_iter().flatten().min()
    }

    async fn on_timer(&mut self) {
        if self.look_again.is_some_and(|at| at <= Instant::now()) {
            self.configure().await;
        }
    }

    async fn on_done(&mut self, done: Done) {
        match done {
            Done::Looked(session, scan) => self.looked(session, scan).await,
            Done::Attempted(id, outcome) => self.attempted(id, outcome).await,
            Done::Tested(hook) => drop(self.testing.remove(&hook)),
        }
    }

    fn start_attempt(&mut self, id: DeliveryId, settings: &Settings) {
        let Some(waiting) = self.outbox.waiting.iter().find(|waiting| waiting.id == id) else { return };
        let Some(hook) = settings.hooks.get(&waiting.hook).cloned() else { return };
        let (event, body) = (waiting.what.event, waiting.what.body.clone());
        let parcel = Parcel { id, hook: waiting.hook.clone(), event, body };
        self.under_way.insert(id);
        let (attempts, report) = (Arc::clone(&self.attempts), self.report.clone());
        self.tracker.spawn(async move {
            // The actor's end ends what is on its way; the next daemon tries it again.
            let gone = report.clone();
            tokio::select! {
                outcome = attempts.attempt(&hook, &parcel) => {
                    drop(report.send(Done::Attempted(id, outcome)).await);
                }
                () = gone.closed() => {}
            }
        });
    }

    async fn attempted(&mut self, id: DeliveryId, outcome: Outcome) {
        self.under_way.remove(&id);
        self.tell_of(id, &outcome);
        let settings = self.settings.borrow().clone();
        let records = step(&self.outbox, Input::Attempted(id, outcome), &ctx(&settings.hooks));
        for record in &records {
            if let Record::Delivered { id, attempts, .. } = record {
                self.remember(*id, *attempts);
            }
        }
        // Not kept means told once more after a restart; told in a loop would be worse.
        if !self.keep(&records, Durability::Written).await {
            records.iter().for_each(|record| self.outbox.apply(record));
        }
    }

    fn tell_of(&self, id: DeliveryId, outcome: &Outcome) {
        let Some(waiting) = self.outbox.waiting.iter().find(|waiting| waiting.id == id) else { return };
        let (hook, attempt) = (&waiting.hook, waiting.attempts + 1);
        match outcome {
            Outcome::Delivered { said } => {
                tracing::debug!(hook.name = hook, delivery.id = %id, "hook `{hook}`: {id} arrived ({said})");
            }
            Outcome::Failed { why, .. } | Outcome::Refused { why } => {
                tracing::warn!(hook.name = hook, delivery.id = %id, "hook `{hook}`: attempt {attempt} of {id} failed: {why}");
            }
        }
    }

    /// Keeps records, and takes them in. False when the disk refused: then nothing of them is so.
    async fn keep(&mut self, records: &[Record], durability: Durability) -> bool {
        if records.is_empty() {
            return true;
        }
        let Some(mut store) = self.store.take() else { return false };
        let (kept, mut outbox) = (records.to_vec(), std::mem::take(&mut self.outbox));
        let appended = tokio::task::spawn_blocking(move || {
            let appended = store.append(&kept, durability);
            if appended.is_ok() {
                kept.iter().for_each(|record| outbox.apply(record));
                if let Err(error) = store.shorten(&outbox) {
                    tracing::warn!("the outbox cannot be shortened: {error}");
                }
            }
            (store, outbox, appended)
        });
        let appended = match appended.await {
            Ok((store, outbox, appended)) => {
                (self.store, self.outbox) = (Some(store), outbox);
                appended
            }
            // What it says is read from the file again.
            Err(_) => Err(io::Error::other("the writing crashed")),
        };
        match appended {
            Ok(()) => self.problem = None,
            Err(ref error) => self.refused(error),
        }
        appended.is_ok()
    }

    fn refused(&mut self, error: &io::Error) {
        tracing::error!("the outbox cannot be used: {error}");
        self.problem = Some(format!("the outbox cannot be used: {error}"));
        self.look_again = Some(Instant::now() + STORAGE_PAUSE);
    }
}

/// What decisions are made by, now.
fn ctx(hooks: &HooksByName) -> Ctx<'_> {
    Ctx { now: Timestamp::now(), jitter: Jitter::from_unit(fastrand::f64()), hooks }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
