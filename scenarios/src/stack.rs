//! The servers that a run needs: private ones that the lab starts and takes down, or external ones by address.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use reports::model::UsageByProcess;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum StackKind {
    #[default]
    Auto,
    Servers,
    External,
}

#[derive(Clone, Debug, clap::Args)]
pub struct StackOptions {
    #[arg(long = "stack", value_enum, default_value_t)]
    pub kind: StackKind,
    #[arg(long)]
    pub scratch: Option<PathBuf>,
    #[arg(long)]
    pub keep: bool,
    #[arg(long = "no-install", action = clap::ArgAction::SetFalse)]
    pub install: bool,
    #[command(flatten)]
    pub durability: Durability,
    #[command(flatten)]
    pub external: ExternalAddresses,
}

#[derive(Clone, Debug, clap::Args)]
pub struct Durability {
    #[arg(long, default_value = "everysec")]
    pub appendfsync: String,
    #[arg(long, default_value_t = 1)]
    pub innodb_flush_log_at_trx_commit: u8,
    #[arg(long, default_value = "classic")]
    pub queue_type: String,
}

#[derive(Clone, Debug, Default, clap::Args)]
pub struct ExternalAddresses {
    #[arg(long)]
    pub redis_url: Option<String>,
    #[arg(long)]
    pub amqp_url: Option<String>,
    #[arg(long)]
    pub database_url: Option<String>,
}

#[derive(Clone, Debug)]
pub struct RoleSpec {
    pub name: String,
    pub program: PathBuf,
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
}

#[derive(Debug)]
pub struct Role {
    name: String,
}

impl Role {
    pub fn name(&self) -> &str {
        &self.name
    }
    pub fn listen(&self) -> Option<SocketAddr> {
        None
    }
    pub fn pid(&self) -> u32 {
        0
    }
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        anyhow::bail!("not written")
    }
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        anyhow::bail!("not written")
    }
}

#[derive(Debug)]
pub struct Stack {
    settings: BTreeMap<String, String>,
}

impl Stack {
    pub async fn start(_options: &StackOptions) -> anyhow::Result<Self> {
        anyhow::bail!("not written")
    }
    pub fn database_url(&self, _database: &str) -> String {
        String::new()
    }
    pub fn redis_url(&self) -> String {
        String::new()
    }
    pub fn amqp_url(&self) -> String {
        String::new()
    }
    pub fn settings(&self) -> &BTreeMap<String, String> {
        &self.settings
    }
    /// `servers` or `external`.
    pub fn kind(&self) -> &'static str {
        "servers"
    }
    pub fn why(&self) -> &str {
        ""
    }
    pub fn scratch(&self) -> &Path {
        Path::new("")
    }
    /// Environment entry that every process of this run must carry, so that the guard finds it.
    pub fn tag(&self) -> (&'static str, &str) {
        ("LAB_RUN_ID", "")
    }
    pub async fn spawn_role(&self, _spec: &RoleSpec) -> anyhow::Result<Role> {
        anyhow::bail!("not written")
    }
    pub async fn run_to_end(&self, _spec: &RoleSpec) -> anyhow::Result<String> {
        anyhow::bail!("not written")
    }
    pub async fn check(&self) -> anyhow::Result<()> {
        Ok(())
    }
    pub fn usage(&self) -> UsageByProcess {
        UsageByProcess::new()
    }
    pub async fn stop(self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// `lab up`.
pub async fn up(_options: &StackOptions) -> anyhow::Result<()> {
    Ok(())
}
