//! A private RabbitMQ for one test.

use super::{Home, Life, unless_missing};
use crate::error::{OrFailed, Result, failed};
use crate::frozen::Frozen;
use crate::process::Process;
use crate::rabbitmq::{self, Node};

/// A broker with nothing in it; gone when dropped. One call at a time may take it down or bring it
/// back.
#[derive(Debug)]
pub struct RabbitMqServer {
    life: Life,
    node: Node,
    /// Its port mapper, which outlives the node.
    epmd: Option<Process>,
    home: Home,
}

impl RabbitMqServer {
    /// Starts one, in some five seconds. None, with the reason printed, when rabbitmq-server is not
    /// installed.
    ///
    /// # Panics
    /// When it is installed and does not start; with `REQUIRE_SERVERS=1` also when it is not.
    pub async fn start() -> Option<Self> {
        unless_missing(Self::try_start().await)
    }

    async fn try_start() -> Result<Self> {
        let home = Home::make()?;
        let (node, started) = rabbitmq::start_node(&home.site()).await?;
        Ok(Self {
            life: Life::new(started.process),
            node,
            epmd: started.helper,
            home,
        })
    }

    /// `amqp://guest:guest@127.0.0.1:4001/%2f`; stays the same in every life.
    pub fn url(&self) -> String {
        rabbitmq::url(self.node.port)
    }

    /// # Panics
    /// After [`RabbitMqServer::kill`].
    pub fn pid(&self) -> u32 {
        self.life.pid()
    }

    /// SIGKILL, in the middle of whatever it does.
    pub async fn kill(&self) -> Result<()> {
        self.life.end().await
    }

    /// Starts it again with the queues and messages that it has kept; kills it first if it lives.
    pub async fn restart(&self) -> Result<()> {
        self.kill().await?;
        let has_epmd = self.epmd.is_some();
        let (process, _) = rabbitmq::run_node(&self.home.site(), &self.node, has_epmd).await?;
        self.life.begin(process);
        Ok(())
    }

    /// Has it believe that it is out of memory, or that it is not any more: it then takes nothing
    /// from connections that publish, and does not close them.
    pub async fn set_memory_alarm(&self, is_set: bool) -> Result<()> {
        let fraction = if is_set { "0.000001" } else { "0.8" };
        let words = ["set_vm_memory_high_watermark", fraction];
        rabbitmq::control(&self.home.site(), &self.node, &words).await
    }

    /// Has the node evaluate an Erlang expression, in some two seconds; returns what it printed.
    /// For what no client can bring about, such as a queue whose process does not come back.
    pub async fn eval(&self, expression: &str) -> Result<String> {
        let command = rabbitmq::eval(&self.home.site(), &self.node, expression)?;
        let mut command = tokio::process::Command::from(command);
        let output = command
            .output()
            .await
            .or_failed(|| "rabbitmqctl does not start".to_owned())?;
        let said =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        match output.status.success() {
            true => Ok(said.concat()),
            false => Err(failed(format!("rabbitmqctl eval: {}", said.concat()))),
        }
    }

    /// Has the node write down now which quorum queues it has, before it is killed. RabbitMQ 3.10
    /// does so half a second late: one that is killed before comes back with a queue that has
    /// neither its messages nor a leader.
    pub async fn write_down_quorum_queues(&self) -> Result<()> {
        self.eval("dets:sync(ra_directory_reverse).")
            .await
            .map(drop)
    }

    /// SIGSTOP until what is returned is dropped.
    pub fn freeze(&self) -> Frozen {
        Frozen::freeze(self.pid())
    }
}
