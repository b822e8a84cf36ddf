//! Nodes that are not what they were when a term was begun, and hash slots that move away from them:
//! lost-server-noticed (R13).

use super::buyers::{ask, engine, home, open, request, term};
use engines::{Epoch, Nonce, Opened, Opening, SaleId, Term, Verdict};
use servers::RedisCluster;

/// Another sale's opening, which gives the script to every node.
async fn open_another_sale(cluster: &RedisCluster) {
    let (sale, epoch, nonce) = (SaleId(2), Epoch(1), Nonce(5));
    let opening = Opening {
        term: Term { sale, epoch, nonce },
        granted: 10,
        buyers: Vec::new(),
        publishers: Vec::new(),
    };
    let opener = engine("sharded-slots?slots=16", cluster.url()).await;
    let opened = opener.unwrap().open(&opening).await;
    assert_eq!(opened.unwrap(), Opened::Opened);
}

async fn move_away(cluster: &RedisCluster, hash_slot: u16) {
    let target = (cluster.owner(hash_slot).await.unwrap() + 1) % RedisCluster::NODES;
    let moved = cluster.move_slot(hash_slot, target, async || {}).await;
    moved.unwrap();
}

#[tokio::test]
async fn a_slot_that_its_node_has_lost_stays_shut_wherever_it_moves() {
    let Some(cluster) = RedisCluster::start().await else {
        return;
    };
    let spec = "sharded-slots?slots=16";
    let early = engine(spec, cluster.url()).await.unwrap();
    open(&*early, 1, 160, Vec::new()).await;
    let mut users = (1..).filter(|user| home(*user, 16) == 3);
    let mut next = || request(users.next().unwrap(), 1);
    assert_eq!(ask(&*early, &term(1), next()).await, Verdict::GRANTED);

    let key = "{test:sale:1:slot:3}:meta";
    let hash_slot = cluster.hash_slot(key).await.unwrap();
    let owner = cluster.owner(hash_slot).await.unwrap();
    cluster.kill_and_restart(owner).await.unwrap();
    open_another_sale(&cluster).await;
    // One client meets the loss; the other was sold to before it, and asks only after the move.
    let late = engine(spec, cluster.url()).await.unwrap();
    assert_eq!(ask(&*late, &term(1), next()).await, Verdict::NotOpen);
    move_away(&cluster, hash_slot).await;
    for engine in [&early, &late] {
        assert_eq!(ask(&**engine, &term(1), next()).await, Verdict::NotOpen);
        assert!(!engine.stock(&term(1)).await.unwrap().is_open);
    }
}

#[tokio::test]
async fn a_slot_that_left_its_node_after_the_loss_is_not_open_to_who_looks() {
    let Some(cluster) = RedisCluster::start().await else {
        return;
    };
    let engine = engine("sharded-slots?slots=1", cluster.url()).await;
    let engine = engine.unwrap();
    open(&*engine, 1, 10, Vec::new()).await;
    assert_eq!(
        ask(&*engine, &term(1), request(1, 1)).await,
        Verdict::GRANTED
    );
    let key = "{test:sale:1:slot:0}:meta";
    let hash_slot = cluster.hash_slot(key).await.unwrap();
    move_away(&cluster, hash_slot).await;
    assert!(
        engine.stock(&term(1)).await.unwrap().is_open,
        "it only moved"
    );
    let owner = cluster.owner(hash_slot).await.unwrap();
    cluster.kill_and_restart(owner).await.unwrap();
    move_away(&cluster, hash_slot).await;
    assert!(!engine.stock(&term(1)).await.unwrap().is_open);
    open(&*engine, 2, 9, Vec::new()).await;
    assert_eq!(
        ask(&*engine, &term(2), request(2, 1)).await,
        Verdict::GRANTED
    );
}
