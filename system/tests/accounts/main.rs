//! Accounts as their owners meet them, through gRPC on free ports, on a file and on a server: each
//! call with what is right, and with everything that is wrong.

mod bad_input;
#[path = "../shops/config.rs"]
mod config;
mod shop;

use bad_input::{
    what_takes_a_token_takes_one_that_holds,
    who_changes_an_account_is_told_what_is_wrong_and_no_row_is_written,
    who_registers_or_logs_in_is_told_what_is_wrong_and_no_row_is_written,
};
use engines::UserId;
use shop::{PASSWORD, PATIENCE, RETRY, SECRET, Shop};
use std::time::{Duration, Instant};
use system::config::JwtConfig;
use system::proto::auth::LoginResponse;
use system::proto::order::{ListUserOrdersRequest, ListUserOrdersResponse};
use system::proto::user::*;
use system::tokens::{Role, Tokens};
use tonic::{Code, Status};

/// Runs each scenario on a file, and all of them on one server.
macro_rules! on_both {
    ($($scenario:ident),+ $(,)?) => {
        mod on_a_file {
            $(#[tokio::test]
            async fn $scenario() {
                let folder = tempfile::tempdir().expect("a temporary folder");
                let url = format!("sqlite://{}", folder.path().join("a.db").display());
                super::Shop::open(&url, super::$scenario).await;
            })+
        }

        #[tokio::test]
        async fn on_a_server() {
            let Some(server) = servers::DatabaseServer::start().await else {
                return;
            };
            $(eprintln!("{}", stringify!($scenario));
            Shop::open(&server.create_database().await, $scenario).await;)+
        }
    };
}

on_both!(
    who_registers_can_log_in_see_and_change_what_is_theirs,
    a_name_is_taken_in_whatever_case_and_only_once,
    whoever_changes_their_password_revokes_every_token_from_before,
    an_account_is_seen_by_its_owner_and_by_administrators,
    a_token_is_refreshed_while_its_account_is_as_it_was,
    who_registers_or_logs_in_is_told_what_is_wrong_and_no_row_is_written,
    who_changes_an_account_is_told_what_is_wrong_and_no_row_is_written,
    what_takes_a_token_takes_one_that_holds,
);

const REGISTER: &str = "/auth.AuthService/Register";
const GET: &str = "/user.UserService/GetUser";
const UPDATE: &str = "/user.UserService/UpdateUser";

fn is<T: std::fmt::Debug>(told: Result<T, Status>, code: Code, says: &str) {
    let status = told.expect_err(says);
    assert_eq!(status.code(), code, "{status}");
    assert!(status.message().contains(says), "{says:?} in {status}");
}

fn tokens() -> Tokens {
    let jwt = JwtConfig {
        secret: SECRET.to_owned(),
        ..JwtConfig::default()
    };
    Tokens::new(&jwt).expect("a secret is set")
}

async fn logged_in(shop: &Shop, username: &str) -> (i64, String) {
    let told: LoginResponse = shop.login(username, PASSWORD).await.expect("logged in");
    assert_eq!((told.code, told.message.as_str()), (0, ""));
    (told.user.expect("a user").id, told.token)
}

async fn get(shop: &Shop, user_id: i64, token: &str) -> Result<User, Status> {
    let told: GetUserResponse = shop.ask(GET, GetUserRequest { user_id }, token).await?;
    Ok(told.user.expect("a user"))
}

async fn who_registers_can_log_in_see_and_change_what_is_theirs(shop: &Shop) {
    let made = shop.register("Some_Body.1").await.expect("free");
    let (id, token) = logged_in(shop, "some_body.1").await;
    assert_eq!(id, made.id);
    for user_id in [0, id] {
        let seen = get(shop, user_id, &token).await.expect("their own");
        assert_eq!(seen.username, "Some_Body.1");
        assert_eq!(
            (seen.email.as_str(), seen.phone.as_str()),
            ("somebody@example.org", "+4915112345678")
        );
        assert!(seen.created_at > 1_700_000_000 && seen.updated_at >= seen.created_at);
    }
    let update = UpdateUserRequest {
        user_id: 0,
        email: Some("other@example.org".to_owned()),
        phone: None,
    };
    let told: UpdateUserResponse = shop.ask(UPDATE, update, &token).await.expect("changed");
    let changed = told.user.expect("a user");
    assert_eq!(
        (changed.email.as_str(), changed.phone.as_str()),
        ("other@example.org", "+4915112345678")
    );
    let rows = shop.users().await.concat();
    assert!(
        !rows.contains(PASSWORD) && rows.contains("$argon2id$"),
        "{rows}"
    );
}

async fn a_name_is_taken_in_whatever_case_and_only_once(shop: &Shop) {
    let before = shop.users().await.len();
    let (a, b, c, d) = tokio::join!(
        shop.register("twice"),
        shop.register("TWICE"),
        shop.register("Twice"),
        shop.register("twice")
    );
    let told = [a, b, c, d];
    assert_eq!(told.iter().filter(|told| told.is_ok()).count(), 1);
    for refused in told.into_iter().filter(Result::is_err) {
        is(refused, Code::AlreadyExists, "is taken");
    }
    is(
        shop.register("tWiCe").await,
        Code::AlreadyExists,
        "the username tWiCe is taken",
    );
    is(
        shop.register("TESTUSER1").await,
        Code::AlreadyExists,
        "is taken",
    );
    assert_eq!(shop.users().await.len(), before + 1);
}

async fn whoever_changes_their_password_revokes_every_token_from_before(shop: &Shop) {
    let (id, token) = logged_in(shop, "testuser1").await;
    let (_, other) = logged_in(shop, "testuser2").await;
    let orders = async |token: &str| {
        let list = ListUserOrdersRequest::default();
        let method = "/order.OrderService/ListUserOrders";
        shop.ask::<_, ListUserOrdersResponse>(method, list, token)
            .await
    };
    orders(&token).await.expect("it holds");
    shop.change_password(&token, (id, PASSWORD, "another one"))
        .await
        .expect("it is theirs");
    let revoked = "the token was revoked; log in again";
    is(get(shop, 0, &token).await, Code::Unauthenticated, revoked);
    is(shop.refresh(&token).await, Code::Unauthenticated, revoked);
    let again = (0, "another one", PASSWORD);
    is(
        shop.change_password(&token, again).await,
        Code::Unauthenticated,
        revoked,
    );
    let deadline = Instant::now() + PATIENCE;
    while orders(&token).await.is_ok() {
        assert!(
            Instant::now() < deadline,
            "the order service believes it still"
        );
        tokio::time::sleep(RETRY).await;
    }
    is(orders(&token).await, Code::Unauthenticated, revoked);
    orders(&other).await.expect("nobody has revoked it");
    is(
        shop.login("testuser1", PASSWORD).await,
        Code::Unauthenticated,
        "there is no such username and password",
    );
    let told = shop.login("testuser1", "another one").await.expect("new");
    orders(&told.token).await.expect("it is a new one");
    get(shop, id, &told.token).await.expect("it is a new one");
}

async fn an_account_is_seen_by_its_owner_and_by_administrators(shop: &Shop) {
    let (one, of_one) = logged_in(shop, "testuser1").await;
    let (two, _) = logged_in(shop, "testuser2").await;
    let (_, of_admin) = logged_in(shop, "admin").await;
    assert_eq!(
        get(shop, two, &of_admin).await.expect("all").username,
        "testuser2"
    );
    let update = |user_id| UpdateUserRequest {
        user_id,
        email: Some(String::new()),
        phone: Some("12345".to_owned()),
    };
    let told: UpdateUserResponse = shop.ask(UPDATE, update(one), &of_admin).await.expect("all");
    assert_eq!(told.user.expect("a user").phone, "12345");
    let before = shop.users().await;
    for user_id in [two, i64::MAX] {
        let says = format!("there is no user {user_id} that you may see");
        is(get(shop, user_id, &of_one).await, Code::NotFound, &says);
        let updated = shop.ask::<_, UpdateUserResponse>(UPDATE, update(user_id), &of_one);
        is(updated.await, Code::NotFound, &says);
        let change = (user_id, PASSWORD, "another one");
        is(
            shop.change_password(&of_one, change).await,
            Code::NotFound,
            &says,
        );
        // Not even an administrator changes the password of somebody else.
        is(
            shop.change_password(&of_admin, change).await,
            Code::NotFound,
            &says,
        );
    }
    let nobody = get(shop, i64::MAX, &of_admin).await;
    is(nobody, Code::NotFound, "there is no user");
    assert_eq!(shop.users().await, before);
}

async fn a_token_is_refreshed_while_its_account_is_as_it_was(shop: &Shop) {
    let (id, token) = logged_in(shop, "testuser3").await;
    let fresh = shop.refresh(&token).await.expect("it holds");
    get(shop, id, &fresh).await.expect("it holds");
    get(shop, id, &token)
        .await
        .expect("and so does the old one");
    let of = |version, lifetime| tokens().issue_of(UserId(id), Role::User, version, lifetime);
    // Of no version yet, and of a user who is not there.
    let early = of(2, Duration::from_secs(60)).expect("issued");
    is(shop.refresh(&early).await, Code::Unauthenticated, "revoked");
    let nobodys = tokens().issue(UserId(i64::MAX), Role::Admin, Duration::from_secs(60));
    let nobodys = nobodys.expect("issued");
    is(
        shop.refresh(&nobodys).await,
        Code::Unauthenticated,
        "the token is of no account here",
    );
    is(
        get(shop, 0, &nobodys).await,
        Code::Unauthenticated,
        "the token is of no account here",
    );
    for (token, code, says) in [
        (
            String::new(),
            Code::InvalidArgument,
            "token must have 1 to 4096 bytes",
        ),
        (
            "t".repeat(4_097),
            Code::InvalidArgument,
            "token must have 1 to 4096 bytes",
        ),
        (
            "a.b.c".to_owned(),
            Code::Unauthenticated,
            "the token is malformed",
        ),
        (format!("{token}A"), Code::Unauthenticated, "the token is"),
    ] {
        is(shop.refresh(&token).await, code, says);
    }
}
