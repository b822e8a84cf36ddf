//! Threads that serve, one for each socket of a listener, each watched until it is asked to stop.

use crate::shutdown::Shutdown;
use crate::supervisor::Supervisor;
use anyhow::{Context, anyhow};
use std::net::TcpListener;
use std::thread::JoinHandle;

/// How many there are on a machine with so many cores; 0 configured means half the cores, at least
/// one.
pub fn how_many(configured: usize, cores: usize) -> usize {
    match configured {
        0 => (cores / 2).max(1),
        threads => threads,
    }
}

/// The threads of one role.
#[derive(Debug)]
pub struct ServingThreads(Vec<JoinHandle<anyhow::Result<()>>>);

impl ServingThreads {
    /// Starts one for each socket, with the body that `serving` makes of its index and socket. `what`
    /// they are called where one has failed, and `short` in lists of threads.
    pub fn start<B>(
        (what, short): (&str, &str),
        sockets: Vec<TcpListener>,
        (supervisor, asked): (&Supervisor, &Shutdown),
        mut serving: impl FnMut(usize, TcpListener) -> B,
    ) -> anyhow::Result<Self>
    where
        B: FnOnce() -> anyhow::Result<()> + Send + 'static,
    {
        let mut threads = Vec::with_capacity(sockets.len());
        for (index, socket) in sockets.into_iter().enumerate() {
            let serve = serving(index, socket);
            let (supervisor, asked) = (supervisor.clone(), asked.clone());
            let name = format!("{what} {index}");
            let thread = std::thread::Builder::new().name(format!("{short}-{index}"));
            let body = move || supervisor.thread(&name, &asked, serve);
            threads.push(thread.spawn(body).context("cannot start a thread")?);
        }
        Ok(Self(threads))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Waits for all of them without blocking the runtime, which may keep their lease.
    pub async fn join(self) -> anyhow::Result<()> {
        let mut result = Ok(());
        for thread in self.0 {
            let joined = tokio::task::spawn_blocking(move || thread.join())
                .await
                .context("cannot wait for a serving thread")?;
            let ended = joined.unwrap_or_else(|_| Err(anyhow!("it panicked")));
            result = result.and(ended.context("a serving thread failed"));
        }
        result
    }
}
