//! Everything that is wrong: missing, malformed, oversized, not allowed, expired. Each is refused with
//! its status and a sentence, and leaves the accounts as they were.

use super::shop::{PASSWORD, PATIENCE, RETRY, Shop};
use super::{REGISTER, UPDATE, get, is, logged_in, tokens};
use engines::UserId;
use std::time::{Duration, Instant};
use system::config::JwtConfig;
use system::proto::auth::{RegisterRequest, RegisterResponse};
use system::proto::user::*;
use system::tokens::{Role, Tokens};
use tonic::Code;

pub async fn who_registers_or_logs_in_is_told_what_is_wrong_and_no_row_is_written(shop: &Shop) {
    let before = shop.users().await;
    let good = || RegisterRequest {
        username: "somebody".to_owned(),
        password: PASSWORD.to_owned(),
        ..RegisterRequest::default()
    };
    let long = "x".repeat(60_000);
    for (wrong, says) in [
        (RegisterRequest::default(), "username must be 3 to 32"),
        (
            RegisterRequest {
                username: "a b".into(),
                ..good()
            },
            "username must be 3 to 32",
        ),
        (
            RegisterRequest {
                username: "ünder".into(),
                ..good()
            },
            "username must be 3 to 32",
        ),
        (
            RegisterRequest {
                username: long.clone(),
                ..good()
            },
            "username must be 3 to 32",
        ),
        (
            RegisterRequest {
                password: String::new(),
                ..good()
            },
            "password must be 8 to 128",
        ),
        (
            RegisterRequest {
                password: "short".into(),
                ..good()
            },
            "password must be 8 to 128",
        ),
        (
            RegisterRequest {
                password: long.clone(),
                ..good()
            },
            "password must be 8 to 128",
        ),
        (
            RegisterRequest {
                email: "nowhere".into(),
                ..good()
            },
            "email must be empty or",
        ),
        (
            RegisterRequest {
                email: long.clone(),
                ..good()
            },
            "email must be empty or",
        ),
        (
            RegisterRequest {
                phone: "call me".into(),
                ..good()
            },
            "phone must be empty or",
        ),
        (
            RegisterRequest {
                phone: long.clone(),
                ..good()
            },
            "phone must be empty or",
        ),
    ] {
        let told = shop.ask::<_, RegisterResponse>(REGISTER, wrong, "").await;
        is(told, Code::InvalidArgument, says);
    }
    for (username, password, code, says) in [
        (
            "",
            PASSWORD,
            Code::InvalidArgument,
            "username must be 3 to 32",
        ),
        (
            "testuser1",
            "",
            Code::InvalidArgument,
            "password must be 8 to 128",
        ),
        (
            "testuser1",
            &long,
            Code::InvalidArgument,
            "password must be 8 to 128",
        ),
        (
            &long,
            PASSWORD,
            Code::InvalidArgument,
            "username must be 3 to 32",
        ),
        (
            "testuser1",
            "password124",
            Code::Unauthenticated,
            "no such username and password",
        ),
        (
            "nobody",
            PASSWORD,
            Code::Unauthenticated,
            "no such username and password",
        ),
    ] {
        is(shop.login(username, password).await, code, says);
    }
    assert_eq!(shop.users().await, before);
}

pub async fn who_changes_an_account_is_told_what_is_wrong_and_no_row_is_written(shop: &Shop) {
    let (id, token) = logged_in(shop, "testuser1").await;
    let before = shop.users().await;
    let long = "x".repeat(60_000);
    for user_id in [-1, i64::MIN] {
        let says = format!("user_id must be positive, or 0 for oneself, got {user_id}");
        is(
            get(shop, user_id, &token).await,
            Code::InvalidArgument,
            &says,
        );
    }
    for (email, phone, says) in [
        (Some("nowhere".to_owned()), None, "email must be empty or"),
        (None, Some("1".to_owned()), "phone must be empty or"),
        (
            Some(long.clone()),
            Some(String::new()),
            "email must be empty or",
        ),
    ] {
        let wrong = UpdateUserRequest {
            user_id: id,
            email,
            phone,
        };
        let told = shop.ask::<_, UpdateUserResponse>(UPDATE, wrong, &token);
        is(told.await, Code::InvalidArgument, says);
    }
    for (change, code, says) in [
        (
            (id, "", "another one"),
            Code::InvalidArgument,
            "old_password must be 8 to 128",
        ),
        (
            (id, PASSWORD, ""),
            Code::InvalidArgument,
            "new_password must be 8 to 128",
        ),
        (
            (id, PASSWORD, long.as_str()),
            Code::InvalidArgument,
            "new_password must be 8 to 128",
        ),
        (
            (id, PASSWORD, PASSWORD),
            Code::InvalidArgument,
            "new_password must differ",
        ),
        (
            (-5, PASSWORD, "another one"),
            Code::InvalidArgument,
            "got -5",
        ),
        (
            (id, "password124", "another one"),
            Code::PermissionDenied,
            "old_password is wrong",
        ),
    ] {
        is(shop.change_password(&token, change).await, code, says);
    }
    assert_eq!(shop.users().await, before);
}

pub async fn what_takes_a_token_takes_one_that_holds(shop: &Shop) {
    let (id, _) = logged_in(shop, "testuser1").await;
    let before = shop.users().await;
    let jwt = |change: fn(&mut JwtConfig)| {
        let mut jwt = shop.config.jwt.clone();
        change(&mut jwt);
        let tokens = Tokens::new(&jwt).expect("a secret is set");
        let token = tokens.issue_of(UserId(id), Role::User, 1, Duration::from_secs(60));
        token.expect("issued")
    };
    let long = "t".repeat(5_000);
    for (token, says) in [
        (String::new(), "a token is needed"),
        ("nonsense".to_owned(), "the token is malformed"),
        (long, "the token is longer than 4096 bytes"),
        (
            jwt(|jwt| jwt.secret.push('!')),
            "the token is not signed by its issuer",
        ),
        (
            jwt(|jwt| jwt.issuer.push('!')),
            "the token is of another issuer",
        ),
        (
            jwt(|jwt| jwt.audience.push('!')),
            "the token is for another audience",
        ),
    ] {
        is(get(shop, id, &token).await, Code::Unauthenticated, says);
        let update = UpdateUserRequest {
            user_id: id,
            email: Some(String::new()),
            phone: Some(String::new()),
        };
        let updated = shop.ask::<_, UpdateUserResponse>(UPDATE, update, &token);
        is(updated.await, Code::Unauthenticated, says);
        let change = (id, PASSWORD, "another one");
        is(
            shop.change_password(&token, change).await,
            Code::Unauthenticated,
            says,
        );
    }
    assert_eq!(shop.users().await, before);
    // At its end at once, and refused when that is over; it can be refreshed then.
    let brief = tokens().issue_of(UserId(id), Role::User, 1, Duration::ZERO);
    let brief = brief.expect("issued");
    let deadline = Instant::now() + PATIENCE;
    while get(shop, id, &brief).await.is_ok() {
        assert!(Instant::now() < deadline, "it holds for ever");
        tokio::time::sleep(RETRY).await;
    }
    let expired = get(shop, id, &brief).await;
    is(expired, Code::Unauthenticated, "the token has expired");
    let fresh = shop.refresh(&brief).await.expect("lately");
    get(shop, id, &fresh).await.expect("it holds");
}
