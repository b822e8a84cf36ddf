//! An account as both services show it: each has a message of its own for the same fields.

use crate::proto::{auth, user};
use crate::store::Account;

/// A message about a user.
pub trait UserFields {
    /// What others than the database may see of an account.
    fn of(account: &Account) -> Self;
}

macro_rules! shown {
    ($($message:ty),+) => {
        $(impl UserFields for $message {
            fn of(account: &Account) -> Self {
                Self {
                    id: account.user.0,
                    username: account.username.clone(),
                    email: account.email.clone(),
                    phone: account.phone.clone(),
                    created_at: account.created_at_s,
                    updated_at: account.updated_at_s,
                }
            }
        })+
    };
}

shown!(auth::User, user::User);
