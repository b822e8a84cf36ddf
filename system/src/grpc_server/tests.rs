//! Clients that send too much, and a handler that panics: they are refused, and the service lives.

use super::*;
use crate::proto::inspect::inspect_service_client::InspectServiceClient;
use crate::proto::inspect::inspect_service_server::{InspectService, InspectServiceServer};
use crate::proto::inspect::{
    GetDeadLettersRequest, GetDeadLettersResponse, GetPressureRequest, GetPressureResponse,
    GetStockRequest, GetStockResponse,
};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// One method answers, one panics at once, one after it has waited.
struct Moody;

#[tonic::async_trait]
impl InspectService for Moody {
    async fn get_stock(
        &self,
        _: Request<GetStockRequest>,
    ) -> Result<Response<GetStockResponse>, Status> {
        Ok(Response::new(GetStockResponse::default()))
    }

    async fn get_pressure(
        &self,
        _: Request<GetPressureRequest>,
    ) -> Result<Response<GetPressureResponse>, Status> {
        panic!("mysql://shop:sesame@db/")
    }

    async fn get_dead_letters(
        &self,
        _: Request<GetDeadLettersRequest>,
    ) -> Result<Response<GetDeadLettersResponse>, Status> {
        tokio::task::yield_now().await;
        panic!("mysql://shop:sesame@db/")
    }
}

/// One connection to a service that runs as long as the test.
async fn connected() -> Channel {
    let listener = Listener::bind("127.0.0.1:0", 1).expect("a port");
    let url = format!("http://{}", listener.address());
    tokio::spawn(async move {
        let (_stop, asked) = Shutdown::channel();
        let service = InspectServiceServer::new(Moody).max_decoding_message_size(MAX_REQUEST_BYTES);
        let service = ("inspect.InspectService", Routes::new(service));
        serve(&Config::default(), listener, service, &asked).await
    });
    let endpoint = Endpoint::from_shared(url).expect("a URL");
    endpoint.connect().await.expect("it listens")
}

async fn is_well(channel: &Channel) {
    let mut client = InspectServiceClient::new(channel.clone());
    let answer = client.get_stock(GetStockRequest::default()).await;
    answer.expect("it answers");
}

#[tokio::test]
async fn a_handler_that_panics_answers_internal_and_its_neighbours_go_on() {
    let channel = connected().await;
    let mut client = InspectServiceClient::new(channel.clone());
    for _ in 0..3 {
        let at_once = client.get_pressure(GetPressureRequest::default()).await;
        let later = client
            .get_dead_letters(GetDeadLettersRequest::default())
            .await;
        for status in [at_once.expect_err("a panic"), later.expect_err("a panic")] {
            assert_eq!(status.code(), Code::Internal);
            assert_eq!(status.message(), "something is wrong in this service");
        }
        is_well(&channel).await;
    }
}

#[tokio::test]
async fn metadata_and_messages_that_are_too_large_are_refused_and_the_service_lives() {
    let channel = connected().await;
    for bytes in [64 * 1024, 1024 * 1024] {
        let mut request = Request::new(GetStockRequest::default());
        let token = format!("Bearer {}", "a".repeat(bytes));
        let token = token.parse().expect("ASCII");
        request.metadata_mut().insert("authorization", token);
        let refused = InspectServiceClient::new(channel.clone())
            .get_stock(request)
            .await;
        refused.expect_err("too large");
        is_well(&connected().await).await;
    }
    // Of this service's own, too: its name is looked up, so it must not be long.
    let service = "x".repeat(MAX_REQUEST_BYTES + 1);
    let refused = HealthClient::new(connected().await)
        .check(HealthCheckRequest { service })
        .await;
    let refused = refused.expect_err("too large");
    assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
}
