//! The sections about who the users are: the auth and the user service, the hashes of passwords, and
//! tokens.

use anyhow::{Context, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// Shortest key of tokens, bytes: as long as what HS256 makes of it.
const SECRET_BYTES_MIN: usize = 32;

/// What this system is run for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", try_from = "String")]
#[schemars(!try_from)]
pub enum Mode {
    /// To try things on: defaults that everybody knows will do.
    #[default]
    Development,
    /// For customers: what everybody knows is refused.
    Production,
}

/// The auth service.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// Address of the gRPC listener.
    pub listen: String,
    /// Passwords hashed at the same time by one role; 0: as many as there are cores.
    pub max_hashing: usize,
    /// Requests that wait for a hash; more are turned away.
    pub max_waiting: usize,
    /// How passwords are hashed.
    pub argon2: Argon2Config,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:50051".to_owned(),
            max_hashing: 0,
            max_waiting: 64,
            argon2: Argon2Config::default(),
        }
    }
}

/// Argon2id. The defaults are the first choice of OWASP's Password Storage Cheat Sheet.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Argon2Config {
    /// Memory of one hash, KiB; at least 8 for each lane.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes of the memory.
    pub lanes: u32,
}

impl Default for Argon2Config {
    fn default() -> Self {
        Self {
            memory_kib: 19_456,
            passes: 2,
            lanes: 1,
        }
    }
}

/// The user service.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UserConfig {
    /// Address of the gRPC listener.
    pub listen: String,
}

impl Default for UserConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:50055".to_owned(),
        }
    }
}

/// Tokens that say who asks: HS256, and no other algorithm.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct JwtConfig {
    /// Key that tokens are signed with, at least 32 bytes; empty: nobody has a token, and what is for
    /// administrators is refused.
    pub secret: String,
    /// A file that holds this key instead, and perhaps a line break behind it.
    pub secret_file: String,
    /// Who issues them.
    pub issuer: String,
    /// Whom they are for.
    pub audience: String,
    /// How far clocks may be apart, s.
    pub leeway_s: u64,
    /// How long a token holds, s. No token is believed that was issued longer ago.
    pub expiration_s: u64,
    /// How long after its end a token can still be refreshed, s.
    pub refresh_window_s: u64,
    /// How often a service reads whose tokens were revoked, ms.
    pub revocation_interval_ms: u64,
}

impl Default for JwtConfig {
    fn default() -> Self {
        Self {
            secret: String::new(),
            secret_file: String::new(),
            issuer: "seckill".to_owned(),
            audience: "seckill".to_owned(),
            leeway_s: 5,
            expiration_s: 3_600,
            refresh_window_s: 900,
            revocation_interval_ms: 1_000,
        }
    }
}

impl fmt::Debug for JwtConfig {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtConfig")
            .field("secret_file", &self.secret_file)
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

impl JwtConfig {
    /// Reads the key from its file, if there is one.
    pub(super) fn read_secret(&mut self) -> anyhow::Result<()> {
        if self.secret_file.is_empty() {
            return Ok(());
        }
        ensure!(
            self.secret.is_empty(),
            "jwt.secret_file: jwt.secret is set, too; one of them is the key"
        );
        self.secret = secret_in(Path::new(&self.secret_file)).context("jwt.secret_file")?;
        ensure!(
            !self.secret.is_empty(),
            "jwt.secret_file: {} is empty",
            self.secret_file
        );
        Ok(())
    }

    pub(super) fn validate(&self, mode: Mode) -> anyhow::Result<()> {
        let bytes = self.secret.len();
        ensure!(
            bytes == 0 || bytes >= SECRET_BYTES_MIN,
            "jwt.secret: {bytes} bytes are too few, it takes at least {SECRET_BYTES_MIN}, or none"
        );
        // The file is read when a role starts.
        let has_key = bytes > 0 || !self.secret_file.is_empty();
        ensure!(
            has_key || mode == Mode::Development,
            "jwt.secret: in production mode there must be one, of at least {SECRET_BYTES_MIN} bytes, here or in \
             jwt.secret_file"
        );
        Ok(())
    }
}

/// What a file of one secret holds, without the line break behind it.
pub fn secret_in(path: &Path) -> anyhow::Result<String> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(one_line(&text).to_owned())
}

/// `text` without the line break at its end.
pub fn one_line(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

impl AuthConfig {
    pub(super) fn validate(&self, mode: Mode) -> anyhow::Result<()> {
        let Argon2Config {
            memory_kib, lanes, ..
        } = self.argon2;
        ensure!(
            u64::from(memory_kib) >= 8 * u64::from(lanes),
            "auth.argon2.memory_kib: {memory_kib} must be at least 8 for each of auth.argon2.lanes ({lanes})"
        );
        ensure!(
            mode == Mode::Development || memory_kib >= PRODUCTION_KIB_MIN,
            "auth.argon2.memory_kib: in production mode at least {PRODUCTION_KIB_MIN}, got {memory_kib}"
        );
        Ok(())
    }
}

/// The smallest memory that OWASP still recommends, with more passes.
const PRODUCTION_KIB_MIN: u32 = 7_168;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "a key of more than thirty-two bytes, for tests";

    #[test]
    fn a_key_is_read_from_its_file_without_the_line_break_behind_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("key");
        let read = |text: &str, secret: &str| {
            std::fs::write(&path, text).expect("written");
            let mut jwt = JwtConfig {
                secret: secret.to_owned(),
                secret_file: path.display().to_string(),
                ..JwtConfig::default()
            };
            let done = jwt.read_secret();
            done.map(|()| jwt.secret)
                .map_err(|error| format!("{error:#}"))
        };
        for end in ["", "\n", "\r\n"] {
            assert_eq!(read(&format!("{KEY}{end}"), ""), Ok(KEY.to_owned()));
        }
        let both = read(KEY, KEY).expect_err("two keys");
        assert!(both.contains("jwt.secret is set, too"), "{both}");
        assert!(read("\n", "").expect_err("none").ends_with("is empty"));
        let mut jwt = JwtConfig {
            secret_file: "/nowhere/key".to_owned(),
            ..JwtConfig::default()
        };
        let missing = format!("{:#}", jwt.read_secret().expect_err("missing"));
        assert!(
            missing.starts_with("jwt.secret_file: cannot read /nowhere/key"),
            "{missing}"
        );
    }

    #[test]
    fn production_mode_takes_a_key_of_ones_own_and_a_hash_that_costs() {
        let refused = |jwt: &JwtConfig| jwt.validate(Mode::Production).map_err(|e| e.to_string());
        let none = refused(&JwtConfig::default()).expect_err("no key");
        assert!(none.starts_with("jwt.secret: in production mode"), "{none}");
        let key = |secret: &str| JwtConfig {
            secret: secret.to_owned(),
            ..JwtConfig::default()
        };
        assert!(refused(&key("short")).is_err());
        assert_eq!(refused(&key(KEY)), Ok(()));
        assert!(JwtConfig::default().validate(Mode::Development).is_ok());
        let mut auth = AuthConfig::default();
        assert!(auth.validate(Mode::Production).is_ok());
        auth.argon2.memory_kib = 7_167;
        assert!(auth.validate(Mode::Production).is_err());
        auth.argon2.memory_kib = 8;
        assert!(auth.validate(Mode::Development).is_ok());
        auth.argon2.lanes = 2;
        let refused = auth.validate(Mode::Development).expect_err("too little");
        assert!(refused.to_string().contains("auth.argon2.lanes (2)"));
    }

    #[test]
    fn the_key_is_not_shown() {
        let jwt = JwtConfig {
            secret: KEY.to_owned(),
            ..JwtConfig::default()
        };
        assert!(!format!("{jwt:?}").contains("thirty-two"));
    }
}
