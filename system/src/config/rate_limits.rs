//! The section about how often somebody may ask.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// How often the gateway is asked. Each limit is a token bucket for each key.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimitsConfig {
    /// Buckets of one kind that are kept at the same time. While all of them are in use, those who
    /// come new share a few.
    pub max_keys: usize,
    /// All requests of one client address; of an IPv6 address its first 64 bits count.
    #[serde(deserialize_with = "global")]
    pub global: RateConfig,
    /// Purchases of one user.
    #[serde(deserialize_with = "seckill")]
    pub seckill: RateConfig,
    /// Requests of one user about orders.
    #[serde(deserialize_with = "order")]
    pub order: RateConfig,
    /// Logins and registrations with one name from one client address.
    #[serde(deserialize_with = "login")]
    pub login: RateConfig,
}

/// One token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateConfig {
    /// Requests per second in the long run; 0: no limit.
    pub rps: u32,
    /// Requests at once by who has not asked for a while.
    pub burst: u32,
}

impl Default for RateLimitsConfig {
    /// Many people share an address; a person has two hands.
    fn default() -> Self {
        Self {
            max_keys: 100_000,
            global: RateConfig {
                rps: 500,
                burst: 1_000,
            },
            seckill: RateConfig { rps: 5, burst: 10 },
            order: RateConfig { rps: 20, burst: 40 },
            login: RateConfig { rps: 1, burst: 5 },
        }
    }
}

/// What is given of a bucket; the other number is that of its own default.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    rps: Option<u32>,
    burst: Option<u32>,
}

impl Given {
    fn or(self, default: RateConfig) -> RateConfig {
        RateConfig {
            rps: self.rps.unwrap_or(default.rps),
            burst: self.burst.unwrap_or(default.burst),
        }
    }
}

macro_rules! completed {
    ($($name:ident),+) => {$(
        fn $name<'de, D: Deserializer<'de>>(given: D) -> Result<RateConfig, D::Error> {
            Ok(Given::deserialize(given)?.or(RateLimitsConfig::default().$name))
        }
    )+};
}

completed!(global, seckill, order, login);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_of_a_bucket_can_be_given_alone() {
        let given: RateLimitsConfig =
            toml::from_str("[login]\nrps = 3\n[global]\nburst = 7").expect("fits");
        assert_eq!((given.login.rps, given.login.burst), (3, 5));
        assert_eq!((given.global.rps, given.global.burst), (500, 7));
        assert_eq!(given.order, RateLimitsConfig::default().order);
        let refused = toml::from_str::<RateLimitsConfig>("[login]\nrsp = 3").expect_err("no key");
        assert!(
            refused.to_string().contains("rps") && refused.to_string().contains("rsp"),
            "{refused}"
        );
    }
}
