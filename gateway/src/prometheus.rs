//! Metrics in the text format of Prometheus (OpenMetrics 1.0).

use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use serde::Serialize;
use skep_common::api::{Metrics, ProcessUsage, WorkerState};

/// The format's media type.
pub(crate) const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;
type Number = Gauge<f64, AtomicU64>;
type Gauges = Family<Labels, Number>;
type Counters = Family<Labels, Counter<f64, AtomicU64>>;

/// The numbers as text. A registry is made for each answer: the numbers are taken when they are asked for.
pub(crate) fn text(metrics: &Metrics) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("skep");
    sessions(&mut registry, metrics);
    workers(&mut registry, metrics);
    hooks(&mut registry, metrics);
    machine(&mut registry, metrics);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn sessions(registry: &mut Registry, metrics: &Metrics) {
    let states = gauges(registry, "sessions", "Sessions by state, closed ones that are kept too");
    for count in &metrics.sessions {
        set(&states, vec![("state", word(&count.state))], count.count);
    }
    let turns = counters(registry, "turns", "Turns that the daemon saw end, by outcome", None);
    for count in &metrics.turns {
        add(&turns, vec![("outcome", word(&count.outcome))], float(count.count));
    }
    let tokens =
        counters(registry, "tokens", "Tokens of the turns that the daemon saw end, by what they were", None);
    let used = metrics.tokens;
    for (kind, count) in [
        ("input", used.input),
        ("output", used.output),
        ("cached_read", used.cached_read),
        ("cached_write", used.cached_write),
        ("thought", used.thought),
    ] {
        add(&tokens, vec![("kind", kind.to_owned())], float(count));
    }
    let waiting = gauges(registry, "permissions_waiting", "Permission requests that wait for an answer");
    set(&waiting, Vec::new(), metrics.permissions_waiting);
    let oldest = Gauges::default();
    let help = "For how long the oldest permission request has waited; 0 if none waits";
    registry.register_with_unit("permissions_oldest_wait", help, Unit::Seconds, oldest.clone());
    oldest.get_or_create(&Vec::new()).set(metrics.permissions_oldest_seconds.unwrap_or(0.0));
}

fn workers(registry: &mut Registry, metrics: &Metrics) {
    let states = gauges(registry, "workers", "Workers by state");
    let parked = gauges(registry, "workers_parked", "Workers that wait for a person");
    let restarts =
        counters(registry, "worker_restarts", "Restarts since the daemon first knew the worker", None);
    let held = gauges(registry, "worker_sessions", "Sessions that the worker holds");
    let lag = Gauges::default();
    let help =
        "For how long the worker's oldest journal write has been waiting: how far its events lag behind";
    registry.register_with_unit("worker_event_lag", help, Unit::Seconds, lag.clone());
    let (memory, cpu, processes) = usage(registry, "worker_tree", "the worker and everything below it");
    let mut by_state: Vec<(String, u64)> = Vec::new();
    for worker in &metrics.workers {
        let labels = || vec![("worker", worker.id.to_string()), ("kind", worker.kind.clone())];
        let state = word(&worker.state);
        match by_state.iter_mut().find(|(known, _)| *known == state) {
            Some((_, count)) => *count += 1,
            None => by_state.push((state, 1)),
        }
        add(&restarts, labels(), float(worker.restarts));
        set(&held, labels(), worker.sessions);
        lag.get_or_create(&labels()).set(float(worker.journal_stalled_ms) / 1000.0);
        if let Some(used) = worker.usage {
            record((&memory, &cpu, &processes), labels(), used);
        }
    }
    by_state.into_iter().for_each(|(state, count)| set(&states, vec![("state", state)], count));
    let count = metrics.workers.iter().filter(|worker| worker.state == WorkerState::Parked).count();
    set(&parked, Vec::new(), u64::try_from(count).unwrap_or(u64::MAX));
}

fn hooks(registry: &mut Registry, metrics: &Metrics) {
    let kept =
        gauges(registry, "hook_deliveries", "What hooks have to tell: pending, or dead (given up and kept)");
    let delivered = counters(registry, "hook_delivered", "What hooks have told", None);
    let failed = counters(registry, "hook_failed_attempts", "Attempts of hooks that failed", None);
    let dropped = counters(registry, "hook_dropped", "What hooks never told, since too much waited", None);
    for hook in &metrics.hooks {
        let labels = || vec![("hook", hook.hook.clone())];
        let state = |state: &str| [labels(), vec![("state", state.to_owned())]].concat();
        set(&kept, state("pending"), hook.counts.pending);
        set(&kept, state("dead"), hook.counts.dead);
        add(&delivered, labels(), float(hook.counts.delivered));
        add(&failed, labels(), float(hook.counts.failed_attempts));
        add(&dropped, labels(), float(hook.counts.dropped));
    }
}

fn machine(registry: &mut Registry, metrics: &Metrics) {
    let (memory, cpu, processes) = usage(registry, "daemon", "the daemon's own process");
    if let Some(used) = metrics.daemon {
        record((&memory, &cpu, &processes), Vec::new(), used);
    }
    let Some(system) = metrics.system else { return };
    let load = gauges(registry, "system_load", "The machine's load over so many minutes");
    for (minutes, value) in ["1", "5", "15"].iter().zip(system.load) {
        load.get_or_create(&vec![("minutes", (*minutes).to_owned())]).set(value);
    }
    let memory = Gauges::default();
    registry.register_with_unit("system_memory", "The machine's memory", Unit::Bytes, memory.clone());
    set(&memory, vec![("kind", String::from("total"))], system.memory_bytes);
    set(&memory, vec![("kind", String::from("available"))], system.memory_available_bytes);
}

fn usage(registry: &mut Registry, name: &str, whose: &str) -> (Gauges, Counters, Gauges) {
    let memory = Gauges::default();
    let help = format!("Memory of {whose}");
    registry.register_with_unit(format!("{name}_memory"), help, Unit::Bytes, memory.clone());
    let help = format!("Processor time of {whose}");
    let cpu = counters(registry, &format!("{name}_cpu"), &help, Some(Unit::Seconds));
    let processes = gauges(registry, &format!("{name}_processes"), &format!("How many processes: {whose}"));
    (memory, cpu, processes)
}

fn record((memory, cpu, processes): (&Gauges, &Counters, &Gauges), labels: Labels, used: ProcessUsage) {
    set(memory, labels.clone(), used.memory_bytes);
    add(cpu, labels.clone(), used.cpu_seconds);
    set(processes, labels, u64::from(used.processes));
}

fn gauges(registry: &mut Registry, name: &str, help: &str) -> Gauges {
    let family = Gauges::default();
    registry.register(name, help, family.clone());
    family
}

fn counters(registry: &mut Registry, name: &str, help: &str, unit: Option<Unit>) -> Counters {
    let family = Counters::default();
    match unit {
        Some(unit) => registry.register_with_unit(name, help, unit, family.clone()),
        None => registry.register(name, help, family.clone()),
    }
    family
}

fn set(family: &Gauges, labels: Labels, value: u64) {
    family.get_or_create(&labels).set(float(value));
}

fn add(family: &Counters, labels: Labels, value: f64) {
    family.get_or_create(&labels).inc_by(value);
}

#[expect(clippy::cast_precision_loss, reason = "counts and bytes stay below 2^53")]
fn float(value: u64) -> f64 {
    value as f64
}

/// A state's or an outcome's name as JSON has it.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::from("unknown"),
    }
}
