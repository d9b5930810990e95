//! etcdserverpb.Auth: users, roles and tokens (A1–A18).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use etched_proto::authpb;
use etched_proto::etcdserverpb as pb;
use tonic::{Request, Response, Status};

use super::context::{anonymous, context};
use super::status::status;
use super::translate::response_header;
use crate::node::api::Header;
use crate::node::{Node, Password};
use crate::runtime::Runtime;
use crate::types::{Access, AuthCommand, Error, KeyRange, Permission};

/// The Auth service of one member.
pub(super) struct Auth<R: Runtime>(pub Node<R>);

impl<R: Runtime> Auth<R> {
    /// Changes users or roles; answers the header.
    async fn change<T>(&self, request: &Request<T>, command: AuthCommand) -> Result<Header, Status> {
        let context = context(&self.0, request.metadata()).await?;
        self.0.auth_change(command, context).await.map_err(status)
    }
}

/// A18: the hash counts when no password is given.
fn password(plain: String, hashed: &str) -> Result<Password, Status> {
    if !plain.is_empty() || hashed.is_empty() {
        return Ok(Password::Plain(plain));
    }
    let hash = STANDARD.decode(hashed).map_err(|_| status(Error::NoPasswordUser))?;
    Ok(Password::Hash(hash))
}

fn permission(given: Option<&authpb::Permission>) -> Result<Permission, Status> {
    use authpb::permission::Type;
    let given = given.ok_or_else(|| status(Error::PermissionNotGiven))?;
    let access = match Type::try_from(given.perm_type) {
        Ok(Type::Read) => Access::Read,
        Ok(Type::Write) => Access::Write,
        Ok(Type::Readwrite) => Access::ReadWrite,
        Err(_) => return Err(status(Error::InvalidAuthMgmt)),
    };
    Ok(Permission { access, range: KeyRange::new(given.key.clone(), given.range_end.clone()) })
}

fn shown(permission: Permission) -> authpb::Permission {
    use authpb::permission::Type;
    let perm_type = match permission.access {
        Access::Read => Type::Read,
        Access::Write => Type::Write,
        Access::ReadWrite => Type::Readwrite,
    };
    let KeyRange { key, range_end } = permission.range;
    authpb::Permission { perm_type: perm_type.into(), key, range_end }
}

/// What the role root may do, which no list of permissions says.
fn everything() -> Vec<Permission> {
    vec![Permission { access: Access::ReadWrite, range: KeyRange::new("", "\0") }]
}

fn header(header: &Header) -> Option<pb::ResponseHeader> {
    Some(response_header(header))
}

#[tonic::async_trait]
impl<R: Runtime> pb::auth_server::Auth for Auth<R> {
    async fn auth_enable(
        &self,
        request: Request<pb::AuthEnableRequest>,
    ) -> Result<Response<pb::AuthEnableResponse>, Status> {
        let of = self.change(&request, AuthCommand::Enable).await?;
        Ok(Response::new(pb::AuthEnableResponse { header: header(&of) }))
    }

    async fn auth_disable(
        &self,
        request: Request<pb::AuthDisableRequest>,
    ) -> Result<Response<pb::AuthDisableResponse>, Status> {
        let of = self.change(&request, AuthCommand::Disable).await?;
        Ok(Response::new(pb::AuthDisableResponse { header: header(&of) }))
    }

    async fn auth_status(
        &self,
        request: Request<pb::AuthStatusRequest>,
    ) -> Result<Response<pb::AuthStatusResponse>, Status> {
        let context = context(&self.0, request.metadata()).await?;
        let (enabled, auth_revision, of) = self.0.auth_status(context).await.map_err(status)?;
        Ok(Response::new(pb::AuthStatusResponse { header: header(&of), enabled, auth_revision }))
    }

    /// Whoever logs in shows a password and no token, which may have ended.
    async fn authenticate(
        &self,
        request: Request<pb::AuthenticateRequest>,
    ) -> Result<Response<pb::AuthenticateResponse>, Status> {
        let context = anonymous(&self.0, request.metadata())?;
        let pb::AuthenticateRequest { name, password } = request.into_inner();
        let (token, of) = self.0.authenticate(name, password, context).await.map_err(status)?;
        Ok(Response::new(pb::AuthenticateResponse { header: header(&of), token }))
    }

    async fn user_add(
        &self,
        request: Request<pb::AuthUserAddRequest>,
    ) -> Result<Response<pb::AuthUserAddResponse>, Status> {
        let context = context(&self.0, request.metadata()).await?;
        let given = request.into_inner();
        let no_password = given.options.is_some_and(|options| options.no_password);
        let password =
            if no_password { None } else { Some(password(given.password, &given.hashed_password)?) };
        let of = self.0.user_add(given.name, password, context).await.map_err(status)?;
        Ok(Response::new(pb::AuthUserAddResponse { header: header(&of) }))
    }

    async fn user_get(
        &self,
        request: Request<pb::AuthUserGetRequest>,
    ) -> Result<Response<pb::AuthUserGetResponse>, Status> {
        let context = context(&self.0, request.metadata()).await?;
        let (roles, of) = self.0.user_get(&request.get_ref().name, context).await.map_err(status)?;
        Ok(Response::new(pb::AuthUserGetResponse { header: header(&of), roles }))
    }

    async fn user_list(
        &self,
        request: Request<pb::AuthUserListRequest>,
    ) -> Result<Response<pb::AuthUserListResponse>, Status> {
        let context = context(&self.0, request.metadata()).await?;
        let (users, of) = self.0.user_list(context).await.map_err(status)?;
        Ok(Response::new(pb::AuthUserListResponse { header: header(&of), users }))
    }

    async fn user_change_password(
        &self,
        request: Request<pb::AuthUserChangePasswordRequest>,
    ) -> Result<Response<pb::AuthUserChangePasswordResponse>, Status> {
        let context = context(&self.0, request.metadata()).await?;
        let pb::AuthUserChangePasswordRequest { name, password: plain, hashed_password } =
            request.into_inner();
        let password = match plain.is_empty() {
            // As in etcd: without either nobody can log in.
            true => {
                Password::Hash(STANDARD.decode(hashed_password).map_err(|_| status(Error::NoPasswordUser))?)
            }
            false => Password::Plain(plain),
        };
        let of = self.0.user_change_password(name, password, context).await.map_err(status)?;
        Ok(Response::new(pb::AuthUserChangePasswordResponse { header: header(&of) }))
    }

    async fn role_get(
        &self,
        request: Request<pb::AuthRoleGetRequest>,
    ) -> Result<Response<pb::AuthRoleGetResponse>, Status> {
        let context = context(&self.0, request.metadata()).await?;
        let (permissions, of) = self.0.role_get(&request.get_ref().role, context).await.map_err(status)?;
        let perm = permissions.unwrap_or_else(everything).into_iter().map(shown).collect();
        Ok(Response::new(pb::AuthRoleGetResponse { header: header(&of), perm }))
    }

    async fn role_list(
        &self,
        request: Request<pb::AuthRoleListRequest>,
    ) -> Result<Response<pb::AuthRoleListResponse>, Status> {
        let context = context(&self.0, request.metadata()).await?;
        let (roles, of) = self.0.role_list(context).await.map_err(status)?;
        Ok(Response::new(pb::AuthRoleListResponse { header: header(&of), roles }))
    }

    async fn user_delete(
        &self,
        request: Request<pb::AuthUserDeleteRequest>,
    ) -> Result<Response<pb::AuthUserDeleteResponse>, Status> {
        let command = AuthCommand::UserDelete { name: request.get_ref().name.clone() };
        let of = self.change(&request, command).await?;
        Ok(Response::new(pb::AuthUserDeleteResponse { header: header(&of) }))
    }

    async fn user_grant_role(
        &self,
        request: Request<pb::AuthUserGrantRoleRequest>,
    ) -> Result<Response<pb::AuthUserGrantRoleResponse>, Status> {
        let pb::AuthUserGrantRoleRequest { user, role } = request.get_ref().clone();
        let of = self.change(&request, AuthCommand::UserGrantRole { user, role }).await?;
        Ok(Response::new(pb::AuthUserGrantRoleResponse { header: header(&of) }))
    }

    async fn user_revoke_role(
        &self,
        request: Request<pb::AuthUserRevokeRoleRequest>,
    ) -> Result<Response<pb::AuthUserRevokeRoleResponse>, Status> {
        let pb::AuthUserRevokeRoleRequest { name: user, role } = request.get_ref().clone();
        let of = self.change(&request, AuthCommand::UserRevokeRole { user, role }).await?;
        Ok(Response::new(pb::AuthUserRevokeRoleResponse { header: header(&of) }))
    }

    async fn role_add(
        &self,
        request: Request<pb::AuthRoleAddRequest>,
    ) -> Result<Response<pb::AuthRoleAddResponse>, Status> {
        let command = AuthCommand::RoleAdd { name: request.get_ref().name.clone() };
        let of = self.change(&request, command).await?;
        Ok(Response::new(pb::AuthRoleAddResponse { header: header(&of) }))
    }

    async fn role_delete(
        &self,
        request: Request<pb::AuthRoleDeleteRequest>,
    ) -> Result<Response<pb::AuthRoleDeleteResponse>, Status> {
        let command = AuthCommand::RoleDelete { name: request.get_ref().role.clone() };
        let of = self.change(&request, command).await?;
        Ok(Response::new(pb::AuthRoleDeleteResponse { header: header(&of) }))
    }

    async fn role_grant_permission(
        &self,
        request: Request<pb::AuthRoleGrantPermissionRequest>,
    ) -> Result<Response<pb::AuthRoleGrantPermissionResponse>, Status> {
        let permission = permission(request.get_ref().perm.as_ref())?;
        let command = AuthCommand::RoleGrantPermission { role: request.get_ref().name.clone(), permission };
        let of = self.change(&request, command).await?;
        Ok(Response::new(pb::AuthRoleGrantPermissionResponse { header: header(&of) }))
    }

    async fn role_revoke_permission(
        &self,
        request: Request<pb::AuthRoleRevokePermissionRequest>,
    ) -> Result<Response<pb::AuthRoleRevokePermissionResponse>, Status> {
        let pb::AuthRoleRevokePermissionRequest { role, key, range_end } = request.get_ref().clone();
        let command = AuthCommand::RoleRevokePermission { role, range: KeyRange::new(key, range_end) };
        let of = self.change(&request, command).await?;
        Ok(Response::new(pb::AuthRoleRevokePermissionResponse { header: header(&of) }))
    }
}
