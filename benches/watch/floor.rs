//! What the machine alone takes for a put and its ten events: a program without protocol, replication
//! or state that writes and flushes each put and sends bytes of the same lengths to the same number
//! of sockets, in blocking calls. A server that keeps its word cannot need much less.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use etched::os::{OsNet, OsRuntime};
use etched::runtime::{Net, Runtime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Server;

const CONNECTIONS: usize = 100;
/// A request, an answer, an event on a connection of its own and ten on one, and what is logged.
const REQUEST_BYTES: usize = 320;
const ANSWER_BYTES: usize = 60;
const EVENT_BYTES: usize = 350;
const EVENTS_BYTES: usize = 3500;
const LOGGED_BYTES: usize = 400;
/// The file is full of zeros to begin with, so that a flush has no metadata to write.
const FILE_BYTES: usize = 8 << 20;

/// The barest program: `spread` events go to ten connections, others to one. Ends with its client.
pub fn serve(directory: &Path, spread: bool) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    println!("{}", listener.local_addr().expect("an address"));
    let accept = || {
        let (stream, _) = listener.accept().expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        stream
    };
    let mut puts = accept();
    let mut readers: Vec<TcpStream> = (0..CONNECTIONS).map(|_| accept()).collect();
    std::fs::create_dir_all(directory).expect("a directory");
    let mut options = std::fs::OpenOptions::new();
    let file = options.create(true).write(true).truncate(true).open(directory.join("log")).expect("a file");
    file.write_all_at(&vec![0; FILE_BYTES], 0).expect("zeros");
    file.sync_all().expect("a flush");
    let (mut buffer, mut offset, mut next) = (vec![0; 64 * 1024], 0, 0);
    loop {
        let Ok(read @ 1..) = puts.read(&mut buffer) else { return };
        let count = read / REQUEST_BYTES;
        file.write_all_at(&buffer[..count * LOGGED_BYTES], offset).expect("a write");
        file.sync_data().expect("a flush");
        offset = (offset + (count * LOGGED_BYTES) as u64) % (FILE_BYTES / 2) as u64;
        let (sends, bytes) = if spread { (count * 10, EVENT_BYTES) } else { (count, EVENTS_BYTES) };
        for _ in 0..sends {
            readers[next].write_all(&buffer[..bytes]).expect("a reader");
            next = (next + 1) % CONNECTIONS;
        }
        puts.write_all(&buffer[..count * ANSWER_BYTES]).expect("the putter");
    }
}

/// Starts the barest program and measures it under 1,000 puts a second, `burst` at a time.
pub async fn measure(spread: bool, burst: u64) {
    const PUTS: u64 = 10_000;
    let directory = std::env::temp_dir().join(format!("etched-bench-{}-floor", std::process::id()));
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--serve-floor", if spread { "ten" } else { "one" }])
        .arg(&directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let mut address = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut address).expect("an address");
    let server = Server { child, address: address.trim().to_string(), directory };
    let dial = async || OsNet.dial(&server.address).await.expect("a connection");
    let mut puts = dial().await;
    let mut readers = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = dial().await;
        readers.push(OsRuntime::spawn("reader", async move {
            let mut buffer = vec![0; 64 * 1024];
            while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
        }));
    }
    OsRuntime::sleep(Duration::from_secs(1)).await;
    let (cpu, begin, mut buffer) = (server.cpu(), OsRuntime::now(), vec![0; 64 * 1024]);
    for turn in 0..PUTS / burst {
        let due = Duration::from_millis(turn * burst);
        OsRuntime::sleep(due.saturating_sub(OsRuntime::now() - begin)).await;
        puts.write_all(&buffer[..burst as usize * REQUEST_BYTES]).await.expect("the server");
        puts.read_exact(&mut buffer[..burst as usize * ANSWER_BYTES]).await.expect("an answer");
    }
    println!(
        "the barest program, 1,000 puts/s in bursts of {burst} to ten each on {}: {:.2} µs CPU an event",
        if spread { "ten connections" } else { "one connection" },
        (server.cpu() - cpu).as_secs_f64() * 1e6 / (PUTS * 10) as f64,
    );
}
