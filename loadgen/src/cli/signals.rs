//! The two signals that end a run early.

use crate::run::Stop;
use crate::{Error, Result};
use tokio::signal::unix::{SignalKind, signal};

/// Passes every SIGINT and SIGTERM on, from a thread that ends with the process.
pub fn stop_on_signals(stop: Stop) -> Result<()> {
    let failed = |source| Error::System {
        action: "listen for signals",
        source,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let (mut interrupt, mut terminate) = {
        let _guard = runtime.enter();
        (
            signal(SignalKind::interrupt()).map_err(failed)?,
            signal(SignalKind::terminate()).map_err(failed)?,
        )
    };
    let listen = move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                stop.stop();
            }
        })
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(listen)
        .map_err(failed)?;
    Ok(())
}
