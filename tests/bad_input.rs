//! The program as a clumsy or hostile user meets it: every wrong word, directory or byte gets one line
//! that says what to do, and nothing makes it panic.

mod program;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

use etched::codec::frame::{self, Kind};
use etched::codec::peer::{Hello, Purpose, encode_hello};
use program::{Ended, Folder, Member, PATIENCE, run};

/// It ended with `code` and one line that holds all of `parts`.
fn refused(ended: &Ended, code: i32, parts: &[&str]) {
    let lines: Vec<&str> = ended.err.lines().filter(|line| !line.starts_with('{')).collect();
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert_eq!(lines.len(), 1, "one line: {ended:?}");
    assert!(lines[0].starts_with("etched"), "says who speaks: {ended:?}");
    for part in parts {
        assert!(lines[0].contains(part), "{part:?} is missing in {ended:?}");
    }
}

/// Stops it as a person would, who is told what it said when it does not end well.
fn stop(member: Member) {
    let ended = member.stop();
    assert!(ended.status.success(), "{}: {}", ended.status, String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn whoever_says_that_it_serves_stops_gracefully() {
    // Many at once, so that some are interrupted between the word and the next step.
    let folder = Folder::new("stops");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let data = folder.path(&format!("data{number}"));
            scope.spawn(move || (0..12).for_each(|_| stop(Member::start(&data, &[]))));
        }
    });
}

/// Arguments, variables, and what the answer names.
type Case = (&'static [&'static str], &'static [(&'static str, &'static str)], &'static [&'static str]);

#[test]
fn wrong_words_are_named() {
    let folder = Folder::new("words");
    let cases: [Case; 17] = [
        (&["--nmae=x"], &[], &["--nmae", "did you mean --name"]),
        (&["---name=x"], &[], &["unknown flag"]),
        (&["-"], &[], &["unexpected argument"]),
        (&["--", "--name=x"], &[], &["unexpected argument", "--name=x"]),
        (&["start"], &[], &["unexpected argument", "start"]),
        (&["--name"], &[], &["--name=VALUE"]),
        (&["-data-dir", "a", "b"], &[], &["unexpected argument", "b"]),
        (&["--listen-client-urls=localhost:2379"], &[], &["http://HOST:PORT"]),
        (&["--listen-client-urls", "http://127.0.0.1:70000"], &[], &["http://HOST:PORT"]),
        (&["--listen-client-urls="], &[], &["--listen-client-urls", "http://HOST:PORT"]),
        (&["--listen-peer-urls=http://etched.example:1"], &[], &["IP address"]),
        (&["--initial-cluster=a=http://127.0.0.1:1"], &[], &["does not name this member"]),
        (&["--election-timeout=499"], &[], &["--election-timeout", "5 times"]),
        (&["--heartbeat-interval=0"], &[], &["--heartbeat-interval", "whole number"]),
        (&["--name=a"], &[("ETCD_NAME", "b")], &["ETCD_NAME", "--name"]),
        (&[], &[("ETCD_LOG_FORMAT", "xml")], &["log-format", "json"]),
        (&["--unsafe-no-fsync=perhaps"], &[], &["true or false"]),
    ];
    for (arguments, variables, parts) in cases {
        refused(&run(arguments, variables, &folder.0), 2, parts);
    }
    assert_eq!(std::fs::read_dir(&folder.0).expect("there").count(), 0, "nothing was begun");
}

#[test]
fn help_and_version_need_nothing() {
    let folder = Folder::new("help");
    for spelling in ["--help", "-help", "-h", "--h"] {
        let ended = run(&[spelling], &[], &folder.0);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{spelling}");
        assert!(ended.out.contains("--initial-cluster"), "{ended:?}");
    }
    let ended = run(&["--name=x", "-version"], &[("ETCD_NONSENSE", "1")], &folder.0);
    assert!(ended.code == Some(0) && ended.out.starts_with("etcd Version: 3."), "{ended:?}");
}

#[test]
fn a_port_in_use_is_named() {
    let folder = Folder::new("ports");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", taken.local_addr().expect("bound"));
    let free = "http://127.0.0.1:0";
    let clients = ["--listen-client-urls", &url, "--listen-peer-urls", free];
    refused(&run(&clients, &[], &folder.0), 1, &["cannot listen for clients", "--listen-client-urls"]);
    let peers = ["--listen-client-urls", free, "--listen-peer-urls", &url];
    refused(&run(&peers, &[], &folder.0), 1, &["cannot listen for peers", "--listen-peer-urls"]);
}

const FREE: [&str; 2] = ["--listen-client-urls=http://127.0.0.1:0", "--listen-peer-urls=http://127.0.0.1:0"];

fn start_in(data_dir: &str, more: &[&str]) -> Ended {
    let arguments = [&FREE[..], &["--data-dir", data_dir], more].concat();
    run(&arguments, &[], &std::env::temp_dir())
}

#[test]
fn a_directory_that_cannot_be_used_is_named() {
    let folder = Folder::new("directories");
    std::fs::write(folder.path("file"), "x").expect("written");
    refused(&start_in(&folder.path("file"), &[]), 1, &["cannot use data directory", "--data-dir"]);
    refused(&start_in("/proc/etched", &[]), 1, &["cannot use data directory", "--data-dir"]);
    refused(&start_in("", &[]), 2, &["--data-dir"]);
}

#[test]
fn a_directory_knows_whose_it_is() {
    let folder = Folder::new("identity");
    let data = folder.path("data");
    let member = Member::start(&data, &[]);
    refused(&start_in(&data, &[]), 1, &["in use by another process", "--data-dir"]);
    stop(member);
    let other = start_in(&data, &["--initial-cluster-token=another"]);
    refused(&other, 1, &["belongs to member", "--data-dir"]);
    let identity = format!("{data}/identity");
    let good = std::fs::read(&identity).expect("written by the member");
    // Format 2, and some ids.
    std::fs::write(&identity, frame::encode(Kind::Identity, &[2, 1, 1, 1])).expect("written");
    refused(&start_in(&data, &[]), 1, &["version 2", "newer build"]);
    let mut newer = good.clone();
    newer[4] = 9;
    std::fs::write(&identity, &newer).expect("written");
    refused(&start_in(&data, &[]), 1, &["version 9", "newer build"]);
    std::fs::write(&identity, &good[..7]).expect("written");
    refused(&start_in(&data, &[]), 1, &["identity", "restore"]);
    std::fs::write(&identity, &good).expect("written");
    stop(Member::start(&data, &[]));
}

#[test]
fn a_damaged_directory_is_refused_and_dumped() {
    let folder = Folder::new("damage");
    let data = folder.path("data");
    let state = format!("{data}/checkpoint/state.redb");
    // A checkpoint is made beside the service: whoever stops early may stop before it is there.
    for _ in 0..50 {
        let member = Member::start(&data, &["--snapshot-count=1"]);
        wait_for_leader(member.clients);
        stop(member);
        if std::fs::exists(&state).expect("readable") {
            break;
        }
    }
    let dump = |what: &str, place: &str| run(&["util", what, "dump", place], &[], &folder.0);
    for what in ["log", "checkpoint"] {
        let good = dump(what, &data);
        assert!(good.code == Some(0) && good.err.is_empty() && !good.out.is_empty(), "{good:?}");
        std::fs::create_dir_all(folder.path("empty")).expect("made");
        for place in [folder.path("empty"), folder.path("missing"), format!("{data}/identity")] {
            refused(&dump(what, &place), 1, &[&place]);
        }
    }
    refused(&run(&["util"], &[], &folder.0), 2, &["etched util log dump DIR"]);
    refused(&run(&["util", "log", "dump"], &[], &folder.0), 2, &["etched util log dump DIR"]);

    let segment = format!("{data}/wal/0000000000000001.log");
    let good = std::fs::read(&segment).expect("there");
    let change = |at: usize, to: u8| {
        let mut bytes = good.clone();
        bytes[at] = to;
        std::fs::write(&segment, bytes).expect("written");
    };
    change(60, !good[60]);
    refused(&start_in(&data, &[]), 1, &["0000000000000001.log", "damaged at offset", "peers"]);
    let dumped = dump("log", &data);
    assert!(dumped.code == Some(1) && dumped.out.contains("\"kind\":\"damage\""), "{dumped:?}");
    change(4, 7);
    refused(&start_in(&data, &[]), 1, &["format version 7", "newer build"]);
    std::fs::write(&segment, &good).expect("written");

    let good = std::fs::read(&state).expect("a checkpoint was made");
    for fill in [0u8, 0xff, 0x55] {
        let mut bytes = good.clone();
        bytes[64..].fill(fill);
        std::fs::write(&state, bytes).expect("written");
        refused(&start_in(&data, &[]), 1, &["the checkpoint", "not usable"]);
        let dumped = dump("checkpoint", &data);
        assert!(dumped.code == Some(1) && !dumped.err.contains("panicked"), "{dumped:?}");
    }
    std::fs::write(&state, &good).expect("written");
    stop(Member::start(&data, &[]));
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
    stream
}

/// Sends all that the other side takes, and gives what it answers until it closes.
fn send(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    let mut answer = Vec::new();
    // The other side may close in the middle of it.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn health(address: SocketAddr) -> String {
    let answer = send(address, b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Asks until the answer is good, as a load balancer would; each time costs a connection.
fn wait_until_healthy(address: SocketAddr, after: &[u8]) {
    let is_healthy = (0..10_000).any(|_| health(address).contains("200 OK"));
    assert!(is_healthy, "after {after:?}: {}", health(address));
}

/// Asks until there is one; each time costs a connection.
fn wait_for_leader(address: SocketAddr) {
    let leads = (0..100_000).any(|_| health(address).contains("\"health\":\"true\""));
    assert!(leads, "no leader: {}", health(address));
}

fn http2(frames: &[Vec<u8>]) -> Vec<u8> {
    let settings = http2_frame(4, 0, 0, &[]);
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings, &frames.concat()].concat()
}

fn http2_frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block without end: a literal field of 16 KB in each of many frames.
fn endless_headers() -> Vec<u8> {
    let field = [&[0u8, 1, b'x', 0x7f, 0x81, 0x7d][..], &vec![b'y'; 16_128]].concat();
    let mut frames = vec![http2_frame(1, 0, 1, &field)];
    frames.extend((0..2000).map(|_| http2_frame(9, 0, 1, &field)));
    http2(&frames)
}

#[test]
fn garbage_on_the_ports_hurts_nobody() {
    let folder = Folder::new("garbage");
    let mut member = Member::start(&folder.path("data"), &[]);
    wait_for_leader(member.clients);
    let noise: Vec<u8> = (0..100_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let huge = format!("GET /health HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(2_000_000));
    let to_clients = [
        noise.clone(),
        b"PRI".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\n".to_vec(),
        http2(std::slice::from_ref(&noise)),
        http2(&[http2_frame(1, 4, 1, &[0xff; 100])]),
        http2(&[http2_frame(0, 0, 7, &[0; 1000])]),
        http2(&[http2_frame(8, 0, 0, &[0; 4])]),
        http2(&[http2_frame(4, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff])]),
        endless_headers(),
        huge.into_bytes(),
        b"POST /etcdserverpb.KV/Put HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\nab".to_vec(),
        b"GET /\0 HTTP/1.1\r\n\r\n".to_vec(),
        b"GET /health HTTP/9.9\r\n\r\n".to_vec(),
    ];
    let hello = |cluster_id: u64| {
        encode_hello(&Hello {
            protocol: (1, 1),
            cluster_id,
            from: 1,
            to: 2,
            incarnation: 1,
            level: (1, 1),
            purpose: Purpose::Appends,
        })
    };
    let mut long = frame::encode(Kind::PeerHello, b"");
    long[8..12].copy_from_slice(&(200u32 << 20).to_le_bytes());
    long.extend(std::iter::repeat_n(noise.as_slice(), 50).flatten());
    let to_peers = [
        noise.clone(),
        hello(77),
        hello(77)[..20].to_vec(),
        frame::encode(Kind::PeerRequest, &noise[..100]),
        long,
        b"GET /version HTTP/1.1\r\n\r\n".to_vec(),
        Vec::new(),
    ];
    // Half requests that stay open all the while.
    let mut half = connect(member.clients);
    half.write_all(b"GET /health HTTP/1.1\r\nHo").expect("taken");
    let mut quiet = connect(member.peers);
    quiet.write_all(&hello(77)[..10]).expect("taken");
    for bytes in &to_clients {
        send(member.clients, bytes);
        wait_until_healthy(member.clients, &bytes[..bytes.len().min(60)]);
    }
    for bytes in &to_peers {
        let answer = send(member.peers, bytes);
        assert!(answer.len() < 1000);
        wait_until_healthy(member.clients, &bytes[..bytes.len().min(60)]);
    }
    assert!(member.is_alive());
    drop((half, quiet));
    let said = member.stop();
    let words = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.success() && !words.contains("panicked"), "{words}");
    assert!(words.lines().all(|line| line.len() < 4096), "nobody may fill the log: {words}");
}
