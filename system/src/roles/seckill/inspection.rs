//! What operators may ask over gRPC, on the admin listener: the stock of a sale as this instance sees
//! it, and what it has been waiting for.

use super::pressure::Pressure;
use super::replies::{Fault, stock_unavailable};
use crate::incarnation::Incarnation;
use crate::proto;
use crate::proto::inspect::inspect_service_server::{InspectService, InspectServiceServer};
use crate::proto::inspect::{
    GetDeadLettersRequest, GetDeadLettersResponse, GetPressureRequest, GetPressureResponse,
    GetStockRequest, GetStockResponse,
};
use crate::store::Store;
use crate::terms::Terms;
use anyhow::Context;
use engines::{SaleId, StockEngine};
use std::sync::Arc;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// Answers operators.
#[derive(Clone, Debug)]
pub struct Inspector {
    pub engine: Arc<dyn StockEngine>,
    pub terms: Terms,
    pub incarnation: Incarnation,
    pub pressure: Arc<Pressure>,
    pub store: Store,
    /// Serving threads.
    pub threads: usize,
}

impl Inspector {
    /// What the admin listener serves beside its pages.
    pub fn calls(self) -> anyhow::Result<axum::Router> {
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .with_service_name("inspect.InspectService")
            .build_v1()
            .context("cannot build the reflection service")?;
        let routes = Routes::new(InspectServiceServer::new(self)).add_service(reflection);
        Ok(routes.prepare().into_axum_router())
    }
}

#[tonic::async_trait]
impl InspectService for Inspector {
    async fn get_stock(
        &self,
        request: Request<GetStockRequest>,
    ) -> Result<Response<GetStockResponse>, Status> {
        let sale = SaleId(request.into_inner().product_id);
        let sale = self.terms.sale(sale).ok_or(Fault::Sale(sale))?;
        let Some(open) = sale.open else {
            return Ok(Response::new(GetStockResponse::default()));
        };
        let stock = self
            .engine
            .stock(&open.term)
            .await
            .map_err(|error| stock_unavailable(&error))?;
        // Where buyers are owned, an instance sells only to its own.
        let are_dealt = self.engine.info().guarantees.needs_user_affinity;
        let is_open_to_all = stock.owners.is_empty() && !are_dealt;
        let identity = self.incarnation.current();
        let may_sell = identity
            .is_some_and(|identity| is_open_to_all || stock.owners.contains(&Some(identity.id)));
        Ok(Response::new(GetStockResponse {
            remaining: stock.remaining,
            open_units: i64::try_from(stock.open_units).unwrap_or(i64::MAX),
            epoch: i32::try_from(open.term.epoch.0).unwrap_or(i32::MAX),
            open: stock.is_open && may_sell,
            server: stock.server,
        }))
    }

    async fn get_dead_letters(
        &self,
        _request: Request<GetDeadLettersRequest>,
    ) -> Result<Response<GetDeadLettersResponse>, Status> {
        let counted = self.store.open_dead_letters().await;
        let counted = counted.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(Response::new(GetDeadLettersResponse {
            open: i64::try_from(counted.open).unwrap_or(i64::MAX),
            oldest_age_ms: counted.oldest_age_ms,
        }))
    }

    async fn get_pressure(
        &self,
        _request: Request<GetPressureRequest>,
    ) -> Result<Response<GetPressureResponse>, Status> {
        let sums = self.pressure.sums();
        Ok(Response::new(GetPressureResponse {
            confirm_wait_ns: sums.confirm_wait_ns,
            engine_wait_ns: sums.engine_wait_ns,
            batches: sums.batches,
            orders: sums.orders,
            threads: u32::try_from(self.threads).unwrap_or(u32::MAX),
        }))
    }
}
