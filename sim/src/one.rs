//! One seed, in this process: plan, boot, faults, heal, liveness, verdict.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use etched::planted::{self, Plant};
use etched::runtime::{Observation, Runtime, timeout};
use etched_proto::etcdserverpb as pb;
use etched_testkit::{Request, Response};
use serde::{Deserialize, Serialize};

use crate::check::digest::EndState;
use crate::check::{CheckConfig, Checks, OpId, Outcome, Violation};
use crate::client::{Connection, Counts, Shared, lock, send};
use crate::clients::start_clients;
use crate::cluster::Cluster;
use crate::nemesis::{Nemesis, heal};
use crate::plan::{self, Plan};
use crate::scenario::Scenario;
use crate::stranger::Stranger;
use crate::watcher::probe_watches;
use crate::world::{Cause, Death, NodeId, SimRuntime, World, WorldConfig};

/// Exit codes, which are the verdicts.
pub const GOOD: i32 = 0;
pub const INVARIANT: i32 = 10;
pub const HISTORY: i32 = 11;
pub const LIVENESS: i32 = 12;
pub const DETERMINISM: i32 = 13;
/// No seed failed, but so little happened that it proves little.
pub const VACUOUS: i32 = 14;
pub const PANIC: i32 = 101;

/// What one seed came to; printed as one JSON line.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Verdict {
    pub scenario: String,
    pub seed: u64,
    pub code: i32,
    /// The checker that fired, or empty.
    pub checker: String,
    pub message: String,
    /// The trace hash.
    pub digest: String,
    pub trace_events: u64,
    pub simulated_ms: u64,
    pub operations: u64,
    pub unknown: u64,
    pub watch_events: u64,
    /// Leases granted, renewals by keep-alives, leases revoked and expired.
    #[serde(default)]
    pub leases: [u64; 4],
    /// Locks taken, and numbered writes that were answered after a retry.
    #[serde(default)]
    pub locks: u64,
    #[serde(default)]
    pub retried: u64,
    /// Changes of users, requests and watches that were refused for who asked, writes that were not.
    #[serde(default)]
    pub users: [u64; 4],
    /// Elections won, and what observers were told.
    #[serde(default)]
    pub elections: [u64; 2],
    pub revision: i64,
}

/// How a seed is run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub plant: Option<Plant>,
    pub trace_file: Option<std::path::PathBuf>,
    /// Instead of the plan that the seed draws.
    pub plan: Option<Plan>,
}

/// Runs one seed to its verdict.
pub fn run(name: &str, scenario: &Scenario, seed: u64, options: &Options) -> (Verdict, Plan) {
    planted::activate(options.plant);
    let plan = options.plan.clone().unwrap_or_else(|| plan::draw(scenario, seed));
    let verdict = run_plan(name, scenario, seed, &plan, options.trace_file.clone());
    (verdict, plan)
}

/// Runs `plan` to its verdict, with all other choices from `seed`.
pub fn run_plan(
    name: &str,
    scenario: &Scenario,
    seed: u64,
    plan: &Plan,
    trace_file: Option<std::path::PathBuf>,
) -> Verdict {
    let config = WorldConfig {
        latency: plan.weather.latency(),
        short_reads_ppm: plan.short_reads_ppm,
        buggify: scenario.buggify,
        trace_file,
        ..WorldConfig::default()
    };
    let world = World::new(seed, config);
    let cluster = Cluster::new(&world, scenario);
    let shared = shared(&world, &cluster, scenario);
    let drawn = plan.clone();
    let (told, members) = (shared.clone(), cluster.clone());
    let ended = world.run(async move { story(&told, &members, scenario, drawn).await });
    cluster.clear();
    let (revision, leases, locks, elections, users) = {
        let mut checks = lock(&shared.checks);
        let users = checks.permissions().counts();
        let (leases, elections) = (checks.leases().counts(), checks.elections().counts());
        (checks.revision(), leases, checks.locks().taken(), elections, users)
    };
    let failure = verdict_of(&shared, ended);
    let counts = *lock(&shared.counts);
    let (code, checker, message) = failure.map_or((GOOD, String::new(), String::new()), |violation| {
        (code_of(violation.checker), violation.checker.to_string(), violation.message)
    });
    Verdict {
        scenario: name.to_string(),
        seed,
        code,
        checker,
        message,
        digest: format!("{:032x}", world.trace_hash()),
        trace_events: world.trace_events(),
        simulated_ms: world.now_ns() / 1_000_000,
        operations: counts.operations,
        unknown: counts.unknown,
        watch_events: counts.events,
        locks,
        elections,
        users,
        retried: counts.retried,
        leases: [leases.granted, leases.kept_alive, leases.revoked, leases.expired],
        revision,
    }
}

fn shared(world: &World, cluster: &Cluster, scenario: &Scenario) -> Shared {
    let voters = cluster.members.iter().map(|node| node.0).collect();
    let checks = CheckConfig { voters, pre_vote_settle_ns: Some(3_000_000_000), cross_check: true };
    let shared = Shared {
        world: world.clone(),
        members: cluster.members.clone(),
        checks: Arc::new(Mutex::new(Checks::new(&checks))),
        broken: Arc::default(),
        until_ns: scenario.duration_ms * 1_000_000,
        counts: Arc::new(Mutex::new(Counts::default())),
        leases: Arc::default(),
    };
    let (told, members) = (shared.clone(), cluster.clone());
    let mut stranger = Stranger::default();
    world.set_observer(Box::new(move |seen| {
        if members.is_stranger(seen.node) {
            told.judge(stranger.observe(&seen.observation));
            return;
        }
        told.judge(stranger.is_left_out(&seen.observation));
        if matches!(
            seen.observation,
            Observation::Proposed { trace: None, .. } | Observation::RoleChanged { .. }
        ) {
            let local_ns = told.world.clock(seen.node).now_ns();
            lock(&told.checks).on_clock(seen.node.0, local_ns);
        }
        if matches!(seen.observation, Observation::Recovered { .. }) {
            told.judge(recovered_on_firm_ground(&told.world, seen.node));
        }
        let checked = lock(&told.checks).on_observation(seen.time_ns, seen.node.0, &seen.observation);
        told.judge(checked);
    }));
    let told = shared.clone();
    world.set_death_hook(Box::new(move |death| {
        lock(&told.checks).on_end(death.node.0);
        if let Some(violation) = broken_by(&told.world, death) {
            told.judge(Err(violation));
        }
    }));
    let (told, members) = (shared.clone(), cluster.clone());
    world.set_sync_hook(Box::new(move |event| {
        if members.is_stranger(event.node) {
            return;
        }
        lock(&told.checks).on_sync(event.node.0, event.path, event.image);
    }));
    shared
}

/// The whole run; the error is what broke beside what checkers saw.
async fn story(
    shared: &Shared,
    cluster: &Cluster,
    scenario: &Scenario,
    plan: Plan,
) -> Result<Vec<EndState>, Violation> {
    let world = &shared.world;
    let mut draws = world.stream("boot", 0);
    if scenario.differing_list && draws.coin() {
        let node = NodeId(1 + draws.below(u64::from(scenario.nodes)) as u32);
        cluster.estrange(node);
        lock(&shared.checks).on_node(0, node.0, false);
        let (told, members) = (shared.clone(), cluster.clone());
        world.call_at((3000 + draws.below(3000)) * 1_000_000, move |world| {
            members.make_right(node);
            lock(&told.checks).on_node(world.now_ns(), node.0, true);
        });
    }
    for node in &cluster.members {
        cluster.start_at(*node, draws.below(scenario.stagger_ms + 1) * 1_000_000);
        if scenario.bootstrap_deaths {
            world.disk(*node).cut_after(draws.below(60));
        }
    }
    let _keeper = SimRuntime::spawn("keep alive", cluster.clone().keep_alive());
    let usual = plan.weather.latency();
    let nemesis = Nemesis { world: world.clone(), cluster: cluster.clone(), shared: shared.clone(), usual };
    let _nemesis = SimRuntime::spawn("nemesis", nemesis.run(plan.faults.clone()));
    start_clients(shared, scenario, &plan);
    let clients: Vec<NodeId> =
        world.nodes().into_iter().filter(|node| !cluster.members.contains(node)).collect();
    while !shared.is_over() {
        world.sleep(Duration::from_millis(20)).await;
    }
    if lock(&shared.broken).is_some() {
        return Ok(Vec::new());
    }
    heal(shared, cluster, usual);
    lock(&shared.checks).on_heal(world.now_ns());
    liveness(shared, cluster, scenario, &clients).await
}

/// After the heal: one leader, all members equal, a fresh write and a fresh read served.
async fn liveness(
    shared: &Shared,
    cluster: &Cluster,
    scenario: &Scenario,
    clients: &[NodeId],
) -> Result<Vec<EndState>, Violation> {
    let world = &shared.world;
    let deadline = world.now_ns() + scenario.liveness_ms * 1_000_000;
    let late = |what: &str| {
        let text = format!("{what} within {} ms: {}", scenario.liveness_ms, cluster.places());
        Violation::new("liveness", text)
    };
    let prober = world.add_node("prober");
    let probed = Arc::new(Mutex::new(false));
    let (told, members, done) = (shared.clone(), cluster.clone(), probed.clone());
    world.start(prober, async move {
        // Whoever keeps the users switches the checks off last of all.
        while lock(&told.checks).permissions().is_enabled() {
            SimRuntime::sleep(Duration::from_millis(50)).await;
        }
        probe(told.clone(), prober).await;
        probe_watches(&told, &members, prober).await;
        *lock(&done) = true;
    });
    loop {
        if lock(&shared.broken).is_some() {
            return Ok(Vec::new());
        }
        let checked = lock(&shared.checks).on_time(world.now_ns());
        shared.judge(checked);
        let expired = lock(&shared.checks).leases().alive() == 0;
        let ends = cluster.ends();
        let first = ends.first().map(|end| (end.applied, end.revision, end.digest));
        let equal = ends.len() == cluster.able().len()
            && ends.iter().all(|end| Some((end.applied, end.revision, end.digest)) == first);
        let quiet = clients.iter().all(|node| !world.is_alive(*node));
        if *lock(&probed) && equal && quiet && expired && cluster.leader().is_some() {
            return Ok(ends);
        }
        if world.now_ns() >= deadline {
            let what = match (*lock(&probed), equal, quiet) {
                (false, ..) => "a fresh write and read were not served",
                (_, false, _) => "the members did not become equal",
                (.., false) => "the clients did not end",
                _ if !expired => "the leases did not end",
                _ => "no member led",
            };
            return Err(late(what));
        }
        world.sleep(Duration::from_millis(50)).await;
    }
}

/// One put and one linearizable read, tried until each was answered.
async fn probe(shared: Shared, node: NodeId) {
    const PROBER: u64 = 999;
    let mut connection = Connection::new(&shared, node, 0);
    let key = bytes::Bytes::from_static(b"probe");
    let put = Request::Put(pb::PutRequest { key: key.clone(), value: key.clone(), ..Default::default() });
    let get = Request::Range(pb::RangeRequest { key, ..Default::default() });
    let mut sequence = 0;
    for request in [put, get] {
        loop {
            let Some(channel) = connection.channel().await else {
                SimRuntime::sleep(Duration::from_millis(100)).await;
                continue;
            };
            sequence += 1;
            let op: OpId = PROBER << 32 | sequence;
            lock(&shared.checks).on_call(op, PROBER, request.clone());
            let answer: Option<Result<Response, _>> =
                timeout::<SimRuntime, _>(Duration::from_secs(2), send(channel, request.clone(), op)).await;
            let outcome = match answer {
                Some(Ok(response)) => Outcome::Answer(response),
                _ => Outcome::Unknown,
            };
            let served = outcome != Outcome::Unknown;
            let checked = lock(&shared.checks).on_return(op, outcome);
            shared.judge(checked);
            if served {
                break;
            }
            connection.next_member();
        }
    }
}

/// A member that has recovered relies on nothing that a power cut may still take: neither on bytes nor
/// on names. What it may lose are spare segments and files that are not finished.
fn recovered_on_firm_ground(world: &World, node: NodeId) -> Result<(), Violation> {
    let counts = |file: &String| file == "identity" || file.ends_with(".log") || file.ends_with("state.redb");
    let at_risk: Vec<String> = world.disk(node).at_risk().into_iter().filter(counts).collect();
    if at_risk.is_empty() {
        return Ok(());
    }
    let files = at_risk.join(", ");
    Err(Violation::new("recovery", format!("{node} recovered, but a power cut may still take {files}")))
}

/// What breaks with a death: a panic, or data that is not usable though nothing damaged it.
fn broken_by(world: &World, death: &Death) -> Option<Violation> {
    match &death.cause {
        Cause::Panicked(text) => Some(Violation::new("panic", format!("{}: {text}", death.node))),
        Cause::Crashed(reason)
            if reason.contains("not usable") && !world.atlas().damaged().contains(&death.node) =>
        {
            Some(Violation::new("recovery", format!("{}: {reason}", death.node)))
        }
        _ => None,
    }
}

/// The first thing that broke: what a checker saw, a death, a missed deadline, an unequal end.
fn verdict_of(shared: &Shared, ended: Result<Vec<EndState>, Violation>) -> Option<Violation> {
    if let Some(violation) = lock(&shared.broken).clone() {
        return Some(violation);
    }
    let checks = std::mem::replace(&mut *lock(&shared.checks), Checks::new(&CheckConfig::default()));
    match ended {
        Ok(ends) => checks.finish(&ends).into_iter().next(),
        Err(violation) => Some(violation),
    }
}

fn code_of(checker: &str) -> i32 {
    match checker {
        "panic" => PANIC,
        "liveness" => LIVENESS,
        "stale-read" | "answer" | "revision" | "durability" | "duplicate-apply" | "exactly-once" | "wgl" => {
            HISTORY
        }
        other => {
            let rules = ["watch-", "lease-", "lock-", "election-"];
            if rules.iter().any(|rule| other.starts_with(rule)) { HISTORY } else { INVARIANT }
        }
    }
}
