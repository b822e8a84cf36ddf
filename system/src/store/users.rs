//! Accounts of users.

use super::handle::Store;
use database::{Arg, FromRow, Result, RowRef, fault};
use engines::UserId;

/// `role` of administrators, and of everybody else.
const ADMIN: &str = "admin";
const USER: &str = "user";

/// What [`Account`] is read from.
const COLUMNS: &str =
    "id, username, email, phone, password_hash, role, token_version, created_at, updated_at";

/// A user's account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub user: UserId,
    pub username: String,
    pub email: String,
    pub phone: String,
    pub password_hash: String,
    pub is_admin: bool,
    /// From 1; tokens of an earlier one no longer hold.
    pub token_version: i64,
    /// Unix s.
    pub created_at_s: i64,
    /// Unix s.
    pub updated_at_s: i64,
}

/// An account that is to be made.
#[derive(Clone, Debug)]
pub struct NewAccount {
    pub username: String,
    pub email: String,
    pub phone: String,
    pub password_hash: String,
    pub is_admin: bool,
}

/// Tokens of a user before this version were revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    pub user: UserId,
    pub version: i64,
    /// When, by the clock of who revoked them, unix s.
    pub at_s: i64,
}

impl FromRow for Account {
    fn from_row(row: RowRef<'_>) -> Result<Self> {
        type Columns = (
            UserId,
            String,
            String,
            String,
            String,
            String,
            i64,
            i64,
            i64,
        );
        let columns = Columns::from_row(row)?;
        let (user, username, email, phone, password_hash, role, version, created, updated) =
            columns;
        Ok(Self {
            user,
            username,
            email,
            phone,
            password_hash,
            is_admin: role == ADMIN,
            token_version: version,
            created_at_s: created,
            updated_at_s: updated,
        })
    }
}

impl Store {
    /// Makes an account; `None`: somebody has this name, in whatever case.
    pub async fn create_account(&self, new: &NewAccount, now_s: i64) -> Result<Option<Account>> {
        let sql = "INSERT INTO users
             (username, email, phone, password_hash, role, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)";
        let args = [
            Arg::from(new.username.as_str()),
            new.email.as_str().into(),
            new.phone.as_str().into(),
            new.password_hash.as_str().into(),
            role(new.is_admin).into(),
            now_s.into(),
            now_s.into(),
        ];
        match self.database.run(sql, args).await {
            // By its name: a pool has no last row.
            Ok(_) => self.account_named(&new.username).await,
            Err(error) if fault::is_unique_violation(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The account of this name, in whatever case.
    pub async fn account_named(&self, username: &str) -> Result<Option<Account>> {
        let sql = format!("SELECT {COLUMNS} FROM users WHERE username = ?");
        self.database.row(&sql, [username]).await
    }

    /// The account of this user.
    pub async fn account(&self, user: UserId) -> Result<Option<Account>> {
        let sql = format!("SELECT {COLUMNS} FROM users WHERE id = ?");
        self.database.row(&sql, [user]).await
    }

    /// Changes how somebody can be reached; `None`: that stays.
    pub async fn change_contacts(
        &self,
        user: UserId,
        (email, phone): (Option<&str>, Option<&str>),
        now_s: i64,
    ) -> Result<()> {
        let sql = "UPDATE users SET email = COALESCE(?, email), phone = COALESCE(?, phone), updated_at = ? WHERE id = ?";
        let args = [email.into(), phone.into(), now_s.into(), Arg::from(user)];
        self.database.run(sql, args).await.map(drop)
    }

    /// Changes a password and revokes all tokens from before; `false`: that has been done since the
    /// account was at `version`.
    pub async fn change_password(
        &self,
        user: UserId,
        version: i64,
        password_hash: &str,
        now_s: i64,
    ) -> Result<bool> {
        let sql = "UPDATE users SET password_hash = ?, token_version = token_version + 1, revoked_at = ?, updated_at = ?
             WHERE id = ? AND token_version = ?";
        let args = [
            Arg::from(password_hash),
            now_s.into(),
            now_s.into(),
            user.into(),
            version.into(),
        ];
        Ok(self.database.run(sql, args).await? == 1)
    }

    /// Gives an account another password and the role of administrators, and revokes all tokens from
    /// before.
    pub async fn make_admin(&self, user: UserId, password_hash: &str, now_s: i64) -> Result<()> {
        let sql = "UPDATE users SET password_hash = ?, role = ?, token_version = token_version + 1, revoked_at = ?,
             updated_at = ? WHERE id = ?";
        let args = [
            Arg::from(password_hash),
            ADMIN.into(),
            now_s.into(),
            now_s.into(),
            user.into(),
        ];
        self.database.run(sql, args).await.map(drop)
    }

    /// Whose tokens were revoked at or after `since_s`, the latest first and no more than `most`.
    pub async fn revocations(&self, since_s: i64, most: u32) -> Result<Vec<Revocation>> {
        let sql = "SELECT id, token_version, revoked_at FROM users WHERE revoked_at >= ? ORDER BY revoked_at DESC LIMIT ?";
        let args = [Arg::from(since_s), most.into()];
        let found: Vec<(UserId, i64, i64)> = self.database.rows(sql, args).await?;
        let revocation = |(user, version, at_s)| Revocation {
            user,
            version,
            at_s,
        };
        Ok(found.into_iter().map(revocation).collect())
    }
}

fn role(is_admin: bool) -> &'static str {
    match is_admin {
        true => ADMIN,
        false => USER,
    }
}
