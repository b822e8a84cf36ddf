//! What a run may choose about its servers, as command line options.

use std::path::PathBuf;

use reports::result::LimitsWanted;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum StackKind {
    /// `servers`, installed first if they are missing and that is allowed; where that fails,
    /// `embedded`
    #[default]
    Auto,
    /// The lab's own Redis, RabbitMQ and MariaDB or MySQL, on free ports, in a scratch folder
    Servers,
    /// Servers that are already running, by address
    External,
    /// No server at all: every role in one process, orders and queue in one SQLite file
    Embedded,
}

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Stack")]
pub struct StackOptions {
    /// Which servers to use; results of different stacks are never compared
    #[arg(long = "stack", value_enum, default_value_t)]
    pub kind: StackKind,
    /// Three private redis-servers as a cluster instead of one; engines that need a single one are
    /// skipped
    #[arg(long)]
    pub redis_cluster: bool,
    /// Folder for data and logs; the run makes a folder of its own in it [default: the system's
    /// temporary folder]
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
    /// Leave data and logs behind
    #[arg(long)]
    pub keep: bool,
    /// Never install anything
    #[arg(long = "no-install", action = clap::ArgAction::SetFalse)]
    pub install: bool,
    #[command(flatten)]
    pub durability: Durability,
    #[command(flatten)]
    pub external: ExternalAddresses,
    /// CPU and memory that roles and private servers are to have together; a scenario's, not the
    /// command line's.
    #[arg(skip)]
    pub limits: LimitsWanted,
}

impl Default for StackOptions {
    /// As without any option on the command line.
    fn default() -> Self {
        Self {
            kind: StackKind::Auto,
            redis_cluster: false,
            scratch: None,
            keep: false,
            install: true,
            durability: Durability::default(),
            external: ExternalAddresses::default(),
            limits: LimitsWanted::default(),
        }
    }
}

/// What the private servers promise to remember. Every result states it.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct Durability {
    /// When Redis writes its log through to the disk
    #[arg(long, default_value = "everysec", value_parser = ["always", "everysec", "no"], value_name = "POLICY")]
    pub appendfsync: String,
    /// What the database does at a commit: 1 flushes, 2 writes, 0 neither
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2), value_name = "0|1|2")]
    pub innodb_flush_log_at_trx_commit: u8,
    /// Type of the order queues
    #[arg(long, default_value = "classic", value_parser = ["classic", "quorum"], value_name = "TYPE")]
    pub queue_type: String,
}

impl Default for Durability {
    fn default() -> Self {
        Self {
            appendfsync: "everysec".to_owned(),
            innodb_flush_log_at_trx_commit: 1,
            queue_type: "classic".to_owned(),
        }
    }
}

/// Where external servers are. Never guessed: a run empties databases, queues and keys of its own
/// names.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ExternalAddresses {
    /// External Redis, redis://HOST:PORT/ or redis-cluster://HOST:PORT,HOST:PORT
    #[arg(long, value_name = "URL")]
    pub redis_url: Option<String>,
    /// External RabbitMQ, amqp://USER:PASSWORD@HOST:PORT/%2f
    #[arg(long, value_name = "URL")]
    pub amqp_url: Option<String>,
    /// External MariaDB or MySQL, mysql://USER:PASSWORD@HOST:PORT
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: StackOptions,
    }

    #[test]
    fn no_option_at_all_is_the_default() {
        let parsed = Line::try_parse_from(["lab"]).expect("valid").options;
        let default = StackOptions::default();
        assert_eq!(parsed.durability, default.durability);
        assert_eq!(
            (parsed.kind, parsed.keep, parsed.install),
            (default.kind, default.keep, default.install)
        );
        assert!(
            parsed.external.redis_url.is_none()
                && parsed.scratch.is_none()
                && !parsed.redis_cluster
        );
    }

    #[test]
    fn a_durability_that_does_not_exist_is_refused_with_those_that_do() {
        let refused =
            |arguments: [&str; 3]| Line::try_parse_from(arguments).unwrap_err().to_string();
        assert!(refused(["lab", "--appendfsync", "never"]).contains("everysec"));
        assert!(refused(["lab", "--innodb-flush-log-at-trx-commit", "3"]).contains("0..=2"));
        assert!(refused(["lab", "--queue-type", "stream"]).contains("quorum"));
    }
}
