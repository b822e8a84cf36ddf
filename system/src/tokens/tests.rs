//! Tokens that hold, and every way in which one does not.

use super::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tonic::Code;

const SECRET: &str = "a key of more than thirty-two bytes, for tests";
const LEEWAY_S: u64 = 5;
const HOUR: Duration = Duration::from_secs(3_600);

fn config() -> JwtConfig {
    JwtConfig {
        secret: SECRET.to_owned(),
        leeway_s: LEEWAY_S,
        ..JwtConfig::default()
    }
}

fn tokens() -> Tokens {
    Tokens::new(&config()).expect("a secret is set")
}

fn with(authorization: &str) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    metadata.insert(AUTHORIZATION, authorization.parse().expect("ASCII"));
    metadata
}

fn claims() -> Value {
    let now_s = get_current_timestamp();
    json!({
        "sub": "7", "role": "user", "iss": "seckill", "aud": "seckill",
        "iat": now_s, "exp": now_s + 60,
    })
}

/// As [`claims`], but for one, which is left out if it is null.
fn changed(name: &str, value: Value) -> Value {
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().expect("a map").remove(name)),
        value => claims[name] = value,
    }
    claims
}

fn signed(claims: &Value, secret: &str) -> String {
    hs256::install();
    let key = EncodingKey::from_secret(secret.as_bytes());
    encode(&Header::new(Algorithm::HS256), claims, &key).expect("it can be signed")
}

/// What its bearer is told.
fn refusal(token: &str) -> String {
    let metadata = with(&format!("Bearer {token}"));
    let refused = tokens().caller(&metadata).expect_err("it does not hold");
    assert_eq!(refused.code(), Code::Unauthenticated);
    let text = refused.message().to_owned();
    assert!(token.is_empty() || !text.contains(token), "{text}");
    text
}

#[test]
fn a_token_says_whose_it_is_and_what_they_may_do() {
    let tokens = tokens();
    for (role, is_admin) in [(Role::User, false), (Role::Admin, true)] {
        let token = tokens.issue(UserId(i64::MAX), role, HOUR).expect("issued");
        for scheme in ["Bearer", "bearer", "BEARER"] {
            let found = tokens.caller(&with(&format!("{scheme} {token}")));
            let found = found.expect("it holds");
            let expected = (UserId(i64::MAX), is_admin, 0);
            assert_eq!((found.user, found.is_admin, found.version), expected);
        }
    }
}

#[test]
fn without_a_secret_nobody_has_a_token() {
    assert!(Tokens::new(&JwtConfig::default()).is_none());
}

#[test]
fn a_token_says_at_which_version_its_account_was() {
    let tokens = tokens();
    let token = tokens.issue_of(UserId(7), Role::User, 3, HOUR);
    let found = tokens.verified(&token.expect("issued")).expect("it holds");
    assert_eq!(found.version, 3);
    assert!(found.issued_at_s.abs_diff(get_current_timestamp()) <= LEEWAY_S);
}

#[test]
fn a_token_can_be_refreshed_for_a_while_after_its_end() {
    let tokens = tokens();
    let window_s = config().refresh_window_s;
    let now_s = get_current_timestamp();
    let ended = |ago_s: u64| signed(&changed("exp", json!(now_s - ago_s)), SECRET);
    let lately = ended(window_s / 2);
    assert!(tokens.verified(&lately).is_err());
    assert_eq!(tokens.refreshable(&lately).expect("lately").user, UserId(7));
    let long_ago = ended(window_s + LEEWAY_S + 10);
    let refused = tokens.refreshable(&long_ago).expect_err("long ago");
    assert_eq!(refused.message(), "the token has expired");
    let forged = signed(&claims(), "another key of more than thirty-two bytes");
    assert!(tokens.refreshable(&forged).is_err());
}

#[test]
fn a_token_that_is_too_long_is_not_read() {
    let long = signed(&changed("name", json!("n".repeat(TOKEN_BYTES_MAX))), SECRET);
    assert_eq!(refusal(&long), "the token is longer than 4096 bytes");
}

#[test]
fn metadata_without_a_token_is_refused_with_what_is_needed() {
    let tokens = tokens();
    let told = |metadata: &MetadataMap| {
        let refused = tokens.caller(metadata).expect_err("refused");
        assert_eq!(refused.code(), Code::Unauthenticated);
        refused.message().to_owned()
    };
    let needed = told(&MetadataMap::new());
    assert_eq!(needed, "a token is needed: authorization: Bearer <token>");
    for value in ["", "Bearer", "Basic YTpi", "é Bearer"] {
        let mut metadata = MetadataMap::new();
        let value = tonic::metadata::MetadataValue::try_from(value.as_bytes()).expect("bytes");
        metadata.insert(AUTHORIZATION, value);
        let form = "authorization must be of the form: Bearer <token>";
        assert_eq!(told(&metadata), form);
    }
}

#[test]
fn nothing_but_hs256_under_the_own_key_is_believed() {
    assert_eq!(
        refusal(&signed(
            &claims(),
            "another key of more than thirty-two bytes"
        )),
        "the token is not signed by its issuer"
    );
    // The same claims under another name of an algorithm, signed well as if it were HS256.
    let good = signed(&claims(), SECRET);
    let body = good.split('.').nth(1).expect("claims");
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    for algorithm in ["RS256", "HS512", "ES256", "none", "None", "hs256", ""] {
        let header = URL_SAFE_NO_PAD.encode(json!({ "alg": algorithm, "typ": "JWT" }).to_string());
        let message = format!("{header}.{body}");
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256);
        let signature = signature.expect("signed");
        for signature in [signature.as_str(), ""] {
            let text = refusal(&format!("{message}.{signature}"));
            assert!(
                text.ends_with("not signed with HS256"),
                "{algorithm}: {text}"
            );
        }
    }
    for broken in ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", &good[1..]] {
        refusal(broken);
    }
    refusal(&good[..good.len() - 1]);
    refusal(&format!("{good}A"));
}

#[test]
fn each_claim_is_judged() {
    let now_s = get_current_timestamp();
    let sub = "the token does not say whose it is: its sub must be a positive number in a string";
    let iat = "the token does not say when it was issued: it needs a number iat";
    let role = "the token's role must be admin or user";
    let version = "the token's ver must be a whole number from 0";
    for (name, value, expected) in [
        ("exp", json!(now_s - LEEWAY_S - 10), "the token has expired"),
        ("exp", Value::Null, "the token has no valid exp"),
        ("exp", json!("tomorrow"), "the token has no valid exp"),
        ("nbf", json!(now_s + 600), "the token does not hold yet"),
        (
            "iat",
            json!(now_s + 600),
            "the token was issued in the future",
        ),
        ("iat", Value::Null, iat),
        ("iat", json!("today"), iat),
        ("iss", json!("somebody"), "the token is of another issuer"),
        ("iss", Value::Null, "the token has no valid iss"),
        (
            "aud",
            json!("somebody"),
            "the token is for another audience",
        ),
        ("aud", Value::Null, "the token has no valid aud"),
        ("sub", Value::Null, sub),
        ("sub", json!("alice"), sub),
        ("sub", json!(7), sub),
        ("sub", json!("-7"), sub),
        ("sub", json!("0"), sub),
        ("sub", json!("+7"), sub),
        ("sub", json!("07"), sub),
        ("sub", json!("9223372036854775808"), sub),
        ("ver", json!(-1), version),
        ("ver", json!("1"), version),
        ("ver", json!(1.5), version),
        ("role", Value::Null, role),
        ("role", json!("root"), role),
        ("role", json!("Admin"), role),
    ] {
        let token = signed(&changed(name, value.clone()), SECRET);
        assert_eq!(refusal(&token), expected, "{name} {value}");
    }
}

#[test]
fn clocks_may_be_apart_by_the_leeway() {
    let now_s = get_current_timestamp();
    for (name, value) in [
        ("exp", now_s - LEEWAY_S + 3),
        ("iat", now_s + LEEWAY_S - 1),
        ("nbf", now_s + LEEWAY_S - 1),
    ] {
        let token = signed(&changed(name, json!(value)), SECRET);
        let metadata = with(&format!("Bearer {token}"));
        assert!(tokens().caller(&metadata).is_ok(), "{name}");
    }
    let tokens = Tokens::new(&JwtConfig {
        leeway_s: 0,
        ..config()
    });
    let token = signed(&changed("exp", json!(now_s - 1)), SECRET);
    let metadata = with(&format!("Bearer {token}"));
    let tokens = tokens.expect("a secret is set");
    assert!(tokens.caller(&metadata).is_err());
}

#[test]
fn what_is_told_of_it_shows_no_key() {
    let text = format!("{:?}", tokens());
    assert!(
        text.contains("seckill") && !text.contains("key of"),
        "{text}"
    );
}
