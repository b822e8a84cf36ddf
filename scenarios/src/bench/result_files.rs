//! The files in which a run's result is kept: one JSON file and one Markdown summary per run. Each
//! is replaced in one step, so that half a result can never be read.

use std::path::{Path, PathBuf};

use anyhow::Context;
use reports::model::RunResult;
use reports::render::as_markdown;

use super::system_binary::workspace;

/// Inside the workspace, or the current folder when there is none; git ignores it.
const OUT_FOLDER: &str = "reports/out";

/// Writes all files and returns their paths. `out` replaces the usual folder; `json` is a further
/// file for the result.
pub(super) fn write(
    run: &RunResult,
    out: Option<&Path>,
    json: Option<&Path>,
) -> anyhow::Result<Vec<PathBuf>> {
    let folder = out.map_or_else(
        || workspace().unwrap_or_default().join(OUT_FOLDER),
        Path::to_path_buf,
    );
    let mut written = vec![
        folder.join(format!("{}.json", run.id)),
        folder.join(format!("{}.md", run.id)),
    ];
    // The file that the user asked for comes first, because it must not depend on the other folder.
    if let Some(path) = json {
        replace(path, &run.to_json())?;
        written.insert(0, path.to_path_buf());
    }
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("{} cannot be made", folder.display()))?;
    replace(&folder.join(format!("{}.json", run.id)), &run.to_json())?;
    replace(&folder.join(format!("{}.md", run.id)), &as_markdown(run))?;
    Ok(written)
}

fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let refused = || format!("{} cannot be written", path.display());
    let file =
        tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).with_context(refused)?;
    std::fs::write(file.path(), text).with_context(refused)?;
    file.persist(path).with_context(refused)?;
    Ok(())
}
