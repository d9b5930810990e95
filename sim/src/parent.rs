//! The commands: each seed is a process of its own, several at a time.

use std::collections::VecDeque;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use etched::planted::Plant;

use crate::cli::Arguments;
use crate::one::{self, Options, Verdict};
use crate::table::Table;
use crate::{corpus, plan, scenario};

/// Runs a seed in this process and prints its verdict as one JSON line; the hidden command that the
/// others start.
pub(crate) fn one(name: &str, seed: u64, arguments: &Arguments) -> Result<i32, String> {
    let scenario = scenario::load(name)?;
    let trace_file = arguments.trace_file.clone();
    let plan = arguments.plan.as_deref().map(corpus::read).transpose()?.map(|entry| entry.plan);
    let options = Options { plant: arguments.plant, trace_file, plan };
    let (verdict, _) = one::run(name, &scenario, seed, &options);
    println!("{}", serde_json::to_string(&verdict).map_err(|error| error.to_string())?);
    Ok(verdict.code)
}

pub(crate) struct Running {
    seed: u64,
    child: Child,
}

pub(crate) fn start(name: &str, seed: u64, plant: Option<Plant>, more: &[&str]) -> Result<Running, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.args(["one", name, &seed.to_string()]).args(more);
    // A seed lives for a second: what it gives back to the system it soon faults in again.
    command.env("MIMALLOC_PURGE_DELAY", "-1");
    if let Some(plant) = plant {
        command.args(["--plant", plant.id()]);
    }
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start a process for seed {seed}: {error}"))?;
    Ok(Running { seed, child })
}

/// Waits for a seed. A process that died without a verdict is a panic of the simulator itself.
pub(crate) fn wait(name: &str, running: Running) -> Result<Verdict, String> {
    let seed = running.seed;
    let output = running.child.wait_with_output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let parsed = text.lines().last().and_then(|line| serde_json::from_str(line).ok());
    Ok(parsed.unwrap_or_else(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = errors.lines().filter(|line| !line.trim().is_empty()).take(4).collect();
        Verdict {
            scenario: name.to_string(),
            seed,
            code: one::PANIC,
            checker: "panic".to_string(),
            message: lines.join(" | "),
            ..Verdict::default()
        }
    }))
}

/// Runs seeds, `jobs` at a time, in order; `take` says whether to go on.
fn each(
    name: &str,
    seeds: Range<u64>,
    jobs: usize,
    plant: Option<Plant>,
    mut take: impl FnMut(Verdict) -> Result<bool, String>,
) -> Result<(), String> {
    let mut waiting: VecDeque<Running> = VecDeque::new();
    let mut seeds = seeds;
    let mut going_on = true;
    loop {
        while going_on && waiting.len() < jobs {
            let Some(seed) = seeds.next() else { break };
            waiting.push_back(start(name, seed, plant, &[])?);
        }
        let Some(next) = waiting.pop_front() else { return Ok(()) };
        let verdict = wait(name, next)?;
        if going_on {
            going_on = take(verdict)?;
        }
    }
}

/// `cargo sim run`.
pub(crate) fn run(name: &str, seeds: Range<u64>, arguments: &Arguments) -> Result<i32, String> {
    let scenario = scenario::load(name)?;
    let total = seeds.end - seeds.start;
    let (mut done, mut failed, mut worst) = (0, 0, one::GOOD);
    let mut table = Table::default();
    each(name, seeds, arguments.jobs, arguments.plant, |verdict| {
        done += 1;
        table.add(&plan::draw(&scenario, verdict.seed), &verdict);
        if arguments.json {
            println!("{}", serde_json::to_string(&verdict).map_err(|error| error.to_string())?);
        }
        if verdict.code != one::GOOD {
            failed += 1;
            worst = worst.max(verdict.code);
            report(&verdict, arguments)?;
        } else if !arguments.json && (done % 50 == 0 || done == total) {
            eprintln!("{done}/{total} seeds, {failed} failed");
        }
        Ok(true)
    })?;
    if !arguments.json {
        println!("{}", table.show(name));
    }
    if let Some(what) = table.too_seldom(&scenario) {
        eprintln!("{name}: the sweep proves little: {what}");
        // A failure tells more.
        worst = if worst == one::GOOD { one::VACUOUS } else { worst };
    }
    Ok(worst)
}

/// Prints a failure and leaves its folder.
fn report(verdict: &Verdict, arguments: &Arguments) -> Result<(), String> {
    let folder = failure_folder(verdict, arguments)?;
    eprintln!("seed {} failed: {}: {}", verdict.seed, verdict.checker, verdict.message);
    eprintln!("  {}\n  folder {}", replay_line(verdict, arguments), folder.display());
    Ok(())
}

fn replay_line(verdict: &Verdict, arguments: &Arguments) -> String {
    let plant = arguments.plant.map_or(String::new(), |plant| format!(" --plant {}", plant.id()));
    format!("cargo sim replay {} {}{plant} --trace", verdict.seed, verdict.scenario)
}

/// Seed, commit, plan, verdict and the line that replays it.
fn failure_folder(verdict: &Verdict, arguments: &Arguments) -> Result<PathBuf, String> {
    let folder = Path::new("failures").join(format!("{}-{}", verdict.scenario, verdict.seed));
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", folder.display());
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let scenario = scenario::load(&verdict.scenario)?;
    let plan = plan::draw(&scenario, verdict.seed);
    let entry = corpus::Entry {
        about: verdict.message.clone(),
        scenario: verdict.scenario.clone(),
        seed: verdict.seed,
        plant: arguments.plant.map(|plant| plant.id().to_string()),
        plan,
    };
    let pretty = |value: Result<String, serde_json::Error>| value.unwrap_or_default();
    let commit = Command::new("git").args(["rev-parse", "HEAD"]).output();
    let commit = commit.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let files = [
        ("plan.json", pretty(serde_json::to_string_pretty(&entry))),
        ("verdict.json", pretty(serde_json::to_string_pretty(verdict))),
        ("commit", commit.unwrap_or_else(|_| "unknown\n".to_string())),
        ("replay", format!("{}\n", replay_line(verdict, arguments))),
    ];
    for (file, content) in files {
        std::fs::write(folder.join(file), content).map_err(failed)?;
    }
    Ok(folder)
}

/// `cargo sim replay`.
pub(crate) fn replay(name: &str, seed: u64, arguments: &Arguments) -> Result<i32, String> {
    let scenario = scenario::load(name)?;
    let plan = match &arguments.plan {
        Some(path) => corpus::read(path)?.plan,
        None => plan::draw(&scenario, seed),
    };
    println!(
        "{name} seed {seed}: workload {:?}, {:?}, without {:?}",
        plan.workload, plan.weather, plan.without
    );
    for fault in &plan.faults {
        println!("  {:6} ms  {:?} for {} ms", fault.at_ms, fault.fault, fault.for_ms);
    }
    let trace_file = arguments.trace.then(|| PathBuf::from(format!("failures/{name}-{seed}/trace.txt")));
    if let Some(folder) = trace_file.as_ref().and_then(|path| path.parent()) {
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    }
    let options = Options { plant: arguments.plant, trace_file: trace_file.clone(), plan: Some(plan) };
    let (verdict, _) = one::run(name, &scenario, seed, &options);
    println!("{}", serde_json::to_string_pretty(&verdict).map_err(|error| error.to_string())?);
    if let Some(path) = trace_file {
        println!("trace in {}", path.display());
    }
    Ok(verdict.code)
}

/// `cargo sim meta`: each seed in two processes, whose digests must be equal.
pub(crate) fn meta(name: &str, seeds: Range<u64>, arguments: &Arguments) -> Result<i32, String> {
    scenario::load(name)?;
    let (mut pairs, mut differing) = (0, 0);
    for seed in seeds {
        let first = start(name, seed, arguments.plant, &[])?;
        // Another environment: a longer command line moves stack and heap.
        let second = start(name, seed, arguments.plant, &["--jobs", "1000000"])?;
        let (first, second) = (wait(name, first)?, wait(name, second)?);
        pairs += 1;
        if (&first.digest, first.trace_events, first.code)
            != (&second.digest, second.trace_events, second.code)
        {
            differing += 1;
            println!("seed {seed}: {} and {} differ", first.digest, second.digest);
            println!("  {}", first_difference(name, seed)?);
        } else if pairs % 25 == 0 {
            eprintln!("{pairs} pairs, {differing} differ");
        }
        std::io::stdout().flush().map_err(|error| error.to_string())?;
    }
    println!("{name}: {pairs} pairs, {differing} differ");
    Ok(if differing == 0 { one::GOOD } else { one::DETERMINISM })
}

/// Runs a seed twice more with its trace as text and names the first line that differs.
fn first_difference(name: &str, seed: u64) -> Result<String, String> {
    let folder = std::env::temp_dir();
    let paths = ["a", "b"].map(|side| folder.join(format!("etched-{name}-{seed}-{side}.trace")));
    let mut texts = Vec::new();
    for path in &paths {
        let shown = path.display().to_string();
        wait(name, start(name, seed, None, &["--trace-file", &shown])?)?;
        texts.push(std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?);
    }
    let mut lines = texts[0].lines().zip(texts[1].lines()).enumerate();
    Ok(match lines.find(|(_, (a, b))| a != b) {
        Some((number, (a, b))) => format!("first difference at event {number}:\n    {a}\n    {b}"),
        None => "no difference this time: a rare source of chance".to_string(),
    })
}

/// `cargo sim mutants`: each planted bug until a checker that is right kills it.
pub(crate) fn mutants(seeds: Range<u64>, arguments: &Arguments) -> Result<i32, String> {
    let mut survivors = 0;
    for plant in Plant::ALL.iter().copied() {
        if arguments.plant.is_some_and(|only| only != plant) {
            continue;
        }
        let mut killed: Option<(u64, String)> = None;
        let mut others = Vec::new();
        each(plant.scenario(), seeds.clone(), arguments.jobs, Some(plant), |verdict| {
            if verdict.code == one::GOOD {
                return Ok(true);
            }
            if plant.checker().split('|').any(|checker| checker == verdict.checker) {
                killed = Some((verdict.seed - seeds.start + 1, verdict.checker));
                return Ok(false);
            }
            if others.len() < 3 {
                others.push(format!("{} (seed {})", verdict.checker, verdict.seed));
            }
            Ok(true)
        })?;
        survivors += i32::from(killed.is_none());
        let (tries, checker) = killed.unwrap_or((0, String::new()));
        if arguments.json {
            let line = serde_json::json!({ "plant": plant.id(), "scenario": plant.scenario(),
                "seeds_to_kill": tries, "checker": checker, "others": others });
            println!("{line}");
        } else {
            let outcome = match tries {
                0 => "survived".to_string(),
                _ => format!("killed after {tries} seeds by {checker}"),
            };
            println!("{:34} {:14} {outcome} {}", plant.id(), plant.scenario(), others.join(", "));
        }
        std::io::stdout().flush().map_err(|error| error.to_string())?;
    }
    Ok(if survivors == 0 { one::GOOD } else { one::INVARIANT })
}
