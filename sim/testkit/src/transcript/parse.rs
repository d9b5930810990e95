//! Text to requests.

use etched_proto::etcdserverpb as pb;
use pb::request_op::Request as Op;

use super::Step;
use crate::Request;

/// One line with its words.
struct Line {
    number: usize,
    indent: usize,
    words: Vec<Vec<u8>>,
}

/// All steps of the transcript `name`. The error names the line.
pub fn parse(name: &str, text: &str) -> Result<Vec<Step>, String> {
    let mut lines: Vec<Line> = Vec::new();
    let mut steps: Vec<Step> = Vec::new();
    for (at, content) in text.lines().enumerate() {
        let number = at + 1;
        let trimmed = content.trim_start();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        if content.starts_with(['=', '!']) {
            if !lines.is_empty() {
                steps.push(step(name, &std::mem::take(&mut lines))?);
            }
            let step = steps.last_mut().ok_or(format!("{name}:{number}: an answer without a request"))?;
            step.expected.push_str(content.trim_end());
            step.expected.push('\n');
            continue;
        }
        let words = words(trimmed).map_err(|why| format!("{name}:{number}: {why}"))?;
        lines.push(Line { number, indent: content.len() - trimmed.len(), words });
    }
    match lines.first() {
        Some(line) => Err(format!("{name}:{}: a request without an answer", line.number)),
        None => Ok(steps),
    }
}

fn step(name: &str, lines: &[Line]) -> Result<Step, String> {
    let mut rest = lines;
    let request = request(&mut rest).and_then(|request| match rest.first() {
        Some(extra) => Err((extra.number, "does not belong to the request above".to_string())),
        None => Ok(request),
    });
    let line = lines[0].number;
    match request {
        Ok(request) => Ok(Step { line, request, expected: String::new() }),
        Err((line, why)) => Err(format!("{name}:{line}: {why}")),
    }
}

type Parsed<T> = Result<T, (usize, String)>;

fn request(lines: &mut &[Line]) -> Parsed<Request> {
    let (line, rest) = lines.split_first().ok_or((0, "nothing".to_string()))?;
    *lines = rest;
    let mut words = Words::of(line);
    let request = match words.verb.as_str() {
        "get" => Request::Range(get(&mut words)?),
        "put" => Request::Put(put(&mut words)?),
        "del" => Request::DeleteRange(del(&mut words)?),
        "compact" => Request::Compact(pb::CompactionRequest {
            revision: words.number_at(0)?,
            physical: words.flag("physical"),
        }),
        "grant" => {
            Request::LeaseGrant(pb::LeaseGrantRequest { id: words.number_at(0)?, ttl: words.number("ttl")? })
        }
        "revoke" => Request::LeaseRevoke(pb::LeaseRevokeRequest { id: words.number_at(0)? }),
        "txn" => Request::Txn(txn(line.indent, lines)?),
        verb => return Err((line.number, format!("`{verb}` is no request"))),
    };
    words.finish()?;
    Ok(request)
}

fn get(words: &mut Words) -> Parsed<pb::RangeRequest> {
    let one_of = |word: Option<String>, names: &[&str]| match word {
        None => 0,
        Some(word) => names.iter().position(|name| *name == word).map_or(99, |at| at as i32),
    };
    Ok(pb::RangeRequest {
        key: words.at(0).into(),
        range_end: words.at(1).into(),
        limit: words.number("limit")?,
        revision: words.number("rev")?,
        sort_order: one_of(words.option("order"), &["none", "ascend", "descend"]),
        sort_target: one_of(words.option("target"), &["key", "version", "create", "mod", "value"]),
        serializable: words.flag("serializable"),
        keys_only: words.flag("keys_only"),
        count_only: words.flag("count_only"),
        min_mod_revision: words.number("min_mod")?,
        max_mod_revision: words.number("max_mod")?,
        min_create_revision: words.number("min_create")?,
        max_create_revision: words.number("max_create")?,
    })
}

fn put(words: &mut Words) -> Parsed<pb::PutRequest> {
    Ok(pb::PutRequest {
        key: words.at(0).into(),
        value: words.at(1).into(),
        lease: words.number("lease")?,
        prev_kv: words.flag("prev_kv"),
        ignore_value: words.flag("ignore_value"),
        ignore_lease: words.flag("ignore_lease"),
    })
}

fn del(words: &mut Words) -> Parsed<pb::DeleteRangeRequest> {
    Ok(pb::DeleteRangeRequest {
        key: words.at(0).into(),
        range_end: words.at(1).into(),
        prev_kv: words.flag("prev_kv"),
    })
}

fn txn(indent: usize, lines: &mut &[Line]) -> Parsed<pb::TxnRequest> {
    let mut txn = pb::TxnRequest::default();
    while let Some((line, rest)) = lines.split_first().filter(|(line, _)| line.indent > indent) {
        *lines = rest;
        let mut words = Words::of(line);
        match words.verb.as_str() {
            "if" => txn.compare.push(compare(&mut words)?),
            "then" => txn.success = branch(line.indent, lines)?,
            "else" => txn.failure = branch(line.indent, lines)?,
            verb => return Err((line.number, format!("`{verb}` where if, then or else belongs"))),
        }
    }
    Ok(txn)
}

fn branch(indent: usize, lines: &mut &[Line]) -> Parsed<Vec<pb::RequestOp>> {
    let mut ops = Vec::new();
    while let Some(line) = lines.first().filter(|line| line.indent > indent) {
        if line.words == [b"nothing"] {
            *lines = &lines[1..];
            ops.push(pb::RequestOp { request: None });
            continue;
        }
        let number = line.number;
        let op = match request(lines)? {
            Request::Range(range) => Op::RequestRange(range),
            Request::Put(put) => Op::RequestPut(put),
            Request::DeleteRange(delete) => Op::RequestDeleteRange(delete),
            Request::Txn(txn) => Op::RequestTxn(txn),
            _ => return Err((number, "not an operation of a transaction".to_string())),
        };
        ops.push(pb::RequestOp { request: Some(op) });
    }
    Ok(ops)
}

/// `if <target> <key> [<range end>] <relation> [<value>] [arm=none]`
fn compare(words: &mut Words) -> Parsed<pb::Compare> {
    use pb::compare::TargetUnion;
    let number = words.line;
    let target = words.at(0);
    let relation =
        words.bare.iter().position(|word| matches!(word.as_slice(), b"=" | b">" | b"<" | b"!=" | b"?"));
    let relation = relation.ok_or((number, "a compare needs =, >, <, != or ?".to_string()))?;
    let result = [b"=".as_slice(), b">", b"<", b"!="].iter().position(|sign| words.bare[relation] == *sign);
    let key = words.at(1);
    let range_end = if relation > 2 { words.at(2) } else { Vec::new() };
    let value = words.at(relation + 1);
    let numeric = String::from_utf8_lossy(&value).parse().unwrap_or(0);
    let targets = [b"version".as_slice(), b"create", b"mod", b"value", b"lease"];
    let target = targets.iter().position(|name| target == *name).map_or(99, |at| at as i32);
    let target_union = match target {
        0 => Some(TargetUnion::Version(numeric)),
        1 => Some(TargetUnion::CreateRevision(numeric)),
        2 => Some(TargetUnion::ModRevision(numeric)),
        3 => Some(TargetUnion::Value(value.into())),
        4 => Some(TargetUnion::Lease(numeric)),
        _ => None,
    };
    let target_union = target_union.filter(|_| !words.flag("no_arm"));
    Ok(pb::Compare {
        result: result.map_or(99, |at| at as i32),
        target,
        key: key.into(),
        range_end: range_end.into(),
        target_union,
    })
}

/// The words of one request: a verb, bare words, options `name=value`, and flags.
struct Words {
    line: usize,
    verb: String,
    bare: Vec<Vec<u8>>,
    options: Vec<(String, String)>,
}

const FLAGS: [&str; 8] = [
    "prev_kv",
    "ignore_value",
    "ignore_lease",
    "serializable",
    "keys_only",
    "count_only",
    "physical",
    "no_arm",
];

impl Words {
    fn of(line: &Line) -> Self {
        let mut words = line.words.iter();
        let verb = words.next().map_or(String::new(), |verb| String::from_utf8_lossy(verb).into_owned());
        let (mut bare, mut options) = (Vec::new(), Vec::new());
        for word in words {
            let text = String::from_utf8_lossy(word);
            match text.split_once('=') {
                Some((name, value)) if !name.is_empty() && name != "!" => {
                    options.push((name.into(), value.into()))
                }
                _ if FLAGS.contains(&&*text) => options.push((text.into_owned(), String::new())),
                _ => bare.push(word.clone()),
            }
        }
        Words { line: line.number, verb, bare, options }
    }

    /// The bare word at `at`; empty when it is not there.
    fn at(&self, at: usize) -> Vec<u8> {
        self.bare.get(at).cloned().unwrap_or_default()
    }

    fn number_at(&self, at: usize) -> Parsed<i64> {
        let word = String::from_utf8_lossy(&self.at(at)).into_owned();
        word.parse().map_err(|_| (self.line, format!("`{word}` is no number")))
    }

    fn option(&mut self, name: &str) -> Option<String> {
        let at = self.options.iter().position(|(option, _)| option == name)?;
        Some(self.options.remove(at).1)
    }

    fn number(&mut self, name: &str) -> Parsed<i64> {
        let Some(word) = self.option(name) else { return Ok(0) };
        word.parse().map_err(|_| (self.line, format!("`{name}={word}` is no number")))
    }

    fn flag(&mut self, name: &str) -> bool {
        self.option(name).is_some()
    }

    fn finish(self) -> Parsed<()> {
        match self.options.first() {
            Some((name, _)) => Err((self.line, format!("`{name}` is no option of `{}`", self.verb))),
            None => Ok(()),
        }
    }
}

/// Splits a line; quotes keep spaces and allow escapes.
fn words(line: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut words = Vec::new();
    let mut letters = line.bytes().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            b' ' => {}
            b'"' => {
                let mut word = Vec::new();
                loop {
                    match letters.next().ok_or("a quote is not closed")? {
                        b'"' => break,
                        b'\\' => word.push(escape(&mut letters)?),
                        other => word.push(other),
                    }
                }
                words.push(word);
            }
            first => {
                let mut word = vec![first];
                while let Some(letter) = letters.next_if(|letter| *letter != b' ') {
                    word.push(letter);
                }
                words.push(word);
            }
        }
    }
    Ok(words)
}

fn escape(letters: &mut impl Iterator<Item = u8>) -> Result<u8, String> {
    let broken = || "an escape is broken".to_string();
    match letters.next().ok_or_else(broken)? {
        b'0' => Ok(0),
        b'x' => {
            let mut digit = || letters.next().and_then(|digit| char::from(digit).to_digit(16));
            let (high, low) = (digit().ok_or_else(broken)?, digit().ok_or_else(broken)?);
            u8::try_from(high * 16 + low).map_err(|_| broken())
        }
        other => Ok(other),
    }
}
