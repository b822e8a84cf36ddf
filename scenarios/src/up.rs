//! `lab up`: servers to try things on, with `--roles` the whole system on them, until Ctrl-C or until
//! one of them dies.

mod system;

use std::time::Duration;

use crate::bench::{Interrupt, Interrupted};
use crate::stack::{Stack, StackOptions};

const CHECK_EVERY: Duration = Duration::from_millis(500);

/// What is to be up.
#[derive(Clone, Debug, clap::Args)]
pub struct UpOptions {
    /// Start every role of the system, too, with a product on sale and a few accounts
    #[arg(long, help_heading = "System")]
    pub roles: bool,
    /// Stock engine of the roles
    #[arg(
        long,
        value_name = "ENGINE",
        default_value = "lua-single-key",
        requires = "roles",
        help_heading = "System"
    )]
    pub engine: String,
    /// Units of product 1, which is on sale
    #[arg(
        long,
        value_name = "UNITS",
        default_value_t = 1_000,
        requires = "roles",
        value_parser = clap::value_parser!(i32).range(1..),
        help_heading = "System"
    )]
    pub stock: i32,
    /// Listen on free ports instead of 8080 and 50051 to 50055
    #[arg(long, requires = "roles", help_heading = "System")]
    pub any_port: bool,
    #[command(flatten)]
    pub stack: StackOptions,
}

/// Starts what is asked for, prints addresses as `NAME=URL`, and waits. An interrupt is the ordinary
/// end.
pub async fn up(options: &UpOptions) -> anyhow::Result<()> {
    let interrupt = Interrupt::listen()?;
    let stack = match interrupt.cut_short(Stack::start(&options.stack)).await {
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
    let mut roles = Vec::new();
    let watching = async {
        if options.roles {
            system::start(options, &stack, &mut roles).await?;
        }
        eprintln!("Ctrl-C takes it down");
        loop {
            stack.check().await?;
            tokio::time::sleep(CHECK_EVERY).await;
        }
    };
    let ended = interrupt.cut_short::<()>(watching).await;
    // What serves goes before what works for it.
    let mut stopped = Ok(());
    while let Some(mut role) = roles.pop() {
        stopped = stopped.and(role.stop().await);
    }
    stopped.and(stack.stop().await)?;
    match ended {
        Err(error) if !error.is::<Interrupted>() => Err(error),
        _ => Ok(()),
    }
}
