//! The machine: what makes its figures comparable with those of another, and nothing that names it.

use std::path::Path;

use procfs::{CpuInfo, Current, Meminfo};
use reports::result::{AppliedLimits, Machine, Scratch};

use super::hash::pseudonym;
use crate::stack::scratch;

const GIB: f64 = (1u64 << 30) as f64;
/// File systems whose files are lost with the power.
const VOLATILE: [&str; 2] = ["tmpfs", "ramfs"];

/// Words in the firmware's names of a machine, and the hypervisor that they give away. The first
/// that matches counts: machines of a cloud call themselves by more than one name.
const FIRMWARE: [(&str, &str); 12] = [
    ("kvm", "kvm"),
    ("amazon ec2", "kvm"),
    ("google", "kvm"),
    ("openstack", "kvm"),
    ("qemu", "qemu"),
    ("vmware", "vmware"),
    ("virtualbox", "virtualbox"),
    ("innotek", "virtualbox"),
    ("microsoft corporation", "hyper-v"),
    ("parallels", "parallels"),
    ("bhyve", "bhyve"),
    ("xen", "xen"),
];

/// The machine as a result states it; `scratch` is the folder in which the servers keep their data,
/// or the one in which theirs will be made. The limits are those of no limits at all.
pub fn machine(scratch: &Path) -> Machine {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let info = CpuInfo::current().ok();
    let info = info.as_ref();
    let cpu = info
        .and_then(|info| info.model_name(0))
        .unwrap_or("unknown CPU")
        .to_owned();
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
    let memory_bytes = Meminfo::current().map_or(0, |memory| memory.mem_total);
    let is_virtual = info
        .and_then(|info| info.flags(0))
        .is_some_and(|flags| flags.contains(&"hypervisor"));
    let place = hypervisor(is_virtual, &read);
    Machine {
        id_hash: pseudonym("machine", read("/etc/machine-id").trim()),
        boot_hash: pseudonym("boot", read("/proc/sys/kernel/random/boot_id").trim()),
        class: class(&cpu, cores, memory_bytes, &place),
        cpu,
        cores,
        memory_bytes,
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        os: os_name(&read("/etc/os-release")),
        scratch: scratch_record(scratch),
        limits: AppliedLimits::default(),
    }
}

/// Memory in whole GiB: what the kernel keeps for itself differs from boot to boot.
fn class(cpu: &str, cores: u32, memory_bytes: u64, place: &str) -> String {
    let gib = (memory_bytes as f64 / GIB).round();
    format!("{cpu}, {cores} cores, {gib} GiB, {place}")
}

/// What the machine runs under, `kvm`; `bare metal` where nothing tells of a hypervisor. The
/// sources are those of systemd-detect-virt that need no privilege.
fn hypervisor(is_virtual: bool, read: &dyn Fn(&str) -> String) -> String {
    if read("/proc/sys/kernel/osrelease")
        .to_lowercase()
        .contains("microsoft")
    {
        return "wsl".to_owned();
    }
    if read("/sys/hypervisor/type").trim() == "xen" {
        return "xen".to_owned();
    }
    let firmware = ["product_name", "sys_vendor", "board_vendor", "bios_vendor"]
        .map(|name| read(&format!("/sys/class/dmi/id/{name}")))
        .join("\n")
        .to_lowercase();
    // A clock of its own gives a hypervisor away whose firmware says nothing.
    let clocks = read("/sys/devices/system/clocksource/clocksource0/available_clocksource");
    let by_clock = match () {
        () if clocks.contains("kvm-clock") => Some("kvm"),
        () if clocks.contains("hyperv") => Some("hyper-v"),
        () => None,
    };
    let by_firmware = FIRMWARE
        .iter()
        .find(|(word, _)| firmware.contains(word))
        .map(|(_, name)| *name);
    let by_tree = read("/proc/device-tree/hypervisor/compatible").contains("kvm");
    match by_clock.or(by_tree.then_some("kvm")) {
        Some(name) => name,
        // Some vendors make machines as well as clouds; x86 says which of the two it is.
        None if is_virtual => by_firmware.unwrap_or("unknown hypervisor"),
        None if cfg!(target_arch = "x86_64") => "bare metal",
        None => by_firmware.unwrap_or("bare metal"),
    }
    .to_owned()
}

fn os_name(os_release: &str) -> String {
    os_release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map_or_else(
            || std::env::consts::OS.to_owned(),
            |name| name.trim_matches('"').to_owned(),
        )
}

/// Of the folder, or of the deepest one above it that is there already.
fn scratch_record(folder: &Path) -> Scratch {
    let real = folder
        .ancestors()
        .find_map(|folder| folder.canonicalize().ok());
    let file_system = scratch::file_system(real.as_deref().unwrap_or(folder));
    Scratch {
        is_tmpfs: VOLATILE.contains(&file_system.as_str()),
        file_system,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_be_told_from_others_and_is_not_named() {
        let machine = machine(&std::env::temp_dir().join("not/there/yet"));
        assert!(
            machine.cores >= 1 && machine.memory_bytes > 0,
            "{machine:?}"
        );
        assert!(machine.class.contains("GiB"), "{machine:?}");
        assert!(machine.scratch.file_system != "unknown", "{machine:?}");
        assert_eq!(machine.boot_hash.len(), 16);
        let id = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
        let text = format!("{machine:?}");
        assert!(id.trim().is_empty() || !text.contains(id.trim()));
    }

    #[test]
    fn a_tmpfs_is_told_from_a_disk() {
        assert!(scratch_record(Path::new("/dev/shm")).is_tmpfs);
        assert!(!scratch_record(Path::new("/proc")).is_tmpfs);
        assert_eq!(scratch_record(Path::new("/proc/none")).file_system, "proc");
    }

    #[test]
    fn the_hypervisor_is_the_one_that_gives_itself_away() {
        let of = |is_virtual: bool, files: &[(&str, &str)]| {
            let files = files.to_vec();
            hypervisor(is_virtual, &move |path: &str| {
                let found = files.iter().find(|(name, _)| path.ends_with(name));
                found.map_or_else(String::new, |(_, text)| (*text).to_owned())
            })
        };
        assert_eq!(
            of(true, &[("available_clocksource", "kvm-clock tsc")]),
            "kvm"
        );
        assert_eq!(of(true, &[("sys_vendor", "Amazon EC2\n")]), "kvm");
        assert_eq!(of(true, &[("product_name", "VMware7,1\n")]), "vmware");
        assert_eq!(of(true, &[]), "unknown hypervisor");
        assert_eq!(of(true, &[("osrelease", "5.15-microsoft-WSL2")]), "wsl");
        assert_eq!(of(true, &[("hypervisor/type", "xen\n")]), "xen");
        #[cfg(target_arch = "x86_64")]
        assert_eq!(of(false, &[("sys_vendor", "Google")]), "bare metal");
    }

    #[test]
    fn a_class_is_what_two_machines_share() {
        assert_eq!(
            class("AMD EPYC 7763", 2, 16_766_164_992, "kvm"),
            "AMD EPYC 7763, 2 cores, 16 GiB, kvm"
        );
    }
}
