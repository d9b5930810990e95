//! A member that was started with another initial cluster must take no part: nobody votes for it, it
//! leads nobody and applies nothing of the others'.

use etched::runtime::{Observation, Role};

use crate::check::{Checked, Violation};

/// What is known of the stranger.
#[derive(Debug, Default)]
pub struct Stranger {
    member: Option<u64>,
}

fn violation(what: &str) -> Checked {
    Err(Violation::new("bootstrap", format!("a member with another initial cluster {what}")))
}

impl Stranger {
    /// Checks what the stranger reported.
    pub fn observe(&mut self, observation: &Observation) -> Checked {
        match observation {
            Observation::Recovered { member, .. } => {
                self.member = Some(*member);
                Ok(())
            }
            Observation::RoleChanged { role: Role::Leader, .. } => violation("leads"),
            Observation::RoleChanged { leader: Some(_), .. } => violation("knows a leader"),
            Observation::VoteGranted { .. } => violation("voted"),
            Observation::Committed(_) => violation("commits"),
            _ => Ok(()),
        }
    }

    /// Checks what the others reported while the stranger was there.
    pub fn is_left_out(&mut self, observation: &Observation) -> Checked {
        match observation {
            // It has come back as one of them.
            Observation::Recovered { member, .. } if self.member == Some(*member) => {
                self.member = None;
                Ok(())
            }
            Observation::VoteGranted { candidate, .. } if self.member == Some(*candidate) => {
                violation("was voted for")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etched::types::LogPosition;

    fn recovered(member: u64) -> Observation {
        Observation::Recovered {
            member,
            incarnation: 1,
            applied: None,
            digest: 0,
            last_log: None,
            vote: None,
        }
    }

    #[test]
    fn a_stranger_that_takes_part_is_seen() {
        let mut stranger = Stranger::default();
        assert!(stranger.observe(&recovered(7)).is_ok());
        let voted = Observation::VoteGranted { term: 1, candidate: 7 };
        assert!(stranger.is_left_out(&voted).is_err());
        assert!(stranger.observe(&voted).is_err());
        let position = LogPosition { term: 1, leader: 0, index: 0 };
        assert!(stranger.observe(&Observation::Committed(position)).is_err());
        let leads = Observation::RoleChanged { term: 1, role: Role::Leader, leader: Some(7) };
        assert!(stranger.observe(&leads).is_err());
        assert!(stranger.is_left_out(&recovered(7)).is_ok() && stranger.is_left_out(&voted).is_ok());
    }
}
