//! A headless Chromium, wherever one is installed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const NAMES: [&str; 6] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "chrome-headless-shell",
];
/// Where browsers are that PATH does not know.
const PLACES: [&str; 4] = [
    "/usr/lib/chromium/chromium",
    "/opt/google/chrome/chrome",
    "/snap/bin/chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];
/// Folders of playwright's browsers, below the home folder.
const CACHES: [&str; 2] = [".cache/ms-playwright", "Library/Caches/ms-playwright"];
/// How long a page may take by its own clock, which runs as fast as the work allows.
const BUDGET_MS: u32 = 60_000;

pub struct Chromium {
    program: PathBuf,
}

impl Chromium {
    /// None where there is none, which is said; a failure where one is required.
    pub fn find_or_skip() -> Option<Self> {
        let found = on_path().or_else(elsewhere).or_else(|| cached(&home()?));
        if found.is_none() {
            let required = std::env::var_os("REQUIRE_BROWSER").is_some_and(|value| value == "1");
            assert!(
                !required,
                "REQUIRE_BROWSER=1, and there is no Chromium or Chrome"
            );
            eprintln!("skipped: there is no Chromium or Chrome here");
        }
        Some(Self { program: found? })
    }

    /// The document of a page when its scripts have run.
    pub fn document(&self, folder: &Path, page: &str) -> String {
        let output = self.run(folder, page, &["--dump-dom"]);
        String::from_utf8(output).expect("UTF-8")
    }

    /// The page as a PDF.
    pub fn printed(&self, folder: &Path, page: &str) -> Vec<u8> {
        let file = folder.join("page.pdf");
        self.run(
            folder,
            page,
            &[&format!("--print-to-pdf={}", file.display())],
        );
        std::fs::read(&file).expect("a PDF")
    }

    fn run(&self, folder: &Path, page: &str, wanted: &[&str]) -> Vec<u8> {
        let output = Command::new(&self.program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
            ])
            .args([
                "--no-first-run",
                "--hide-scrollbars",
                "--window-size=1700,1000",
            ])
            // Pages of one folder may look into each other's frames.
            .arg("--allow-file-access-from-files")
            .arg(format!("--virtual-time-budget={BUDGET_MS}"))
            .arg(format!(
                "--user-data-dir={}",
                folder.join("profile").display()
            ))
            .args(wanted)
            .arg(format!("file://{}/{page}", folder.display()))
            .stdin(Stdio::null())
            .output()
            .expect("the browser starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", output.status);
        output.stdout
    }
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from)
}

fn on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let all = NAMES
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    all.into_iter().find(|program| program.is_file())
}

fn elsewhere() -> Option<PathBuf> {
    PLACES
        .iter()
        .map(PathBuf::from)
        .find(|program| program.is_file())
}

/// The newest of playwright's; its folders are `chromium-1134/chrome-linux/chrome` and the like.
fn cached(home: &Path) -> Option<PathBuf> {
    let entries = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        paths.reverse();
        paths
    };
    let caches = CACHES.iter().flat_map(|cache| entries(&home.join(cache)));
    let browsers = caches.filter(|path| path.to_string_lossy().contains("chromium"));
    browsers
        .flat_map(|browser| entries(&browser))
        .flat_map(|folder| NAMES.map(|name| folder.join(name)))
        .find(|program| program.is_file())
}
