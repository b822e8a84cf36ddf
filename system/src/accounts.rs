//! Who the users are: what services share that ask for a password or a token.
//!
//! The auth and the user role serve accounts; every role that asks who somebody is does so through
//! [`Access`].

mod access;
mod input;
mod passwords;
mod refusals;
mod revoked;
mod wire;

pub use access::{Access, account_of};
pub use input::{contacts, new_password, password, username};
pub use passwords::Passwords;
pub use refusals::{out_of_reach, outcome_unknown};
pub use wire::UserFields;
