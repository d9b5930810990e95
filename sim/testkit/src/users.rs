//! A deliberately simple model of users and roles: who may do what, by plain loops (A1, A2, A6–A9, A11).

use std::collections::{BTreeMap, BTreeSet};

use etched_proto::etcdserverpb as pb;
use pb::request_op::Request as Op;

use crate::Request;

/// A range of keys on the wire: key and range_end.
pub type Range = (Vec<u8>, Vec<u8>);

/// A change of users or roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// AuthEnable.
    Enable,
    /// AuthDisable.
    Disable,
    /// UserAdd.
    UserAdd(String),
    /// UserDelete.
    UserDelete(String),
    /// UserChangePassword.
    UserChangePassword(String),
    /// UserGrantRole: user, role.
    UserGrantRole(String, String),
    /// UserRevokeRole: user, role.
    UserRevokeRole(String, String),
    /// RoleAdd.
    RoleAdd(String),
    /// RoleDelete.
    RoleDelete(String),
    /// RoleGrantPermission: role, what.
    Grant(String, Permission),
    /// RoleRevokePermission: role, range.
    Revoke(String, Range),
}

/// What a role may do to a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// See the records.
    pub read: bool,
    /// Change them.
    pub write: bool,
    /// To which keys.
    pub range: Range,
}

/// All users and roles.
#[derive(Clone, Debug, Default)]
pub struct Users {
    enabled: bool,
    /// Users with their roles.
    users: BTreeMap<String, BTreeSet<String>>,
    roles: BTreeMap<String, Vec<Permission>>,
}

const ROOT: &str = "root";

impl Users {
    /// Whether requests are checked.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Carries out a change of `user`; errors are the texts of etcd's errors, and change nothing.
    pub fn apply(&mut self, user: Option<&str>, change: &Change) -> Result<(), &'static str> {
        if self.enabled {
            let roles = user.map(|user| self.users.get(user));
            match roles {
                None => return Err("etcdserver: user name is empty"),
                Some(None) => return Err("etcdserver: user name not found"),
                Some(Some(roles)) if !roles.contains(ROOT) => return Err("etcdserver: permission denied"),
                Some(Some(_)) => {}
            }
        }
        self.carry_out(change)
    }

    fn carry_out(&mut self, change: &Change) -> Result<(), &'static str> {
        const NO_USER: &str = "etcdserver: user name not found";
        const NO_ROLE: &str = "etcdserver: role name not found";
        const PROTECTED: &str = "etcdserver: invalid auth management";
        match change {
            Change::Enable if !self.enabled => {
                let root = self.users.get(ROOT).ok_or("etcdserver: root user does not exist")?;
                if !root.contains(ROOT) {
                    return Err("etcdserver: root user does not have root role");
                }
                self.enabled = true;
            }
            Change::Enable => {}
            Change::Disable => self.enabled = false,
            Change::UserAdd(name) => {
                if self.users.contains_key(name) {
                    return Err("etcdserver: user name already exists");
                }
                self.users.insert(name.clone(), BTreeSet::new());
            }
            Change::UserDelete(name) if self.enabled && name == ROOT => return Err(PROTECTED),
            Change::UserDelete(name) => drop(self.users.remove(name).ok_or(NO_USER)?),
            Change::UserChangePassword(name) => {
                self.users.get(name).ok_or(NO_USER)?;
            }
            Change::UserGrantRole(user, role) => {
                let roles = self.users.get_mut(user).ok_or(NO_USER)?;
                if role != ROOT && !self.roles.contains_key(role) {
                    return Err(NO_ROLE);
                }
                roles.insert(role.clone());
            }
            Change::UserRevokeRole(user, role) if self.enabled && user == ROOT && role == ROOT => {
                return Err(PROTECTED);
            }
            Change::UserRevokeRole(user, role) => {
                if !self.users.get_mut(user).ok_or(NO_USER)?.remove(role) {
                    return Err("etcdserver: role is not granted to the user");
                }
            }
            Change::RoleAdd(name) => {
                if self.roles.contains_key(name) {
                    return Err("etcdserver: role name already exists");
                }
                self.roles.insert(name.clone(), Vec::new());
            }
            Change::RoleDelete(name) if self.enabled && name == ROOT => return Err(PROTECTED),
            Change::RoleDelete(name) => {
                self.roles.remove(name).ok_or(NO_ROLE)?;
                self.users.values_mut().for_each(|roles| roles.retain(|role| role != name));
            }
            Change::Grant(role, permission) => {
                let permissions = self.roles.get_mut(role).ok_or(NO_ROLE)?;
                permissions.retain(|one| one.range != permission.range);
                permissions.push(permission.clone());
            }
            Change::Revoke(role, range) => {
                let permissions = self.roles.get_mut(role).ok_or(NO_ROLE)?;
                let before = permissions.len();
                permissions.retain(|one| one.range != *range);
                if permissions.len() == before {
                    return Err("etcdserver: permission is not granted to the role");
                }
            }
        }
        Ok(())
    }

    /// Whether `user` may do all that `request` does. Leases are not looked at.
    pub fn permits(&self, user: Option<&str>, request: &Request) -> bool {
        match request {
            Request::Range(range) => self.may(user, &range.key, &range.range_end, true, false),
            Request::Put(put) => self.may_put(user, put),
            Request::DeleteRange(delete) => self.may_delete(user, delete),
            Request::Txn(txn) => self.may_txn(user, txn),
            Request::Compact(_) | Request::LeaseGrant(_) | Request::LeaseRevoke(_) => !self.enabled,
        }
    }

    /// Whether `user` may watch.
    pub fn permits_watch(&self, user: Option<&str>, key: &[u8], range_end: &[u8]) -> bool {
        self.may(user, if key.is_empty() { &[0] } else { key }, range_end, true, false)
    }

    fn may_put(&self, user: Option<&str>, put: &pb::PutRequest) -> bool {
        self.may(user, &put.key, b"", put.prev_kv, true)
    }

    fn may_delete(&self, user: Option<&str>, delete: &pb::DeleteRangeRequest) -> bool {
        self.may(user, &delete.key, &delete.range_end, delete.prev_kv, true)
    }

    fn may_txn(&self, user: Option<&str>, txn: &pb::TxnRequest) -> bool {
        let compares =
            txn.compare.iter().all(|compare| self.may(user, &compare.key, &compare.range_end, true, false));
        compares
            && txn.success.iter().chain(&txn.failure).all(|op| match &op.request {
                Some(Op::RequestRange(range)) => self.may(user, &range.key, &range.range_end, true, false),
                Some(Op::RequestPut(put)) => self.may_put(user, put),
                Some(Op::RequestDeleteRange(delete)) => self.may_delete(user, delete),
                Some(Op::RequestTxn(nested)) => self.may_txn(user, nested),
                None => true,
            })
    }

    fn may(&self, user: Option<&str>, key: &[u8], end: &[u8], read: bool, write: bool) -> bool {
        if !self.enabled {
            return true;
        }
        let Some(roles) = user.and_then(|user| self.users.get(user)) else { return false };
        if roles.contains(ROOT) {
            return true;
        }
        let granted = |wanted: fn(&Permission) -> bool| -> Vec<&Range> {
            let permissions = roles.iter().filter_map(|role| self.roles.get(role)).flatten();
            permissions.filter(|one| wanted(one)).map(|one| &one.range).collect()
        };
        (!read || covered(&granted(|one| one.read), key, end))
            && (!write || covered(&granted(|one| one.write), key, end))
    }
}

/// Whether every key from `key` to before `end` lies in one of `ranges`: whoever stands at a key steps to
/// the farthest end of a range that holds it, until that is far enough.
fn covered(ranges: &[&Range], key: &[u8], end: &[u8]) -> bool {
    let wanted = end_of(key, end);
    let mut at = key.to_vec();
    loop {
        let holds = |range: &&&Range| {
            range.0.as_slice() <= at.as_slice() && end_of(&range.0, &range.1).is_none_or(|end| at < end)
        };
        let ends: Vec<Option<Vec<u8>>> =
            ranges.iter().filter(holds).map(|range| end_of(&range.0, &range.1)).collect();
        if ends.is_empty() {
            return false;
        }
        if ends.iter().any(Option::is_none) {
            return true;
        }
        let farthest = ends.into_iter().flatten().max().expect("not empty");
        if wanted.as_ref().is_some_and(|wanted| *wanted <= farthest) {
            return true;
        }
        at = farthest;
    }
}

/// The first key behind a range; `None` for one without an end.
fn end_of(key: &[u8], end: &[u8]) -> Option<Vec<u8>> {
    match end {
        [] => Some([key, &[0]].concat()),
        [0] => None,
        end => Some(end.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(key: &str, end: &str) -> Range {
        (key.into(), end.into())
    }

    #[test]
    fn ranges_cover_together() {
        let [one, two, from] = [range("a", "c"), range("c", ""), range("c\0", "\0")];
        assert!(covered(&[&one], b"b", b"c") && !covered(&[&one], b"b", b"c\0"));
        assert!(covered(&[&one, &two], b"a", b"c\0") && !covered(&[&one, &two], b"a", b"d"));
        assert!(covered(&[&one, &two, &from], b"a", b"\0") && !covered(&[&one, &from], b"a", b"\0"));
        assert!(!covered(&[], b"a", b""));
    }

    #[test]
    fn who_may_change_and_do() {
        let mut users = Users::default();
        let change = |users: &mut Users, user, change| users.apply(user, &change);
        assert!(change(&mut users, None, Change::Enable).is_err());
        for name in ["root", "ann"] {
            change(&mut users, None, Change::UserAdd(name.into())).unwrap();
        }
        change(&mut users, None, Change::RoleAdd("r".into())).unwrap();
        let permission = Permission { read: true, write: false, range: range("a", "c") };
        change(&mut users, None, Change::Grant("r".into(), permission)).unwrap();
        change(&mut users, None, Change::UserGrantRole("ann".into(), "r".into())).unwrap();
        change(&mut users, None, Change::UserGrantRole("root".into(), "root".into())).unwrap();
        change(&mut users, None, Change::Enable).unwrap();
        let get = Request::Range(pb::RangeRequest { key: "a".into(), ..Default::default() });
        let put = Request::Put(pb::PutRequest { key: "a".into(), ..Default::default() });
        assert!(users.permits(Some("ann"), &get) && !users.permits(Some("ann"), &put));
        assert!(users.permits(Some("root"), &put) && !users.permits(None, &get));
        assert!(
            users.permits_watch(Some("ann"), b"b", b"") && !users.permits_watch(Some("ann"), b"b", b"\0")
        );
        assert!(change(&mut users, Some("ann"), Change::Disable).is_err());
        assert!(change(&mut users, Some("root"), Change::UserDelete("root".into())).is_err());
        change(&mut users, Some("root"), Change::RoleDelete("r".into())).unwrap();
        assert!(!users.permits(Some("ann"), &get));
        change(&mut users, Some("root"), Change::Disable).unwrap();
        assert!(users.permits(None, &put));
    }
}
