//! The gRPC driver: lanes that speak `seckill.SeckillService/ExecuteSeckill`, and
//! `order.OrderService/CancelOrder` and `PayOrder`, over connections of their own HTTP/2 client,
//! which needs a fraction of what a general one costs.

mod connection;
mod lane;
mod outcome;

use crate::data::{Encoded, generate, read_json};
use crate::events::Event;
use crate::message::{CANCEL_PATH, METHOD_PATH, PAY_PATH};
use crate::plan::{Data, LoadPlan};
use crate::run::{self, Elements, Measured, Port, Serves, Stop};
use crate::wire::Target;
use crate::{Error, Result};
use lane::Lane;
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
        Lane::new(port, Arc::clone(&data), server.clone())
    };
    run::drive(plan, elements, stop, lane, observe)
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

fn resolve(address: &str) -> Result<Vec<SocketAddr>> {
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
