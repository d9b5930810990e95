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

fn main() {
    let (mut mode, mut value_bytes, mut seconds) = ("all".to_owned(), 1024, 10);
    let mut path = env!("CARGO_BIN_EXE_etched").to_owned();
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().expect("the option needs a value");
        match argument.as_str() {
            "--value-bytes" => value_bytes = value().parse().expect("a number"),
            "--seconds" => seconds = value().parse().expect("a number"),
            "--server" => path = value(),
            _ => mode = argument,
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
