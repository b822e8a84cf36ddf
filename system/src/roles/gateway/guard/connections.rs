//! How many connections an address has open: one client alone must not take the places of all.

use super::addresses::whose;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts connections by address, of IPv6 by network. It remembers no more addresses than there are
/// connections.
#[derive(Debug)]
pub struct ConnectionsPerAddress {
    most: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection; it counts until it is dropped.
#[derive(Debug)]
pub struct Connection {
    /// `None`: it is not counted.
    counted: Option<(Arc<ConnectionsPerAddress>, IpAddr)>,
}

impl ConnectionsPerAddress {
    /// As many for each address as `most`; 0: any number.
    pub fn at_most(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            open: Mutex::default(),
        })
    }

    /// One more from `address`, unless it has as many as it may. For a trusted proxy, which has no
    /// such limit, see [`Connection::uncounted`].
    pub fn open(self: &Arc<Self>, address: IpAddr) -> Option<Connection> {
        if self.most == 0 {
            return Some(Connection::uncounted());
        }
        let address = whose(address);
        let mut open = self.lock();
        let count = open.entry(address).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Connection {
            counted: Some((self.clone(), address)),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// One that has no limit.
    pub fn uncounted() -> Self {
        Self { counted: None }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some((connections, address)) = &self.counted else {
            return;
        };
        let mut open = connections.lock();
        if let Entry::Occupied(mut entry) = open.entry(*address) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn v4(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    #[test]
    fn an_address_has_so_many_and_others_have_theirs() {
        let connections = ConnectionsPerAddress::at_most(2);
        let held = [connections.open(v4(1)), connections.open(v4(1))];
        assert!(held.iter().all(Option::is_some));
        assert!(connections.open(v4(1)).is_none());
        assert!(connections.open(v4(2)).is_some());
        drop(held);
        assert!(connections.open(v4(1)).is_some());
        assert!(connections.lock().is_empty(), "nobody is remembered");
    }

    #[test]
    fn an_address_that_was_turned_away_leaves_nothing_behind() {
        let connections = ConnectionsPerAddress::at_most(1);
        let held = connections.open(v4(1)).expect("the first");
        for _ in 0..100 {
            assert!(connections.open(v4(1)).is_none());
        }
        assert_eq!(connections.lock().len(), 1);
        drop(held);
        assert!(connections.lock().is_empty());
    }

    #[test]
    fn an_ipv6_network_counts_as_one() {
        let connections = ConnectionsPerAddress::at_most(1);
        let of = |text: &str| IpAddr::from(text.parse::<Ipv6Addr>().expect("an address"));
        let _held = connections.open(of("2001:db8::1")).expect("the first");
        assert!(connections.open(of("2001:db8::ffff")).is_none());
        assert!(connections.open(of("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let connections = ConnectionsPerAddress::at_most(0);
        let held: Vec<_> = (0..1_000).map(|_| connections.open(v4(1))).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(connections.lock().is_empty());
    }
}
