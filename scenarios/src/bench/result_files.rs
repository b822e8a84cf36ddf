//! The files in which a run's result is kept: one JSON file, one page and one Markdown summary per
//! run. Each is replaced in one step, so that half a result can never be read.

use std::fs::{OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use reports::html::page;
use reports::result::Run;
use reports::view::{hgrm, markdown};

use super::system_binary::workspace;

/// Inside the workspace, or the current folder when there is none; git ignores it.
const OUT_FOLDER: &str = "reports/out";

/// Where a result goes.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// Instead of the usual folder.
    pub folder: Option<PathBuf>,
    /// A further file for the result.
    pub json: Option<PathBuf>,
    /// Also the latencies of each leg, for the plotters of HdrHistogram.
    pub hgrm: bool,
    /// Show the page in a browser when it is written.
    pub open: bool,
}

impl Files {
    /// Folder and name of a run's files, without an ending.
    pub(super) fn stem(&self, run: &Run) -> PathBuf {
        let usual = || workspace().unwrap_or_default().join(OUT_FOLDER);
        let folder = self.folder.clone().unwrap_or_else(usual);
        folder.join(run.name.as_ref().unwrap_or(&run.id))
    }
}

/// Writes all files and returns their paths. A run with a name lies under it, and replaces an
/// earlier one of that name.
pub(super) fn write(run: &Run, files: &Files) -> anyhow::Result<Vec<PathBuf>> {
    let stem = files.stem(run);
    let folder = stem.parent().unwrap_or(Path::new("."));
    let name = stem.file_name().unwrap_or_default().to_string_lossy();
    let mut written = Vec::new();
    // The file that the user asked for comes first, because it must not depend on the other folder.
    if let Some(path) = &files.json {
        replace(path, &run.to_json())?;
        written.push(path.clone());
    }
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{} cannot be made", folder.display()))?;
    let mut put = |ending: &str, text: &str| -> anyhow::Result<()> {
        let path = folder.join(format!("{name}{ending}"));
        replace(&path, text)?;
        written.push(path);
        Ok(())
    };
    put(".json", &run.to_json())?;
    put(".html", &page(run))?;
    put(".md", &markdown(run))?;
    if files.hgrm {
        for leg in &run.legs {
            if let Some(measured) = leg.measured() {
                put(
                    &format!(".leg{}.hgrm", leg.id),
                    &hgrm(&measured.headline_latencies()),
                )?;
            }
        }
    }
    Ok(written)
}

/// Readable for whom the user's mask lets read, as of any other file that is made.
const MODE: u32 = 0o666;

/// Writes a text in one step: whoever reads it reads all of it. What is no file of its own (a pipe, a
/// terminal, `/dev/stdout`) cannot be replaced, and is written to.
pub fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let refused = || format!("{} cannot be written", path.display());
    if is_stream(path) {
        let written = OpenOptions::new()
            .write(true)
            .open(path)
            .and_then(|mut stream| stream.write_all(text.as_bytes()));
        return written.with_context(refused);
    }
    let file = tempfile::Builder::new()
        .permissions(Permissions::from_mode(MODE))
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .with_context(refused)?;
    std::fs::write(file.path(), text).with_context(refused)?;
    file.persist(path).with_context(refused)?;
    Ok(())
}

/// The paths of the open files of a process lead to files that others hold open, too.
fn is_stream(path: &Path) -> bool {
    let open = ["/dev/stdout", "/dev/stderr", "/dev/fd", "/proc"];
    let is_open = open.iter().any(|it| path.starts_with(it));
    is_open || std::fs::metadata(path).is_ok_and(|it| !it.is_file() && !it.is_dir())
}
