//! The table of errors a client can see (etcd-surface section 2). Texts are byte-exact because
//! clients match on them; codes are what really travels.

use std::fmt;

/// gRPC status codes, by their numbers on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Code {
    /// The operation was cancelled.
    Canceled = 1,
    /// No better code.
    Unknown = 2,
    /// The request is wrong, whatever the state.
    InvalidArgument = 3,
    /// The deadline passed.
    DeadlineExceeded = 4,
    /// Something asked for is not there.
    NotFound = 5,
    /// Not allowed.
    PermissionDenied = 7,
    /// A bound was reached.
    ResourceExhausted = 8,
    /// The state does not allow it.
    FailedPrecondition = 9,
    /// Outside the valid range.
    OutOfRange = 11,
    /// Not offered.
    Unimplemented = 12,
    /// Try again later.
    Unavailable = 14,
    /// Data was lost.
    DataLoss = 15,
    /// Who are you?
    Unauthenticated = 16,
}

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident, $code:ident, $text:literal;)*) => {
        /// An error a client can see.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Error { $($(#[$doc])* $name,)* }

        impl Error {
            /// Every error, in the table's order.
            pub const ALL: &'static [Error] = &[$(Error::$name,)*];

            /// The code that travels.
            pub const fn code(self) -> Code {
                match self { $(Error::$name => Code::$code,)* }
            }

            /// The exact text.
            pub const fn text(self) -> &'static str {
                match self { $(Error::$name => $text,)* }
            }
        }
    };
}

errors! {
    /// #1
    EmptyKey, InvalidArgument, "etcdserver: key is not provided";
    /// #2
    KeyNotFound, InvalidArgument, "etcdserver: key not found";
    /// #3
    ValueProvided, InvalidArgument, "etcdserver: value is provided";
    /// #4
    LeaseProvided, InvalidArgument, "etcdserver: lease is provided";
    /// #5
    TooManyOps, InvalidArgument, "etcdserver: too many operations in txn request";
    /// #6
    DuplicateKey, InvalidArgument, "etcdserver: duplicate key given in txn request";
    /// #7
    InvalidClientApiVersion, InvalidArgument, "etcdserver: invalid client api version";
    /// #8
    InvalidSortOption, InvalidArgument, "etcdserver: invalid sort option";
    /// #9
    Compacted, OutOfRange, "etcdserver: mvcc: required revision has been compacted";
    /// #10
    FutureRevision, OutOfRange, "etcdserver: mvcc: required revision is a future revision";
    /// #11
    NoSpace, ResourceExhausted, "etcdserver: mvcc: database space exceeded";
    /// #12
    LeaseNotFound, NotFound, "etcdserver: requested lease not found";
    /// #13
    LeaseExists, FailedPrecondition, "etcdserver: lease already exists";
    /// #14
    LeaseTtlTooLarge, OutOfRange, "etcdserver: too large lease TTL";
    /// #15
    WatchCanceled, Canceled, "etcdserver: watch canceled";
    /// #16
    MemberExists, FailedPrecondition, "etcdserver: member ID already exist";
    /// #17
    PeerUrlExists, FailedPrecondition, "etcdserver: Peer URLs already exists";
    /// #18
    NotEnoughStartedMembers, Unknown, "etcdserver: re-configuration failed due to not enough started members";
    /// #19
    MemberBadUrls, InvalidArgument, "etcdserver: given member URLs are invalid";
    /// #20
    MemberNotFound, NotFound, "etcdserver: member not found";
    /// #21
    MemberNotLearner, FailedPrecondition, "etcdserver: can only promote a learner member";
    /// #22
    LearnerNotReady, FailedPrecondition, "etcdserver: can only promote a learner member which is in sync with leader";
    /// #23
    TooManyLearners, FailedPrecondition, "etcdserver: too many learner members in cluster";
    /// #24
    ClusterIdMismatch, FailedPrecondition, "etcdserver: cluster ID mismatch";
    /// #25
    RequestTooLarge, InvalidArgument, "etcdserver: request is too large";
    /// #26
    TooManyRequests, Unknown, "etcdserver: too many requests";
    /// #27
    RootUserNotExist, FailedPrecondition, "etcdserver: root user does not exist";
    /// #28
    RootRoleNotExist, FailedPrecondition, "etcdserver: root user does not have root role";
    /// #29
    UserAlreadyExist, FailedPrecondition, "etcdserver: user name already exists";
    /// #30
    UserEmpty, InvalidArgument, "etcdserver: user name is empty";
    /// #31
    UserNotFound, FailedPrecondition, "etcdserver: user name not found";
    /// #32
    RoleAlreadyExist, FailedPrecondition, "etcdserver: role name already exists";
    /// #33
    RoleNotFound, FailedPrecondition, "etcdserver: role name not found";
    /// #34
    RoleEmpty, InvalidArgument, "etcdserver: role name is empty";
    /// #35
    AuthFailed, InvalidArgument, "etcdserver: authentication failed, invalid user ID or password";
    /// #36
    PermissionNotGiven, InvalidArgument, "etcdserver: permission not given";
    /// #37
    PermissionDenied, PermissionDenied, "etcdserver: permission denied";
    /// #38
    RoleNotGranted, FailedPrecondition, "etcdserver: role is not granted to the user";
    /// #39
    PermissionNotGranted, FailedPrecondition, "etcdserver: permission is not granted to the role";
    /// #40
    AuthNotEnabled, FailedPrecondition, "etcdserver: authentication is not enabled";
    /// #41
    InvalidAuthToken, Unauthenticated, "etcdserver: invalid auth token";
    /// #42
    InvalidAuthMgmt, InvalidArgument, "etcdserver: invalid auth management";
    /// #43
    AuthOldRevision, InvalidArgument, "etcdserver: revision of auth store is old";
    /// A password was given for a user that has none, or a hash that is none (A13, A18).
    NoPasswordUser, Unknown, "auth: authentication failed, password was given for no password user";
    /// A18.
    PasswordTooLong, Unknown, "bcrypt: password length exceeds 72 bytes";
    /// #44
    NoLeader, Unavailable, "etcdserver: no leader";
    /// #45
    NotLeader, FailedPrecondition, "etcdserver: not leader";
    /// #46
    LeaderChanged, Unavailable, "etcdserver: leader changed";
    /// #47
    NotCapable, FailedPrecondition, "etcdserver: not capable";
    /// #48
    Stopped, Unavailable, "etcdserver: server stopped";
    /// #49
    Timeout, Unavailable, "etcdserver: request timed out";
    /// #50
    TimeoutDueToLeaderFail, Unavailable, "etcdserver: request timed out, possibly due to previous leader failure";
    /// #51
    TimeoutDueToConnectionLost, Unavailable, "etcdserver: request timed out, possibly due to connection lost";
    /// #52
    TimeoutWaitAppliedIndex, Unavailable, "etcdserver: request timed out, waiting for the applied index took too long";
    /// #53
    Unhealthy, Unavailable, "etcdserver: unhealthy cluster";
    /// #54
    Corrupt, DataLoss, "etcdserver: corrupt cluster";
    /// #55
    NotSupportedForLearner, FailedPrecondition, "etcdserver: rpc not supported for learner";
    /// #56
    BadLeaderTransferee, FailedPrecondition, "etcdserver: bad leader transferee";
    /// #62
    RequestCanceled, Canceled, "etcdserver: request canceled";
    /// #63
    DeadlineExceeded, DeadlineExceeded, "context deadline exceeded";
    /// A key in a queue of locks or candidates went away before its turn.
    SessionExpired, Unknown, "mutex: session is expired";
    /// E3: the key of a leader is not, or not any more, what was given.
    ElectionNotLeader, Unknown, "election: not leader";
    /// E4.
    ElectionNoLeader, Unknown, "election: no leader";
    /// E3.
    LeaderKeyMissing, Unknown, "\"leader\" field must be provided";
    /// Exactly-once: one number without the other, or no number.
    RetryNumbers, InvalidArgument, "etched: etched-client-id and etched-client-sequence are whole numbers from 1 and come together";
    /// Exactly-once: what is remembered of an answer has no records.
    RetryWithRecords, InvalidArgument, "etched: a numbered write cannot ask for records back";
    /// Exactly-once: the outcome of this number is not remembered any more.
    RetryTooOld, FailedPrecondition, "etched: a later write of this client was applied; what became of this one is not known";
    /// Exactly-once: one number for two different writes.
    RetryMismatch, FailedPrecondition, "etched: another write of this client was applied with this number";
    /// A byte budget over all requests is used up.
    ReadBudgetExhausted, ResourceExhausted, "etcdserver: too many bytes in flight for reads, try again later";
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for Error {}
