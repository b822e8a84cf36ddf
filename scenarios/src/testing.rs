//! Private servers for tests of every crate.

#[derive(Debug)]
pub struct RedisServer {
    url: String,
}

impl RedisServer {
    pub fn url(&self) -> &str {
        &self.url
    }
}

pub fn redis() -> Option<RedisServer> {
    None
}

pub fn stack() -> Option<&'static crate::stack::Stack> {
    None
}
