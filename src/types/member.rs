//! A member of the cluster, in etcd's words.

/// One member. The id never changes; URLs and name may.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// etcd's member id (CL9).
    pub id: u64,
    /// Name; empty until the member has published itself (CL7).
    pub name: String,
    /// URLs for other members.
    pub peer_urls: Vec<String>,
    /// URLs for clients; empty until published.
    pub client_urls: Vec<String>,
    /// Whether it is a non-voting learner.
    pub is_learner: bool,
}
