//! The program's words: any flags and variables give options, or one line that says what to do.

use etched::cli;

/// Words are separated by line ends; one that begins with `ETCD_` is a variable.
pub fn run(data: &[u8]) {
    let (mut arguments, mut variables) = (Vec::new(), Vec::new());
    for word in data.split(|byte| *byte == b'\n') {
        let word = String::from_utf8_lossy(word).into_owned();
        match word.split_once('=') {
            Some((name, value)) if name.starts_with("ETCD_") => {
                variables.push((name.to_owned(), value.to_owned()));
            }
            _ => arguments.push(word),
        }
    }
    let one_line = |error: &String| {
        assert!(!error.is_empty() && !error.contains('\n'), "not one line: {error:?}");
    };
    match cli::read(arguments, variables) {
        Ok(given) => drop(cli::parse(&given).inspect_err(one_line)),
        Err(error) => one_line(&error),
    }
}

/// Command lines of several kinds.
pub fn seeds() -> Vec<Vec<u8>> {
    [
        "--name\na\n--initial-cluster=a=http://127.0.0.1:2380,b=http://[::1]:2380\n-max-wals\n0",
        "ETCD_NAME=x\nETCD_UNSAFE_NO_FSYNC=1\nETCD_WHAT=2\n--version",
        "--election-timeout=50000\n--heartbeat-interval=1000\n--log-level\nwarn\n--quota-backend-bytes=-1",
        "--listen-client-urls\nhttp://localhost:2379,http://0.0.0.0:1\n--listen-peer-urls=https://a:1",
    ]
    .map(|words| words.as_bytes().to_vec())
    .to_vec()
}
