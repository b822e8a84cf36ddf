//! The gRPC surface of accounts. Whose token it is, and what they may do, is what the account says
//! now: an account that has changed its password believes no token from before.

use crate::accounts::{
    Passwords, UserFields, account_of, contacts, new_password, out_of_reach, outcome_unknown,
    password,
};
use crate::clock::unix_ms;
use crate::proto::user::user_service_server::UserService;
use crate::proto::user::{
    ChangePasswordRequest, ChangePasswordResponse, GetUserRequest, GetUserResponse,
    UpdateUserRequest, UpdateUserResponse, User,
};
use crate::store::{Account, Store};
use crate::tokens::Tokens;
use engines::UserId;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

/// Answers whoever has an account.
#[derive(Clone, Debug)]
pub struct Service {
    pub store: Store,
    /// `None`: nobody has a token.
    pub tokens: Option<Tokens>,
    pub passwords: Passwords,
}

#[tonic::async_trait]
impl UserService for Service {
    async fn get_user(
        &self,
        request: Request<GetUserRequest>,
    ) -> Result<Response<GetUserResponse>, Status> {
        let caller = self.caller(request.metadata()).await?;
        let account = self.reachable(caller, request.get_ref().user_id).await?;
        Ok(Response::new(GetUserResponse {
            code: 0,
            message: String::new(),
            user: Some(User::of(&account)),
        }))
    }

    async fn update_user(
        &self,
        request: Request<UpdateUserRequest>,
    ) -> Result<Response<UpdateUserResponse>, Status> {
        let caller = self.caller(request.metadata()).await?;
        let request = request.into_inner();
        let contacts = contacts(request.email, request.phone)?;
        let user = self.reachable(caller, request.user_id).await?.user;
        let changes = (contacts.email.as_deref(), contacts.phone.as_deref());
        let changed = self.store.change_contacts(user, changes, now_s()).await;
        changed.map_err(|error| outcome_unknown(&error, "asking again is safe"))?;
        let found = self.store.account(user).await;
        let account = found.map_err(|error| out_of_reach(&error))?;
        Ok(Response::new(UpdateUserResponse {
            code: 0,
            message: String::new(),
            user: account.as_ref().map(User::of),
        }))
    }

    async fn change_password(
        &self,
        request: Request<ChangePasswordRequest>,
    ) -> Result<Response<ChangePasswordResponse>, Status> {
        let caller = self.caller(request.metadata()).await?;
        let request = request.into_inner();
        let old = password("old_password", request.old_password)?;
        let new = new_password(&old, request.new_password)?;
        if user_id(request.user_id)?.is_some_and(|user| user != caller.user) {
            return Err(not_found(request.user_id));
        }
        let known = Some(caller.password_hash);
        if !self.passwords.verify(old, known).await? {
            return Err(Status::permission_denied("old_password is wrong"));
        }
        let hash = self.passwords.hash(new).await?;
        let version = caller.token_version;
        let changed = self
            .store
            .change_password(caller.user, version, &hash, now_s())
            .await;
        let changed = changed
            .map_err(|error| outcome_unknown(&error, "which password holds, a login says"))?;
        if !changed {
            return Err(Status::failed_precondition(
                "the password was changed meanwhile; log in again",
            ));
        }
        tracing::info!(user = caller.user.0, "password changed, tokens revoked");
        Ok(Response::new(ChangePasswordResponse {
            code: 0,
            message: String::new(),
        }))
    }
}

impl Service {
    /// The account of who asks, by the token in the metadata.
    async fn caller(&self, metadata: &MetadataMap) -> Result<Account, Status> {
        let Some(tokens) = &self.tokens else {
            return Err(Status::permission_denied(
                "whoever asks needs a token, and jwt.secret is not set",
            ));
        };
        account_of(&self.store, &tokens.caller(metadata)?).await
    }

    /// The account of `user_id` as far as `caller` may see it.
    async fn reachable(&self, caller: Account, id: i64) -> Result<Account, Status> {
        match user_id(id)? {
            None => Ok(caller),
            Some(user) if user == caller.user => Ok(caller),
            Some(user) if caller.is_admin => {
                let found = self.store.account(user).await;
                let found = found.map_err(|error| out_of_reach(&error))?;
                found.ok_or_else(|| not_found(id))
            }
            Some(_) => Err(not_found(id)),
        }
    }
}

/// `None`: one's own.
fn user_id(id: i64) -> Result<Option<UserId>, Status> {
    match id {
        ..0 => Err(Status::invalid_argument(format!(
            "user_id must be positive, or 0 for oneself, got {id}"
        ))),
        0 => Ok(None),
        id => Ok(Some(UserId(id))),
    }
}

/// Whether there is such an account is nobody else's business.
fn not_found(id: i64) -> Status {
    Status::not_found(format!("there is no user {id} that you may see"))
}

fn now_s() -> i64 {
    unix_ms() / 1_000
}
