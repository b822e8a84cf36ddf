//! Who asks: a token that holds by itself, and that nobody has revoked meanwhile.
//!
//! Whoever changes their password revokes all tokens from before. The auth and the user role look at
//! the account itself ([`account_of`]); the others read every `jwt.revocation_interval_ms` who has
//! done so, and refuse those tokens from then on.

use super::refusals::out_of_reach;
use super::revoked::{APART_S, Doubt, REVOCATIONS_MAX, Revoked};
use crate::clock::unix_ms;
use crate::config::JwtConfig;
use crate::grpc_server::retry_later;
use crate::store::{Account, Store};
use crate::tokens::{Caller, Tokens, token_of};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::metadata::MetadataMap;

const REVOKED: &str = "the token was revoked; log in again";
const NO_SECRET: &str = "administrators need a token, and jwt.secret is not set";

/// Says who asks; cheap to clone. Reads the database for as long as one of its clones is there.
#[derive(Clone, Debug)]
pub struct Access {
    /// `None`: no JWT is configured, and nobody has a token.
    with_tokens: Option<WithTokens>,
}

#[derive(Clone, Debug)]
struct WithTokens {
    tokens: Tokens,
    revoked: Arc<RwLock<Revoked>>,
    _reading: Arc<Reading>,
}

/// The task that reads; it ends with this.
#[derive(Debug)]
struct Reading(JoinHandle<()>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Access {
    /// Reads once whose tokens were revoked, then keeps reading on the current runtime. Warns where
    /// nobody has a token.
    pub async fn start(store: &Store, config: &JwtConfig) -> anyhow::Result<Self> {
        let Some(tokens) = Tokens::new(config) else {
            tracing::warn!(
                "jwt.secret is not set: the user_id in a request is believed, and what is for administrators is \
                 refused; in production mode no role starts like this"
            );
            return Ok(Self { with_tokens: None });
        };
        let age_max_s = config.expiration_s.saturating_add(config.leeway_s);
        let age_max_s = i64::try_from(age_max_s).unwrap_or(i64::MAX);
        let revoked = Revoked::new(age_max_s, REVOCATIONS_MAX);
        let mut since_s = revoked.horizon_s(now_s());
        let revoked = Arc::new(RwLock::new(revoked));
        since_s = read(store, &revoked, since_s).await?;
        let interval = Duration::from_millis(config.revocation_interval_ms);
        let (store, target) = (store.clone(), revoked.clone());
        let reading = tokio::spawn(async move {
            loop {
                tokio::time::sleep(interval).await;
                match read(&store, &target, since_s).await {
                    Ok(next_s) => since_s = next_s,
                    Err(error) => tracing::warn!(%error, "cannot read whose tokens were revoked"),
                }
            }
        });
        let with_tokens = WithTokens {
            tokens,
            revoked,
            _reading: Arc::new(Reading(reading)),
        };
        Ok(Self {
            with_tokens: Some(with_tokens),
        })
    }

    /// Who asks, by the token in the metadata; `None` where no JWT is configured.
    ///
    /// UNAUTHENTICATED without a token or with one that does not hold or was revoked; UNAVAILABLE when
    /// nobody can say whether it was.
    pub fn caller(&self, metadata: &MetadataMap) -> Result<Option<Caller>, Status> {
        match self.with_tokens {
            Some(_) => self.bearer(token_of(metadata)?),
            None => Ok(None),
        }
    }

    /// The same of a token by itself.
    pub fn bearer(&self, token: &str) -> Result<Option<Caller>, Status> {
        let Some(with) = &self.with_tokens else {
            return Ok(None);
        };
        with.believed(with.tokens.verified(token)?).map(Some)
    }

    /// The administrator who asks.
    ///
    /// As [`Self::caller`]; PERMISSION_DENIED where they are no administrator, or where no JWT is
    /// configured.
    pub fn require_admin(&self, metadata: &MetadataMap) -> Result<Caller, Status> {
        match self.caller(metadata)? {
            None => Err(Status::permission_denied(NO_SECRET)),
            Some(caller) if caller.is_admin => Ok(caller),
            Some(_) => Err(Status::permission_denied("this is for administrators only")),
        }
    }
}

impl WithTokens {
    fn believed(&self, caller: Caller) -> Result<Caller, Status> {
        let revoked = self.revoked.read().unwrap_or_else(PoisonError::into_inner);
        match revoked.judge(&caller, now_s()) {
            Ok(()) => Ok(caller),
            Err(Doubt::Revoked) => Err(Status::unauthenticated(REVOKED)),
            Err(Doubt::Expired) => Err(Status::unauthenticated("the token has expired")),
            Err(Doubt::Unknown) => Err(retry_later(
                "whether the token was revoked cannot be read now; try again".to_owned(),
            )),
        }
    }
}

/// The account of who asks, as it is now; UNAUTHENTICATED if their token is not of its present
/// version.
pub async fn account_of(store: &Store, caller: &Caller) -> Result<Account, Status> {
    let found = store.account(caller.user).await;
    match found.map_err(|error| out_of_reach(&error))? {
        Some(account) if account.token_version == caller.version => Ok(account),
        Some(_) => Err(Status::unauthenticated(REVOKED)),
        None => Err(Status::unauthenticated("the token is of no account here")),
    }
}

/// Reads what was revoked since then; from when on the next look reads.
async fn read(store: &Store, into: &RwLock<Revoked>, since_s: i64) -> database::Result<i64> {
    let (read_at, now_s) = (Instant::now(), now_s());
    let most = u32::try_from(REVOCATIONS_MAX).unwrap_or(u32::MAX);
    let found = store.revocations(since_s, most).await?;
    let was_cut = found.len() >= REVOCATIONS_MAX;
    let mut revoked = into.write().unwrap_or_else(PoisonError::into_inner);
    revoked.add(&found, was_cut, (read_at, now_s));
    // One that was written a while ago may be there only now.
    Ok(now_s - APART_S)
}

fn now_s() -> i64 {
    unix_ms() / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::Role;
    use engines::UserId;
    use tonic::Code;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn access() -> (Access, Tokens) {
        let config = JwtConfig {
            secret: "a key of more than thirty-two bytes, for tests".to_owned(),
            ..JwtConfig::default()
        };
        let tokens = Tokens::new(&config).expect("a secret is set");
        let with_tokens = WithTokens {
            tokens: tokens.clone(),
            revoked: Arc::new(RwLock::new(Revoked::new(3_605, REVOCATIONS_MAX))),
            _reading: Arc::new(Reading(tokio::spawn(async {}))),
        };
        let with_tokens = Some(with_tokens);
        (Access { with_tokens }, tokens)
    }

    fn with(token: &str) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        let value = format!("Bearer {token}");
        metadata.insert("authorization", value.parse().expect("ASCII"));
        metadata
    }

    #[tokio::test]
    async fn what_is_for_administrators_takes_a_token_of_one() {
        let (access, tokens) = access();
        let denied = |access: &Access, metadata: &MetadataMap| {
            let refused = access.require_admin(metadata).expect_err("refused");
            (refused.code(), refused.message().to_owned())
        };
        let nobody = Access { with_tokens: None };
        let expected = (Code::PermissionDenied, NO_SECRET.to_owned());
        assert_eq!(denied(&nobody, &MetadataMap::new()), expected);
        let of = |role| with(&tokens.issue(UserId(1), role, HOUR).expect("issued"));
        let (code, text) = denied(&access, &of(Role::User));
        assert_eq!(code, Code::PermissionDenied);
        assert_eq!(text, "this is for administrators only");
        let (code, _) = denied(&access, &MetadataMap::new());
        assert_eq!(code, Code::Unauthenticated);
        assert!(access.require_admin(&of(Role::Admin)).is_ok());
    }

    #[tokio::test]
    async fn without_a_secret_nobody_is_asked_for_a_token() {
        let nobody = Access { with_tokens: None };
        assert_eq!(nobody.caller(&with("whatever")).expect("no need"), None);
        assert_eq!(nobody.bearer("whatever").expect("no need"), None);
        let (access, _) = access();
        let refused = access.bearer("whatever").expect_err("no token");
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
}
