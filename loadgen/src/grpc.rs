//! The gRPC driver: lanes that speak `seckill.SeckillService/ExecuteSeckill` over connections of
//! their own HTTP/2 client, which needs a fraction of what a general one costs.

mod connection;
mod lane;
mod outcome;

use crate::data::{Encoded, generate, read_json};
use crate::events::Event;
use crate::message::METHOD_PATH;
use crate::plan::{Data, LoadPlan};
use crate::run::{self, Elements, Measured, Stop};
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
    let addresses: Arc<[SocketAddr]> = resolve(&plan.address)?.into();
    let target = Target::new(&plan.address, METHOD_PATH, plan.timeout.as_millis() as u64)
        .ok_or_else(|| Error::Usage(format!("the address is too long: {}", plan.address)))?;
    let target = Arc::new(target);
    let elements = Elements {
        elements: data.elements(),
        users_repeat: data.users_repeat(),
    };
    let lane = |port| {
        let (data, target) = (Arc::clone(&data), Arc::clone(&target));
        Lane::new(port, data, target, Arc::clone(&addresses))
    };
    run::drive(plan, elements, stop, lane, observe)
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
