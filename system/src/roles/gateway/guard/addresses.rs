//! Which address a request comes from: that of its connection, or, if that is a trusted proxy's, the
//! one that the proxy names.

use anyhow::Context;
use http::HeaderMap;
use ipnet::{IpNet, Ipv4Net};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Where proxies write whom a request comes from; the one nearest to us writes last.
const FORWARDED_FOR: &str = "x-forwarded-for";
/// Entries that are looked at, from the end; no chain of proxies is longer.
const ENTRIES_MAX: usize = 32;
/// Bits of an IPv6 address that are its network's; the rest is its owner's to choose.
const NETWORK_BITS: u32 = 64;

/// Of whoever asks, as handlers find it among a request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// Tells clients from proxies.
#[derive(Clone, Debug, Default)]
pub struct ClientAddresses {
    proxies: Vec<IpNet>,
}

impl ClientAddresses {
    /// With these trusted proxies: addresses, or networks such as `10.0.0.0/8`.
    pub fn parse<'a>(proxies: impl Iterator<Item = &'a str>) -> anyhow::Result<Self> {
        let net = |text: &str| {
            let address = text.parse::<IpAddr>().ok().map(IpNet::from);
            let net = address.or_else(|| text.parse().ok()).with_context(|| {
                format!("{text:?} is neither an address nor a network such as 10.0.0.0/8")
            });
            net.map(|net| plain(&net))
        };
        let proxies = proxies.map(net).collect::<anyhow::Result<_>>()?;
        Ok(Self { proxies })
    }

    /// Whether it is a trusted proxy's. Many clients come from one, so there are no limits per
    /// address for it.
    pub fn is_proxy(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.proxies.iter().any(|net| net.contains(&address))
    }

    /// The address that a request with these headers comes from, which `peer` has sent.
    ///
    /// `X-Forwarded-For` is believed only if the peer is a trusted proxy, and read from its end as
    /// far as those who wrote it are trusted: the first address of nobody trusted is the client's,
    /// whatever it wrote in front. If there is none, it is the last proxy whose word is good. An
    /// IPv4 address in an IPv6 one is the IPv4 address.
    pub fn of(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut last = peer.to_canonical();
        if !self.is_proxy(last) {
            return last;
        }
        // Several headers are one list.
        let headers = headers.get_all(FORWARDED_FOR).into_iter().rev();
        let entries = headers.flat_map(|header| header.as_bytes().rsplit(|byte| *byte == b','));
        let entries = entries.map(<[u8]>::trim_ascii);
        for entry in entries.filter(|entry| !entry.is_empty()).take(ENTRIES_MAX) {
            let Some(address) = address(entry) else {
                return last;
            };
            last = address;
            if !self.is_proxy(last) {
                return last;
            }
        }
        last
    }
}

/// Of an entry: an address, with or without a port, an IPv6 one perhaps in brackets.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let bracketed = || {
        text.strip_prefix('[')?
            .strip_suffix(']')?
            .parse::<Ipv6Addr>()
            .ok()
    };
    let address = text
        .parse()
        .ok()
        .or_else(|| bracketed().map(IpAddr::from))
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))?;
    Some(address.to_canonical())
}

/// A network of IPv4 addresses in IPv6 ones is the IPv4 network.
fn plain(net: &IpNet) -> IpNet {
    let mapped = |net: &IpNet| {
        let IpNet::V6(net) = net else { return None };
        let bits = net.prefix_len().checked_sub(96)?;
        let address = net.addr().to_ipv4_mapped()?;
        Ipv4Net::new(address, bits).ok().map(IpNet::V4)
    };
    mapped(net).unwrap_or(*net)
}

/// Whom what an address does is counted for: itself, or its network where one client has all
/// addresses of one.
pub fn whose(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() >> NETWORK_BITS << NETWORK_BITS).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const PROXY: &str = "10.0.0.1";

    fn addresses() -> ClientAddresses {
        let nets = [
            "10.0.0.0/8",
            "fd00::/8",
            "::ffff:172.16.0.0/108",
            "192.0.2.200",
        ];
        ClientAddresses::parse(nets.into_iter()).expect("networks")
    }

    fn of(peer: &str, headers: &[&str]) -> String {
        let mut map = HeaderMap::new();
        for header in headers {
            let value = HeaderValue::from_bytes(header.as_bytes()).expect("a value");
            map.append(FORWARDED_FOR, value);
        }
        let peer = peer.parse().expect("an address");
        addresses().of(peer, &map).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        assert_eq!(of("192.0.2.7", &["203.0.113.9"]), "192.0.2.7");
        assert_eq!(of(PROXY, &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(of("::ffff:10.2.3.4", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(of("172.16.5.5", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(of("fd00::1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(of("192.0.2.200", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(of(PROXY, &[]), PROXY);
        let nobody = ClientAddresses::default();
        assert!(!nobody.is_proxy(PROXY.parse().expect("an address")));
    }

    #[test]
    fn what_is_no_network_is_named() {
        for wrong in [
            "",
            "10.0.0.0/33",
            "10.0.0",
            "proxy.example.org",
            "10.0.0.1:80",
        ] {
            let refused = ClientAddresses::parse(["10.0.0.1", wrong].into_iter());
            let told = refused.expect_err(wrong).to_string();
            assert!(told.starts_with(&format!("{wrong:?} is neither")), "{told}");
        }
    }

    #[test]
    fn the_rightmost_address_of_nobody_trusted_counts_whatever_is_in_front_of_it() {
        for (headers, client) in [
            (&["198.51.100.1, 203.0.113.9"][..], "203.0.113.9"),
            (&["198.51.100.1, 203.0.113.9, 10.9.9.9"], "203.0.113.9"),
            (&["nonsense, 203.0.113.9 ,10.9.9.9"], "203.0.113.9"),
            (&["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
            (&["198.51.100.1, 203.0.113.9", "10.1.1.1"], "203.0.113.9"),
            (&["203.0.113.9,,", ""], "203.0.113.9"),
            (&["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
        ] {
            assert_eq!(of(PROXY, headers), client, "{headers:?}");
        }
    }

    #[test]
    fn an_address_may_have_a_port_and_brackets() {
        for (entry, client) in [
            ("203.0.113.9:4711", "203.0.113.9"),
            ("2001:db8::9", "2001:db8::9"),
            ("[2001:db8::9]", "2001:db8::9"),
            ("[2001:db8::9]:4711", "2001:db8::9"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("[::ffff:203.0.113.9]:1", "203.0.113.9"),
        ] {
            assert_eq!(of(PROXY, &[entry]), client, "{entry}");
        }
    }

    #[test]
    fn behind_what_is_no_address_nothing_is_believed() {
        for entry in [
            "unknown",
            "_hidden",
            "203.0.113",
            "203.0.113.9:99999",
            "203.0.113.9 203.0.113.8",
            "[203.0.113.9]",
            "[2001:db8::9",
            "fe80::1%eth0",
            "\u{fffd}",
            "127.1",
            "for=203.0.113.9",
        ] {
            assert_eq!(of(PROXY, &[entry]), PROXY, "{entry}");
            let behind = format!("198.51.100.1, {entry}, 10.2.2.2");
            assert_eq!(of(PROXY, &[&behind]), "10.2.2.2", "{entry}");
        }
    }

    #[test]
    fn of_thousands_of_entries_the_last_ones_are_read() {
        let many = vec!["198.51.100.1"; 5_000].join(",");
        assert_eq!(of(PROXY, &[&format!("{many}, 203.0.113.9")]), "203.0.113.9");
        // A chain of proxies that long does not exist.
        let proxies = vec!["10.7.7.7"; 5_000].join(",");
        assert_eq!(of(PROXY, &[&format!("203.0.113.9,{proxies}")]), "10.7.7.7");
    }
}
