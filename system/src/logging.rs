//! Structured logs on stderr, and in a file of each day if one is asked for. Stdout belongs to
//! machines: the ready line, `engines --json`, summaries.

mod left_out;
mod throttle;

pub use left_out::counts as left_out;

use crate::config::{LogConfig, LogFormat};
use anyhow::Context;
use left_out::LeftOut;
use std::path::Path;
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriterExt};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

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
    let writer = match &*config.file {
        "" => BoxMakeWriter::new(std::io::stderr),
        file => BoxMakeWriter::new(std::io::stderr.and(daily(file, config.files_kept)?)),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_target(false);
    let lines = match config.format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Text => lines.with_ansi(false).boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines.with_filter(LeftOut::start()?))
        .try_init()
        .map_err(|error| anyhow::anyhow!("cannot install the log subscriber: {error}"))
}

/// `file.YYYY-MM-DD`, of which the newest `kept` stay.
fn daily(file: &str, kept: usize) -> anyhow::Result<RollingFileAppender> {
    let path = Path::new(file);
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.with_context(|| format!("log.file: {file:?} names no file"))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let folder = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix(name)
        .max_log_files(kept)
        .build(folder)
        .with_context(|| format!("log.file: cannot write to {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_log_file_has_the_day_in_its_name_and_old_ones_go() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for day in ["2001-01-01", "2001-01-02", "2001-01-03"] {
            let old = folder.path().join(format!("shop.log.{day}"));
            std::fs::write(old, "old\n").expect("written");
        }
        let file = folder.path().join("shop.log");
        let mut log = daily(file.to_str().expect("UTF-8"), 2).expect("a log");
        log.write_all(b"new\n").expect("written");
        let names = std::fs::read_dir(folder.path()).expect("a folder");
        let names = names.map(|entry| entry.expect("a file").file_name());
        let names: Vec<_> = names.collect();
        assert_eq!(names.len(), 2, "{names:?}");
        let is_new = |name: &std::ffi::OsString| {
            let text = std::fs::read_to_string(folder.path().join(name)).expect("readable");
            text == "new\n"
        };
        assert_eq!(names.iter().filter(|name| is_new(name)).count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_is_refused_by_its_key() {
        let error = daily("/proc/nowhere/shop.log", 2).expect_err("refused");
        assert!(format!("{error:#}").starts_with("log.file: "), "{error:#}");
        let error = daily("..", 2).expect_err("refused");
        assert_eq!(error.to_string(), "log.file: \"..\" names no file");
    }
}
