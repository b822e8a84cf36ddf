//! The gRPC driver: lanes that speak `seckill.SeckillService/ExecuteSeckill`, and
//! `order.OrderService/CancelOrder` and `PayOrder`, over connections of their own HTTP/2 client,
//! which needs a fraction of what a general one costs.

mod connection;
mod outcome;

use crate::data::{Encoded, generate, read_json, write_message};
use crate::events::Event;
use crate::lane::{Lane, Protocol};
use crate::message::{CANCEL_PATH, METHOD_PATH, OrderRequest, PAY_PATH};
use crate::plan::{Data, LoadPlan};
use crate::run::{self, Elements, Measured, Operation, Port, Request, Serves, Stop};
use crate::wire::{Obstacle, Target};
use crate::{Error, Result};
use connection::Connection;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

/// The data that a plan asks for, encoded.
///
/// # Errors
/// When a file cannot be read or holds something else; the error names element and field.
pub fn load_data(data: &Data) -> Result<Arc<Encoded>> {
    let elements = match data {
        Data::Generated(spec) => generate(spec)?,
        Data::File(path) => read_json(path)?,
    };
    Ok(Arc::new(Encoded::new(elements)))
}

/// Runs a plan to its end with this data, or until `stop` ends it early; see [`run::drive`].
pub fn drive(
    plan: &LoadPlan,
    data: Arc<Encoded>,
    stop: &Stop,
    observe: &mut dyn FnMut(Event),
) -> Result<Measured> {
    plan.check()?;
    let orders = plan.orders.as_ref().map_or(&plan.address, |it| &it.address);
    let buy = Server::resolve(plan, &plan.address, METHOD_PATH)?;
    let cancel = Server::resolve(plan, orders, CANCEL_PATH)?;
    let pay = Server::resolve(plan, orders, PAY_PATH)?;
    let elements = Elements {
        elements: data.elements(),
        users_repeat: data.users_repeat(),
    };
    let lane = |port: Port| {
        let server = match port.serves() {
            None | Some(Serves::BuyAgain) => &buy,
            Some(Serves::Cancel) => &cancel,
            Some(Serves::Pay) => &pay,
        };
        let grpc = Grpc {
            data: Arc::clone(&data),
            server: server.clone(),
            asking: Vec::new(),
        };
        Lane::new(port, grpc)
    };
    run::drive(plan, elements, stop, lane, observe)
}

/// Messages of this data, sent to this server.
#[derive(Debug)]
struct Grpc {
    data: Arc<Encoded>,
    server: Server,
    /// A message about an order.
    asking: Vec<u8>,
}

impl Protocol for Grpc {
    type Link = Connection;
    type Obstacle = Obstacle;

    async fn connect(&self) -> std::result::Result<Connection, String> {
        Connection::establish(&self.server.addresses, &self.server.target).await
    }

    fn send(
        &mut self,
        link: &mut Connection,
        request: Request,
        port: &Port,
    ) -> std::result::Result<(), Obstacle> {
        let message = match request.operation {
            Operation::Buy { element } => self.data.message(element as usize),
            following => {
                let (order_id, element) = port.asked(following);
                let element = element as usize;
                if let Operation::BuyAgain { .. } = following {
                    self.data.message(element)
                } else {
                    let user_id = self.data.element(element).user_id;
                    write_message(&mut self.asking, &OrderRequest { order_id, user_id });
                    &self.asking
                }
            }
        };
        match link.session.obstacle(message.len()) {
            Some(obstacle) => Err(obstacle),
            None => {
                link.session.send(message, request);
                Ok(())
            }
        }
    }
}

/// Where a lane connects, and what it calls there.
#[derive(Clone, Debug)]
struct Server {
    target: Arc<Target>,
    addresses: Arc<[SocketAddr]>,
}

impl Server {
    fn resolve(plan: &LoadPlan, address: &str, path: &str) -> Result<Self> {
        let target = Target::new(address, path, plan.timeout.as_millis() as u64)
            .ok_or_else(|| Error::Usage(format!("the address is too long: {address}")))?;
        Ok(Self {
            target: Arc::new(target),
            addresses: resolve(address)?.into(),
        })
    }
}

/// The addresses of `HOST:PORT`.
pub(crate) fn resolve(address: &str) -> Result<Vec<SocketAddr>> {
    if address
        .rsplit_once(':')
        .is_none_or(|(_, port)| port.parse::<u16>().is_err())
    {
        return Err(Error::Usage(format!(
            "the address must be HOST:PORT, got {address}"
        )));
    }
    match address.to_socket_addrs().map(Vec::from_iter) {
        Ok(addresses) if !addresses.is_empty() => Ok(addresses),
        Ok(_) => Err(Error::Connect {
            address: address.to_owned(),
            reason: "no address was found for the name".to_owned(),
        }),
        Err(error) => Err(Error::Connect {
            address: address.to_owned(),
            reason: error.to_string(),
        }),
    }
}
