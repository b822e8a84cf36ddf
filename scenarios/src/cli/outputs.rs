//! Files that a command writes beside those that it reads: none of them may be replaced, and no two
//! outputs may be one file, whatever links lead there.

use std::path::{Path, PathBuf};

use super::UsageError;

#[derive(Debug, Default)]
pub(super) struct Outputs {
    inputs: Vec<PathBuf>,
    claimed: Vec<(PathBuf, PathBuf)>,
}

impl Outputs {
    /// Of a command that reads these files.
    pub(super) fn beside(inputs: &[PathBuf]) -> Self {
        Self {
            inputs: inputs.iter().map(|path| real(path)).collect(),
            claimed: Vec::new(),
        }
    }

    /// Refuses what is read, or was claimed before.
    pub(super) fn claim(&mut self, path: &Path) -> Result<(), UsageError> {
        let (real, shown) = (real(path), path.display());
        if self.inputs.contains(&real) {
            return Err(UsageError(format!(
                "{shown}: the output would replace its result"
            )));
        }
        if let Some((_, first)) = self.claimed.iter().find(|(known, _)| *known == real) {
            return Err(UsageError(format!(
                "{shown} and {} are one file, and would be written twice",
                first.display()
            )));
        }
        self.claimed.push((real, path.to_owned()));
        Ok(())
    }
}

/// Without links; of a file that is not there, as far as its folder is.
fn real(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).canonicalize().ok();
    let file = folder.zip(path.file_name());
    file.map_or_else(|| path.to_owned(), |(folder, name)| folder.join(name))
}
