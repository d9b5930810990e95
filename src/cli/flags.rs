//! The table of flags and how a command line becomes values: etcd's spelling (one or two dashes,
//! `=` or a space, the last one wins) and its `ETCD_` variables.

use std::collections::BTreeMap;

/// One flag.
pub struct Flag {
    /// Its name without dashes.
    pub name: &'static str,
    /// Shown in `--help`; `None` for flags without a value.
    pub default: Option<&'static str>,
    /// One line of help.
    pub help: &'static str,
}

const fn flag(name: &'static str, default: &'static str, help: &'static str) -> Flag {
    Flag { name, default: Some(default), help }
}

const fn switch(name: &'static str, help: &'static str) -> Flag {
    Flag { name, default: None, help }
}

/// Every flag, in the order of `--help`.
pub const FLAGS: &[Flag] = &[
    flag("name", "default", "this member's name"),
    flag("data-dir", "${name}.etcd", "where this member keeps its data"),
    flag("listen-client-urls", "http://localhost:2379", "comma-separated URLs to serve clients on"),
    flag("advertise-client-urls", "http://localhost:2379", "comma-separated URLs told to clients"),
    flag("listen-peer-urls", "http://localhost:2380", "comma-separated URLs to serve other members on"),
    flag("initial-advertise-peer-urls", "http://localhost:2380", "this member's URLs told to other members"),
    flag("initial-cluster", "default=http://localhost:2380", "all members at bootstrap: name=URL,name=URL"),
    flag("initial-cluster-state", "new", "'new' to bootstrap, 'existing' to join"),
    flag("initial-cluster-token", "etcd-cluster", "keeps clusters with the same URLs apart"),
    flag("heartbeat-interval", "100", "milliseconds between a leader's heartbeats"),
    flag("election-timeout", "1000", "milliseconds without a leader before a member campaigns"),
    flag("snapshot-count", "10000", "applied entries between checkpoints"),
    flag("max-wals", "5", "spare log segments kept; 0 keeps every segment"),
    flag("quota-backend-bytes", "0", "storage quota; 0 for 2 GiB, negative for none"),
    flag("max-txn-ops", "128", "operations in one transaction"),
    flag("max-request-bytes", "1572864", "bytes of one request"),
    flag("max-concurrent-streams", "4294967295", "streams that one client connection may have open"),
    flag("grpc-keepalive-min-time", "5s", "time that clients must leave between pings; 0 for 5m"),
    flag("grpc-keepalive-interval", "2h", "time without a word from a client after which it is pinged"),
    flag("grpc-keepalive-timeout", "20s", "time after which a client that was pinged is dropped"),
    flag("auto-compaction-mode", "periodic", "periodic or revision"),
    flag(
        "auto-compaction-retention",
        "0",
        "periodic: time to keep (a bare number means hours); revision: number to keep; 0 for no compaction",
    ),
    flag("compaction-batch-limit", "1000", "records removed in one step after a compaction"),
    flag("compaction-sleep-interval", "10ms", "pause between two such steps"),
    flag(
        "watch-progress-notify-interval",
        "10m",
        "time between progress notices of watchers, at least 100ms",
    ),
    flag("auth-token", "simple", "kind of tokens for users that log in: simple"),
    flag("auth-token-ttl", "300", "seconds after which a token that was not used is void"),
    flag("bcrypt-cost", "10", "rounds of hashing a password as a power of two, 4 to 31"),
    flag("log-level", "info", "debug, info, warn, error"),
    flag("log-format", "json", "json or console"),
    flag("trace-file", "", "write this process's observations to a file, one a line"),
    switch("unsafe-no-fsync", "do not sync the disk: data is lost when the machine fails"),
    switch("version", "print the version and exit"),
    switch("help", "print this and exit"),
];

/// Old names that etcd still takes, and what they are called now.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("h", "help"),
    ("experimental-compaction-batch-limit", "compaction-batch-limit"),
    ("experimental-compaction-sleep-interval", "compaction-sleep-interval"),
    ("experimental-watch-progress-notify-interval", "watch-progress-notify-interval"),
];

/// Names that are never read from a variable.
const NO_VARIABLE: [&str; 2] = ["version", "help"];

/// Values by flag name, and what deserves a warning.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Raw values; a switch holds `true` or `false`.
    pub values: BTreeMap<&'static str, String>,
    /// One line each.
    pub warnings: Vec<String>,
}

fn find(name: &str) -> Option<&'static Flag> {
    let name = OTHER_NAMES.iter().find(|(old, _)| *old == name).map_or(name, |(_, new)| new);
    FLAGS.iter().find(|flag| flag.name == name)
}

/// Reads arguments (without the program's name) and environment variables. Errors are one line.
pub fn read(
    arguments: impl IntoIterator<Item = String>,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Given, String> {
    let mut given = Given::default();
    let mut arguments = arguments.into_iter().peekable();
    while let Some(argument) = arguments.next() {
        // As in Go, two dashes alone end the flags; nothing may follow them.
        let ended = argument == "--";
        let Some(argument) = (if ended { arguments.next() } else { Some(argument) }) else { break };
        let body = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-'));
        let Some(body) = body.filter(|body| !body.is_empty() && !ended) else {
            return Err(format!("unexpected argument {argument:?}; flags begin with --"));
        };
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value.to_string())),
            None => (body, None),
        };
        let Some(flag) = find(name) else {
            let meant = nearest(name).map(|near| format!(" did you mean --{near}?")).unwrap_or_default();
            return Err(format!("unknown flag --{name};{meant} see etched --help"));
        };
        let value = match (flag.default, value) {
            (_, Some(value)) => value,
            (None, None) => "true".to_string(),
            (Some(_), None) => match arguments.next() {
                Some(value) => value,
                None => return Err(format!("flag --{name} needs a value: --{name}=VALUE")),
            },
        };
        given.values.insert(flag.name, checked(flag, &format!("--{name}"), value)?);
    }
    read_variables(&mut given, variables)?;
    Ok(given)
}

fn read_variables(
    given: &mut Given,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<(), String> {
    for (variable, value) in variables {
        // An empty variable is as good as none.
        let Some(rest) = variable.strip_prefix("ETCD_").filter(|_| !value.is_empty()) else { continue };
        let name = rest.to_ascii_lowercase().replace('_', "-");
        match find(&name) {
            Some(flag) if !NO_VARIABLE.contains(&flag.name) => {
                if given.values.contains_key(flag.name) {
                    return Err(format!("{variable} and --{name} set the same thing; remove one of them"));
                }
                given.values.insert(flag.name, checked(flag, &variable, value)?);
            }
            _ => given.warnings.push(format!("unrecognized environment variable {variable}")),
        }
    }
    Ok(())
}

/// A switch's value becomes `true` or `false`; it may be spelled as etcd's flags take it.
fn checked(flag: &Flag, given_as: &str, value: String) -> Result<String, String> {
    if flag.default.is_some() {
        return Ok(value);
    }
    match value.as_str() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok("true".to_string()),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok("false".to_string()),
        _ => Err(format!("{given_as} takes true or false, not {value:?}")),
    }
}

/// The flag whose name is closest to `name`, if at least half of `name` is like it.
fn nearest(name: &str) -> Option<&'static str> {
    let near = FLAGS.iter().map(|flag| (distance(name, flag.name), flag.name)).min()?;
    (near.0 * 2 <= name.chars().count()).then_some(near.1)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// The text of `--help`.
pub fn help() -> String {
    let mut text = String::from(
        "etched: an etcd-compatible replicated key-value store\n\nUsage:\n  etched [flags]\n  \
         etched util log dump DIR\n  etched util checkpoint dump DIR\n\nFlags:\n",
    );
    for flag in FLAGS {
        let name = match flag.default {
            Some(default) if !default.is_empty() => format!("--{} '{default}'", flag.name),
            Some(_) => format!("--{} FILE", flag.name),
            None => format!("--{}", flag.name),
        };
        text.push_str(&format!("  {name}\n      {}\n", flag.help));
    }
    text.push_str("\nEvery flag but version and help can be given as ETCD_<NAME> with _ for -.\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Given, String> {
        let arguments = arguments.iter().map(|one| one.to_string());
        let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        read(arguments, variables)
    }

    #[test]
    fn all_spellings_and_the_last_one_wins() {
        let given = values(&["-name", "a", "--name=b", "--max-wals", "0", "--unsafe-no-fsync"], &[]);
        let given = given.expect("valid");
        assert_eq!(given.values["name"], "b");
        assert_eq!(given.values["max-wals"], "0");
        assert_eq!(given.values["unsafe-no-fsync"], "true");
    }

    #[test]
    fn old_names_count() {
        let given = values(&["--experimental-compaction-batch-limit=5"], &[]).expect("valid");
        assert_eq!(given.values["compaction-batch-limit"], "5");
        let given = values(&[], &[("ETCD_EXPERIMENTAL_COMPACTION_SLEEP_INTERVAL", "5ms")]).expect("valid");
        assert_eq!(given.values["compaction-sleep-interval"], "5ms");
        let given = values(&["--experimental-watch-progress-notify-interval=5s"], &[]).expect("valid");
        assert_eq!(given.values["watch-progress-notify-interval"], "5s");
        let given =
            values(&[], &[("ETCD_EXPERIMENTAL_WATCH_PROGRESS_NOTIFY_INTERVAL", "5s")]).expect("valid");
        assert_eq!(given.values["watch-progress-notify-interval"], "5s");
    }

    #[test]
    fn errors_say_what_to_do() {
        let error = values(&["--nmae=x"], &[]).expect_err("unknown");
        assert!(error.contains("--nmae") && error.contains("did you mean --name"), "{error}");
        let error = values(&["--no-such-flag"], &[]).expect_err("unknown");
        assert_eq!(error, "unknown flag --no-such-flag; see etched --help");
        let error = values(&["--name"], &[]).expect_err("no value");
        assert!(error.contains("--name=VALUE"), "{error}");
        let error = values(&["x"], &[]).expect_err("no flag");
        assert!(error.contains("unexpected argument"), "{error}");
    }

    #[test]
    fn variables_count_conflict_and_warn() {
        let given =
            values(&[], &[("ETCD_DATA_DIR", "/x"), ("ETCD_WHAT", "1"), ("PATH", "p")]).expect("valid");
        assert_eq!(given.values["data-dir"], "/x");
        assert_eq!(given.warnings, ["unrecognized environment variable ETCD_WHAT"]);
        let given =
            values(&["--name=a"], &[("ETCD_NAME", ""), ("ETCD_UNSAFE_NO_FSYNC", "1")]).expect("valid");
        assert_eq!((given.values["name"].as_str(), given.values["unsafe-no-fsync"].as_str()), ("a", "true"));
        let error = values(&[], &[("ETCD_UNSAFE_NO_FSYNC", "yes")]).expect_err("no truth value");
        assert!(error.contains("ETCD_UNSAFE_NO_FSYNC"), "{error}");
        let error = values(&["--name=a"], &[("ETCD_NAME", "b")]).expect_err("both");
        assert!(error.contains("ETCD_NAME") && error.contains("--name"), "{error}");
    }
}
