//! One real member: what large reads and compactions cost it, and what others feel of them.
//!
//! `cargo bench --bench member -- [memory|watch|compaction|all] [--value-bytes N] [--seconds N] [--server PATH]`

mod compaction;
mod lists;
mod server;

use std::time::Duration;

use server::Server;

/// The part `part` of sorted delays, in milliseconds.
fn at(delays: &[Duration], part: f64) -> f64 {
    delays[((delays.len() - 1) as f64 * part) as usize].as_secs_f64() * 1000.0
}

const MODES: [&str; 4] = ["memory", "watch", "compaction", "all"];

fn give_up(why: &str) -> ! {
    eprintln!("{why}\nusage: [{}] [--value-bytes N] [--seconds N] [--server PATH]", MODES.join("|"));
    std::process::exit(2);
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| give_up(&format!("{text:?} is no number")))
}

fn main() {
    let (mut mode, mut value_bytes, mut seconds) = ("all".to_owned(), 1024, 10);
    let mut path = env!("CARGO_BIN_EXE_etched").to_owned();
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_else(|| give_up(&format!("{argument} needs a value")));
        match argument.as_str() {
            "--value-bytes" => value_bytes = number(&value()),
            "--seconds" => seconds = number(&value()),
            "--server" => path = value(),
            other if MODES.contains(&other) => mode = argument,
            _ => give_up(&format!("{argument}: no such mode or option")),
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let wanted = |name: &str| mode == name || mode == "all";
        if wanted("memory") {
            lists::memory(&Server::start(&path).await, value_bytes).await;
        }
        if wanted("watch") {
            lists::watch(&Server::start(&path).await, seconds).await;
        }
        if wanted("compaction") {
            compaction::run(&Server::start(&path).await).await;
        }
    });
}
