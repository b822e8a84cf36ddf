//! Installing with apt-get, without the services that packages start by themselves: the lab starts
//! servers of its own, on other ports, and a server that was not asked for would only be in the
//! way.

use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use servers::programs::program;

/// Both run as root, with the packages as arguments. `policy-rc.d` is what package scripts ask
/// before they start a service; one that belongs to the machine is left as it is, ours goes away
/// however this ends.
const START_NOTHING: &str = r#"
policy=/usr/sbin/policy-rc.d
mark='# lab setup: no services while packages are installed'
if [ ! -e "$policy" ] || grep -qsF "$mark" "$policy"; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\n%s\nexit 101\n' "$mark" > "$policy" && chmod 755 "$policy" || exit 1
fi
"#;

/// Packages also have their units start with the machine, and those of what they depend on, such as
/// Erlang's epmd. All that were not there before are turned off, also after half an installation.
const INSTALL: &str = r#"
export DEBIAN_FRONTEND=noninteractive
install() { apt-get install -y --no-install-recommends --no-remove "$@"; }
units() { systemctl list-unit-files --no-legend --no-pager "$@" 2> /dev/null | cut -d ' ' -f 1; }
before=$(units)
status=0
if ! install "$@"; then
    echo "trying once more with fresh package lists: apt-get update"
    apt-get update && install "$@" || status=1
fi
# Without a list of what was there before nothing can be told apart, so nothing is turned off.
[ -n "$before" ] || exit "$status"
for unit in $(units --state=enabled); do
    if ! printf '%s\n' "$before" | grep -qxF -e "$unit"; then
        systemctl disable "$unit" 2> /dev/null || true
    fi
done
exit "$status"
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

fn script() -> String {
    format!("{START_NOTHING}{INSTALL}")
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
        .args(["-c", &script(), "lab-setup"])
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
            .args(["-n", "-c", &script()])
            .status()
            .expect("sh");
        assert!(status.success());
    }

    /// What an installation with these two programs does: its exit code, and which units it turned
    /// off. `apt-get` adds to the units that `systemctl` lists.
    fn installed(apt_get: &str) -> (Option<i32>, Vec<String>) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| folder.path().join(name);
        let program = |name: &str, text: &str| {
            std::fs::write(file(name), format!("#!/bin/sh\n{text}\n")).expect("written");
            let may_run = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(file(name), may_run).expect("changed");
        };
        std::fs::write(
            file("units"),
            "ssh.service enabled enabled\nepmd@.service disabled enabled\n",
        )
        .expect("written");
        program("apt-get", apt_get);
        program(
            "systemctl",
            "case \"$*\" in \
             disable*) echo \"$2\" >> disabled;; \
             *--state=enabled*) grep ' enabled ' units;; \
             *) cat units;; esac",
        );
        let inherited = std::env::var("PATH").expect("a search path");
        let mut sh = Command::new("sh");
        sh.args(["-c", INSTALL, "lab-setup", "rabbitmq-server"])
            .current_dir(folder.path())
            .env("PATH", format!("{}:{inherited}", folder.path().display()));
        let status = sh.status().expect("sh");
        let disabled = std::fs::read_to_string(file("disabled")).unwrap_or_default();
        (status.code(), disabled.lines().map(str::to_owned).collect())
    }

    const ADDS: &str = "printf '%s\\n' 'epmd.service enabled enabled' \
        'epmd.socket enabled enabled' 'rabbitmq-server.service enabled enabled' \
        'epmd-other.service static -' >> units";

    #[test]
    fn units_that_packages_enabled_are_turned_off_and_older_ones_are_left() {
        let off = ["epmd.service", "epmd.socket", "rabbitmq-server.service"].map(str::to_owned);
        assert_eq!(installed(ADDS), (Some(0), off.to_vec()));
        assert_eq!(installed("true"), (Some(0), Vec::new()));
        let enables_older = "sed -i s/disabled/enabled/ units";
        assert_eq!(installed(enables_older), (Some(0), Vec::new()));
    }

    #[test]
    fn half_an_installation_fails_and_leaves_no_unit_enabled() {
        let (code, off) = installed(
            "[ \"$1\" = install ] && echo 'epmd.socket enabled enabled' >> units; exit 100",
        );
        assert_eq!(code, Some(1));
        assert!(off.contains(&"epmd.socket".to_owned()), "{off:?}");
    }
}
