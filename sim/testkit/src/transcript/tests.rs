//! The transcripts against the model, and the text format's own corners.

use super::*;
use crate::model::Model;

macro_rules! transcripts {
    ($($name:ident: $file:literal;)*) => {
        $(#[test]
        fn $name() {
            let text = include_str!(concat!("../../../../tests/data/", $file, ".transcript"));
            run($file, text, &mut Model::new()).unwrap_or_else(|why| panic!("{why}"));
        })*
    };
}

transcripts! {
    range: "range";
    put_delete: "put-delete";
    txn: "txn";
    compact: "compact";
}

#[test]
fn errors_name_the_line() {
    assert_eq!(parse("t", "fly a\n= rev 1\n").unwrap_err(), "t:1: `fly` is no request");
    assert_eq!(parse("t", "\nget a color=red\n= rev 1").unwrap_err(), "t:2: `color` is no option of `get`");
    assert_eq!(parse("t", "= rev 1").unwrap_err(), "t:1: an answer without a request");
    assert_eq!(parse("t", "get a").unwrap_err(), "t:1: a request without an answer");
    assert_eq!(parse("t", "get \"a").unwrap_err(), "t:1: a quote is not closed");
    let wrong = run("t", "put a 1\n= rev 9\n", &mut Model::new()).unwrap_err();
    assert_eq!(wrong, "t:1: expected\n= rev 9\ngot\n= rev 2\n");
}
