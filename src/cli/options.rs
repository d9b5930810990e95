//! Raw flag values into a checked configuration.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use super::duration;
use super::flags::{FLAGS, Given};
use crate::node::{AutoCompaction, InitialMember, NodeConfig};
use crate::server::ServerOptions;
use crate::types::limits;

/// Everything the program is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// For the node.
    pub node: NodeConfig,
    /// For its doors.
    pub server: ServerOptions,
    /// Where the data is.
    pub data_dir: PathBuf,
    /// Addresses (`host:port`) to serve clients on.
    pub listen_client: Vec<String>,
    /// Whether syncs are real.
    pub sync: bool,
    /// `debug`, `info`, `warn` or `error`.
    pub log_level: String,
    /// JSON or console lines.
    pub log_json: bool,
    /// Where observations go, if anywhere.
    pub trace_file: Option<PathBuf>,
}

/// Checks raw values. Errors are one line that says what to do.
pub fn parse(given: &Given) -> Result<Options, String> {
    let name = text(given, "name");
    let peer_urls = urls(given, "initial-advertise-peer-urls")?;
    let initial_cluster = initial_cluster(given, &name, &peer_urls)?;
    check_own_urls(&initial_cluster, &name, &peer_urls)?;
    let heartbeat_interval_ms = number(given, "heartbeat-interval", 1, limits::MAX_ELECTION_TIMEOUT_MS)?;
    let election_timeout_ms = number(given, "election-timeout", 1, limits::MAX_ELECTION_TIMEOUT_MS)?;
    if election_timeout_ms < limits::MIN_ELECTION_HEARTBEATS * heartbeat_interval_ms {
        return Err(format!(
            "--election-timeout[{election_timeout_ms}ms] should be at least as 5 times as \
             --heartbeat-interval[{heartbeat_interval_ms}ms]"
        ));
    }
    match text(given, "initial-cluster-state").as_str() {
        "new" => {}
        "existing" => {
            return Err("joining an existing cluster is not offered yet; bootstrap with \
                        --initial-cluster-state=new"
                .to_string());
        }
        other => return Err(format!("--initial-cluster-state is new or existing, not {other:?}")),
    }
    check_tokens(given)?;
    let listen_peer = addresses(given, "listen-peer-urls")?;
    let quota: i64 = number(given, "quota-backend-bytes", i64::MIN, i64::MAX)?;
    let node = NodeConfig {
        initial_cluster_token: text(given, "initial-cluster-token"),
        listen_peer,
        advertise_client_urls: urls(given, "advertise-client-urls")?,
        heartbeat_interval_ms,
        election_timeout_ms,
        snapshot_count: number(given, "snapshot-count", 1, u64::MAX)?,
        max_wals: number(given, "max-wals", 0, u64::MAX)?,
        quota_bytes: if quota == 0 { limits::QUOTA_BYTES } else { quota },
        max_txn_ops: number(given, "max-txn-ops", 1, usize::MAX)?,
        max_request_bytes: number(given, "max-request-bytes", 1, u32::MAX as usize)?,
        auto_compaction: auto_compaction(given)?,
        compaction_batch_limit: number(given, "compaction-batch-limit", 1, 1_000_000)?,
        compaction_sleep_ms: milliseconds(given, "compaction-sleep-interval")?,
        progress_interval_ms: progress_interval_ms(given)?,
        // Half of the processors.
        hashes_at_a_time: std::thread::available_parallelism().map_or(1, |all| all.get().div_ceil(2)),
        bcrypt_cost: number(given, "bcrypt-cost", limits::MIN_BCRYPT_COST, limits::MAX_BCRYPT_COST)?,
        auth_token_ttl_ms: match number(given, "auth-token-ttl", 0, u64::from(u32::MAX))? {
            // As etcd has it.
            0 => limits::AUTH_TOKEN_TTL_MS,
            seconds => seconds * 1000,
        },
        ..NodeConfig::new(&name, initial_cluster)
    };
    let log_level = one_of(given, "log-level", &["debug", "info", "warn", "error", "panic", "fatal"])?;
    let log_json = one_of(given, "log-format", &["json", "console"])? == "json";
    let data_dir = given.values.get("data-dir").cloned().unwrap_or_else(|| format!("{name}.etcd"));
    if data_dir.is_empty() {
        return Err("--data-dir is empty; give it as --data-dir=DIRECTORY".to_string());
    }
    let trace_file = given.values.get("trace-file").filter(|file| !file.is_empty()).map(PathBuf::from);
    Ok(Options {
        node,
        server: server_options(given)?,
        data_dir: PathBuf::from(data_dir),
        listen_client: addresses(given, "listen-client-urls")?,
        sync: text(given, "unsafe-no-fsync") != "true",
        log_level,
        log_json,
        trace_file,
    })
}

fn check_tokens(given: &Given) -> Result<(), String> {
    match text(given, "auth-token").as_str() {
        "simple" => Ok(()),
        kind if kind.starts_with("jwt") => {
            Err("--auth-token=jwt is not offered yet; leave the flag out for simple tokens".to_string())
        }
        other => Err(format!("--auth-token is simple, not {other:?}")),
    }
}

fn text(given: &Given, name: &str) -> String {
    let default = FLAGS.iter().find(|flag| flag.name == name).and_then(|flag| flag.default);
    given.values.get(name).map_or(default.unwrap_or("false"), String::as_str).to_string()
}

fn number<T: FromStr + PartialOrd + Display>(
    given: &Given,
    name: &str,
    low: T,
    high: T,
) -> Result<T, String> {
    let value = text(given, name);
    match value.parse::<T>() {
        Ok(number) if number >= low && number <= high => Ok(number),
        _ => Err(format!("--{name} is a whole number from {low} to {high}, not {value:?}")),
    }
}

/// A duration in milliseconds, part of one rounded down.
fn milliseconds(given: &Given, name: &str) -> Result<u64, String> {
    let value = text(given, name);
    let parsed = duration::parse(&value).and_then(|duration| u64::try_from(duration.as_millis()).ok());
    parsed.ok_or_else(|| format!("--{name} is a duration such as 300ms, 5s or 1h30m, not {value:?}"))
}

/// etcd's grammar: a bare number means hours or revisions, anything else is a duration.
fn auto_compaction(given: &Given) -> Result<AutoCompaction, String> {
    const RETENTION: &str = "auto-compaction-retention";
    let mode = one_of(given, "auto-compaction-mode", &["periodic", "revision"])?;
    let number: Option<u32> = text(given, RETENTION).parse().ok();
    Ok(match (mode.as_str(), number) {
        (_, Some(0)) => AutoCompaction::Off,
        ("revision", Some(keep)) => AutoCompaction::Revision(i64::from(keep)),
        ("revision", None) => return Err(format!("--{RETENTION} is a number of revisions in this mode")),
        (_, Some(hours)) => AutoCompaction::Periodic(u64::from(hours) * 3_600_000),
        (_, None) => match milliseconds(given, RETENTION)? {
            0 => AutoCompaction::Off,
            kept => AutoCompaction::Periodic(kept),
        },
    })
}

/// What etcd leaves to grpc-go when it is 0 has grpc-go's defaults here, too.
fn server_options(given: &Given) -> Result<ServerOptions, String> {
    let or = |value: u64, default: u64| if value == 0 { default } else { value };
    let defaults = ServerOptions::default();
    let interval = milliseconds(given, "grpc-keepalive-interval")?;
    let timeout = milliseconds(given, "grpc-keepalive-timeout")?;
    let is_set = interval > 0 && timeout > 0;
    Ok(ServerOptions {
        max_concurrent_streams: number(given, "max-concurrent-streams", 1, u32::MAX)?,
        keep_alive_min_time_ms: or(milliseconds(given, "grpc-keepalive-min-time")?, 300_000),
        keep_alive_interval_ms: if is_set { interval } else { defaults.keep_alive_interval_ms },
        keep_alive_timeout_ms: if is_set { timeout } else { defaults.keep_alive_timeout_ms },
        ..defaults
    })
}

/// 0 stands for the default; what is too short is lengthened, as in etcd (W18).
fn progress_interval_ms(given: &Given) -> Result<u64, String> {
    Ok(match milliseconds(given, "watch-progress-notify-interval")? {
        0 => limits::PROGRESS_INTERVAL_MS,
        given => given.max(limits::MIN_PROGRESS_INTERVAL_MS),
    })
}

fn one_of(given: &Given, name: &str, allowed: &[&str]) -> Result<String, String> {
    let value = text(given, name);
    if allowed.contains(&value.as_str()) {
        return Ok(value);
    }
    Err(format!("--{name} is one of {}, not {value:?}", allowed.join(", ")))
}

/// Comma-separated URLs, checked.
fn urls(given: &Given, name: &str) -> Result<Vec<String>, String> {
    let value = text(given, name);
    let urls: Vec<String> = value.split(',').map(|url| url.trim().to_string()).collect();
    for url in &urls {
        host_and_port(name, url)?;
    }
    Ok(urls)
}

/// The same as addresses to listen on: an IP address or localhost only.
fn addresses(given: &Given, name: &str) -> Result<Vec<String>, String> {
    let mut addresses = Vec::new();
    for url in urls(given, name)? {
        let (host, port) = host_and_port(name, &url)?;
        let plain = host.trim_start_matches('[').trim_end_matches(']');
        if host != "localhost" && plain.parse::<std::net::IpAddr>().is_err() {
            return Err(format!("--{name}: {url} needs an IP address or localhost to listen on, not a name"));
        }
        addresses.push(format!("{host}:{port}"));
    }
    Ok(addresses)
}

fn host_and_port<'a>(name: &str, url: &'a str) -> Result<(&'a str, u16), String> {
    let Some(rest) = url.strip_prefix("http://") else {
        let why = if url.starts_with("https://") { "https is not offered yet" } else { "it needs http://" };
        return Err(format!("--{name}: {url:?} cannot be used, {why}; give it as http://HOST:PORT"));
    };
    let bad = || format!("--{name}: {url:?} is not of the form http://HOST:PORT");
    let (host, port) = rest.rsplit_once(':').ok_or_else(bad)?;
    if host.is_empty() || host.contains('/') {
        return Err(bad());
    }
    Ok((host, port.parse().map_err(|_| bad())?))
}

/// `name=URL,name=URL`; a name may come more than once, with a further URL each time. Without the
/// flag the cluster is this member alone.
fn initial_cluster(given: &Given, name: &str, own: &[String]) -> Result<Vec<InitialMember>, String> {
    let Some(value) = given.values.get("initial-cluster") else {
        return Ok(vec![InitialMember { name: name.to_string(), peer_urls: own.to_vec() }]);
    };
    let mut members: Vec<InitialMember> = Vec::new();
    for part in value.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let Some((name, url)) = part.split_once('=') else {
            return Err(format!("--initial-cluster: {part:?} is not of the form name=http://HOST:PORT"));
        };
        host_and_port("initial-cluster", url)?;
        match members.iter_mut().find(|member| member.name == name) {
            Some(member) => member.peer_urls.push(url.to_string()),
            None => {
                members.push(InitialMember { name: name.to_string(), peer_urls: vec![url.to_string()] });
            }
        }
    }
    if members.is_empty() {
        return Err("--initial-cluster names nobody; give it as name=http://HOST:PORT,...".to_string());
    }
    Ok(members)
}

/// This member's URLs in `--initial-cluster` and in `--initial-advertise-peer-urls` are the same.
fn check_own_urls(cluster: &[InitialMember], name: &str, own: &[String]) -> Result<(), String> {
    let Some(member) = cluster.iter().find(|member| member.name == name) else {
        return Err(format!("--initial-cluster does not name this member; add {name}={}", own.join(",")));
    };
    let (mut listed, mut told) = (member.peer_urls.clone(), own.to_vec());
    listed.sort();
    told.sort();
    if listed == told {
        return Ok(());
    }
    Err(format!(
        "--initial-cluster has {name}={} but --initial-advertise-peer-urls is {}; make them the same",
        listed.join(","),
        told.join(",")
    ))
}

#[cfg(test)]
mod tests {
    use super::super::flags::read;
    use super::*;

    fn options(arguments: &[&str]) -> Result<Options, String> {
        parse(&read(arguments.iter().map(|one| one.to_string()), []).expect("known flags"))
    }

    #[test]
    fn without_flags_it_is_one_member_on_localhost() {
        let options = options(&[]).expect("valid");
        assert_eq!(options.data_dir, PathBuf::from("default.etcd"));
        assert_eq!(options.listen_client, ["localhost:2379"]);
        assert_eq!(options.node.listen_peer, ["localhost:2380"]);
        assert_eq!(options.node.initial_cluster.len(), 1);
        assert!(options.sync);
    }

    #[test]
    fn bad_values_are_named() {
        let cases: [(&[&str], &str); 11] = [
            (&["--listen-client-urls=localhost:2379"], "http://HOST:PORT"),
            (&["--listen-client-urls=http://example.com:2379"], "IP address or localhost"),
            (&["--listen-peer-urls=https://127.0.0.1:1"], "https is not offered yet"),
            (&["--listen-peer-urls=http://127.0.0.1:99999"], "http://HOST:PORT"),
            (&["--election-timeout=400"], "at least as 5 times"),
            (&["--max-txn-ops=x"], "whole number"),
            (&["--initial-cluster=a=http://127.0.0.1:1"], "does not name this member"),
            (&["--log-format=xml"], "json, console"),
            (&["--auth-token=jwt,sign-method=RS256"], "not offered yet"),
            (&["--bcrypt-cost=3"], "whole number from 4 to 31"),
            (&["--auth-token-ttl=5m"], "whole number"),
        ];
        for (arguments, part) in cases {
            let error = options(arguments).expect_err(part);
            assert!(error.contains(part) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn auto_compaction_in_etcd_s_grammar() {
        let given = |mode: &str, retention: &str| {
            let (mode, retention) = (
                format!("--auto-compaction-mode={mode}"),
                format!("--auto-compaction-retention={retention}"),
            );
            options(&[&mode, &retention]).map(|options| options.node.auto_compaction)
        };
        assert_eq!(options(&[]).expect("valid").node.auto_compaction, AutoCompaction::Off);
        assert_eq!(given("periodic", "2"), Ok(AutoCompaction::Periodic(7_200_000)));
        assert_eq!(given("periodic", "30m"), Ok(AutoCompaction::Periodic(1_800_000)));
        assert_eq!(given("periodic", "0"), Ok(AutoCompaction::Off));
        assert_eq!(given("revision", "1000"), Ok(AutoCompaction::Revision(1000)));
        assert!(given("revision", "5m").expect_err("no number").contains("number of revisions"));
        assert!(given("periodic", "-1").expect_err("negative").contains("is a duration"));
        assert!(given("sometimes", "1").expect_err("no mode").contains("periodic, revision"));
    }

    #[test]
    fn m9_m10_keep_alive_and_streams() {
        let server = |flags: &[&str]| options(flags).map(|options| options.server);
        assert_eq!(server(&[]), Ok(ServerOptions::default()));
        let given = [
            "--grpc-keepalive-min-time=1s",
            "--grpc-keepalive-interval=1m",
            "--grpc-keepalive-timeout=500ms",
            "--max-concurrent-streams=7",
        ];
        let expected = ServerOptions {
            max_concurrent_streams: 7,
            keep_alive_min_time_ms: 1000,
            keep_alive_interval_ms: 60_000,
            keep_alive_timeout_ms: 500,
            greeting_timeout_ms: 300_000,
        };
        assert_eq!(server(&given), Ok(expected));
        let zero = server(&["--grpc-keepalive-min-time=0", "--grpc-keepalive-interval=0"]).expect("valid");
        assert_eq!((zero.keep_alive_min_time_ms, zero.keep_alive_interval_ms), (300_000, 7_200_000));
        assert!(server(&["--grpc-keepalive-timeout=5"]).expect_err("no unit").contains("300ms, 5s"));
    }

    #[test]
    fn w18_progress_interval() {
        let interval = |value: &str| {
            let flag = format!("--watch-progress-notify-interval={value}");
            options(&[&flag]).map(|options| options.node.progress_interval_ms)
        };
        assert_eq!(options(&[]).expect("valid").node.progress_interval_ms, 600_000);
        assert_eq!((interval("5s"), interval("0"), interval("1ms")), (Ok(5000), Ok(600_000), Ok(100)));
        assert!(interval("5").expect_err("no unit").contains("300ms, 5s"));
    }

    #[test]
    fn a14_token_ttl() {
        let ttl = |flag: &str| options(&[flag]).map(|options| options.node.auth_token_ttl_ms);
        assert_eq!(options(&[]).expect("valid").node.auth_token_ttl_ms, 300_000);
        assert_eq!(ttl("--auth-token-ttl=2"), Ok(2000));
        assert_eq!(ttl("--auth-token-ttl=0"), Ok(300_000), "never one that locks everybody out");
    }

    #[test]
    fn own_urls_must_agree() {
        let cluster = "--initial-cluster=a=http://127.0.0.1:1,b=http://127.0.0.1:2";
        let error = options(&["--name=a", cluster]).expect_err("they differ");
        assert!(error.contains("make them the same"), "{error}");
        let own = "--initial-advertise-peer-urls=http://127.0.0.1:1";
        assert_eq!(options(&["--name=a", cluster, own]).expect("valid").node.initial_cluster.len(), 2);
    }
}
