//! `null`: grants everything, keeps nothing, touches no server. The ceiling of the path around an
//! engine.

use crate::registry::{BuildFuture, EngineFactory};
use crate::{
    EngineEnv, EngineInfo, Finish, Finished, Guarantees, HoldKey, HoldPage, HoldPageQuery,
    OpenHold, Opened, Opening, Params, Reserve, Result, StockEngine, StockView, Term, Upkeep,
    Verdict,
};
use std::sync::Arc;
use std::time::Duration;

const NAME: &str = "null";

/// How the registry lists and builds it.
pub const FACTORY: EngineFactory = EngineFactory {
    name: NAME,
    about: "nowhere: grants everything and publishes nothing; the ceiling of the path around an engine, never ranked",
    needs: &[],
    params: &[],
    settings: &[],
    migrations: &[],
    guarantees: GUARANTEES,
    is_unsafe: false,
    build,
};

const GUARANTEES: Guarantees = Guarantees {
    keeps_stock: false,
    survives_process_kill: false,
    survives_server_loss: false,
    needs_user_affinity: false,
    needs_one_engine_per_process: false,
    settles_own_holds: false,
};

fn build(_env: EngineEnv, _params: Params) -> BuildFuture {
    Box::pin(async { Ok(Arc::new(Null) as Arc<dyn StockEngine>) })
}

#[derive(Debug)]
struct Null;

#[async_trait::async_trait]
impl StockEngine for Null {
    fn info(&self) -> EngineInfo {
        EngineInfo {
            name: NAME.to_owned(),
            parameters: Vec::new(),
            guarantees: GUARANTEES,
        }
    }

    async fn open(&self, _opening: &Opening) -> Result<Opened> {
        Ok(Opened::Opened)
    }

    async fn reserve(&self, _term: &Term, batch: &[Reserve]) -> Vec<Result<Verdict>> {
        let answer = |item: &Reserve| {
            Ok(match item.may_sell {
                true => Verdict::GRANTED,
                false => Verdict::NoOrder,
            })
        };
        batch.iter().map(answer).collect()
    }

    async fn finish(&self, _term: &Term, batch: &[Finish]) -> Vec<Result<Finished>> {
        batch.iter().map(|_| Ok(Finished::Done)).collect()
    }

    async fn open_holds(&self, _term: &Term, _page: &HoldPageQuery) -> Result<HoldPage> {
        Ok(HoldPage::default())
    }

    async fn mark(&self, _: &Term, _: &[HoldKey], _: Duration) -> Result<Vec<OpenHold>> {
        Ok(Vec::new())
    }

    async fn stock(&self, term: &Term) -> Result<StockView> {
        Ok(StockView {
            epoch: Some(term.epoch),
            is_open: true,
            ..StockView::default()
        })
    }
}

impl Upkeep for Null {}
