//! Where the control groups of this process are in the file system.

use std::path::{Path, PathBuf};

use procfs::process::{MountInfo, Process};

/// Mounts of control groups, and this process's own group in each hierarchy.
#[derive(Debug)]
pub(super) struct Hierarchy {
    mounts: Vec<MountInfo>,
    /// Controllers, none of them for version 2, and the path of the group.
    own: Vec<(Vec<String>, String)>,
}

impl Hierarchy {
    pub(super) fn of_this_process() -> Result<Self, String> {
        let unreadable = |error: procfs::ProcError| format!("/proc tells of none ({error})");
        let process = Process::myself().map_err(unreadable)?;
        let own = process.cgroups().map_err(unreadable)?.0.into_iter();
        Ok(Self {
            mounts: process.mountinfo().map_err(unreadable)?.0,
            own: own
                .map(|group| (group.controllers, group.pathname))
                .collect(),
        })
    }

    /// This process's own group of version 2, then those above it.
    pub(super) fn version_2(&self) -> Option<Vec<PathBuf>> {
        let mount = self
            .mounts
            .iter()
            .rfind(|mount| mount.fs_type == "cgroup2")?;
        let (_, path) = self
            .own
            .iter()
            .find(|(controllers, _)| controllers.is_empty())?;
        let own = under(mount, path);
        let within = own
            .ancestors()
            .take_while(|folder| folder.starts_with(&mount.mount_point));
        Some(within.map(Path::to_path_buf).collect())
    }

    /// This process's own group of a controller of version 1.
    pub(super) fn version_1(&self, controller: &str) -> Option<PathBuf> {
        let has = |controllers: &[String]| controllers.iter().any(|name| name == controller);
        let (_, path) = self.own.iter().find(|(controllers, _)| has(controllers))?;
        let mount = self.mounts.iter().rfind(|mount| {
            mount.fs_type == "cgroup" && mount.super_options.contains_key(controller)
        })?;
        Some(under(mount, path))
    }
}

/// In a container the mount may begin at the container's own group.
fn under(mount: &MountInfo, path: &str) -> PathBuf {
    let inside = Path::new(path).strip_prefix(&mount.root);
    let inside = inside.unwrap_or_else(|_| Path::new(path.trim_start_matches('/')));
    mount.mount_point.join(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hierarchy(mounts: &[&str], own: &[(&[&str], &str)]) -> Hierarchy {
        let read = |line: &&str| MountInfo::from_line(line).expect("a line of mountinfo");
        let named = |(controllers, path): &(&[&str], &str)| {
            let controllers = controllers.iter().map(|name| (*name).to_owned());
            (controllers.collect(), (*path).to_owned())
        };
        Hierarchy {
            mounts: mounts.iter().map(read).collect(),
            own: own.iter().map(named).collect(),
        }
    }

    const V2: &str = "30 20 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate";

    #[test]
    fn version_2_is_tried_from_the_own_group_upwards() {
        let found = hierarchy(&[V2], &[(&[], "/user.slice/a.scope")]);
        let places = ["/user.slice/a.scope", "/user.slice", ""];
        let places = places.map(|place| PathBuf::from(format!("/sys/fs/cgroup{place}")));
        assert_eq!(found.version_2().expect("mounted"), places);
        assert_eq!(found.version_1("cpu"), None);
    }

    #[test]
    fn version_1_has_a_group_per_controller() {
        let mounts = [
            "31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
            "32 30 0:28 /docker/ab /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
        ];
        let own: [(&[&str], &str); 2] = [(&["cpu", "cpuacct"], "/x"), (&["memory"], "/docker/ab")];
        let found = hierarchy(&mounts, &own);
        let cpu = Path::new("/sys/fs/cgroup/cpu,cpuacct/x");
        assert_eq!(found.version_1("cpu").as_deref(), Some(cpu));
        let memory = found.version_1("memory").expect("mounted");
        assert_eq!(memory, Path::new("/sys/fs/cgroup/memory"));
        assert_eq!(found.version_2(), None);
    }
}
