//! What is asked for.

use std::path::PathBuf;

/// What can be measured alone.
const LOADS: [&str; 5] = ["many", "bursts", "one-key", "slow", "floor"];

/// What to measure, of which programs.
pub struct Arguments {
    pub program: String,
    pub only: Option<String>,
    pub beside: Option<String>,
}

/// Measuring, or being the floor that another process of this program measures.
pub enum Asked {
    Measure(Arguments),
    ServeFloor { directory: PathBuf, is_ten_ways: bool },
}

impl Arguments {
    /// Those of this process; what cannot be understood ends it.
    pub fn read() -> Asked {
        let mut asked =
            Arguments { program: env!("CARGO_BIN_EXE_etched").to_owned(), only: None, beside: None };
        // `cargo bench` passes `--bench`.
        let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
        while let Some(argument) = arguments.next() {
            let mut value =
                || arguments.next().unwrap_or_else(|| give_up(&format!("{argument} needs a value")));
            match argument.as_str() {
                "--only" => {
                    let load = value();
                    if !LOADS.contains(&load.as_str()) {
                        give_up(&format!("--only {load}: no such load"));
                    }
                    asked.only = Some(load);
                }
                "--beside" => asked.beside = Some(value()),
                "--serve-floor" => {
                    let (way, directory) = (value(), value());
                    return Asked::ServeFloor { directory: directory.into(), is_ten_ways: way == "ten" };
                }
                _ if argument.starts_with('-') => give_up(&format!("{argument}: no such option")),
                _ => asked.program = argument,
            }
        }
        Asked::Measure(asked)
    }
}

/// Ends the process with `why` and what it takes.
pub fn give_up(why: &str) -> ! {
    eprintln!("{why}\nusage: [PROGRAM] [--only {}] [--beside OTHER]", LOADS.join("|"));
    std::process::exit(2);
}
