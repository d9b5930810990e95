//! Two programs under one load.

use std::sync::Arc;
use std::time::Duration;

use etched::os::OsRuntime;
use etched::runtime::Runtime;
use etched_proto::etcdserverpb::kv_client::KvClient;
use futures_util::future::join_all;

use super::{Delays, Server, open_watchers, put_one};

/// Two programs in one run: 2,000 bursts of ten puts, to the one and the other in turn, five
/// milliseconds apart; with watchers if `watched`, each event on one connection. What the machine does
/// meanwhile happens to both.
pub async fn measure(programs: [&str; 2], watched: bool) {
    const BURSTS: u64 = 2000;
    let servers = [Server::start(programs[0], "first").await, Server::start(programs[1], "second").await];
    let delays = Delays { begin: OsRuntime::now(), counted: Arc::default() };
    let (mut clients, mut readers) = (Vec::new(), Vec::new());
    for server in &servers {
        clients.push(KvClient::new(server.channel().await));
        if watched {
            let streams = open_watchers(server, false).await;
            readers.extend(streams.into_iter().map(|stream| delays.follow(stream)));
        }
    }
    let (begin, cpu) = (OsRuntime::now(), [servers[0].cpu(), servers[1].cpu()]);
    for burst in 0..BURSTS {
        let due = Duration::from_millis(5 * burst);
        OsRuntime::sleep(due.saturating_sub(OsRuntime::now() - begin)).await;
        let kv = &clients[usize::from(burst % 2 == 1)];
        let puts = (0..10).map(|n| put_one(kv.clone(), &delays, burst / 2 * 10 + n));
        join_all(puts).await;
    }
    if watched {
        delays.wait_for(BURSTS * 100).await;
    }
    let each = |at: usize| (servers[at].cpu() - cpu[at]).as_secs_f64() * 1e6 / (BURSTS as f64 * 5.0);
    let (first, second) = (each(0), each(1));
    println!(
        "bursts of ten puts in turn {}: {first:.1} and {second:.1} µs CPU a put, {:.3}",
        if watched { "with ten events each" } else { "without watchers" },
        first / second
    );
}
