//! Accounts that nobody registers: administrators, and those of the development seed.

use crate::accounts::{Passwords, password, username};
use crate::clock::unix_ms;
use crate::config::{Config, Mode, one_line, secret_in};
use crate::roles;
use crate::store::{NewAccount, Store};
use anyhow::{Context, anyhow, ensure};
use engines::Registry;
use std::fmt;
use std::io::{IsTerminal, Read};
use std::path::Path;
use tonic::Status;

/// Users of the development seed, and the password of all of them.
const DEVELOPMENT_USERS: [&str; 3] = ["testuser1", "testuser2", "testuser3"];
const DEVELOPMENT_PASSWORD: &str = "password123";
/// No password is nearly as long, bytes.
const INPUT_MAX: u64 = 4_096;

/// Who is to be an administrator, with this password.
#[derive(Clone)]
pub struct Admin {
    name: String,
    password: String,
}

impl fmt::Debug for Admin {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Admin {
    /// With the password in `file`, or on stdin; a line break behind it does not belong to it.
    pub fn read(name: &str, file: Option<&Path>) -> anyhow::Result<Self> {
        let text = match file {
            Some(file) => secret_in(file).context("--password-file")?,
            None => one_line(&from_stdin()?).to_owned(),
        };
        Self::new(name, &text)
    }

    /// A name and a password as the auth service takes them.
    pub fn new(name: &str, text: &str) -> anyhow::Result<Self> {
        let name = username(name.to_owned()).map_err(|why| refused(&why).context("--admin"))?;
        let password = password("the password", text.to_owned());
        let password = password.map_err(|why| refused(&why).context("--admin"))?;
        Ok(Self { name, password })
    }
}

/// A terminal would show what is typed.
fn from_stdin() -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    ensure!(
        !stdin.is_terminal(),
        "--admin: give the password through stdin or --password-file, so that nobody sees it: \
         read -rs PASSWORD; printf %s \"$PASSWORD\" | seckill migrate --admin NAME"
    );
    let mut text = String::new();
    let read = stdin.lock().take(INPUT_MAX).read_to_string(&mut text);
    read.context("--admin: cannot read the password from stdin")?;
    Ok(text)
}

fn refused(why: &Status) -> anyhow::Error {
    anyhow!("{}", why.message())
}

/// Refuses passwords that everybody knows where customers are.
pub fn check_development(config: &Config) -> anyhow::Result<()> {
    ensure!(
        config.mode == Mode::Development,
        "--seed dev: in production mode there are no accounts whose password everybody knows"
    );
    Ok(())
}

/// Makes the users of the development seed; who is there already stays as they are.
pub async fn make_development(config: &Config, registry: &Registry) -> anyhow::Result<()> {
    check_development(config)?;
    let store = Store::connect(&config.database, roles::engine(config, registry)?).await?;
    let passwords = Passwords::new(&config.auth)?;
    for name in DEVELOPMENT_USERS {
        if store.account_named(name).await?.is_none() {
            let hash = hashed(&passwords, DEVELOPMENT_PASSWORD).await?;
            let new = account(name, hash, false);
            store.create_account(&new, now_s()).await?;
        }
        tracing::info!(name, "development user seeded");
    }
    store.close().await;
    Ok(())
}

/// Makes an account of an administrator. Of one that is there it becomes the password, it becomes an
/// administrator's, and all tokens from before are revoked.
pub async fn make_admin(config: &Config, registry: &Registry, admin: &Admin) -> anyhow::Result<()> {
    let store = Store::connect(&config.database, roles::engine(config, registry)?).await?;
    let passwords = Passwords::new(&config.auth)?;
    let hash = hashed(&passwords, &admin.password).await?;
    let new = account(&admin.name, hash, true);
    match store.account_named(&admin.name).await? {
        Some(known) => {
            let user = known.user;
            store.make_admin(user, &new.password_hash, now_s()).await?;
            tracing::info!(name = known.username, %user, "is an administrator");
        }
        None => {
            let made = store.create_account(&new, now_s()).await?;
            let made = made.with_context(|| {
                format!("--admin: {} has just been made; try again", admin.name)
            })?;
            tracing::info!(name = made.username, user = %made.user, "administrator made");
        }
    }
    store.close().await;
    Ok(())
}

async fn hashed(passwords: &Passwords, text: &str) -> anyhow::Result<String> {
    let hash = passwords.hash(text.to_owned()).await;
    hash.map_err(|why| refused(&why))
}

fn account(name: &str, password_hash: String, is_admin: bool) -> NewAccount {
    NewAccount {
        username: name.to_owned(),
        email: String::new(),
        phone: String::new(),
        password_hash,
        is_admin,
    }
}

fn now_s() -> i64 {
    unix_ms() / 1_000
}
