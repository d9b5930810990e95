//! The walls of the house, as data, held against the source: who imports whom, which crate is named
//! where, what is pure, that every file has a head, a bounded length and a place in the module tree.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Rooms of `src/` and the rooms they may name. `cli` may name all, so it is not listed.
const MAY_USE: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("plant", &[]),
    ("runtime", &["types"]),
    ("codec", &["types", "runtime", "state"]),
    ("mvcc", &["types"]),
    ("lease", &["types"]),
    ("members", &["types"]),
    ("auth", &["types"]),
    ("state", &["types", "mvcc", "lease", "members", "auth"]),
    ("watch", &["types"]),
    ("wal", &["types", "runtime", "codec"]),
    ("checkpoint", &["types", "runtime", "codec", "state"]),
    ("raft", &["types", "runtime", "codec", "state", "wal", "checkpoint"]),
    (
        "node",
        &[
            "types",
            "runtime",
            "codec",
            "lease",
            "members",
            "auth",
            "state",
            "watch",
            "wal",
            "checkpoint",
            "raft",
        ],
    ),
    ("server", &["types", "runtime", "node"]),
    ("os", &["types", "runtime"]),
];

/// Crates that only some rooms may name. tokio's vocabulary in `runtime`, `raft`, `node` and
/// `server` is held by clippy.toml: no time, threads, sockets or random selects.
const NAMED_IN: &[(&str, &[&str])] = &[
    ("openraft", &["raft"]),
    ("openraft_rt", &["raft"]),
    ("bincode", &["codec"]),
    ("serde", &["codec"]),
    ("serde_json", &["cli"]),
    ("redb", &["checkpoint"]),
    ("tonic", &["server"]),
    ("hyper", &["server"]),
    ("h2", &["server"]),
    ("prost", &["server"]),
    ("etched_proto", &["server"]),
    ("libc", &["os"]),
    ("im", &["mvcc", "members", "lease", "auth", "state"]),
    ("bcrypt", &["node"]),
    ("base64", &["server"]),
    ("tokio", &["runtime", "raft", "node", "server", "os", "cli"]),
    ("tracing_subscriber", &["cli"]),
];

/// Rooms without async, time or I/O.
const PURE: &[&str] = &["types", "mvcc", "lease", "members", "auth", "state", "watch", "codec"];

/// Lines that a file may have.
const LINES: usize = 400;

/// Where the walls' exceptions may stand. Tests and benches measure real time and files.
const EXCEPTIONS: &[&str] = &["src/os/", "sim/src/world/", "tests/", "benches/", "src/raft/tests/"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                walk(&path, into);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

struct Source {
    /// Path from the repository's root, with `/`.
    path: String,
    text: String,
}

/// All our source below `folder`, sorted.
fn sources(folder: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    walk(&root().join(folder), &mut paths);
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("readable");
        let path = path.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/");
        Source { path, text }
    };
    paths.into_iter().map(read).collect()
}

fn everything() -> Vec<Source> {
    ["src", "sim", "proto", "tests", "benches"].into_iter().flat_map(sources).collect()
}

impl Source {
    /// The room of `src/`, `None` for `lib.rs` and `main.rs`.
    fn room(&self) -> Option<&str> {
        self.path.strip_prefix("src/")?.split_once('/').map(|(room, _)| room)
    }

    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/") || self.path.contains("/memory/")
    }

    /// Code without comments, quoted text and a test module at the end, by line number.
    fn code(&self) -> Vec<(usize, String)> {
        let product = self.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or("");
        product.lines().enumerate().map(|(number, line)| (number + 1, without_text(line))).collect()
    }
}

/// A line without its comment and without what stands in quotes.
fn without_text(line: &str) -> String {
    let (mut code, mut quoted, mut escaped) = (String::new(), false, false);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        if escaped {
            escaped = false;
        } else if quoted && character == '\\' {
            escaped = true;
        } else if character == '"' {
            quoted = !quoted;
        } else if !quoted && character == '/' && characters.peek() == Some(&'/') {
            break;
        } else if !quoted {
            code.push(character);
        }
    }
    code
}

fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    let mut rest = 0;
    std::iter::from_fn(move || {
        let start = rest + code[rest..].find(is_word)?;
        let end = code[start..].find(|c| !is_word(c)).map_or(code.len(), |length| start + length);
        rest = end;
        Some((start, &code[start..end]))
    })
}

/// Rooms named as `crate::room` or `crate::{room...}`.
fn rooms_named(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if at > 0 && code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let after = &code[at + "crate::".len()..];
        let list = after.strip_prefix('{').map_or_else(|| vec![after], |inside| inside.split(',').collect());
        rooms.extend(list.iter().filter_map(|item| words(item).next()).map(|(_, word)| word.to_owned()));
    }
    rooms
}

fn complain(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn rooms_only_know_the_rooms_below() {
    let mut faults = Vec::new();
    for source in sources("src").iter().filter(|source| !source.is_test()) {
        let Some(room) = source.room().filter(|room| *room != "cli") else { continue };
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == room) else {
            faults.push(format!("{}: room {room} is not in the table of rooms", source.path));
            continue;
        };
        for (number, code) in source.code() {
            for named in rooms_named(&code) {
                let is_room = MAY_USE.iter().any(|(name, _)| *name == named) || named == "cli";
                if is_room && named != room && !allowed.contains(&named.as_str()) {
                    faults.push(format!("{}:{number}: {room} must not know {named}", source.path));
                }
            }
        }
    }
    complain(faults);
}

#[test]
fn crates_are_named_in_their_rooms_only() {
    let mut faults = Vec::new();
    for source in sources("src").iter().filter(|source| !source.is_test()) {
        let room = source.room().unwrap_or("");
        for (number, code) in source.code() {
            for (at, word) in words(&code) {
                let Some((name, rooms)) = NAMED_IN.iter().find(|(name, _)| *name == word) else { continue };
                let is_path = code[at + word.len()..].starts_with("::");
                let is_ours = code[..at].ends_with("::") || code[..at].ends_with("mod ");
                if is_path && !is_ours && !rooms.contains(&room) {
                    faults.push(format!("{}:{number}: {name} belongs in {}", source.path, rooms.join(", ")));
                }
            }
        }
    }
    complain(faults);
}

#[test]
fn the_pure_rooms_are_pure() {
    const FORBIDDEN: [&str; 6] = ["async", "await", "fs", "net", "thread", "Runtime"];
    let mut faults = Vec::new();
    for source in sources("src").iter().filter(|source| !source.is_test()) {
        if !source.room().is_some_and(|room| PURE.contains(&room)) {
            continue;
        }
        for (number, code) in source.code() {
            for (_, word) in words(&code).filter(|(_, word)| FORBIDDEN.contains(word)) {
                faults.push(format!("{}:{number}: {word} in a pure room", source.path));
            }
        }
    }
    complain(faults);
}

#[test]
fn every_file_has_a_head_and_a_bounded_length() {
    let mut faults = Vec::new();
    for source in everything() {
        let is_script = source.path.ends_with("build.rs");
        if !is_script && !source.text.starts_with("//! ") {
            faults.push(format!("{}: begins without a //! line that says what it is", source.path));
        }
        let lines = source.text.lines().count();
        if lines > LINES {
            faults.push(format!("{}: {lines} lines, more than {LINES}; split it", source.path));
        }
    }
    complain(faults);
}

#[test]
fn exceptions_to_the_walls_have_a_place_and_a_reason() {
    let mut faults = Vec::new();
    for source in everything() {
        for (number, line) in source.text.lines().enumerate() {
            let line = line.trim_start();
            let is_attribute = line.starts_with("#[") || line.starts_with("#![");
            if !is_attribute || !(line.contains("clippy::disallowed_") || line.contains("unsafe_code")) {
                continue;
            }
            if !EXCEPTIONS.iter().any(|place| source.path.starts_with(place)) {
                faults.push(format!(
                    "{}:{}: no exception to the walls belongs here",
                    source.path,
                    number + 1
                ));
            }
            if !line.contains("expect(") || !line.contains("reason = \"") {
                faults.push(format!("{}:{}: use expect(.., reason = ..)", source.path, number + 1));
            }
        }
    }
    complain(faults);
}

#[test]
fn nothing_is_left_for_later() {
    let marks = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"]].map(|parts| parts.concat());
    let mut faults = Vec::new();
    for source in everything() {
        for (number, line) in source.text.lines().enumerate() {
            for (_, word) in words(line).filter(|(_, word)| marks.iter().any(|mark| mark == word)) {
                faults.push(format!("{}:{}: {word}", source.path, number + 1));
            }
        }
    }
    complain(faults);
}

#[test]
fn every_file_is_in_the_module_tree() {
    let mut faults = Vec::new();
    let trees = [("src", &["lib.rs", "main.rs"][..]), ("sim/src", &["lib.rs", "main.rs"][..])];
    let more = [("sim/testkit/src", &["lib.rs"][..]), ("proto/src", &["lib.rs"][..])];
    for (folder, tops) in trees.into_iter().chain(more) {
        let all = sources(folder);
        let mut reached: BTreeSet<String> = tops.iter().map(|top| format!("{folder}/{top}")).collect();
        let mut open: Vec<String> = reached.iter().cloned().collect();
        while let Some(path) = open.pop() {
            let Some(source) = all.iter().find(|source| source.path == path) else { continue };
            for child in children(source) {
                if all.iter().any(|source| source.path == child) && reached.insert(child.clone()) {
                    open.push(child);
                }
            }
        }
        let dead = all.iter().filter(|source| !reached.contains(&source.path));
        faults.extend(dead.map(|source| format!("{}: no module declares it", source.path)));
    }
    complain(faults);
}

/// Paths where the modules that a file declares may lie.
fn children(source: &Source) -> Vec<String> {
    let (folder, file) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    let own = match file {
        "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
        _ => format!("{folder}/{}", file.trim_end_matches(".rs")),
    };
    let declared = source.text.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "mod")?;
        words.get(at + 1)?.strip_suffix(';')
    });
    declared.flat_map(|name| [format!("{own}/{name}.rs"), format!("{own}/{name}/mod.rs")]).collect()
}

#[test]
fn the_tools_of_this_file_work() {
    assert_eq!(without_text(r#"a "b \" // c" d // e"#), "a  d ");
    assert_eq!(
        rooms_named("use crate::{wal, raft::Engine}; crate::os::x; mycrate::node"),
        ["wal", "raft", "os"]
    );
    assert_eq!(words("use a_b::c;").map(|(_, word)| word).collect::<Vec<_>>(), ["use", "a_b", "c"]);
}
