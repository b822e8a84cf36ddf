//! What a balancer and a supervisor ask by `grpc.health.v1.Health`. A supervisor restarts who is
//! not alive: `liveness`. A balancer sends buyers to who is ready: `readiness`, and by the same
//! answer `seckill.SeckillService` and the nameless service.

use crate::proto::seckill::seckill_service_server::SERVICE_NAME;
use futures_util::{Stream, StreamExt, stream};
use std::pin::Pin;
use tokio::sync::watch;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// Serving for as long as the process answers.
const LIVENESS: &str = "liveness";
/// Serving while this instance can sell.
const READINESS: &str = "readiness";

/// A warning: not serving while a dead letter is open. Nothing else depends on it.
const DEAD_LETTERS: &str = "dead-letters";

/// Answers from what the control thread has last seen.
#[derive(Clone, Debug)]
pub struct HealthOf {
    pub ready: watch::Receiver<bool>,
    pub none_dead: watch::Receiver<bool>,
}

impl HealthOf {
    fn receiver(&self, request: &HealthCheckRequest) -> Result<watch::Receiver<bool>, Status> {
        match request.service.as_str() {
            "" | READINESS | SERVICE_NAME => Ok(self.ready.clone()),
            LIVENESS => Ok(watch::channel(true).1),
            DEAD_LETTERS => Ok(self.none_dead.clone()),
            other => Err(Status::not_found(format!(
                "no service {other:?}; known: {LIVENESS}, {READINESS}, {DEAD_LETTERS}, {SERVICE_NAME} and \"\""
            ))),
        }
    }
}

fn answer(is_serving: bool) -> HealthCheckResponse {
    let status = match is_serving {
        true => ServingStatus::Serving,
        false => ServingStatus::NotServing,
    };
    HealthCheckResponse {
        status: status.into(),
    }
}

#[tonic::async_trait]
impl Health for HealthOf {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let receiver = self.receiver(request.get_ref())?;
        let is_serving = *receiver.borrow();
        Ok(Response::new(answer(is_serving)))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let mut receiver = self.receiver(request.get_ref())?;
        receiver.mark_changed();
        let changes = stream::unfold(receiver, async |mut receiver| {
            // What never changes stays as it is: the client is told no end of it.
            if receiver.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            let is_serving = *receiver.borrow_and_update();
            Some((Ok(answer(is_serving)), receiver))
        });
        Ok(Response::new(changes.boxed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(service: &str) -> Request<HealthCheckRequest> {
        Request::new(HealthCheckRequest {
            service: service.to_owned(),
        })
    }

    #[tokio::test]
    async fn readiness_follows_what_is_seen_and_liveness_does_not() {
        let (sender, ready) = watch::channel(false);
        let (dead, none_dead) = watch::channel(true);
        let health = HealthOf { ready, none_dead };
        for is_ready in [false, true, false] {
            sender.send_replace(is_ready);
            for service in ["", READINESS, SERVICE_NAME] {
                let seen = health.check(ask(service)).await.expect("known");
                assert_eq!(seen.into_inner(), answer(is_ready), "{service}");
            }
            let seen = health.check(ask(LIVENESS)).await.expect("known");
            assert_eq!(seen.into_inner(), answer(true));
            dead.send_replace(is_ready);
            let seen = health.check(ask(DEAD_LETTERS)).await.expect("known");
            assert_eq!(seen.into_inner(), answer(is_ready));
        }
        let unknown = health.check(ask("life")).await.expect_err("unknown");
        assert!(unknown.message().contains("known: liveness, readiness"));
    }

    #[tokio::test]
    async fn whoever_watches_is_told_at_once_and_of_every_change() {
        let (sender, ready) = watch::channel(true);
        let none_dead = watch::channel(true).1;
        let health = HealthOf { ready, none_dead };
        for (service, then) in [(READINESS, false), (LIVENESS, true)] {
            let mut told = health
                .watch(ask(service))
                .await
                .expect("known")
                .into_inner();
            let first = told.next().await.expect("no end").expect("no error");
            assert_eq!(first, answer(true), "{service}");
            if !then {
                sender.send_replace(then);
                let second = told.next().await.expect("no end").expect("no error");
                assert_eq!(second, answer(then));
            }
        }
    }
}
