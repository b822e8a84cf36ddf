//! Why an administrator is refused, in words.

use super::cache::Unseen;
use crate::grpc_server::retry_later;
use crate::store::{Deleted, StockChange, TOTAL_MAX, Wish};
use engines::SaleId;
use tonic::Status;

/// Why a wish is not one that is known; `delta` is what it asked for.
pub fn wrong_wish(wish: &Wish, delta: i64) -> Status {
    match wish {
        Wish::NoSale => no_product(),
        Wish::Over => Status::failed_precondition(
            "the sale is over, so its stock stays; move its window first: UpdateProduct, seckill_end_time",
        ),
        Wish::OutOfRange(total) if delta < 0 => Status::failed_precondition(format!(
            "{} cannot be deducted: the stock is {total}",
            -delta
        )),
        Wish::OutOfRange(total) => Status::failed_precondition(format!(
            "{delta} cannot be returned: the stock is {total}, and {TOTAL_MAX} is the most"
        )),
        Wish::Crowded => retry_later("too many changes of this sale wait; try again".into()),
        Wish::KeyUsed(used) => {
            let StockChange { sale, delta, .. } = used;
            let what = match delta {
                0 => format!(
                    "create product {sale}, with a stock of {}, as something else than this",
                    used.wanted_total
                ),
                ..0 => format!("deduct {} of product {sale}", -delta),
                1.. => format!("return {delta} of product {sale}"),
            };
            Status::failed_precondition(format!("this key was used to {what}"))
        }
        Wish::Known(_) => Status::internal("nothing is wrong with it"),
    }
}

/// It never was, or it was deleted.
pub fn no_product() -> Status {
    Status::not_found("there is no such product")
}

/// What stands in the way of its end.
pub fn not_deleted(sale: SaleId, why: Deleted) -> Status {
    let because = match why {
        Deleted::Done => return Status::internal("nothing stands in its way"),
        Deleted::NoProduct => return no_product(),
        Deleted::OnSale(until) => {
            format!(
                "it is on sale until Unix second {until}, or about to be; move its window first: UpdateProduct"
            )
        }
        Deleted::Ending => "its sale is over, and its last orders are being written".to_owned(),
        Deleted::HasOrders => "there are orders of it that are not cancelled".to_owned(),
    };
    Status::failed_precondition(format!("product {sale} cannot be deleted: {because}"))
}

/// Why nobody can say now what a product is like.
pub fn unseen(why: Unseen) -> Status {
    retry_later(match why {
        Unseen::Crowded => "too many ask at the same time; try again".to_owned(),
        Unseen::TooLate => "the database has not answered in time; try again".to_owned(),
        Unseen::Away(error) => format!("the database cannot be asked now; try again ({error})"),
    })
}

/// Nothing is lost if it is asked again.
pub fn out_of_reach(error: &database::Error) -> Status {
    retry_later(format!(
        "the database cannot be asked now; asking again is safe ({error})"
    ))
}
