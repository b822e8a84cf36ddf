//! One service for every real server (its copy for grpc-go is `grpc_go/main.go`), and the calls
//! that show it: accepted, refused with a status, large, with long headers.

use crate::client::{Client, call_all};
use loadgen::wire::{Ended, Reply};
use prost::Message;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest that all calls of one test may take.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, PartialEq, Message)]
pub struct Request {
    #[prost(int64, tag = "1")]
    pub user_id: i64,
    #[prost(int64, tag = "2")]
    pub product_id: i64,
    #[prost(int32, tag = "3")]
    pub quantity: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct Response {
    #[prost(bool, tag = "1")]
    pub success: bool,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(int64, tag = "3")]
    pub order_id: i64,
}

pub const UNAVAILABLE: (u32, &str) = (14, "rebuilding: ß 100%");

/// Product 3 wants a message, and product 4 a header, as long as its quantity.
const LENGTHS: [(i64, i32); 6] = [(1, 1), (2, 1), (3, 100), (3, 50_000), (4, 100), (4, 3_000)];

fn request(number: usize) -> Request {
    let (product_id, quantity) = LENGTHS[number % LENGTHS.len()];
    Request {
        user_id: number as i64 + 1,
        product_id,
        quantity,
    }
}

pub fn text(request: &Request) -> String {
    match request.product_id {
        3 => "a".repeat(request.quantity as usize),
        _ => "fine".to_owned(),
    }
}

fn expected(request: &Request) -> Ended {
    let (status, message) = UNAVAILABLE;
    Ended::Replied(match request.product_id {
        2 => Reply {
            http_status: 200,
            grpc_status: Some(status),
            grpc_message: message.to_owned(),
            body: Vec::new(),
        },
        _ => Reply {
            http_status: 200,
            grpc_status: Some(0),
            grpc_message: String::new(),
            body: with_prefix(&Response {
                success: true,
                message: text(request),
                order_id: request.user_id,
            }),
        },
    })
}

fn with_prefix(message: &impl Message) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend_from_slice(&(message.encoded_len() as u32).to_be_bytes());
    message.encode(&mut bytes).expect("there is room");
    bytes
}

/// Calls `count` times, over a new connection whenever the server closes one in good order, and
/// returns the reasons that it gave. Every reply must be right.
pub async fn call(address: SocketAddr, count: usize) -> Vec<String> {
    let requests: Vec<Request> = (0..count).map(request).collect();
    let messages: Vec<Vec<u8>> = requests.iter().map(with_prefix).collect();
    let mut todo: VecDeque<u32> = (0..count as u32).collect();
    let mut ends = vec![None; count];
    let mut reasons = Vec::new();
    let calls = async {
        while ends.iter().any(Option::is_none) {
            let socket = TcpStream::connect(address).await.expect("it listens");
            socket.set_nodelay(true).expect("nodelay");
            let mut client = Client::new(socket, &address.to_string(), None);
            call_all(&mut client, &messages, &mut todo, &mut ends)
                .await
                .expect("the server closes only what it has answered");
            reasons.extend(client.session.why_going_away().map(str::to_owned));
        }
    };
    timeout(PATIENCE, calls).await.expect("no call hangs");
    for (request, end) in requests.iter().zip(ends) {
        assert_eq!(end, Some(expected(request)), "{request:?}");
    }
    reasons
}
