//! Asks a running service about its stock, or anything else. The messages are written by hand from the wire contract.

use std::net::SocketAddr;
use std::time::Duration;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;

const CALL_LIMIT: Duration = Duration::from_secs(2);

#[derive(Clone, PartialEq, prost::Message)]
struct GetStockRequest {
    #[prost(int64, tag = "1")]
    product_id: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Stock {
    #[prost(int64, tag = "1")]
    pub remaining: i64,
    #[prost(int64, tag = "2")]
    pub open_units: i64,
    #[prost(int32, tag = "3")]
    pub epoch: i32,
    #[prost(bool, tag = "4")]
    pub open: bool,
    #[prost(string, tag = "5")]
    pub server: String,
}

/// The stock of a sale by a service that answers operators at `address`, or in words why it cannot
/// be read.
pub async fn stock(address: SocketAddr, product_id: i64) -> Result<Stock, String> {
    let request = GetStockRequest { product_id };
    call(address, "/inspect.InspectService/GetStock", request).await
}

/// A client of whoever listens there.
pub type Client = tonic::client::Grpc<tonic::transport::Channel>;

/// Connects, and waits until a call can be made; `limit` is for that and for each call.
pub async fn connect(address: SocketAddr, limit: Duration) -> Result<Client, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let channel = endpoint
        .connect_timeout(limit)
        .timeout(limit)
        .connect()
        .await;
    let mut client =
        Client::new(channel.map_err(|error| format!("no connection to {address}: {error}"))?);
    client.ready().await.map_err(|error| error.to_string())?;
    Ok(client)
}

/// One call on a connection of its own.
pub async fn call<Q, R>(address: SocketAddr, method: &'static str, request: Q) -> Result<R, String>
where
    Q: prost::Message + Send + Sync + 'static,
    R: prost::Message + Default + Send + Sync + 'static,
{
    let mut client = connect(address, CALL_LIMIT).await?;
    let codec = tonic_prost::ProstCodec::<Q, R>::default();
    let path = PathAndQuery::from_static(method);
    let reply = client
        .unary(tonic::Request::new(request), path, codec)
        .await;
    reply
        .map(tonic::Response::into_inner)
        .map_err(|status| format!("{}: {}", status.code(), status.message()))
}
