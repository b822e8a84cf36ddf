//! The configuration of every shop that tests run in their own process, on a database of their own:
//! all that a test says nothing about.

use system::config::Config;

/// On this database, with an engine that needs no server, on free ports, with passwords that are
/// hashed at once, and quick to open its sales.
pub fn on(url: String) -> Config {
    let mut config = Config::default();
    config.database.url = url;
    config.seckill.engine = "preallocated".parse().expect("a name");
    config.seckill.threads = 1;
    for listen in [
        &mut config.seckill.listen,
        &mut config.order.listen,
        &mut config.product.listen,
        &mut config.auth.listen,
        &mut config.user.listen,
        &mut config.gateway.listen,
    ] {
        *listen = "127.0.0.1:0".to_owned();
    }
    config.reconciler.interval_ms = 50;
    config.auth.argon2.memory_kib = 8;
    config.auth.argon2.passes = 1;
    config
}
