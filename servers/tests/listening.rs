//! Private servers are open to their own machine only: on which addresses they listen, as the kernel
//! tells in `/proc/net`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use servers::{DatabaseServer, RabbitMqServer, RedisServer};

/// The state of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

#[tokio::test]
async fn no_port_of_a_private_server_is_open_beyond_loopback() {
    let Some(broker) = RabbitMqServer::start().await else {
        return;
    };
    let Some(redis) = RedisServer::start().await else {
        return;
    };
    let Some(database) = DatabaseServer::start().await else {
        return;
    };
    // AMQP, and Erlang's own port for other nodes with its port mapper.
    for (pid, least) in [(broker.pid(), 3), (redis.pid(), 1), (database.pid(), 1)] {
        let addresses = of_family(pid);
        assert!(addresses.len() >= least, "{pid}: {addresses:?}");
        let mut open = addresses
            .iter()
            .filter(|address| !address.ip().is_loopback());
        assert_eq!(open.next(), None, "{pid} listens beyond loopback");
    }
}

/// The listening addresses of a private server and of what was started beside it: all processes
/// that work in its folder.
fn of_family(pid: u32) -> BTreeSet<SocketAddr> {
    let folder = link(&PathBuf::from(format!("/proc/{pid}/cwd"))).expect("its folder");
    let processes = std::fs::read_dir("/proc").expect("readable").flatten();
    let family = processes
        .map(|process| process.path())
        .filter(|process| link(&process.join("cwd")).as_ref() == Some(&folder));
    let sockets: BTreeSet<String> = family.flat_map(|process| sockets(&process)).collect();
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| {
            let lines = table.lines().skip(1);
            lines
                .filter_map(|line| listener(line, &sockets))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn link(path: &Path) -> Option<PathBuf> {
    std::fs::read_link(path).ok()
}

/// The inodes of a process's sockets.
fn sockets(process: &Path) -> Vec<String> {
    let descriptors = std::fs::read_dir(process.join("fd")).into_iter().flatten();
    descriptors
        .flatten()
        .filter_map(|descriptor| {
            let target = link(&descriptor.path())?.to_str()?.to_owned();
            Some(
                target
                    .strip_prefix("socket:[")?
                    .strip_suffix(']')?
                    .to_owned(),
            )
        })
        .collect()
}

/// `0: 0100007F:846F 00000000:0000 0A …`: the address if it is one of these sockets and listens.
fn listener(line: &str, sockets: &BTreeSet<String>) -> Option<SocketAddr> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (place, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    if *state != LISTEN || !sockets.contains(*inode) {
        return None;
    }
    let (ip, port) = place.split_once(':')?;
    Some(SocketAddr::new(
        address(ip)?,
        u16::from_str_radix(port, 16).ok()?,
    ))
}

/// Words of 32 bits in the machine's own order.
fn address(hex: &str) -> Option<IpAddr> {
    let words = (0..hex.len()).step_by(8);
    let bytes: Vec<u8> = words
        .filter_map(|at| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok())
        .flat_map(u32::to_ne_bytes)
        .collect();
    let four = <[u8; 4]>::try_from(bytes.as_slice()).map(|bytes| Ipv4Addr::from(bytes).into());
    let sixteen = <[u8; 16]>::try_from(bytes.as_slice()).map(|bytes| Ipv6Addr::from(bytes).into());
    four.or(sixteen).ok()
}
