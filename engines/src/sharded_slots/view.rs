//! What `sharded-slots` shows of a sale: sums over its slots, and the nodes behind them.

use super::ShardedSlots;
use super::answers::{bytes, protocol, read_transfers, read_u64};
use crate::helpers::redis_server;
use crate::{Epoch, Result, StockView, Term};
use fred::types::{Value, config::Server};
use futures_util::future::try_join_all;

impl ShardedSlots {
    pub(super) async fn view(&self, term: &Term) -> Result<StockView> {
        let slots = self.slots(term);
        let mut is_open = slots.states_of_all(&self.link).await?.is_some();
        let fields = ["epoch", "remaining", "open", "transfers", "lives"];
        let metas =
            try_join_all(slots.slots.iter().map(|slot| self.read_meta(slot, &fields))).await?;
        let sum = |field: usize| {
            metas
                .iter()
                .filter_map(|meta| read_u64(&meta[field]))
                .sum::<u64>()
        };
        let epoch = metas.iter().filter_map(|meta| read_u64(&meta[0])).max();
        let epoch = epoch
            .map(|epoch| {
                u32::try_from(epoch)
                    .map(Epoch)
                    .map_err(|_| protocol("HMGET"))
            })
            .transpose()?;
        let mut remaining = sum(1);
        for (source, meta) in metas.iter().enumerate() {
            let transfers = bytes(&meta[3])
                .map_or(Some(Vec::new()), read_transfers)
                .ok_or_else(|| protocol("HMGET"))?;
            for transfer in transfers {
                // What has arrived is counted there, although it is still on the source's record.
                let target = slots
                    .slots
                    .get(transfer.target)
                    .ok_or_else(|| protocol("HMGET"))?;
                let arrived = self.read_meta(target, &[&format!("in:{source}")]).await?;
                let has_arrived =
                    read_u64(&arrived[0]).is_some_and(|last| last >= transfer.number as u64);
                remaining += if has_arrived { 0 } else { transfer.quantity };
            }
        }
        let nodes = self.link.nodes().await?;
        let mut lives = try_join_all(nodes.iter().map(|node| self.life(node))).await?;
        lives.sort_unstable();
        // A slot that left its node after the node had lost something looks well to the next one.
        let begun_on = bytes(&metas[0][4]).map(String::from_utf8_lossy);
        is_open &= begun_on.is_some_and(|begun_on| {
            let mut begun_on = begun_on.split(' ');
            begun_on.all(|life| lives.iter().any(|here| here == life))
        });
        let clocks = try_join_all(nodes.iter().map(|node| self.clock_ms(node))).await?;
        Ok(StockView {
            remaining: i64::try_from(remaining).unwrap_or(i64::MAX),
            open_units: sum(2),
            epoch,
            is_open,
            owners: Vec::new(),
            server: lives.join("+"),
            clock_ms: clocks.into_iter().max().unwrap_or(0),
        })
    }

    /// The present life of a node.
    pub(super) async fn life(&self, node: &Server) -> Result<String> {
        let info = self.info(node, &["server", "replication"]).await?;
        redis_server::life(&info).ok_or_else(|| protocol("INFO"))
    }

    /// What a node tells of itself in these sections.
    pub(super) async fn info(&self, node: &Server, sections: &[&str]) -> Result<String> {
        let sections: Vec<Value> = sections.iter().map(|name| Value::from(*name)).collect();
        let asked = self
            .link
            .ask("asking who a node is", node, "INFO", sections);
        let info = asked.await?;
        let text = bytes(&info).map(String::from_utf8_lossy);
        text.map(|text| text.into_owned())
            .ok_or_else(|| protocol("INFO"))
    }

    async fn clock_ms(&self, node: &Server) -> Result<i64> {
        let time = self
            .link
            .ask("asking the time", node, "TIME", Vec::<Value>::new())
            .await?;
        let Value::Array(time) = &time else {
            return Err(protocol("TIME"));
        };
        let parts = time
            .first()
            .and_then(read_u64)
            .zip(time.get(1).and_then(read_u64));
        let (seconds, micros) = parts.ok_or_else(|| protocol("TIME"))?;
        Ok((seconds * 1_000 + micros / 1_000) as i64)
    }
}
