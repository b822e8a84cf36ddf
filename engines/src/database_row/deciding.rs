//! What becomes of one request or one finish, decided on the locked rows in memory; the batch's
//! transaction writes back what has changed.

use super::gate::{GateRow, Gates};
use super::stock::Stock;
use crate::{EngineError, Finish, FinishKind, Finished, Hold, Reserve, Result, Verdict};

/// Decides one request on the locked state; what changes is written back with the batch.
pub fn judge(item: &Reserve, stock: &mut Stock, gates: &mut Gates) -> Result<Verdict> {
    if item.quantity == 0 {
        return Err(EngineError::Config(
            "a reserve of 0 units; at least 1 is needed".to_owned(),
        ));
    }
    // deadline-before-reserve (R7): its caller may have given up.
    if stock.now_ms > item.expires_at_ms {
        return Ok(Verdict::Expired);
    }
    if let Some(gate) = gates.get_mut(&item.user) {
        let hold = Hold {
            order: gate.order,
            quantity: gate.quantity,
            settled: !gate.is_open,
            allocation: None,
        };
        // mark-with-age (R8): a hold that is being voided is not touched any more.
        if gate.is_open && (gate.is_marked || !gate.touch(stock.now_ms, item.incarnation)) {
            return Ok(Verdict::Busy);
        }
        return Ok(Verdict::Duplicate(hold));
    }
    if !item.may_sell {
        return Ok(Verdict::NoOrder);
    }
    let units = i64::from(item.quantity);
    if units > stock.remaining {
        return Ok(Verdict::SoldOut {
            remaining: stock.remaining.unsigned_abs(),
        });
    }
    stock.remaining -= units;
    stock.open_units += units;
    gates.insert(item.user, GateRow::granted(item, stock.now_ms));
    Ok(Verdict::GRANTED)
}

/// Settles or releases one hold on the locked state.
pub fn finish(item: &Finish, stock: &mut Stock, gates: &mut Gates) -> Finished {
    let gate = gates
        .get_mut(&item.user)
        .filter(|gate| gate.order == item.order && !gate.is_cleared());
    let Some(gate) = gate else {
        return Finished::AlreadyDone;
    };
    let (units, was_open) = (i64::from(gate.quantity), gate.is_open);
    if item.kind == FinishKind::Settle && !was_open {
        return Finished::AlreadyDone;
    }
    if was_open {
        stock.open_units -= units;
    }
    match item.kind {
        FinishKind::Settle => gate.settle(),
        FinishKind::Release => {
            stock.remaining += units;
            gate.clear();
        }
    }
    Finished::Done
}
