//! Where a group of version 2 may be made, in folders that look like a hierarchy, and in the real
//! one where it can be written.

use super::*;

const HALF: Quota = Quota {
    cpus: Some(0.5),
    memory_bytes: None,
};

/// A place that has some controllers and gives some of them to its children.
fn place(has: &str, gives: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in [
        ("cgroup.controllers", has),
        ("cgroup.subtree_control", gives),
    ] {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    folder
}

fn refused(place: &Path, may_enable: bool) -> String {
    in_version_2(place, "lab-test", HALF, &controllers(HALF), may_enable).expect_err("no hierarchy")
}

#[test]
fn a_place_without_the_controller_is_refused_and_stays_as_it_was() {
    let folder = place("memory pids\n", "memory\n");
    assert!(refused(folder.path(), true).ends_with("has no cpu"));
    assert!(!folder.path().join("lab-test").exists());
}

#[test]
fn a_controller_is_enabled_only_where_that_is_allowed() {
    let folder = place("cpuset cpu io memory\n", "memory\n");
    let control = || {
        let path = folder.path().join("cgroup.subtree_control");
        std::fs::read_to_string(path).expect("readable")
    };
    assert!(refused(folder.path(), false).ends_with("does not pass on cpu"));
    assert_eq!(control(), "memory\n");
    // An ordinary folder has no settings, so it fails at the first, and the group is gone again.
    let reason = refused(folder.path(), true);
    assert!(
        reason.contains("lab-test/cpu.max cannot be written"),
        "{reason}"
    );
    assert!(control().starts_with("+cpu"), "{}", control());
    assert!(!folder.path().join("lab-test").exists());
}

#[test]
fn processes_move_into_a_real_group_of_version_2() {
    let name = format!("lab-test-{:016x}", rand::random::<u64>());
    let hierarchy = Hierarchy::of_this_process().expect("/proc");
    // Without anything to hold, so that no controller is needed.
    let group = match version_2(&hierarchy, &name, Quota::default()) {
        Ok(group) => group,
        Err(reason) => return eprintln!("ignored: version 2: {reason}"),
    };
    let folder = group.folders()[0].clone();
    assert!(folder.ends_with(&name) && folder.is_dir());
    assert_eq!(group.by(), LimitsBy::CgroupV2);
    // The probe has moved a process in already, and waited for its end.
    drop(group);
    assert!(!folder.exists(), "{} is left", folder.display());
}

#[test]
fn a_quota_is_a_share_of_the_period() {
    assert_eq!(
        [quota_us(0.5), quota_us(4.0), quota_us(1.25)],
        [50_000, 400_000, 125_000]
    );
}

#[test]
fn a_group_weighs_as_much_as_a_thread_on_each_of_its_cpus() {
    let of = |cpus| {
        let quota = Quota {
            cpus: Some(cpus),
            memory_bytes: None,
        };
        weight(quota, THREAD_SHARES)
    };
    assert_eq!([of(0.5), of(1.5), of(4.0)], ["1024", "2048", "4096"]);
    let all = weight(Quota::default(), THREAD_WEIGHT);
    assert!(
        all.parse::<u64>().is_ok_and(|all| all >= THREAD_WEIGHT),
        "{all}"
    );
}
