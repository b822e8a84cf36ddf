//! The gRPC surface of registering and logging in.

use super::counts::Counts;
use crate::accounts::{
    Passwords, UserFields, account_of, contacts, out_of_reach, outcome_unknown, password, username,
};
use crate::clock::unix_ms;
use crate::proto::auth::auth_service_server::AuthService;
use crate::proto::auth::{
    LoginRequest, LoginResponse, RefreshRequest, RefreshResponse, RegisterRequest,
    RegisterResponse, User,
};
use crate::store::{Account, NewAccount, Store};
use crate::tokens::{Role, TOKEN_BYTES_MAX, Tokens};
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Response, Status};

/// Answers everybody.
#[derive(Clone, Debug)]
pub struct Service {
    pub store: Store,
    /// `None`: nobody gets a token.
    pub tokens: Option<Tokens>,
    pub passwords: Passwords,
    pub counts: Arc<Counts>,
    /// How long a token holds.
    pub lifetime: Duration,
}

#[tonic::async_trait]
impl AuthService for Service {
    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        let request = request.into_inner();
        let username = username(request.username)?;
        let password = password("password", request.password)?;
        let contacts = contacts(Some(request.email), Some(request.phone))?;
        // Of a name that is taken no hash is computed.
        let known = self.store.account_named(&username).await;
        if known.map_err(|error| out_of_reach(&error))?.is_some() {
            return Err(taken(&username));
        }
        let new = NewAccount {
            email: contacts.email.unwrap_or_default(),
            phone: contacts.phone.unwrap_or_default(),
            password_hash: self.passwords.hash(password).await?,
            is_admin: false,
            username,
        };
        let created = self.store.create_account(&new, unix_ms() / 1_000).await;
        let created = created.map_err(|error| {
            outcome_unknown(
                &error,
                "if the name is taken when asked again, it is yours: log in",
            )
        })?;
        let account = created.ok_or_else(|| taken(&new.username))?;
        tracing::info!(user = account.user.0, "account made");
        Ok(Response::new(RegisterResponse {
            code: 0,
            message: String::new(),
            user: Some(User::of(&account)),
        }))
    }

    async fn login(
        &self,
        request: Request<LoginRequest>,
    ) -> Result<Response<LoginResponse>, Status> {
        let told = self.log_in(request.into_inner()).await;
        self.counts.login(&told);
        told
    }

    async fn refresh(
        &self,
        request: Request<RefreshRequest>,
    ) -> Result<Response<RefreshResponse>, Status> {
        let token = request.into_inner().token;
        if !(1..=TOKEN_BYTES_MAX).contains(&token.len()) {
            return Err(Status::invalid_argument(format!(
                "token must have 1 to {TOKEN_BYTES_MAX} bytes"
            )));
        }
        let tokens = self.tokens()?;
        let caller = tokens.refreshable(&token)?;
        let account = account_of(&self.store, &caller).await?;
        Ok(Response::new(RefreshResponse {
            code: 0,
            message: String::new(),
            token: self.token_of(tokens, &account)?,
        }))
    }
}

impl Service {
    async fn log_in(&self, request: LoginRequest) -> Result<Response<LoginResponse>, Status> {
        let username = username(request.username)?;
        let password = password("password", request.password)?;
        let tokens = self.tokens()?;
        let known = self.store.account_named(&username).await;
        let known = known.map_err(|error| out_of_reach(&error))?;
        let hash = known.as_ref().map(|account| account.password_hash.clone());
        // Computed also where there is no account: how long it takes tells nobody whether there is.
        let is_right = self.passwords.verify(password, hash).await?;
        let account = known.filter(|_| is_right);
        let account = account
            .ok_or_else(|| Status::unauthenticated("there is no such username and password"))?;
        Ok(Response::new(LoginResponse {
            code: 0,
            message: String::new(),
            token: self.token_of(tokens, &account)?,
            user: Some(User::of(&account)),
        }))
    }

    fn tokens(&self) -> Result<&Tokens, Status> {
        let missing = || Status::failed_precondition("nobody can log in: jwt.secret is not set");
        self.tokens.as_ref().ok_or_else(missing)
    }

    fn token_of(&self, tokens: &Tokens, account: &Account) -> Result<String, Status> {
        let role = match account.is_admin {
            true => Role::Admin,
            false => Role::User,
        };
        let issued = tokens.issue_of(account.user, role, account.token_version, self.lifetime);
        issued.map_err(|error| {
            tracing::error!(%error, "a token cannot be signed");
            Status::internal("no token can be issued")
        })
    }
}

fn taken(username: &str) -> Status {
    Status::already_exists(format!("the username {username} is taken"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Argon2Config, AuthConfig, DatabaseConfig, JwtConfig};
    use tonic::Code;

    #[tokio::test]
    async fn a_login_costs_one_hash_whether_there_is_such_a_user_or_not() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let database = DatabaseConfig {
            url: format!("sqlite://{}", folder.path().join("a.db").display()),
            ..DatabaseConfig::default()
        };
        let registry = engines::Registry::standard();
        let store = Store::migrate(&database, &registry).await;
        let cheap = AuthConfig {
            argon2: Argon2Config {
                memory_kib: 8,
                passes: 1,
                lanes: 1,
            },
            ..AuthConfig::default()
        };
        let jwt = JwtConfig {
            secret: "a key of more than thirty-two bytes, for tests".to_owned(),
            ..JwtConfig::default()
        };
        let service = Service {
            store: store.expect("migrated"),
            tokens: Tokens::new(&jwt),
            passwords: Passwords::new(&cheap).expect("good parameters"),
            counts: Arc::default(),
            lifetime: Duration::from_secs(60),
        };
        let register = || RegisterRequest {
            username: "somebody".to_owned(),
            password: "password123".to_owned(),
            ..RegisterRequest::default()
        };
        let made = service.register(Request::new(register())).await;
        made.expect("a free name");
        let before = service.passwords.computed();
        let again = service.register(Request::new(register())).await;
        assert_eq!(again.expect_err("taken").code(), Code::AlreadyExists);
        assert_eq!(service.passwords.computed(), before, "none is wasted");
        for (username, password, is_right) in [
            ("somebody", "password123", true),
            ("somebody", "password124", false),
            ("nobody", "password123", false),
        ] {
            let before = service.passwords.computed();
            let login = LoginRequest {
                username: username.to_owned(),
                password: password.to_owned(),
            };
            let told = service.login(Request::new(login)).await;
            assert_eq!(told.is_ok(), is_right, "{username}");
            assert_eq!(service.passwords.computed(), before + 1, "{username}");
            if let Err(refused) = told {
                let expected = "there is no such username and password";
                assert_eq!(refused.code(), Code::Unauthenticated);
                assert_eq!(refused.message(), expected);
            }
        }
    }
}
