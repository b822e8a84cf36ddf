//! The two messages of `seckill.SeckillService/ExecuteSeckill`, with the field numbers of the kept
//! contract. Written here by hand because the lab shares no code with the system that it measures.

/// Path of the one call that the driver makes.
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
