//! The exchanges that everything is published to.

use crate::broker::names::Names;
use anyhow::Context;
use lapin::options::ExchangeDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Channel, ExchangeKind};

/// Declares the exchanges; idempotent.
///
/// exclusive-route (R6): in a direct exchange no wildcard matches, so a binding of somebody else's
/// cannot stand in for a queue that is gone.
pub async fn declare_exchanges(channel: &Channel, names: &Names) -> anyhow::Result<()> {
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    for (exchange, kind) in [
        (names.orders(), ExchangeKind::Direct),
        (names.listeners(), ExchangeKind::Topic),
        (names.dead_letters(), ExchangeKind::Topic),
    ] {
        channel
            .exchange_declare(
                exchange.as_str().into(),
                kind,
                durable,
                FieldTable::default(),
            )
            .await
            .with_context(|| format!("cannot declare exchange {exchange}"))?;
    }
    Ok(())
}
