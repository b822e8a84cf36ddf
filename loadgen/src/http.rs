//! The HTTP driver: lanes that buy, cancel and pay at a gateway, as JSON over HTTP/1.1, each buyer
//! with a token of their own. A connection has one request under way, so there are as many connections
//! as workers.
//!
//! Like the gRPC driver's, its client is its own, because what the driver spends is taken from the
//! system on a shared machine. It is fenced: plain HTTP/1.1, one request at a time, an answer of at
//! most 64 KiB; heads are parsed by `httparse`.

mod answer;
mod connection;
mod outcome;
mod tokens;

use crate::data::{Element, Encoded};
use crate::events::Event;
use crate::grpc::resolve;
use crate::lane::{Lane, Protocol};
use crate::plan::LoadPlan;
use crate::run::{self, Elements, Measured, Operation, Port, Request, Stop};
use crate::{Error, Result};
use connection::{Busy, Connection};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use tokens::Tokens;

/// Why a plan is not carried out here.
pub(crate) const NOT_FOR_HTTP: &str = "the plan says nothing about HTTP: it needs http.secret_file";
/// Where purchases go.
const BUY_PATH: &str = "/api/v1/seckill/execute";

/// Runs a plan with [`LoadPlan::http`] to its end with this data, or until `stop` ends it early; see
/// [`run::drive`].
///
/// # Errors
/// As [`run::drive`]; also when there is no key to sign tokens with.
pub fn drive(
    plan: &LoadPlan,
    data: Arc<Encoded>,
    stop: &Stop,
    observe: &mut dyn FnMut(Event),
) -> Result<Measured> {
    plan.check()?;
    let Some(http) = &plan.http else {
        return Err(Error::Usage(NOT_FOR_HTTP.to_owned()));
    };
    let buyers = Buyers {
        addresses: resolve(&plan.address)?.into(),
        host: plan.address.as_str().into(),
        tokens: Tokens::new(http)?,
        data: Arc::clone(&data),
        body: Vec::new(),
    };
    let elements = Elements {
        elements: data.elements(),
        users_repeat: data.users_repeat(),
    };
    let lane = |port: Port| Lane::new(port, buyers.clone());
    run::drive(plan, elements, stop, lane, observe)
}

/// Requests of the buyers of this data.
#[derive(Clone, Debug)]
struct Buyers {
    addresses: Arc<[SocketAddr]>,
    host: Arc<str>,
    tokens: Tokens,
    data: Arc<Encoded>,
    /// Of the request that is being written.
    body: Vec<u8>,
}

impl Protocol for Buyers {
    type Link = Connection;
    type Obstacle = Busy;

    async fn connect(&self) -> std::result::Result<Connection, String> {
        Connection::establish(&self.addresses).await
    }

    fn send(
        &mut self,
        link: &mut Connection,
        request: Request,
        port: &Port,
    ) -> std::result::Result<(), Busy> {
        let out = link.begin(request)?;
        match request.operation {
            Operation::Buy { element } => self.buy(out, element),
            Operation::BuyAgain { .. } => self.buy(out, port.asked(request.operation).1),
            Operation::Cancel { .. } => self.change(out, port.asked(request.operation), "cancel"),
            Operation::Pay { .. } => self.change(out, port.asked(request.operation), "pay"),
        }
        Ok(())
    }
}

impl Buyers {
    fn buy(&mut self, out: &mut Vec<u8>, element: u32) {
        let Element {
            user_id,
            product_id,
            quantity,
        } = *self.data.element(element as usize);
        self.body.clear();
        put(
            &mut self.body,
            format_args!(r#"{{"product_id":{product_id},"quantity":{quantity}}}"#),
        );
        put(out, format_args!("POST {BUY_PATH} HTTP/1.1\r\n"));
        self.rest(out, user_id);
    }

    fn change(&mut self, out: &mut Vec<u8>, (order_id, element): (i64, u32), change: &str) {
        let user_id = self.data.element(element as usize).user_id;
        self.body.clear();
        put(
            out,
            format_args!("POST /api/v1/orders/{order_id}/{change} HTTP/1.1\r\n"),
        );
        self.rest(out, user_id);
    }

    fn rest(&self, out: &mut Vec<u8>, user_id: i64) {
        put(
            out,
            format_args!("host: {}\r\nauthorization: Bearer ", self.host),
        );
        self.tokens.write(user_id, out);
        let length = self.body.len();
        put(
            out,
            format_args!("\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"),
        );
        out.extend_from_slice(&self.body);
    }
}

/// Memory takes everything.
fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}
