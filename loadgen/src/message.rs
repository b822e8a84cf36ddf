//! The messages of the calls that the driver makes, with the field numbers of the kept contract.
//! Written here by hand because the lab shares no code with the system that it measures.

/// Path of a purchase.
pub const METHOD_PATH: &str = "/seckill.SeckillService/ExecuteSeckill";

#[derive(Clone, PartialEq, prost::Message)]
pub struct SeckillRequest {
    #[prost(int64, tag = "1")]
    pub user_id: i64,
    #[prost(int64, tag = "2")]
    pub product_id: i64,
    #[prost(int32, tag = "3")]
    pub quantity: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SeckillResponse {
    #[prost(bool, tag = "1")]
    pub success: bool,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(int64, tag = "3")]
    pub order_id: i64,
}

/// Paths of what comes after a yes. Both calls have the same messages.
pub const CANCEL_PATH: &str = "/order.OrderService/CancelOrder";
pub const PAY_PATH: &str = "/order.OrderService/PayOrder";

#[derive(Clone, PartialEq, prost::Message)]
pub struct OrderRequest {
    #[prost(int64, tag = "1")]
    pub order_id: i64,
    #[prost(int64, tag = "2")]
    pub user_id: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct OrderResponse {
    /// 0 where it was done.
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
}
