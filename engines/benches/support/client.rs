//! One thread that uses an engine, with a runtime of its own that runs all the time: what an engine
//! leaves to a task (a rollback, a connection on its way back to the pool) is done also between two
//! jobs.

use engines::{EngineEnv, Registry, StockEngine};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

/// Jobs that wait for a client: whoever gives one waits for its end.
const JOBS_MAX: usize = 1;

type Job = Box<dyn FnOnce(Arc<dyn StockEngine>) -> BoxFuture<'static, ()> + Send>;

/// Where a client gets its engine from.
#[derive(Clone, Debug)]
pub enum Source {
    /// It builds one, with connections of its own.
    Own(&'static str, EngineEnv),
    /// All threads of the process share this one.
    Shared(Arc<dyn StockEngine>),
}

#[derive(Debug)]
pub struct Client {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    pub fn start(source: Source) -> Self {
        let (jobs, mut next) = mpsc::channel::<Job>(JOBS_MAX);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let engine = match source {
                    Source::Shared(engine) => engine,
                    Source::Own(spec, env) => {
                        let built = Registry::standard()
                            .build(&spec.parse().expect("a specification"), &env)
                            .await;
                        built.unwrap_or_else(|error| panic!("{spec}: {error}"))
                    }
                };
                while let Some(job) = next.recv().await {
                    job(engine.clone()).await;
                }
            });
        });
        Self {
            jobs: Some(jobs),
            thread: Some(thread),
        }
    }

    /// Starts `job` on the client's thread.
    pub fn begin<T, F>(
        &self,
        job: impl FnOnce(Arc<dyn StockEngine>) -> F + Send + 'static,
    ) -> Running<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |engine| {
            Box::pin(async move {
                // Whoever asked may have panicked meanwhile; then nobody wants the answer.
                let _ = answer.send(job(engine).await);
            })
        });
        let jobs = self.jobs.as_ref().expect("clients end only when dropped");
        assert!(
            jobs.blocking_send(job).is_ok(),
            "the client's thread has panicked"
        );
        Running(answered)
    }
}

/// A job under way.
#[derive(Debug)]
pub struct Running<T>(oneshot::Receiver<T>);

impl<T> Running<T> {
    pub fn join(self) -> T {
        self.0
            .blocking_recv()
            .expect("the client's thread has panicked")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // If it has panicked, it has said why.
            let _ = thread.join();
        }
    }
}
