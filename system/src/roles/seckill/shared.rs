//! What the threads of one seckill process have in common.

use super::past_sales::PastSales;
use super::pressure::Pressure;
use super::published::Published;
use crate::admin::Admin;
use crate::config::Config;
use crate::incarnation::Incarnation;
use crate::listener::Connections;
use crate::shutdown::Shutdown;
use crate::supervisor::Supervisor;
use crate::terms::Terms;
use engines::{Registry, StockEngine};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tokio::sync::watch;

/// What all threads of the role share.
#[derive(Debug)]
pub struct Shared {
    pub config: Config,
    pub registry: Registry,
    /// What operators are told.
    pub admin: Admin,
    /// The one engine of the process, where state lives in it; otherwise every thread connects for
    /// itself.
    pub engine: Option<Arc<dyn StockEngine>>,
    /// Orders on their way to becoming rows, where this process has to settle their holds itself.
    pub published: Option<Published>,
    /// Lanes of all threads that may hold units for nobody.
    pub lanes_in_doubt: Arc<AtomicUsize>,
    /// What all threads have been waiting for.
    pub pressure: Arc<Pressure>,
    pub terms: Terms,
    /// Whoever asks about a sale that has ended.
    pub past_sales: PastSales,
    pub incarnation: Incarnation,
    /// The clients of all threads.
    pub connections: Arc<Connections>,
    /// Requested when the role is asked to stop, and when it has to because a part of it has ended.
    pub shutdown: Shutdown,
    /// Whether buyers should be sent here.
    pub ready: watch::Receiver<bool>,
    /// Whether no dead letter is open.
    pub none_dead: watch::Receiver<bool>,
    /// Of everything that has to run until then.
    pub supervisor: Supervisor,
}
