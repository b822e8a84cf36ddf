//! `lab up`: a stack to try things on, until Ctrl-C or until one of its servers dies.

use std::time::Duration;

use super::Stack;
use super::options::StackOptions;
use crate::bench::{Interrupt, Interrupted};

const CHECK_EVERY: Duration = Duration::from_millis(500);

/// Starts the servers, prints their addresses as `NAME=URL`, and waits. An interrupt is the
/// ordinary end.
pub async fn up(options: &StackOptions) -> anyhow::Result<()> {
    let interrupt = Interrupt::listen()?;
    let stack = match interrupt.cut_short(Stack::start(options)).await {
        Err(error) if error.is::<Interrupted>() => return Ok(()),
        result => result?,
    };
    eprintln!("stack: {}", stack.why());
    println!("SECKILL__DATABASE__URL={}", stack.database_url("seckill"));
    if !stack.is_embedded() {
        println!("SECKILL__REDIS__URL={}", stack.redis_url());
        println!("SECKILL__MQ__URL={}", stack.amqp_url());
    }
    let (tag, run_id) = stack.tag();
    println!("{tag}={run_id}");
    eprintln!("scratch: {}", stack.scratch().display());
    eprintln!("Ctrl-C takes it down");
    let watching = async {
        loop {
            stack.check().await?;
            tokio::time::sleep(CHECK_EVERY).await;
        }
    };
    let ended = interrupt.cut_short::<()>(watching).await;
    stack.stop().await?;
    match ended {
        Err(error) if !error.is::<Interrupted>() => Err(error),
        _ => Ok(()),
    }
}
