//! Asks a running seckill instance about the stock of its sales: whether it can sell yet, and
//! whether it still has open holds.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tonic::transport::{Channel, Endpoint};

#[allow(missing_debug_implementations, clippy::all)]
mod proto {
    tonic::include_proto!("inspect");
}

pub(super) use proto::{GetPressureResponse as Pressure, GetStockResponse as Stock};

/// Longest wait for the sales to open after the roles have started, and for each sale beyond that.
const OPEN_LIMIT: Duration = Duration::from_secs(20);
const OPEN_EACH: Duration = Duration::from_millis(500);
const OPEN_POLL: Duration = Duration::from_millis(50);
const CALL_LIMIT: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub(super) struct StockInspector {
    client: proto::inspect_service_client::InspectServiceClient<Channel>,
}

impl StockInspector {
    /// `address` is where it answers operators. Connects at the first call, so that a service which
    /// is still starting is not an error.
    pub(super) fn new(address: SocketAddr) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .connect_timeout(CALL_LIMIT)
            .timeout(CALL_LIMIT)
            .tcp_nodelay(true);
        let client =
            proto::inspect_service_client::InspectServiceClient::new(endpoint.connect_lazy());
        Ok(Self { client })
    }

    pub(super) async fn stock(&mut self, product_id: i64) -> Result<Stock, tonic::Status> {
        let reply = self
            .client
            .get_stock(proto::GetStockRequest { product_id })
            .await?;
        Ok(reply.into_inner())
    }

    /// What the serving threads have waited for since the start; none where the system does not
    /// say, or cannot be asked now.
    pub(super) async fn pressure(&mut self) -> Option<Pressure> {
        let reply = self.client.get_pressure(proto::GetPressureRequest {}).await;
        Some(reply.ok()?.into_inner())
    }

    /// Waits until each of these sales is open; the error says what the last answer was.
    pub(super) async fn wait_open(&mut self, products: &[i64]) -> anyhow::Result<()> {
        let started = Instant::now();
        let limit = OPEN_LIMIT + OPEN_EACH * u32::try_from(products.len()).unwrap_or(u32::MAX);
        for &product_id in products {
            loop {
                let seen = match self.stock(product_id).await {
                    Ok(stock) if stock.open => break,
                    Ok(stock) => format!(
                        "epoch {}, not open, {} units remaining",
                        stock.epoch, stock.remaining
                    ),
                    Err(status) => format!("{}: {}", status.code(), status.message()),
                };
                if started.elapsed() > limit {
                    bail!(
                        "sale {product_id} did not open within {} s: {seen}",
                        limit.as_secs()
                    );
                }
                tokio::time::sleep(OPEN_POLL).await;
            }
        }
        Ok(())
    }

    /// As [`StockInspector::stock`]; the error says which sale could not be inspected.
    pub(super) async fn expect_stock(&mut self, product_id: i64) -> anyhow::Result<Stock> {
        self.stock(product_id)
            .await
            .with_context(|| format!("stock of sale {product_id} cannot be read"))
    }
}
