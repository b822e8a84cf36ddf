//! Tokens that say who asks: JSON Web Tokens in the metadata of a request, signed with HS256 and with
//! nothing else.
//!
//! Whether they still hold is judged by what they say; whether they were revoked meanwhile, by
//! `system/src/accounts/access.rs`.

mod hs256;

use crate::config::JwtConfig;
use engines::UserId;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode, get_current_timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::time::Duration;
use tonic::Status;
use tonic::metadata::MetadataMap;

/// Where a token stands in the metadata.
const AUTHORIZATION: &str = "authorization";
/// Longest token, bytes; those of this system have some 250.
pub const TOKEN_BYTES_MAX: usize = 4_096;
/// What stands before it, in any case.
const SCHEME: &str = "Bearer ";

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Whatever concerns them.
    User,
    /// Whatever concerns anybody.
    Admin,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The `sub` of their token.
    pub user: UserId,
    /// Whether its `role` is that of administrators.
    pub is_admin: bool,
    /// The `ver` of their token: each change of a password makes the next one, from 1. 0: the token is
    /// of nobody who has an account here.
    pub version: i64,
    /// When it was issued, unix s.
    pub issued_at_s: u64,
}

/// Verifies tokens, and issues them.
#[derive(Clone)]
pub struct Tokens {
    verifying: DecodingKey,
    signing: EncodingKey,
    rules: Validation,
    /// The same for a token that is to be refreshed.
    refreshing: Validation,
    issuer: String,
    audience: String,
}

impl fmt::Debug for Tokens {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

/// What a token is issued with.
#[derive(Serialize)]
struct Issued<'a> {
    sub: String,
    role: Role,
    #[serde(skip_serializing_if = "is_zero")]
    ver: i64,
    iss: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
}

fn is_zero(version: &i64) -> bool {
    *version == 0
}

/// What is read from one beyond what the library judges: `exp`, `nbf`, `iss`, `aud`.
#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    sub: Value,
    #[serde(default)]
    role: Value,
    #[serde(default)]
    ver: Value,
    #[serde(default)]
    iat: Value,
}

impl Tokens {
    /// `None` where no JWT is configured.
    pub fn new(config: &JwtConfig) -> Option<Self> {
        if config.secret.is_empty() {
            return None;
        }
        hs256::install();
        let secret = config.secret.as_bytes();
        let mut rules = Validation::new(Algorithm::HS256);
        rules.leeway = config.leeway_s;
        rules.validate_nbf = true;
        rules.set_issuer(&[&config.issuer]);
        rules.set_audience(&[&config.audience]);
        rules.set_required_spec_claims(&["exp", "iss", "aud"]);
        let mut refreshing = rules.clone();
        refreshing.leeway = config.leeway_s + config.refresh_window_s;
        Some(Self {
            verifying: DecodingKey::from_secret(secret),
            signing: EncodingKey::from_secret(secret),
            rules,
            refreshing,
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
        })
    }

    /// A token of `user`, who has no account here, from now on and for so long, in whole seconds.
    pub fn issue(
        &self,
        user: UserId,
        role: Role,
        lifetime: Duration,
    ) -> jsonwebtoken::errors::Result<String> {
        self.issue_of(user, role, 0, lifetime)
    }

    /// The same of a user whose account is at this version: the token holds no longer than that.
    pub fn issue_of(
        &self,
        user: UserId,
        role: Role,
        version: i64,
        lifetime: Duration,
    ) -> jsonwebtoken::errors::Result<String> {
        let now_s = get_current_timestamp();
        let claims = Issued {
            sub: user.to_string(),
            role,
            ver: version,
            iss: &self.issuer,
            aud: &self.audience,
            iat: now_s,
            exp: now_s.saturating_add(lifetime.as_secs()),
        };
        encode(&Header::new(Algorithm::HS256), &claims, &self.signing)
    }

    /// Who asks; UNAUTHENTICATED without a token or with one that does not hold. No text repeats the
    /// token.
    pub fn caller(&self, metadata: &MetadataMap) -> Result<Caller, Status> {
        self.verified(token_of(metadata)?)
    }

    /// Whose this token is, by itself; UNAUTHENTICATED if it does not hold.
    pub fn verified(&self, token: &str) -> Result<Caller, Status> {
        let verified = self.verify(token, &self.rules);
        verified.map_err(Status::unauthenticated)
    }

    /// The same of a token that is to be refreshed, which may have come to its end by
    /// `jwt.refresh_window_s` before.
    pub fn refreshable(&self, token: &str) -> Result<Caller, Status> {
        let verified = self.verify(token, &self.refreshing);
        verified.map_err(Status::unauthenticated)
    }

    fn verify(&self, token: &str, rules: &Validation) -> Result<Caller, String> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(format!("the token is longer than {TOKEN_BYTES_MAX} bytes"));
        }
        let decoded = decode::<Claims>(token, &self.verifying, rules);
        let claims = decoded.map_err(|error| why(error.kind()))?.claims;
        let Some(issued_at_s) = claims.iat.as_f64() else {
            return Err("the token does not say when it was issued: it needs a number iat".into());
        };
        let latest_s = get_current_timestamp().saturating_add(self.rules.leeway);
        if issued_at_s > latest_s as f64 {
            return Err("the token was issued in the future".into());
        }
        let user = user(&claims.sub).ok_or(
            "the token does not say whose it is: its sub must be a positive number in a string",
        )?;
        let Ok(role) = Role::deserialize(claims.role) else {
            return Err("the token's role must be admin or user".into());
        };
        let version = match claims.ver {
            Value::Null => Some(0),
            ver => ver.as_i64().filter(|version| *version >= 0),
        };
        Ok(Caller {
            user,
            is_admin: role == Role::Admin,
            version: version.ok_or("the token's ver must be a whole number from 0")?,
            // Bounded by now, and none is from before 1970.
            issued_at_s: issued_at_s as u64,
        })
    }
}

/// The token in the metadata; UNAUTHENTICATED where there is none.
pub fn token_of(metadata: &MetadataMap) -> Result<&str, Status> {
    token_in(metadata.as_ref())
}

/// The same of headers.
pub fn token_in(headers: &http::HeaderMap) -> Result<&str, Status> {
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Err(Status::unauthenticated(
            "a token is needed: authorization: Bearer <token>",
        ));
    };
    let value = value.as_bytes();
    let split = value.split_at_checked(SCHEME.len());
    let token = split.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME.as_bytes()));
    let token = token.and_then(|(_, token)| str::from_utf8(token).ok());
    token
        .map(str::trim)
        .ok_or_else(|| Status::unauthenticated("authorization must be of the form: Bearer <token>"))
}

/// Digits alone: neither a sign nor a space, so that a user has one name.
fn user(sub: &Value) -> Option<UserId> {
    let digits = sub.as_str()?;
    let id: i64 = digits.parse().ok()?;
    (id > 0 && id.to_string() == digits).then_some(UserId(id))
}

fn why(error: &ErrorKind) -> String {
    match error {
        ErrorKind::ExpiredSignature => "the token has expired".into(),
        ErrorKind::ImmatureSignature => "the token does not hold yet".into(),
        ErrorKind::InvalidSignature => "the token is not signed by its issuer".into(),
        ErrorKind::InvalidAlgorithm => "the token is not signed with HS256".into(),
        ErrorKind::InvalidIssuer => "the token is of another issuer".into(),
        ErrorKind::InvalidAudience => "the token is for another audience".into(),
        ErrorKind::MissingRequiredClaim(name) => format!("the token has no valid {name}"),
        _ => "the token is malformed, or not signed with HS256".into(),
    }
}

#[cfg(test)]
mod tests;
