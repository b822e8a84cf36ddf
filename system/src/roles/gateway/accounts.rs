//! Registering, logging in, and one's own account.

use super::answer::{Done, Nothing, Refusal, Refused, done};
use super::app::{App, Identity};
use super::guard::addresses::ClientAddress;
use super::guard::rates::{Bucket, Key};
use super::input::{Sent, id};
use crate::proto::{auth, user};
use crate::tokens::token_in;
use axum::Extension;
use axum::extract::{Path, State};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What one's own account is called.
const OWN: &str = "me";

/// An account.
#[derive(Debug, Serialize, ToSchema)]
pub struct User {
    id: i64,
    username: String,
    email: String,
    phone: String,
    /// Unix s.
    created_at: i64,
    /// Unix s.
    updated_at: i64,
}

macro_rules! shown {
    ($($message:ty),+) => {
        $(impl From<$message> for User {
            fn from(user: $message) -> Self {
                Self {
                    id: user.id,
                    username: user.username,
                    email: user.email,
                    phone: user.phone,
                    created_at: user.created_at,
                    updated_at: user.updated_at,
                }
            }
        })+
    };
}

shown!(auth::User, user::User);

#[derive(Debug, Serialize, ToSchema)]
pub struct OneUser {
    user: Option<User>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct LoggedIn {
    /// For `Authorization: Bearer <token>`.
    token: String,
    user: Option<User>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Refreshed {
    /// For `Authorization: Bearer <token>`.
    token: String,
}

/// A new account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// 3 to 32 characters of A-Z, a-z, 0-9, _, . and -; unique in whatever case.
    #[schema(pattern = r"^[A-Za-z0-9_.-]{3,32}$")]
    username: String,
    /// 8 to 128 bytes.
    #[schema(min_length = 8, max_length = 128)]
    password: String,
    #[serde(default)]
    #[schema(
        max_length = 254,
        pattern = r"^([!-?A-~]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+)?$"
    )]
    email: String,
    /// 5 to 15 digits, with or without a + in front.
    #[serde(default)]
    #[schema(pattern = r"^(\+?[0-9]{5,15})?$")]
    phone: String,
}

/// Makes an account.
#[utoipa::path(
    post, path = "/api/v1/auth/register", tag = "accounts", request_body = Registration,
    responses((status = 200, body = Done<OneUser>), (status = 409, description = "The name is taken.", body = Refused<'static>))
)]
pub async fn register(
    State(app): State<App>,
    Extension(client): Extension<ClientAddress>,
    headers: HeaderMap,
    Sent(new): Sent<Registration>,
) -> Result<Done<OneUser>, Refusal> {
    not_too_often(&app, client, &new.username)?;
    let question = auth::RegisterRequest {
        username: new.username,
        password: new.password,
        email: new.email,
        phone: new.phone,
    };
    let call = app.call("/auth.AuthService/Register", &headers);
    let told: auth::RegisterResponse = app.auth.ask(call, question).await?;
    let user = told.user.map(User::from);
    Ok(done(OneUser { user }))
}

/// Who logs in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    username: String,
    password: String,
}

/// A token for a name and a password.
#[utoipa::path(
    post, path = "/api/v1/auth/login", tag = "accounts", request_body = Login,
    responses((status = 200, body = Done<LoggedIn>), (status = 401, body = Refused<'static>))
)]
pub async fn login(
    State(app): State<App>,
    Extension(client): Extension<ClientAddress>,
    headers: HeaderMap,
    Sent(login): Sent<Login>,
) -> Result<Done<LoggedIn>, Refusal> {
    not_too_often(&app, client, &login.username)?;
    let question = auth::LoginRequest {
        username: login.username,
        password: login.password,
    };
    let call = app.call("/auth.AuthService/Login", &headers);
    let told: auth::LoginResponse = app.auth.ask(call, question).await?;
    Ok(done(LoggedIn {
        token: told.token,
        user: told.user.map(User::from),
    }))
}

/// Passwords cannot be guessed quickly. A name is one in whatever case.
fn not_too_often(app: &App, ClientAddress(from): ClientAddress, name: &str) -> Result<(), Refusal> {
    let name = name.to_ascii_lowercase();
    let checked = app
        .rates
        .check(Bucket::Login, Key::AddressAndName(from, &name));
    checked.map_err(|wait| Refusal::too_often(Bucket::Login, wait))
}

/// Another token for the one in `Authorization`, which may have come to its end a little while ago.
#[utoipa::path(
    post, path = "/api/v1/auth/refresh", tag = "accounts", security(("token" = [])),
    responses((status = 200, body = Done<Refreshed>))
)]
pub async fn refresh(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Done<Refreshed>, Refusal> {
    let question = auth::RefreshRequest {
        token: token_in(&headers)?.to_owned(),
    };
    let call = app.call("/auth.AuthService/Refresh", &headers);
    let told: auth::RefreshResponse = app.auth.ask(call, question).await?;
    let token = told.token;
    Ok(done(Refreshed { token }))
}

/// An account: `me`, or for administrators anybody's by its number.
#[utoipa::path(
    get, path = "/api/v1/users/{id}", tag = "accounts", security(("token" = [])),
    params(("id" = String, Path, pattern = r"^(me|[1-9][0-9]*)$", description = "`me`, or the number of an account.")),
    responses((status = 200, body = Done<OneUser>))
)]
pub async fn get_user(
    State(app): State<App>,
    _: Identity,
    headers: HeaderMap,
    Path(named): Path<String>,
) -> Result<Done<OneUser>, Refusal> {
    let question = user::GetUserRequest {
        user_id: user_id(&named)?,
    };
    let call = app.call("/user.UserService/GetUser", &headers);
    let told: user::GetUserResponse = app.user.ask(call, question).await?;
    let user = told.user.map(User::from);
    Ok(done(OneUser { user }))
}

fn user_id(named: &str) -> Result<i64, Refusal> {
    match named {
        OWN => Ok(0),
        named => id("the user", named),
    }
}

/// What is to change; what is absent stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Contacts {
    #[schema(
        max_length = 254,
        pattern = r"^([!-?A-~]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+)?$"
    )]
    email: Option<String>,
    #[schema(pattern = r"^(\+?[0-9]{5,15})?$")]
    phone: Option<String>,
}

/// Changes how somebody can be reached.
#[utoipa::path(
    put, path = "/api/v1/users/{id}", tag = "accounts", security(("token" = [])), request_body = Contacts,
    params(("id" = String, Path, pattern = r"^(me|[1-9][0-9]*)$", description = "`me`, or the number of an account.")),
    responses((status = 200, body = Done<OneUser>))
)]
pub async fn update_user(
    State(app): State<App>,
    _: Identity,
    headers: HeaderMap,
    Path(named): Path<String>,
    Sent(contacts): Sent<Contacts>,
) -> Result<Done<OneUser>, Refusal> {
    let question = user::UpdateUserRequest {
        user_id: user_id(&named)?,
        email: contacts.email,
        phone: contacts.phone,
    };
    let call = app.call("/user.UserService/UpdateUser", &headers);
    let told: user::UpdateUserResponse = app.user.ask(call, question).await?;
    let user = told.user.map(User::from);
    Ok(done(OneUser { user }))
}

/// A new password for the old one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Passwords {
    old_password: String,
    /// 8 to 128 bytes, and another one.
    #[schema(min_length = 8, max_length = 128)]
    new_password: String,
}

/// Changes one's password; no token from before holds any more.
#[utoipa::path(
    put, path = "/api/v1/users/{id}/password", tag = "accounts", security(("token" = [])), request_body = Passwords,
    params(("id" = String, Path, pattern = r"^(me|[1-9][0-9]*)$", description = "`me`, or the number of one's own account.")),
    responses((status = 200, body = Done<Nothing>))
)]
pub async fn change_password(
    State(app): State<App>,
    _: Identity,
    headers: HeaderMap,
    Path(named): Path<String>,
    Sent(passwords): Sent<Passwords>,
) -> Result<Done<Nothing>, Refusal> {
    let question = user::ChangePasswordRequest {
        user_id: user_id(&named)?,
        old_password: passwords.old_password,
        new_password: passwords.new_password,
    };
    let call = app.call("/user.UserService/ChangePassword", &headers);
    let user::ChangePasswordResponse { .. } = app.user.ask(call, question).await?;
    Ok(done(Nothing {}))
}
