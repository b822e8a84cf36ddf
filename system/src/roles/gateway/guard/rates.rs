//! How often somebody may ask: a token bucket for each key, of four kinds.

use super::addresses::whose;
use super::buckets::Buckets;
pub use super::retry_after::RetryAfter;
use crate::config::{RateConfig, RateLimitsConfig};
use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::{Quota, RateLimiter};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bucket {
    /// All requests, by address.
    Global,
    /// Purchases, by user.
    Seckill,
    /// Requests about orders, by user.
    Order,
    /// Logins and registrations, by address and name.
    Login,
}

/// Whose bucket it is.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Key<'a> {
    /// Of a client address, or of the IPv6 network that it is in.
    Address(IpAddr),
    /// Of a user.
    User(i64),
    /// Of who gives this name from this address.
    AddressAndName(IpAddr, &'a str),
}

/// All buckets of one gateway; shared by its threads.
#[derive(Debug)]
pub struct Rates<C: Clock = MonotonicClock> {
    /// In the order of [`Bucket`]; `None`: no limit.
    limiters: [Option<Limiter<C>>; 4],
    hasher: RandomState,
    clock: C,
}

type Limiter<C> = RateLimiter<u64, Buckets, C, NoOpMiddleware<<C as Clock>::Instant>>;

impl Rates {
    /// As configured.
    pub fn new(config: &RateLimitsConfig) -> Self {
        Self::with_clock(config, MonotonicClock)
    }
}

impl<C: Clock + Clone> Rates<C> {
    /// As configured, by this clock.
    pub fn with_clock(config: &RateLimitsConfig, clock: C) -> Self {
        let RateLimitsConfig {
            max_keys,
            global,
            seckill,
            order,
            login,
        } = *config;
        Self {
            limiters: [global, seckill, order, login]
                .map(|rate| limiter(rate, max_keys, clock.clone())),
            hasher: RandomState::new(),
            clock,
        }
    }

    /// Takes a token out of the bucket of `key`, or says when there will be one.
    pub fn check(&self, bucket: Bucket, key: Key<'_>) -> Result<(), RetryAfter> {
        let Some(limiter) = &self.limiters[bucket as usize] else {
            return Ok(());
        };
        let key = match key {
            Key::Address(address) => Key::Address(whose(address)),
            Key::AddressAndName(address, name) => Key::AddressAndName(whose(address), name),
            user @ Key::User(_) => user,
        };
        limiter
            .check_key(&self.hasher.hash_one(key))
            .map_err(|not_until| RetryAfter::wait(not_until.wait_time_from(self.clock.now())))
    }
}

fn limiter<C: Clock>(rate: RateConfig, max_keys: usize, clock: C) -> Option<Limiter<C>> {
    let quota = Quota::per_second(NonZeroU32::new(rate.rps)?)
        .allow_burst(NonZeroU32::new(rate.burst).unwrap_or(NonZeroU32::MIN));
    let buckets = Buckets::at_most(max_keys, quota.replenish_interval());
    Some(RateLimiter::new(quota, buckets, clock))
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    fn rates(
        rps: u32,
        burst: u32,
        max_keys: usize,
    ) -> (Rates<FakeRelativeClock>, FakeRelativeClock) {
        let rate = RateConfig { rps, burst };
        let config = RateLimitsConfig {
            max_keys,
            global: rate,
            seckill: rate,
            order: RateConfig { rps: 0, burst: 1 },
            login: rate,
        };
        let clock = FakeRelativeClock::default();
        (Rates::with_clock(&config, clock.clone()), clock)
    }

    fn address(number: u32) -> Key<'static> {
        Key::Address(Ipv4Addr::from_bits(number).into())
    }

    /// How many of `attempts` with this key go through.
    fn granted(rates: &Rates<FakeRelativeClock>, key: Key<'_>, attempts: usize) -> usize {
        let granted = |_: &usize| rates.check(Bucket::Global, key).is_ok();
        (0..attempts).filter(granted).count()
    }

    #[test]
    fn a_burst_goes_through_then_so_many_per_second_and_who_waits_is_told_how_long() {
        let (rates, clock) = rates(2, 3, 1_000);
        assert_eq!(granted(&rates, address(1), 10), 3);
        assert_eq!(
            rates.check(Bucket::Global, address(1)),
            Err(RetryAfter { seconds: 1 })
        );
        clock.advance(Duration::from_millis(499));
        assert_eq!(granted(&rates, address(1), 10), 0);
        clock.advance(Duration::from_millis(1));
        assert_eq!(granted(&rates, address(1), 10), 1);
        clock.advance(Duration::from_secs(60));
        assert_eq!(granted(&rates, address(1), 10), 3);
    }

    #[test]
    fn kinds_and_keys_have_buckets_of_their_own() {
        let (rates, _) = rates(1, 1, 1_000);
        let home = IpAddr::from(Ipv4Addr::LOCALHOST);
        for key in [
            Key::User(1),
            Key::User(2),
            Key::Address(home),
            Key::AddressAndName(home, "a"),
            Key::AddressAndName(home, "b"),
        ] {
            assert_eq!(granted(&rates, key, 3), 1, "{key:?}");
        }
        assert!(rates.check(Bucket::Seckill, Key::User(1)).is_ok());
        assert!(rates.check(Bucket::Seckill, Key::User(1)).is_err());
        for _ in 0..100 {
            assert!(rates.check(Bucket::Order, Key::User(1)).is_ok(), "no limit");
        }
    }

    #[test]
    fn all_addresses_of_an_ipv6_network_share_a_bucket_and_a_mapped_one_is_its_ipv4_address() {
        let (rates, _) = rates(1, 1, 1_000);
        let network = u128::from(0x2001_0db8_0000_0001_u64) << 64;
        let of = |host: u128| Key::Address(Ipv6Addr::from_bits(network | host).into());
        assert_eq!(granted(&rates, of(1), 1), 1);
        assert_eq!(granted(&rates, of(2), 1), 0);
        let next = Ipv6Addr::from_bits(network + (1 << 64));
        assert_eq!(granted(&rates, Key::Address(next.into()), 1), 1);
        let plain = Ipv4Addr::new(192, 0, 2, 1);
        assert_eq!(granted(&rates, Key::Address(plain.into()), 1), 1);
        let mapped = plain.to_ipv6_mapped();
        assert_eq!(granted(&rates, Key::Address(mapped.into()), 1), 0);
    }
}
