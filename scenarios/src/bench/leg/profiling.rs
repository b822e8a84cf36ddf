//! Flame graphs of our own processes, sampled while the measured phase runs and drawn when nothing
//! is measured any more.

use std::collections::BTreeMap;
use std::path::PathBuf;

use reports::result::DRIVER;

use super::LegWork;
use crate::bench::progress::say;
use crate::bench::roles::Roles;
use crate::profile::{Profiler, Recording, Stopped};

/// What `--profile` asks for.
#[derive(Debug)]
pub(in crate::bench) struct Profiling {
    pub profiler: Profiler,
    /// Folder and beginning of the graphs' names.
    pub stem: PathBuf,
}

impl LegWork<'_> {
    /// Starts to sample the roles and the driver; none where nobody asked for it.
    pub(super) async fn start_profiling(
        &self,
        roles: &Roles,
        driver: Option<u32>,
    ) -> anyhow::Result<Option<Recording>> {
        let Some(profiling) = self.context.profiling else {
            return Ok(None);
        };
        let prefix = &self.namespace.role_prefix;
        let mut processes: BTreeMap<String, Vec<u32>> = roles
            .pids()
            .map(|(name, pid)| {
                (
                    name.strip_prefix(prefix).unwrap_or(name).to_owned(),
                    vec![pid],
                )
            })
            .collect();
        processes.extend(driver.map(|pid| (DRIVER.to_owned(), vec![pid])));
        let (scratch, tag) = (self.context.stack.scratch(), self.context.stack.tag());
        let recording = profiling.profiler.start(&processes, scratch, tag).await?;
        Ok(Some(recording))
    }

    /// Draws what was sampled. A graph that cannot be drawn spoils no leg.
    pub(super) async fn draw(&self, stopped: Stopped) {
        let Some(profiling) = self.context.profiling else {
            return;
        };
        let mut stem = profiling.stem.clone();
        let name = stem.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{name}-leg{}", self.plan.index);
        stem.set_file_name(name);
        let drawing = tokio::task::spawn_blocking(move || stopped.draw(&stem));
        match drawing.await {
            Ok(Ok(profile)) => {
                for graph in profile.graphs {
                    say(&format!("written: {}", graph.display()));
                }
            }
            Ok(Err(error)) => say(&format!("warning: no flame graph: {error:#}")),
            Err(error) => say(&format!("warning: no flame graph: {error}")),
        }
    }
}
