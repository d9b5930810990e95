//! The command line of `cargo sim`.

use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

use etched::planted::Plant;

use crate::{corpus, one, parent, scenario};

const USAGE: &str = "usage:
  cargo sim run [SCENARIO] --seeds A..B [--jobs N] [--json]
  cargo sim replay SEED [SCENARIO] [--trace] [--plant ID] [--plan FILE]
  cargo sim corpus [--plant ID]
  cargo sim meta [SCENARIO] --seeds A..B [--jobs N]
  cargo sim mutants [--seeds A..B] [--only ID] [--jobs N] [--json]
  cargo sim list
SCENARIO is `everything` unless named; seeds are decimal or 0x hex.";

/// What was asked for.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    pub words: Vec<String>,
    pub seeds: Option<Range<u64>>,
    pub jobs: usize,
    pub json: bool,
    pub trace: bool,
    pub trace_file: Option<PathBuf>,
    pub plant: Option<Plant>,
    pub plan: Option<PathBuf>,
}

/// The program; the exit code is the verdict.
pub fn main() -> ExitCode {
    if std::env::args().skip(1).any(|word| matches!(word.as_str(), "--help" | "-h" | "help")) {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match parse(std::env::args().skip(1)).and_then(|arguments| dispatch(&arguments)) {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            eprintln!("cargo sim: {error}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn parse(words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments { jobs: 2, ..Arguments::default() };
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--seeds" => arguments.seeds = Some(seeds(&value()?)?),
            "--jobs" => {
                let text = value()?;
                arguments.jobs = text.parse().map_err(|_| format!("--jobs is a number, not {text:?}"))?;
            }
            "--json" => arguments.json = true,
            "--trace" => arguments.trace = true,
            "--plan" => arguments.plan = Some(PathBuf::from(value()?)),
            "--trace-file" => arguments.trace_file = Some(PathBuf::from(value()?)),
            "--plant" | "--only" => arguments.plant = Some(plant(&value()?)?),
            flag if flag.starts_with('-') => return Err(format!("unknown flag {flag}")),
            _ => arguments.words.push(word),
        }
    }
    arguments.jobs = arguments.jobs.max(1);
    Ok(arguments)
}

fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("{text:?} is not a seed; give a decimal or a 0x hex number"))
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or_else(|| format!("--seeds is A..B, not {text:?}"))?;
    let range = number(from)?..number(to)?;
    if range.is_empty() {
        return Err(format!("--seeds {text} names no seed"));
    }
    Ok(range)
}

fn plant(id: &str) -> Result<Plant, String> {
    Plant::ALL.iter().copied().find(|plant| plant.id() == id).ok_or_else(|| {
        let ids: Vec<&str> = Plant::ALL.iter().map(|plant| plant.id()).collect();
        format!("no planted bug {id:?}; there are {}", ids.join(", "))
    })
}

fn dispatch(arguments: &Arguments) -> Result<i32, String> {
    let word = |at: usize| arguments.words.get(at).map(String::as_str);
    let needs_seeds = || arguments.seeds.clone().ok_or("--seeds A..B is missing".to_string());
    match word(0) {
        Some("list") => {
            for (name, scenario) in scenario::all()? {
                println!("{name:14} {}", scenario.about);
            }
            Ok(one::GOOD)
        }
        Some("run") => parent::run(word(1).unwrap_or("everything"), needs_seeds()?, arguments),
        Some("meta") => parent::meta(word(1).unwrap_or("everything"), needs_seeds()?, arguments),
        Some("mutants") => parent::mutants(arguments.seeds.clone().unwrap_or(0..2000), arguments),
        Some("replay") => {
            let seed = number(word(1).ok_or("replay needs a seed")?)?;
            parent::replay(word(2).unwrap_or("everything"), seed, arguments)
        }
        Some("corpus") => corpus::run(arguments),
        Some("one") => {
            let seed = number(word(2).ok_or("one needs a scenario and a seed")?)?;
            parent::one(word(1).unwrap_or("everything"), seed, arguments)
        }
        Some(other) => Err(format!("unknown command {other:?}")),
        None => Err("a command is missing".to_string()),
    }
}
