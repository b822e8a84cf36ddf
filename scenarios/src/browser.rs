//! Shows a page in the browser of whoever sits at this machine; where nobody does, says where the
//! page lies.

use std::path::Path;
use std::process::{Command, Stdio};

use servers::programs::program;

/// Programs that open a file with what the user chose for it.
const OPENERS: [&str; 2] = ["xdg-open", "open"];
/// One of these is set where there is a display.
const DISPLAYS: [&str; 2] = ["DISPLAY", "WAYLAND_DISPLAY"];

/// Opens the page, and returns a line that says so, or why not.
pub fn open(page: &Path) -> String {
    let shown = page.display();
    let has_display = cfg!(target_os = "macos")
        || DISPLAYS
            .iter()
            .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    if !has_display {
        return format!("page: {shown} (no display here to open it on)");
    }
    let Some(opener) = program(&OPENERS) else {
        return format!("page: {shown} (neither xdg-open nor open is here)");
    };
    // A browser may live for hours; what it prints is not ours.
    let started = Command::new(opener)
        .arg(page)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match started {
        Ok(_) => format!("page: {shown}, opened"),
        Err(error) => format!("page: {shown} (it could not be opened: {error})"),
    }
}
