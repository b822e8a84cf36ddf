//! What the handlers of one serving thread share.

use super::answer::Refusal;
use super::guard::breaker::Breakers;
use super::guard::rates::{Bucket, Key, Rates};
use super::routing::Routing;
use super::upstream::{Call, Failure, TraceHeaders, Upstream};
use crate::accounts::Access;
use crate::config::Config;
use crate::grpc_server::{OTHER_INSTANCE, REASON};
use crate::metrics::Metrics;
use crate::proto::seckill::{SeckillRequest, SeckillResponse};
use crate::tokens::{Caller, token_in};
use axum::extract::FromRequestParts;
use engines::{SaleId, UserId};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use std::sync::Arc;
use std::time::Duration;

/// What a client calls the version that they want.
const VERSION: &str = "x-seckill-version";
/// Where a key that makes repeats harmless stands.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What of one user is limited, by how its routes begin.
const LIMITED: [(&str, Bucket); 2] = [
    ("/api/v1/seckill/", Bucket::Seckill),
    ("/api/v1/orders", Bucket::Order),
];

/// Given to every handler.
pub type App = Arc<Services>;

/// The services, and who asks them.
#[derive(Debug)]
pub struct Services {
    pub auth: Upstream,
    pub user: Upstream,
    pub product: Upstream,
    pub order: Upstream,
    seckill: Upstream,
    routing: Arc<Routing>,
    access: Access,
    /// How often somebody may ask.
    pub rates: Arc<Rates>,
    timeout: Duration,
    /// Of what waits until a sale's next epoch is open.
    pub stock_timeout: Duration,
    /// Longest wait for a row.
    pub wait_max: Duration,
    /// Longest wait for a body.
    pub body_timeout: Duration,
}

impl Services {
    /// With connections on the current runtime.
    pub fn connect(
        config: &Config,
        routing: Arc<Routing>,
        access: Access,
        rates: Arc<Rates>,
        breakers: &Breakers,
    ) -> anyhow::Result<Self> {
        let gateway = &config.gateway;
        let at = &gateway.upstreams;
        let most = gateway.max_in_flight;
        let upstream =
            |subject, list: &str| Upstream::new(subject, list, (most, &config.tls), breakers);
        let timeout = Duration::from_millis(gateway.timeout_ms);
        Ok(Self {
            auth: upstream("accounts are", &at.auth)?,
            user: upstream("users are", &at.user)?,
            product: upstream("products are", &at.product)?,
            order: upstream("orders are", &at.order)?,
            seckill: upstream("the sale is", &at.seckill)?,
            routing,
            access,
            rates,
            timeout,
            stock_timeout: timeout + Duration::from_millis(config.product.stock_timeout_ms),
            wait_max: Duration::from_millis(gateway.wait_max_ms),
            body_timeout: Duration::from_millis(gateway.body_timeout_ms),
        })
    }

    /// Registers what this thread counts of its calls.
    pub fn observe(&self, metrics: &Metrics) {
        for (name, upstream) in [
            ("auth", &self.auth),
            ("user", &self.user),
            ("product", &self.product),
            ("order", &self.order),
            ("seckill", &self.seckill),
        ] {
            upstream.observe(metrics, name);
        }
    }

    /// A call with what the client's headers carry.
    pub fn call<'a>(&self, method: &'static str, headers: &'a HeaderMap) -> Call<'a> {
        Call {
            method,
            authorization: headers.get(AUTHORIZATION),
            idempotency_key: headers.get(IDEMPOTENCY_KEY),
            trace: TraceHeaders::of(headers),
            timeout: self.timeout,
        }
    }

    /// Asks the instance that this buyer goes to.
    pub async fn buy(
        &self,
        request: SeckillRequest,
        headers: &HeaderMap,
    ) -> Result<SeckillResponse, Refusal> {
        let version = headers.get(VERSION).map(HeaderValue::to_str).transpose();
        let version =
            version.map_err(|_| Refusal::malformed(format!("{VERSION} must be visible ASCII")))?;
        let (sale, user) = (SaleId(request.product_id), UserId(request.user_id));
        let ways = self.routing.ways(sale, user, version)?;
        let call = Call {
            // The service asks nobody for a token: it believes the user that it is told.
            authorization: None,
            idempotency_key: None,
            ..self.call("/seckill.SeckillService/ExecuteSeckill", headers)
        };
        let mut refusal = None;
        for index in ways {
            match self.seckill.ask_at(index, &call, request).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::NotSent(service)) => refusal = Some(Failure::NotSent(service)),
                Err(other) => {
                    refusal = Some(other);
                    break;
                }
            }
        }
        let refusal = refusal.unwrap_or(Failure::NotSent("the sale is"));
        if let Failure::Told(told) = &refusal
            && told
                .metadata()
                .get(REASON)
                .is_some_and(|it| it == OTHER_INSTANCE)
        {
            self.routing.was_wrong();
        }
        Err(refusal.into())
    }
}

/// Who asks, by a token that holds.
#[derive(Clone, Copy, Debug)]
pub struct Identity(pub Caller);

impl FromRequestParts<App> for Identity {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let caller = app.access.bearer(token_in(&parts.headers)?)?;
        let caller = caller.ok_or_else(|| {
            let text = "nobody has a token here: jwt.secret is not set";
            Refusal::new(StatusCode::UNAUTHORIZED, text)
        })?;
        let path = parts.uri.path();
        let limited = LIMITED.iter().find(|(begin, _)| path.starts_with(begin));
        if let Some((_, bucket)) = limited {
            let checked = app.rates.check(*bucket, Key::User(caller.user.0));
            checked.map_err(|wait| Refusal::too_often(*bucket, wait))?;
        }
        Ok(Self(caller))
    }
}
