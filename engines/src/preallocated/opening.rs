//! Opening an epoch in the database, and loading in a process what it may sell of it.

use super::failures::{NAME, not_done, unknown};
use super::gates::Gates;
use super::rows::{LeaseRows, RETIRED};
use super::terms::Terms;
use crate::helpers::database_server::patient;
use crate::{EngineError, Epoch, IncarnationId, Opened, Opening, Params, Result, SaleId, Term};
use database::fixed_rows::{BULK, Statement};
use database::{Connection, Database};

/// What the engine's parameters say.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Units leased at a time.
    pub block: u64,
    /// Whether somebody chose the block. The default is for large sales; a smaller sale is then one
    /// block.
    block_was_asked_for: bool,
    /// Parts into which the buyers are dealt.
    partitions: u64,
}

impl Sizes {
    pub fn of(params: &Params) -> Result<Self> {
        Ok(Self {
            block: params.integer("block")?,
            block_was_asked_for: params.is_given("block"),
            partitions: params.integer("partitions")?,
        })
    }
}

/// An epoch that is to be opened. Its live buyers are rows already, so only their units count.
#[derive(Debug)]
pub struct NewEpoch {
    pub term: Term,
    granted: u64,
    sold: u64,
    sizes: Sizes,
    publishers: Vec<IncarnationId>,
}

impl NewEpoch {
    pub fn of(opening: &Opening, sizes: &Sizes) -> Self {
        // Whoever is dealt nothing would wait for the next epoch, and the one after that.
        let partitions = sizes.partitions.max(opening.publishers.len() as u64);
        Self {
            term: opening.term,
            granted: opening.granted,
            sold: opening
                .buyers
                .iter()
                .map(|buyer| u64::from(buyer.quantity))
                .sum(),
            sizes: Sizes {
                partitions,
                ..*sizes
            },
            publishers: opening.publishers.clone(),
        }
    }

    /// A block that is larger than the sale would give everything to the process that comes first.
    /// Later epochs have less left than the sale had, so what was sold counts too.
    fn granted_in_blocks(&self) -> Result<i64> {
        let (total, block, sale) = (
            self.granted.saturating_add(self.sold),
            self.sizes.block,
            self.term.sale,
        );
        if self.sizes.block_was_asked_for && block > total.max(1) {
            return Err(EngineError::Config(format!(
                "{NAME}: block = {block} is larger than the stock of sale {sale}, {total} units; give block a smaller value"
            )));
        }
        i64::try_from(self.granted).map_err(|_| {
            EngineError::Config(format!(
                "{NAME}: {} units are more than the database can count",
                self.granted
            ))
        })
    }
}

/// Everything a process needs to begin to sell.
#[derive(Debug)]
pub struct Loaded {
    pub rows: LeaseRows,
    pub moves: i64,
    pub owned: Box<[bool]>,
    pub gates: Gates,
}

/// The newest opening of a sale.
#[derive(Clone, Copy, Debug)]
pub struct NewestOpening {
    pub epoch: i64,
    pub nonce: i64,
    pub partitions: i64,
    granted: i64,
}

impl NewestOpening {
    pub async fn read(database: &Database, sale: i64) -> Result<Option<Self>> {
        let sql = "SELECT epoch, nonce, partitions, granted FROM engine_openings WHERE sale_id = ?";
        let row: Option<[i64; 4]> = database.row(sql, &[sale]).await.map_err(not_done)?;
        Ok(row.map(|[epoch, nonce, partitions, granted]| Self {
            epoch,
            nonce,
            partitions,
            granted,
        }))
    }

    pub fn is(&self, term: &Term) -> bool {
        let is_this =
            (self.epoch, self.nonce) == (i64::from(term.epoch.0), term.nonce.0.cast_signed());
        is_this && !self.is_over()
    }

    /// Whether the sale was retired up to this epoch.
    pub fn is_over(&self) -> bool {
        self.granted == RETIRED
    }
}

/// Writes the opening and deals the partitions, in one transaction: half an opening is no opening.
pub async fn open(database: &Database, new: &NewEpoch) -> Result<Opened> {
    let term = &new.term;
    let (epoch, nonce) = (i64::from(term.epoch.0), term.nonce.0.cast_signed());
    let mut tx = patient(database).begin().await.map_err(not_done)?;
    let mut connection = tx.connection();
    let sql = format!(
        "SELECT epoch, nonce, granted FROM engine_openings WHERE sale_id = ?{}",
        connection.for_update()
    );
    let row: Option<[i64; 3]> = connection
        .row(&sql, &[term.sale.0])
        .await
        .map_err(not_done)?;
    if let Some([newest, its_nonce, its_grant]) = row {
        if (newest, its_nonce) == (epoch, nonce) && its_grant != RETIRED {
            return Ok(Opened::AlreadyOpen);
        }
        if newest >= epoch {
            return Ok(Opened::Stale {
                newest: Epoch(u32::try_from(newest).unwrap_or(u32::MAX)),
            });
        }
    }
    let granted = new.granted_in_blocks()?;
    clear(&mut connection, term.sale).await?;
    let insert = "INSERT INTO engine_openings (sale_id, epoch, nonce, granted, partitions) VALUES (?, ?, ?, ?, ?)";
    let args = [
        term.sale.0,
        epoch,
        nonce,
        granted,
        new.sizes.partitions.cast_signed(),
    ];
    connection.run(insert, &args).await.map_err(not_done)?;
    for slice in BULK.cut(&dealt(&new.publishers, new.sizes.partitions)) {
        static DEAL: Statement = Statement::new(
            BULK,
            "INSERT INTO engine_partitions (sale_id, part, owner) VALUES ",
            "(?, ?, ?)",
            "",
        );
        let args: Vec<i64> = slice
            .iter()
            .flat_map(|(part, owner)| [term.sale.0, *part, *owner])
            .collect();
        connection
            .run(DEAL.for_rows(slice.len()), &args)
            .await
            .map_err(not_done)?;
    }
    tx.commit().await.map_err(unknown)?;
    Ok(Opened::Opened)
}

/// Forgets the newest opening of a sale, unless it is later than `epoch`, and notes that this epoch
/// is over. Every lease of it finds that out when it next looks at the database.
pub async fn forget(database: &Database, sale: SaleId, epoch: Epoch) -> Result<()> {
    let mut tx = patient(database).begin().await.map_err(not_done)?;
    let mut connection = tx.connection();
    let for_update = connection.for_update();
    let newest = format!("SELECT epoch FROM engine_openings WHERE sale_id = ?{for_update}");
    let newest: Option<[i64; 1]> = connection.row(&newest, &[sale.0]).await.map_err(not_done)?;
    let epoch = i64::from(epoch.0);
    if newest.is_some_and(|[newest]| newest > epoch) {
        return Ok(());
    }
    clear(&mut connection, sale).await?;
    let note = "INSERT INTO engine_openings (sale_id, epoch, nonce, granted, partitions) VALUES (?, ?, 0, ?, 1)";
    let noted = connection.run(note, &[sale.0, epoch, RETIRED]).await;
    noted.map_err(not_done)?;
    tx.commit().await.map_err(unknown)
}

async fn clear(connection: &mut Connection<'_>, sale: SaleId) -> Result<()> {
    for table in ["engine_openings", "engine_partitions", "engine_wants"] {
        let clear = format!("DELETE FROM {table} WHERE sale_id = ?");
        connection.run(&clear, &[sale.0]).await.map_err(not_done)?;
    }
    Ok(())
}

/// Round-robin over the living publishers; nobody owns anything if there are none.
fn dealt(publishers: &[IncarnationId], partitions: u64) -> Vec<(i64, i64)> {
    let mut owners: Vec<i64> = publishers.iter().map(|publisher| publisher.0).collect();
    owners.sort_unstable();
    owners.dedup();
    (0..partitions.cast_signed())
        .zip(owners.iter().cycle())
        .map(|(part, owner)| (part, *owner))
        .collect()
}

/// Loads what `terms.incarnation` may sell under the term; `None` if it is not the open one, or
/// this process was retired from it.
pub async fn load(database: &Database, terms: &Terms) -> Result<Option<Loaded>> {
    let (sale, incarnation) = (terms.term.sale.0, terms.incarnation.0);
    let Some(newest) = NewestOpening::read(database, sale)
        .await?
        .filter(|newest| newest.is(&terms.term))
    else {
        return Ok(None);
    };
    let sql = "SELECT part FROM engine_partitions WHERE sale_id = ? AND owner = ?";
    let parts = database
        .rows::<[i64; 1]>(sql, &[sale, incarnation])
        .await
        .map_err(not_done)?;
    let mut owned =
        vec![false; usize::try_from(newest.partitions).unwrap_or(1).max(1)].into_boxed_slice();
    for part in parts.into_iter().flatten() {
        if let Some(is_ours) = usize::try_from(part)
            .ok()
            .and_then(|part| owned.get_mut(part))
        {
            *is_ours = true;
        }
    }
    let mut rows = LeaseRows {
        sale,
        epoch: newest.epoch,
        incarnation,
        pool: 0,
        lease: 0,
    };
    if !owned.contains(&true) {
        return Ok(Some(Loaded {
            rows,
            moves: 0,
            owned,
            gates: Gates::load(Vec::new()),
        }));
    }
    let Some((pool, lease, moves)) = take_lease(database, &rows).await? else {
        return Ok(None);
    };
    (rows.pool, rows.lease) = (pool, lease);
    // gate-from-rows (R19). Everything older was drained before the opening, and nobody else may
    // sell to these buyers since.
    let buyers = "SELECT o.user_id, o.order_id, o.quantity FROM orders o
                  JOIN engine_partitions p ON p.sale_id = o.product_id AND p.part = ((o.user_id % ?) + ?) % ?
                  WHERE o.product_id = ? AND o.live = 1 AND p.owner = ?";
    let args = [
        newest.partitions,
        newest.partitions,
        newest.partitions,
        sale,
        incarnation,
    ];
    let gates = Gates::load(database.rows(buyers, &args).await.map_err(not_done)?);
    // A newer epoch may have been opened, and dealt anew, while these were read.
    let is_current = NewestOpening::read(database, sale)
        .await?
        .is_some_and(|newest| newest.is(&terms.term));
    Ok(is_current.then_some(Loaded {
        rows,
        moves,
        owned,
        gates,
    }))
}

/// The lease of this process, made if it is missing: the pool's id, its own, and its moves.
async fn take_lease(database: &Database, rows: &LeaseRows) -> Result<Option<(i64, i64, i64)>> {
    let mut tx = database.begin().await.map_err(not_done)?;
    let mut connection = tx.connection();
    let pool = format!(
        "SELECT id FROM allocations WHERE product_id = ? AND epoch = ? AND holder = 'pool' AND state = 'open'{}",
        connection.for_update()
    );
    let pool: Option<i64> = connection
        .row(&pool, &[rows.sale, rows.epoch])
        .await
        .map_err(not_done)?;
    let Some(pool) = pool else {
        return Ok(None);
    };
    let lease = "SELECT id, moves, granted, state = 'open' FROM allocations WHERE product_id = ? AND epoch = ? AND owner = ?";
    let args = [rows.sale, rows.epoch, rows.incarnation];
    let found: Option<[i64; 4]> = connection.row(lease, &args).await.map_err(not_done)?;
    if let Some([id, moves, granted, is_open]) = found {
        if moves != 0 || granted != 0 {
            // What it holds is in the memory of somebody else, or died with it: in either case not
            // ours to sell.
            return if is_open == 0 {
                Ok(None)
            } else {
                Err(lease_in_use(rows))
            };
        }
        return Ok((is_open != 0).then_some((pool, id, moves)));
    }
    let insert = format!(
        "INSERT INTO allocations (product_id, epoch, holder, granted, owner, heartbeat_at_ms)
         VALUES (?, ?, 'lease-{}', 0, ?, {})",
        rows.incarnation,
        database.now_ms()
    );
    connection.run(&insert, &args).await.map_err(not_done)?;
    let inserted: Option<[i64; 4]> = connection.row(lease, &args).await.map_err(not_done)?;
    let [id, moves, _, _] =
        inserted.ok_or_else(|| EngineError::Protocol("a lease vanished".to_owned()))?;
    let taken = Some((pool, id, moves));
    tx.commit().await.map_err(unknown)?;
    Ok(taken)
}

fn lease_in_use(rows: &LeaseRows) -> EngineError {
    EngineError::Unavailable {
        context: format!(
            "{NAME}: the lease of incarnation {} for sale {}, epoch {} is in use by another engine object; all threads \
             of a process must share one",
            rows.incarnation, rows.sale, rows.epoch
        ),
        source: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_dealt_round_robin_among_whoever_lives() {
        let owners = |publishers: &[i64], partitions| -> Vec<i64> {
            let publishers: Vec<_> = publishers.iter().map(|id| IncarnationId(*id)).collect();
            dealt(&publishers, partitions)
                .into_iter()
                .map(|(_, owner)| owner)
                .collect()
        };
        assert_eq!(owners(&[9, 4, 9], 5), [4, 9, 4, 9, 4]);
        assert_eq!(owners(&[7], 2), [7, 7]);
        assert!(owners(&[], 64).is_empty());
    }
}
