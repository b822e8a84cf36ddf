//! Units on their way from slot to slot: debit, credit, clear. Each step may be repeated by
//! anybody, so that a transfer that was interrupted anywhere is finished by whoever meets it, and
//! loses and doubles nothing: units-in-one-place (R16).

use super::answers::{SlotState, Transfer, bytes, number, protocol, read_u64};
use super::link::Link;
use super::slots::Slots;
use crate::Result;
use fred::types::Value;
use futures_util::future::join_all;

/// Units that are wanted elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) source: usize,
    pub(super) target: usize,
    pub(super) quantity: u64,
}

/// Takes up to `quantity` units out of `source`. If a transfer between these slots is under way
/// already, that one is answered and nothing is taken. Of no units if there are none.
pub(super) async fn debit(slots: &Slots, link: &Link, wanted: Move) -> Result<Option<Transfer>> {
    let args = vec![
        "debit".into(),
        number(wanted.target as u64),
        number(wanted.quantity),
    ];
    let Some(answer) = slots
        .call(link, wanted.source, "debiting a slot", args)
        .await?
    else {
        return Ok(None);
    };
    let Value::Array(parts) = &answer else {
        return Err(protocol("debit"));
    };
    let [transfer, quantity] = parts.as_slice() else {
        return Err(protocol("debit"));
    };
    let transfer = read_u64(transfer).and_then(|number| i64::try_from(number).ok());
    let (number, quantity) = transfer
        .zip(read_u64(quantity))
        .ok_or_else(|| protocol("debit"))?;
    Ok(Some(Transfer {
        target: wanted.target,
        number,
        quantity,
    }))
}

/// Lets the units arrive; whether it was this call that did it.
pub(super) async fn credit(
    slots: &Slots,
    link: &Link,
    source: usize,
    transfer: Transfer,
) -> Result<Option<bool>> {
    let numbers = [source as u64, transfer.number as u64, transfer.quantity];
    let args = std::iter::once(Value::from("credit"))
        .chain(numbers.map(number))
        .collect();
    let answer = slots
        .call(link, transfer.target, "crediting a slot", args)
        .await?;
    Ok(answer.map(|answer| bytes(&answer) == Some(b"D")))
}

/// Takes what has arrived off the record of its source; whether it was this call that did it.
pub(super) async fn clear(
    slots: &Slots,
    link: &Link,
    source: usize,
    transfer: Transfer,
) -> Result<Option<bool>> {
    let args = vec![
        "clear".into(),
        number(transfer.target as u64),
        number(transfer.number as u64),
    ];
    let answer = slots
        .call(link, source, "clearing a transfer", args)
        .await?;
    Ok(answer.map(|answer| bytes(&answer) == Some(b"D")))
}

/// Finishes a transfer whose units have left `source`; whether there was something left to do.
pub(super) async fn complete(
    slots: &Slots,
    link: &Link,
    source: usize,
    transfer: Transfer,
) -> Result<Option<bool>> {
    let Some(was_credited) = credit(slots, link, source, transfer).await? else {
        return Ok(None);
    };
    let was_cleared = clear(slots, link, source, transfer).await?;
    Ok(was_cleared.map(|was_cleared| was_credited || was_cleared))
}

/// Finishes every transfer that these states show, all in parallel; how many were left.
pub(super) async fn complete_all(
    slots: &Slots,
    link: &Link,
    states: &[SlotState],
) -> Result<Option<u64>> {
    let transfers = states.iter().enumerate().flat_map(|(source, state)| {
        state
            .transfers
            .iter()
            .map(move |transfer| (source, *transfer))
    });
    let completions = transfers.map(|(source, transfer)| complete(slots, link, source, transfer));
    let mut completed = 0;
    for completion in join_all(completions).await {
        let Some(was_completed) = completion? else {
            return Ok(None);
        };
        completed += u64::from(was_completed);
    }
    Ok(Some(completed))
}

/// Moves units as wanted, all moves in parallel.
pub(super) async fn carry_out(slots: &Slots, link: &Link, moves: &[Move]) -> Result<Option<()>> {
    let carried = moves.iter().map(async |wanted| {
        let Some(transfer) = debit(slots, link, *wanted).await? else {
            return Ok(None);
        };
        if transfer.number == 0 {
            return Ok(Some(false));
        }
        complete(slots, link, wanted.source, transfer).await
    });
    let carried = join_all(carried)
        .await
        .into_iter()
        .collect::<Result<Option<Vec<bool>>>>()?;
    Ok(carried.map(|_| ()))
}
