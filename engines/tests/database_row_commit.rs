//! `database-row` when the connection breaks at the commit: the outcome is unknown, and a retry
//! tells what it was.

use engines::{
    EngineEnv, Epoch, Finish, FinishKind, Finished, IncarnationId, Nonce, Opened, Opening, OrderId,
    Registry, Reserve, SaleId, StockEngine, Term, UserId, Verdict,
};
use servers::DatabaseServer;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Bytes passed on at once; a commit is far smaller and the last thing that a client sends before
/// it waits.
const BUFFER_BYTES: usize = 64 * 1_024;

const PASS: u8 = 0;
/// The next commit is not passed on.
const CUT_BEFORE: u8 = 1;
/// The next commit is passed on, and its answer is not.
const CUT_BEHIND: u8 = 2;

/// Stands between engine and server, and breaks a connection once where it is told to.
struct Proxy {
    address: String,
    cut: Arc<AtomicU8>,
}

impl Proxy {
    async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let cut = Arc::new(AtomicU8::new(PASS));
        let passed_on = cut.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass_on(client, server.clone(), passed_on.clone()));
            }
        });
        Self { address, cut }
    }
}

async fn pass_on(mut client: TcpStream, server: String, cut: Arc<AtomicU8>) -> std::io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    let (mut asked, mut answered) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
    loop {
        tokio::select! {
            count = client.read(&mut asked) => {
                let packet = &asked[..count?];
                if packet.is_empty() {
                    return Ok(());
                }
                let is_commit = packet.ends_with(b"COMMIT");
                match if is_commit { cut.swap(PASS, Ordering::SeqCst) } else { PASS } {
                    CUT_BEFORE => return Ok(()),
                    CUT_BEHIND => {
                        server.write_all(packet).await?;
                        // The answer is the proof that it was committed; the client never sees it.
                        assert_ne!(server.read(&mut answered).await?, 0, "the server answers a commit");
                        return Ok(());
                    }
                    _ => server.write_all(packet).await?,
                }
            }
            count = server.read(&mut answered) => match count? {
                0 => return Ok(()),
                count => client.write_all(&answered[..count]).await?,
            },
        }
    }
}

const TERM: Term = Term {
    sale: SaleId(1),
    epoch: Epoch(1),
    nonce: Nonce(1),
};

fn request(user: i64, order: i64) -> Reserve {
    let incarnation = IncarnationId(1);
    Reserve {
        user: UserId(user),
        order: OrderId(order),
        quantity: 3,
        expires_at_ms: i64::MAX,
        incarnation,
        may_sell: true,
    }
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_unknown_and_a_retry_tells_what_became_of_it() {
    let Some(server) = DatabaseServer::start().await else {
        return;
    };
    let url = server.create_database().await;
    let registry = Registry::standard();
    let factory = registry.get("database-row").unwrap();
    factory.create_tables(&url).await.unwrap();
    let address = server.root_url().rsplit('@').next().unwrap().to_owned();
    let proxy = Proxy::to(address.clone()).await;
    let env = EngineEnv::default().with("database.url", url.replace(&address, &proxy.address));
    let engine: Arc<dyn StockEngine> = Registry::standard()
        .build(&"database-row".parse().unwrap(), &env)
        .await
        .unwrap();
    let opening = Opening {
        term: TERM,
        granted: 10,
        buyers: Vec::new(),
        publishers: Vec::new(),
    };
    assert_eq!(engine.open(&opening).await.unwrap(), Opened::Opened);
    let reserve = async |item| engine.reserve(&TERM, &[item]).await.remove(0);
    let stock = async || {
        let view = engine.stock(&TERM).await.unwrap();
        (view.remaining, view.open_units)
    };

    proxy.cut.store(CUT_BEFORE, Ordering::SeqCst);
    assert!(reserve(request(1, 10)).await.unwrap_err().is_unknown());
    assert_eq!(stock().await, (10, 0), "it never came to the server");
    assert_eq!(reserve(request(1, 11)).await.unwrap(), Verdict::GRANTED);

    proxy.cut.store(CUT_BEHIND, Ordering::SeqCst);
    assert!(reserve(request(2, 20)).await.unwrap_err().is_unknown());
    assert_eq!(stock().await, (4, 6), "it was committed");
    let retry = reserve(request(2, 21)).await.unwrap();
    assert!(
        matches!(retry, Verdict::Duplicate(hold) if hold.order == OrderId(20) && !hold.settled),
        "{retry:?}"
    );

    proxy.cut.store(CUT_BEHIND, Ordering::SeqCst);
    let release = [Finish {
        user: UserId(2),
        order: OrderId(20),
        kind: FinishKind::Release,
    }];
    assert!(
        engine
            .finish(&TERM, &release)
            .await
            .remove(0)
            .unwrap_err()
            .is_unknown()
    );
    assert_eq!(
        engine.finish(&TERM, &release).await.remove(0).unwrap(),
        Finished::AlreadyDone
    );
    assert_eq!(stock().await, (7, 3), "given back once");
}
