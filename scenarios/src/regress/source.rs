//! Which sources are compared: a git reference, or the working tree with its changes, each as one
//! commit.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::Context;

use super::RegressError;

/// The sources of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// As the user named it; `working tree` for that.
    pub name: String,
    /// All forty digits.
    pub commit: String,
    /// The commit is made of the working tree's changes and is on no branch.
    pub is_dirty: bool,
}

/// The commit that a reference means.
///
/// # Errors
/// [`RegressError`] when it means none.
pub(super) fn resolved(workspace: &Path, reference: &str) -> anyhow::Result<Source> {
    let wanted = format!("{reference}^{{commit}}");
    let arguments = [
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        &wanted,
    ];
    let commit = git(workspace, &arguments)?.ok_or_else(|| {
        RegressError(format!(
            "\"{reference}\" is no commit of this repository; allowed: a branch, a tag or a commit \
             (a shallow clone has few; git fetch --unshallow gets the others)"
        ))
    })?;
    Ok(Source {
        name: reference.to_owned(),
        commit,
        is_dirty: false,
    })
}

/// The working tree as it is, without files that git does not know. Also the files that are left out
/// for that reason.
///
/// # Errors
/// When this is no git repository.
pub(super) fn working_tree(workspace: &Path) -> anyhow::Result<(Source, Vec<String>)> {
    // `stash create` makes a commit and changes nothing; it prints nothing where nothing is changed.
    // The commit needs an author, and a machine of a CI may have none.
    let nobody = ["-c", "user.name=lab", "-c", "user.email=lab@localhost"];
    let stash = must(workspace, &[&nobody[..], &["stash", "create"]].concat())?;
    let stash = Some(stash).filter(|commit| !commit.is_empty());
    let is_dirty = stash.is_some();
    let commit = match stash {
        Some(commit) => commit,
        None => resolved(workspace, "HEAD")?.commit,
    };
    let untracked = git(workspace, &["ls-files", "--others", "--exclude-standard"])?;
    let source = Source {
        name: "working tree".to_owned(),
        commit,
        is_dirty,
    };
    let untracked = untracked.unwrap_or_default();
    Ok((source, untracked.lines().map(str::to_owned).collect()))
}

/// A working tree of the repository beside the user's own, with this commit. It is made once and
/// stays, so that later builds compile only what differs; `git worktree list` shows it.
///
/// # Errors
/// When git refuses, in its own words.
pub(super) fn check_out(workspace: &Path, tree: &Path, commit: &str) -> anyhow::Result<()> {
    let is_there = tree.join(".git").exists()
        && git(tree, &["rev-parse", "--is-inside-work-tree"])?.as_deref() == Some("true");
    if is_there {
        let checkout = ["checkout", "--quiet", "--force", "--detach", commit];
        must(tree, &checkout)?;
        must(tree, &["clean", "--quiet", "--force", "-d"])?;
        return must_be_at(tree, commit);
    }
    if tree.exists() {
        std::fs::remove_dir_all(tree)
            .with_context(|| format!("{} cannot be removed", tree.display()))?;
    }
    must(workspace, &["worktree", "prune"])?;
    let shown = tree.display().to_string();
    let add = ["worktree", "add", "--quiet", "--force", "--detach"];
    must(workspace, &[&add[..], &[&shown, commit]].concat())?;
    must_be_at(tree, commit)
}

/// What is built is what was asked for, whatever hooks and filters do.
fn must_be_at(tree: &Path, commit: &str) -> anyhow::Result<()> {
    let head = must(tree, &["rev-parse", "HEAD"])?;
    let wanted = must(tree, &["rev-parse", &format!("{commit}^{{commit}}")])?;
    let changes = must(tree, &["status", "--porcelain"])?;
    if head != wanted || !changes.is_empty() {
        let why = format!("{} could not be brought to {commit}", tree.display());
        return Err(RegressError(why).into());
    }
    Ok(())
}

/// git in a folder, and not in the repository that a hook or an alias was called in.
fn output(folder: &Path, arguments: &[&str]) -> anyhow::Result<Output> {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GIT_") {
            command.env_remove(name);
        }
    }
    command
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .context("git cannot be started; lab regress needs it")
}

/// What git prints, trimmed; none where it fails.
fn git(folder: &Path, arguments: &[&str]) -> anyhow::Result<Option<String>> {
    let output = output(folder, arguments)?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(output.status.success().then_some(text))
}

/// What git prints, trimmed.
fn must(folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = output(folder, arguments)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let last = words.trim().lines().last().unwrap_or_default();
    let what = arguments
        .iter()
        .find(|it| !it.starts_with('-') && !it.contains('='));
    let what = what.copied().unwrap_or_default();
    Err(RegressError(format!("git {what} failed: {last}")).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn repository() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("own");
        std::fs::create_dir(&root).expect("made");
        must(&root, &["init", "--quiet", "--initial-branch=main"]).expect("a repository");
        must(&root, &["config", "user.name", "Ada"]).expect("set");
        must(&root, &["config", "user.email", "ada@localhost"]).expect("set");
        commit(&root, "one");
        (folder, root)
    }

    fn commit(root: &Path, text: &str) {
        std::fs::write(root.join("file"), text).expect("written");
        must(root, &["add", "file"]).expect("added");
        must(root, &["commit", "--quiet", "--message", text]).expect("committed");
    }

    #[test]
    fn a_reference_is_a_commit_and_an_unknown_one_is_refused() {
        let (_folder, root) = repository();
        let main = resolved(&root, "main").expect("a branch");
        assert_eq!((main.commit.len(), main.is_dirty), (40, false));
        assert_eq!(resolved(&root, "HEAD").expect("known").commit, main.commit);
        for wrong in ["nowhere", "", "--help", "main:file"] {
            let refused = resolved(&root, wrong).expect_err(wrong).to_string();
            assert!(
                refused.contains("is no commit of this repository"),
                "{refused}"
            );
        }
    }

    #[test]
    fn the_working_tree_is_a_commit_with_its_changes_and_stays_as_it_is() {
        let (folder, root) = repository();
        let (clean, untracked) = working_tree(&root).expect("a repository");
        assert!(!clean.is_dirty && untracked.is_empty());
        std::fs::write(root.join("file"), "changed").expect("written");
        std::fs::write(root.join("new"), "unknown").expect("written");
        let (changed, untracked) = working_tree(&root).expect("a repository");
        assert!(changed.is_dirty && changed.commit != clean.commit);
        assert_eq!(untracked, ["new"]);
        assert_eq!(
            std::fs::read_to_string(root.join("file")).expect("there"),
            "changed"
        );
        let tree = folder.path().join("tree");
        check_out(&root, &tree, &changed.commit).expect("checked out");
        assert_eq!(
            std::fs::read_to_string(tree.join("file")).expect("there"),
            "changed"
        );
        assert!(!tree.join("new").exists());
    }

    #[test]
    fn a_tree_whose_changes_cannot_be_read_is_no_clean_one() {
        let (_folder, root) = repository();
        std::fs::write(root.join("file"), "changed").expect("written");
        std::fs::write(root.join(".git/index.lock"), "").expect("written");
        let refused = working_tree(&root).expect_err("locked").to_string();
        assert!(refused.starts_with("git stash failed: "), "{refused}");
    }

    #[test]
    fn one_tree_serves_one_commit_after_the_other_and_a_broken_one_is_made_anew() {
        let (folder, root) = repository();
        let first = resolved(&root, "HEAD").expect("known").commit;
        commit(&root, "two");
        let second = resolved(&root, "HEAD").expect("known").commit;
        let tree = folder.path().join("tree");
        let text = || std::fs::read_to_string(tree.join("file")).expect("there");
        for (commit, expected) in [(&first, "one"), (&second, "two"), (&first, "one")] {
            check_out(&root, &tree, commit).expect("checked out");
            assert_eq!(text(), expected);
            // What a build or an editor left there.
            std::fs::write(tree.join("file"), "touched").expect("written");
            std::fs::write(tree.join("left"), "over").expect("written");
        }
        std::fs::remove_dir_all(&tree).expect("removed");
        std::fs::create_dir(&tree).expect("made");
        check_out(&root, &tree, &second).expect("checked out");
        assert_eq!(text(), "two");
        assert!(check_out(&root, &tree, "nowhere").is_err());
    }
}
