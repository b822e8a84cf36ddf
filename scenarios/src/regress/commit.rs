//! A single commit of this repository as a program, for whoever wants another release beside this one
//! and compares nothing.

use std::fmt;
use std::path::Path;

use super::RegressError;
use super::build::Builder;
use super::source::resolved;
use crate::bench::Program;

/// Why there is no program of a commit.
#[derive(Debug)]
pub enum NoProgram {
    /// This repository does not have it: the clone is shallow, or these sources have no history.
    NoCommit(String),
    /// It is there and does not build, or what was built says nothing of itself.
    DoesNotBuild(anyhow::Error),
}

impl std::error::Error for NoProgram {}

impl fmt::Display for NoProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCommit(why) => f.write_str(why),
            Self::DoesNotBuild(why) => write!(f, "{why:#}"),
        }
    }
}

/// The system as it was at `reference`, built where comparisons build and kept as they keep it.
///
/// # Errors
/// [`NoProgram`], which says whether there was anything to build.
pub fn program_of(workspace: &Path, reference: &str) -> Result<Program, NoProgram> {
    built(workspace, reference, || Builder::new(workspace))
}

fn built(
    workspace: &Path,
    reference: &str,
    builder: impl FnOnce() -> anyhow::Result<Builder>,
) -> Result<Program, NoProgram> {
    let source =
        resolved(workspace, reference).map_err(|error| match error.is::<RegressError>() {
            true => NoProgram::NoCommit(error.to_string()),
            // git itself is missing: nobody knows whether the commit is.
            false => NoProgram::DoesNotBuild(error),
        })?;
    let program = builder().and_then(|builder| builder.program(&source));
    program.map_err(NoProgram::DoesNotBuild)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regress::build::tests::{MAIN, commit, repository};

    #[test]
    fn a_commit_that_is_not_there_is_another_matter_than_one_that_does_not_build() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        repository(root);
        let good = commit(root, MAIN, "one").commit;
        let broken = commit(root, "fn main() { nothing() }", "two").commit;
        let built = |reference: &str| {
            built(root, reference, || {
                Builder::at(root, &root.join("target/regress"))
            })
        };
        let program = built(&good).expect("it builds");
        assert_eq!(program.build.commit, good[..12]);
        let missing = "0123456789012345678901234567890123456789";
        match built(missing).expect_err("nobody made it") {
            NoProgram::NoCommit(why) => assert!(why.contains(missing), "{why}"),
            other => panic!("{other:?}"),
        }
        match built(&broken).expect_err("it is broken") {
            NoProgram::DoesNotBuild(why) => {
                assert!(why.to_string().contains("does not build"), "{why:#}");
            }
            other => panic!("{other:?}"),
        }
        let nowhere = tempfile::tempdir().expect("a folder");
        let unasked = || -> anyhow::Result<Builder> { panic!("there is nothing to build") };
        let none = super::built(nowhere.path(), &good, unasked).expect_err("no repository");
        assert!(matches!(none, NoProgram::NoCommit(_)), "{none:?}");
    }
}
