//! To which instance of the seckill service a buyer goes.
//!
//! Anybody can sell to anybody with most engines: buyers are spread by weighted rendezvous hashing
//! (Thaler and Ravishankar 1998; weights after Schindelhauer and Schomaker 2005), so that a buyer stays
//! where they are when an instance comes or goes, and an instance's weight is its share of the buyers.
//! An engine that deals the buyers among the processes has its deals in the database: there only the
//! owner will do.

use super::answer::Refusal;
use crate::config::UpstreamAddress;
use crate::metrics::{Kind, Metrics};
use crate::shutdown::Shutdown;
use crate::store::Store;
use engines::{SaleId, StockEngine, UserId};
use http::StatusCode;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Notify;

/// How often it is read who owns whom.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Shortest pause between two such looks, however many buyers are told that they are wrong.
const POLL_PAUSE: Duration = Duration::from_millis(20);

/// The instances, and who owns whom.
#[derive(Debug)]
pub struct Routing {
    instances: Vec<Instance>,
    /// `None`: anybody sells to anybody.
    dealt: Option<Dealt>,
    refreshes: Refreshes,
}

#[derive(Debug)]
struct Instance {
    authority: String,
    version: String,
    weight: f64,
    salt: u64,
}

#[derive(Debug, Default)]
struct Dealt {
    /// Of each sale the owner of each of its partitions, as an index of the instances.
    owners: RwLock<HashMap<SaleId, Vec<Option<usize>>>>,
    is_wrong: Notify,
}

/// How often it was read who owns whom, and how often it could not be.
#[derive(Debug, Default)]
struct Refreshes {
    done: AtomicU64,
    failed: AtomicU64,
}

impl Routing {
    pub fn new(instances: &[UpstreamAddress], deals_buyers: bool) -> Self {
        let instances = instances.iter().map(|instance| Instance {
            authority: instance.authority.clone(),
            version: instance.version.clone(),
            weight: f64::from(instance.weight),
            salt: salt(&instance.authority),
        });
        Self {
            instances: instances.collect(),
            dealt: deals_buyers.then(Dealt::default),
            refreshes: Refreshes::default(),
        }
    }

    /// Registers how often it was read who owns whom: never, where nobody owns anybody.
    pub fn observe(self: &Arc<Self>, metrics: &Metrics) {
        let routing = self.clone();
        let name = "seckill_gateway_routing_refreshes_total";
        let help = "Looks at which instance owns which buyers";
        metrics.register(Kind::Counter, name, help, move |out| {
            let Refreshes { done, failed } = &routing.refreshes;
            for (result, count) in [("done", done), ("failed", failed)] {
                out.count(&[("result", result)], count.load(Ordering::Relaxed));
            }
        });
    }

    /// Where `user` buys, in the order in which to try.
    ///
    /// 400 for a version that no instance has; 409 if the buyer belongs to an instance of another one;
    /// 503 while nobody owns them.
    pub fn ways(
        &self,
        sale: SaleId,
        user: UserId,
        version: Option<&str>,
    ) -> Result<Vec<usize>, Refusal> {
        let has_version = |instance: &Instance| version.is_none_or(|it| instance.version == it);
        if !self.instances.iter().any(has_version) {
            let mut known: Vec<_> = self.instances.iter().map(|it| &*it.version).collect();
            known.retain(|version| !version.is_empty());
            known.dedup();
            let known = match known.is_empty() {
                true => "none has a name".to_owned(),
                false => format!("known: {}", known.join(", ")),
            };
            return Err(Refusal::malformed(format!(
                "there is no such version; {known}"
            )));
        }
        if let Some(dealt) = &self.dealt
            && let Some(owner) = dealt.owner(sale, user)
        {
            let owner = owner.ok_or_else(|| {
                dealt.is_wrong.notify_one();
                Refusal::not_now("no instance serves this buyer now; try again")
            })?;
            if !has_version(&self.instances[owner]) {
                let text = "this buyer belongs to an instance of another version";
                return Err(Refusal::new(StatusCode::CONFLICT, text));
            }
            return Ok(vec![owner]);
        }
        if self.instances.len() == 1 {
            return Ok(vec![0]);
        }
        let ways = self.instances.iter().enumerate();
        let ways = ways.filter(|(_, instance)| has_version(instance));
        let mut ways: Vec<_> = ways
            .map(|(i, instance)| (instance.score(user), i))
            .collect();
        ways.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        Ok(ways.into_iter().map(|(_, index)| index).collect())
    }

    /// An instance said that it does not own a buyer: who does is read again soon.
    pub fn was_wrong(&self) {
        if let Some(dealt) = &self.dealt {
            dealt.is_wrong.notify_one();
        }
    }

    /// Keeps reading who owns whom, until `shutdown`; returns at once where nobody owns anybody.
    pub async fn follow(
        self: Arc<Self>,
        store: Store,
        engine: Arc<dyn StockEngine>,
        shutdown: Shutdown,
    ) {
        let Some(dealt) = &self.dealt else { return };
        loop {
            let ended = match self.read(dealt, &store, &*engine).await {
                Ok(()) => &self.refreshes.done,
                Err(error) => {
                    tracing::warn!(%error, "cannot read which instance owns which buyers");
                    &self.refreshes.failed
                }
            };
            ended.fetch_add(1, Ordering::Relaxed);
            let pause = async {
                tokio::time::sleep(POLL_PAUSE).await;
                let _ = tokio::time::timeout(POLL_INTERVAL, dealt.is_wrong.notified()).await;
            };
            tokio::select! {
                () = shutdown.requested() => return,
                () = pause => {}
            }
        }
    }

    async fn read(
        &self,
        dealt: &Dealt,
        store: &Store,
        engine: &dyn StockEngine,
    ) -> anyhow::Result<()> {
        let addresses = store.publisher_addresses().await?;
        let index_of = |address: &String| {
            let mut instances = self.instances.iter();
            instances.position(|instance| instance.authority == *address)
        };
        let indices: HashMap<_, _> = addresses
            .iter()
            .filter_map(|(id, address)| Some((*id, index_of(address)?)))
            .collect();
        let mut owners = HashMap::new();
        for row in store.sales().await? {
            let Some(open) = row.open else { continue };
            let view = engine.stock(&open.term).await?;
            let of_partition = view.owners.iter();
            let of_partition = of_partition.map(|owner| indices.get(owner.as_ref()?).copied());
            owners.insert(row.sale, of_partition.collect());
        }
        *dealt.owners.write().unwrap_or_else(PoisonError::into_inner) = owners;
        Ok(())
    }
}

impl Dealt {
    /// `None`: nobody is dealt of a sale that is not open, and every instance says so.
    fn owner(&self, sale: SaleId, user: UserId) -> Option<Option<usize>> {
        let owners = self.owners.read().unwrap_or_else(PoisonError::into_inner);
        let of_sale = owners.get(&sale).filter(|owners| !owners.is_empty())?;
        let partitions = i64::try_from(of_sale.len()).ok()?;
        let partition = usize::try_from(user.0.rem_euclid(partitions)).ok()?;
        of_sale.get(partition).copied()
    }
}

impl Instance {
    /// The buyer goes to whoever has the highest.
    fn score(&self, user: UserId) -> f64 {
        // In (0, 1), from 53 bits, which is what a float has.
        let uniform =
            ((mixed(user.0.cast_unsigned() ^ self.salt) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        self.weight / -uniform.ln()
    }
}

/// The same in every gateway, whatever it was built with.
fn salt(authority: &str) -> u64 {
    let digest = Sha256::digest(authority.as_bytes());
    digest[..8]
        .iter()
        .fold(0, |salt, byte| salt << 8 | u64::from(*byte))
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood 2014).
fn mixed(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::upstreams;

    const SALE: SaleId = SaleId(1);
    const BUYERS: i64 = 100_000;

    fn routing(list: &str) -> Routing {
        Routing::new(&upstreams(list).expect("good"), false)
    }

    fn first(routing: &Routing, user: i64) -> usize {
        routing.ways(SALE, UserId(user), None).expect("a way")[0]
    }

    #[test]
    fn the_weights_are_the_shares_of_the_buyers() {
        let routing = routing("http://a:1;weight=95,http://b:1;weight=5");
        let canary = (1..=BUYERS)
            .filter(|user| first(&routing, *user) == 1)
            .count();
        // Five standard deviations of a binomial.
        assert!((4_650..=5_350).contains(&canary), "{canary}");
    }

    #[test]
    fn nobody_moves_but_to_the_instance_that_comes() {
        let (two, three) = ("http://a:1,http://b:1", "http://a:1,http://b:1,http://c:1");
        let (before, after) = (routing(two), routing(three));
        let moved = (1..=BUYERS).filter(|user| {
            let (from, to) = (first(&before, *user), first(&after, *user));
            assert!(from == to || to == 2, "{user} moved from {from} to {to}");
            from != to
        });
        let moved = moved.count();
        assert!((32_500..=34_200).contains(&moved), "{moved}");
    }

    #[test]
    fn a_version_can_be_demanded_if_there_is_one() {
        let routing = routing("http://a:1;version=stable,http://b:1;version=canary");
        for user in 1..100 {
            let ways = routing.ways(SALE, UserId(user), Some("canary"));
            assert_eq!(ways.expect("a way"), [1]);
        }
        let refused = routing
            .ways(SALE, UserId(1), Some("next"))
            .expect_err("none");
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert!(
            refused.message.ends_with("known: stable, canary"),
            "{}",
            refused.message
        );
    }

    #[test]
    fn a_buyer_who_is_owned_goes_to_their_owner_alone() {
        let list = upstreams("http://a:1;version=stable,http://b:1;version=canary");
        let routing = Routing::new(&list.expect("good"), true);
        let unknown = routing.ways(SALE, UserId(1), None).expect("not open");
        assert_eq!(unknown.len(), 2, "any instance says so");
        let dealt = routing.dealt.as_ref().expect("dealt");
        let owners = HashMap::from([(SALE, vec![Some(0), Some(1), None])]);
        *dealt.owners.write().expect("sound") = owners;
        let way = |user, version| routing.ways(SALE, UserId(user), version);
        assert_eq!(way(3, None).expect("owned"), [0]);
        assert_eq!(way(4, Some("canary")).expect("owned"), [1]);
        let conflict = way(3, Some("canary")).expect_err("of another version");
        assert_eq!(conflict.status, StatusCode::CONFLICT);
        let none = way(5, None).expect_err("nobody owns the third partition");
        assert_eq!(none.status, StatusCode::SERVICE_UNAVAILABLE);
    }
}
