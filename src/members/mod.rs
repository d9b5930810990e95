//! The replicated list of members: the one source of names and URLs.

pub mod id;

use im::OrdMap;

use crate::types::Member;

/// Members by id. A clone copies a pointer.
#[derive(Clone, Debug, Default)]
pub struct Members(OrdMap<u64, Member>);

impl Members {
    /// Sets what a member says about itself (CL11); returns what was known of it before.
    pub fn publish(&mut self, member: Member) -> Option<Member> {
        self.0.insert(member.id, member)
    }

    /// The member `id`.
    pub fn get(&self, id: u64) -> Option<&Member> {
        self.0.get(&id)
    }

    /// All members, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.0.values()
    }
}

#[cfg(test)]
mod tests {
    use super::Members;
    use crate::types::Member;

    #[test]
    fn cl11_publish_replaces() {
        let member = |id, name: &str| Member { id, name: name.to_owned(), ..Member::default() };
        let mut members = Members::default();
        assert_eq!(members.publish(member(2, "two")), None);
        assert_eq!(members.publish(member(1, "")), None);
        assert_eq!(members.publish(member(1, "one")), Some(member(1, "")));
        assert_eq!(members.iter().cloned().collect::<Vec<_>>(), [member(1, "one"), member(2, "two")]);
        assert_eq!(members.get(3), None);
    }
}
