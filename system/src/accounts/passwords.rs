//! Hashes of passwords: Argon2id, of which a bounded number is computed at the same time, each on a
//! thread of its own.
//!
//! A hash costs what `auth.argon2` says, tens of milliseconds of one core and some memory; so many
//! requests at once must neither take all cores nor all memory, and wait no longer than they would
//! themselves.

use crate::config::{Argon2Config, AuthConfig};
use crate::grpc_server::retry_later;
use crate::metrics::{Histogram, Metrics, REQUEST, nanos};
use anyhow::anyhow;
use argon2::password_hash::{PasswordHash, SaltString};
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

/// Salt of one hash, bytes; as RFC 9106 recommends.
const SALT_BYTES: usize = 16;

/// Computes hashes; cheap to clone.
#[derive(Clone)]
pub struct Passwords {
    hasher: Argon2<'static>,
    /// Of no password that anybody has: what is verified where there is no account.
    nobodys: Arc<str>,
    turns: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    waiting_max: usize,
    computed: Arc<AtomicU64>,
    durations: Arc<Histogram>,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords")
            .field("hasher", &self.hasher)
            .field("waiting", &self.waiting)
            .field("computed", &self.computed)
            .finish_non_exhaustive()
    }
}

/// One that waits for its turn; no more when it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Passwords {
    /// Computes one hash, which takes its time.
    pub fn new(config: &AuthConfig) -> anyhow::Result<Self> {
        let hasher = hasher(&config.argon2)?;
        let cores = || std::thread::available_parallelism().map_or(1, Into::into);
        let turns = match config.max_hashing {
            0 => cores(),
            most => most,
        };
        let nobodys = hash(&hasher, &rand::random::<[u8; SALT_BYTES]>());
        Ok(Self {
            nobodys: nobodys
                .map_err(|error| anyhow!("auth.argon2: {error}"))?
                .into(),
            hasher,
            turns: Arc::new(Semaphore::new(turns)),
            waiting: Arc::default(),
            waiting_max: config.max_waiting,
            computed: Arc::default(),
            durations: Arc::new(Histogram::durations(&REQUEST)),
        })
    }

    /// Registers how long hashes take, and how many wait.
    pub fn register(&self, metrics: &Metrics) {
        let help = "Asked for to hashed, with the wait";
        let name = "seckill_password_hash_duration_seconds";
        metrics.histogram(name, help, self.durations.clone(), |durations| durations);
        let waiting = self.waiting.clone();
        let help = "Passwords whose turn it is not yet";
        metrics.gauge("seckill_password_hashes_waiting", help, move || {
            waiting.load(Ordering::Relaxed) as f64
        });
    }

    /// How many hashes were begun.
    #[cfg(test)]
    pub fn computed(&self) -> u64 {
        self.computed.load(Ordering::Relaxed)
    }

    /// The hash of a password, as text (PHC string format). UNAVAILABLE when too many wait.
    pub async fn hash(&self, password: String) -> Result<String, Status> {
        let hasher = self.hasher.clone();
        let hashed = self.compute(move || hash(&hasher, password.as_bytes()));
        hashed.await?.map_err(|error| internal(&error))
    }

    /// Whether `password` is the one that was hashed to `known`. With no such hash it is not, which
    /// takes as long. UNAVAILABLE when too many wait.
    pub async fn verify(&self, password: String, known: Option<String>) -> Result<bool, Status> {
        let hasher = self.hasher.clone();
        let nobodys = self.nobodys.clone();
        let verified = self.compute(move || {
            let hash = PasswordHash::new(known.as_deref().unwrap_or(&nobodys))?;
            let verified = hasher.verify_password(password.as_bytes(), &hash);
            match verified {
                Ok(()) => Ok(known.is_some()),
                Err(argon2::password_hash::Error::Password) => Ok(false),
                Err(error) => Err(error),
            }
        });
        verified.await?.map_err(|error| internal(&error))
    }

    /// Computes on a thread of its own when it is its turn. Who gives up waiting leaves the queue; what
    /// is being computed keeps its turn until it is done.
    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Status> {
        let began = Instant::now();
        let turn = self.turn().await?;
        self.computed.fetch_add(1, Ordering::Relaxed);
        let computed = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        let computed = computed.await.map_err(|error| internal(&error));
        self.durations.observe(nanos(began.elapsed()));
        computed
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, Status> {
        let turns = self.turns.clone();
        if let Ok(turn) = turns.clone().try_acquire_owned() {
            return Ok(turn);
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= self.waiting_max {
            return Err(retry_later(
                "too many passwords are being checked; try again".to_owned(),
            ));
        }
        let turn = turns.acquire_owned().await;
        turn.map_err(|error| internal(&error))
    }
}

fn hasher(config: &Argon2Config) -> anyhow::Result<Argon2<'static>> {
    let Argon2Config {
        memory_kib,
        passes,
        lanes,
    } = *config;
    let params = Params::new(memory_kib, passes, lanes, None);
    let params = params.map_err(|error| anyhow!("auth.argon2: {error}"))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(hasher: &Argon2<'_>, password: &[u8]) -> argon2::password_hash::Result<String> {
    let salt = SaltString::encode_b64(&rand::random::<[u8; SALT_BYTES]>())?;
    Ok(hasher.hash_password(password, &salt)?.to_string())
}

fn internal(error: &dyn fmt::Display) -> Status {
    tracing::error!(%error, "a password cannot be hashed");
    Status::internal("passwords cannot be checked")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tonic::Code;

    fn config() -> AuthConfig {
        AuthConfig {
            argon2: Argon2Config {
                memory_kib: 8,
                passes: 1,
                lanes: 1,
            },
            ..AuthConfig::default()
        }
    }

    #[tokio::test]
    async fn a_password_is_known_by_its_hash_and_two_hashes_of_it_differ() {
        let passwords = Passwords::new(&config()).expect("good parameters");
        let hash = async || passwords.hash("password123".to_owned()).await;
        let (one, other) = (hash().await.expect("hashed"), hash().await.expect("hashed"));
        assert!(one.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{one}");
        assert_ne!(one, other);
        for known in [one, other] {
            let verify = async |password: &str| {
                let known = Some(known.clone());
                passwords.verify(password.to_owned(), known).await
            };
            assert!(verify("password123").await.expect("verified"));
            assert!(!verify("password124").await.expect("verified"));
        }
        let broken = passwords.verify("password123".to_owned(), Some("?".to_owned()));
        assert_eq!(broken.await.expect_err("broken").code(), Code::Internal);
    }

    #[tokio::test]
    async fn where_there_is_no_account_the_same_is_computed() {
        let passwords = Passwords::new(&config()).expect("good parameters");
        let known = passwords.hash("password123".to_owned()).await;
        let known = known.expect("hashed");
        let of = |hash: &str| hash.rsplitn(3, '$').nth(2).map(str::to_owned);
        assert_eq!(of(&passwords.nobodys), of(&known), "the same parameters");
        let before = passwords.computed();
        for known in [None, Some(known)] {
            let verified = passwords.verify("password124".to_owned(), known).await;
            assert!(!verified.expect("verified"));
        }
        assert_eq!(passwords.computed(), before + 2);
    }

    #[tokio::test]
    async fn so_many_are_computed_at_once_so_many_wait_and_the_rest_is_turned_away() {
        let passwords = Passwords::new(&AuthConfig {
            max_hashing: 2,
            max_waiting: 3,
            ..config()
        });
        let passwords = passwords.expect("good parameters");
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(std::sync::Mutex::new(held));
        let start = || {
            let (passwords, held) = (passwords.clone(), held.clone());
            tokio::spawn(async move {
                let work = move || held.lock().expect("no panic").recv();
                passwords.compute(work).await.map(drop)
            })
        };
        let mut running: Vec<_> = (0..5).map(|_| start()).collect();
        let patience = Duration::from_secs(30);
        let crowded = async {
            while passwords.waiting.load(Ordering::Relaxed) < 3 {
                tokio::task::yield_now().await;
            }
        };
        let crowded = tokio::time::timeout(patience, crowded).await;
        crowded.expect("three wait");
        assert_eq!(passwords.computed(), 2);
        let refused = passwords.hash("password123".to_owned()).await;
        let refused = refused.expect_err("too many wait");
        assert_eq!(refused.code(), Code::Unavailable);
        assert!(refused.metadata().contains_key("retry-after"));
        // Who gives up makes room.
        running.pop().expect("five").abort();
        for _ in 0..4 {
            release.send(()).expect("somebody waits");
        }
        for computed in running {
            let computed = tokio::time::timeout(patience, computed).await;
            let computed = computed.expect("in time").expect("no panic");
            computed.expect("it had its turn");
        }
        assert_eq!(passwords.waiting.load(Ordering::Relaxed), 0);
        passwords
            .hash("password123".to_owned())
            .await
            .expect("there is room again");
    }
}
