//! What a checker says when it fires.

use std::fmt;

/// One broken rule: the checker's name as it stands in verdicts and in the list of planted bugs,
/// and a sentence that names node, index, revision or operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The checker: `stale-read`, `watch-atomic`, `R1`, `C5` ...
    pub checker: &'static str,
    /// What was seen, and what should have been.
    pub message: String,
}

impl Violation {
    /// A violation of the rule `checker`.
    pub fn new(checker: &'static str, message: impl Into<String>) -> Self {
        Violation { checker, message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.checker, self.message)
    }
}

/// What a check of one event says.
pub type Checked = Result<(), Violation>;

/// Fails with a violation whose message is formatted like `format!`.
macro_rules! violation {
    ($checker:expr, $($message:tt)*) => {
        return Err($crate::check::Violation::new($checker, format!($($message)*)))
    };
}
pub(crate) use violation;
