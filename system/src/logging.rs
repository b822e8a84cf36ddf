//! Structured logs on stderr. Stdout belongs to machines: the ready line, `engines --json`,
//! summaries.

use crate::config::{LogConfig, LogFormat};
use anyhow::Context;
use tracing_subscriber::EnvFilter;

/// The broker's client logs every refusal several times over, also those that are asked for. Each
/// is told once, by whoever was refused; a level that names the client brings its lines back.
const QUIET: &str = "lapin";

/// Installs the global subscriber.
pub fn init(config: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.level).with_context(|| {
        format!(
            "log.level: {:?} is not a level (error, warn, info, debug, trace) or filter",
            config.level
        )
    })?;
    let filter = match config.level.contains(QUIET) {
        true => filter,
        false => filter.add_directive(format!("{QUIET}=off").parse()?),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    let installed = match config.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_ansi(false).try_init(),
    };
    installed.map_err(|error| anyhow::anyhow!("cannot install the log subscriber: {error}"))
}
