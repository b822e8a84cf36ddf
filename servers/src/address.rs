//! Where a server is, and who may ask it.

/// Host, port and login of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
    /// Empty where the server has no accounts.
    pub user: String,
    /// Empty for none.
    pub password: String,
}

impl Address {
    /// A private server, without a password.
    pub fn local(port: u16) -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port,
            user: String::new(),
            password: String::new(),
        }
    }
}
