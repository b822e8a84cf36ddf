//! Installing with apt-get, without the services that packages start by themselves: the lab starts
//! servers of its own, on other ports, and a server that was not asked for would only be in the
//! way.

use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use servers::programs::program;

/// Runs as root, with the packages as arguments. `policy-rc.d` is what package scripts ask before
/// they start a service; one that belongs to the machine is left as it is, ours goes away however
/// this ends. A service that was installed just now is also kept from starting with the machine.
const SCRIPT: &str = r#"
policy=/usr/sbin/policy-rc.d
mark='# lab setup: no services while packages are installed'
if [ ! -e "$policy" ] || grep -qsF "$mark" "$policy"; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\n%s\nexit 101\n' "$mark" > "$policy" && chmod 755 "$policy" || exit 1
fi
export DEBIAN_FRONTEND=noninteractive
install() { apt-get install -y --no-install-recommends --no-remove "$@"; }
if ! install "$@"; then
    echo "trying once more with fresh package lists: apt-get update"
    apt-get update && install "$@" || exit 1
fi
if command -v systemctl > /dev/null; then
    for package in "$@"; do
        for unit in "$package" "${package%-server}"; do
            systemctl disable "$unit.service" 2> /dev/null || true
        done
    done
fi
"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    Already,
    Sudo,
}

pub(super) fn is_available() -> bool {
    program(&["apt-get"]).is_some()
}

/// None where there is no apt-get, or no way to root without a password.
pub(super) fn how_to_become_root() -> Option<Root> {
    if !is_available() {
        return None;
    }
    if rustix::process::geteuid().is_root() {
        return Some(Root::Already);
    }
    let mut sudo = Command::new("sudo");
    sudo.args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    sudo.status()
        .is_ok_and(|status| status.success())
        .then_some(Root::Sudo)
}

/// What is installed, as one can type it.
pub(super) fn command_line(packages: &[&str]) -> String {
    format!(
        "apt-get install -y --no-install-recommends --no-remove {}",
        packages.join(" ")
    )
}

pub(super) fn install(root: Root, packages: &[&str]) -> anyhow::Result<()> {
    let sudo = if root == Root::Sudo { "sudo " } else { "" };
    eprintln!(
        "installing: {sudo}DEBIAN_FRONTEND=noninteractive {}",
        command_line(packages)
    );
    eprintln!("            (with apt-get update first if the package lists are missing or old)");
    if !std::path::Path::new("/usr/sbin/policy-rc.d").exists() {
        eprintln!(
            "            a temporary /usr/sbin/policy-rc.d keeps the packages from starting services"
        );
    }
    eprintln!(
        "            these services stay off, also when the machine starts; systemctl enable turns them on"
    );
    let mut command = match root {
        Root::Already => Command::new("sh"),
        Root::Sudo => {
            let mut command = Command::new("sudo");
            command.args(["-n", "sh"]);
            command
        }
    };
    command
        .args(["-c", SCRIPT, "lab-setup"])
        .args(packages)
        .stdin(Stdio::null());
    // Standard output belongs to the lab's own result.
    command.stdout(std::io::stderr());
    let status = command
        .status()
        .context("the installation cannot be started")?;
    ensure!(
        status.success(),
        "installing {} with apt-get failed ({status}); see above",
        packages.join(", ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_valid_shell() {
        let status = Command::new("sh")
            .args(["-n", "-c", SCRIPT])
            .status()
            .expect("sh");
        assert!(status.success());
    }
}
