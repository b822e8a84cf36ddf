//! What is not compared: results that are unlike, the same run twice, nothing in common.

use super::comparison::{after, filtered, lenient, refusal, sources, text, two};
use super::runs;
use reports::compare::{CompareError, Field, Options, compare};
use reports::result::{Ack, DriverKind, LimitsBy, QueueKind, Run};

/// One leg each, as that is all a refusal needs.
fn small() -> [(&'static str, Run); 2] {
    let before = runs::laptop();
    let mut after = before.clone();
    after.id = "20260103-030405-laptop-51c0".to_owned();
    [("before.json", before), ("after.json", after)]
}

#[test]
fn unlike_results_are_refused_by_the_field_with_both_values_and_may_be_allowed() {
    type Change = fn(&mut Run);
    let changes: [(Field, Change, &str, &str); 17] = [
        (
            Field::DurabilityAck,
            |run| run.durability.ack = Ack::Published,
            "confirmed",
            "published",
        ),
        (
            Field::DurabilityQueue,
            |run| run.durability.queue = QueueKind::Quorum,
            "classic",
            "quorum",
        ),
        (
            Field::DurabilityRedisAof,
            |run| run.durability.redis_aof = None,
            "everysec",
            "absent",
        ),
        (
            Field::DurabilityDbFlush,
            |run| run.durability.db_flush = Some("2".to_owned()),
            "1",
            "2",
        ),
        (
            Field::DurabilityStorageSurvives,
            |run| run.durability.storage_survives = false,
            "true",
            "false",
        ),
        (
            Field::StackKind,
            |run| run.stack.kind = "embedded".to_owned(),
            "servers",
            "embedded",
        ),
        (
            Field::ScenarioSha256,
            |run| run.scenarios[0].sha256 = "ff".to_owned(),
            "00",
            "ff",
        ),
        (
            Field::Driver,
            |run| {
                for phase in &mut run.scenarios[0].phases {
                    phase.driver.kind = DriverKind::Ghz;
                }
            },
            "grpc 0.1.0",
            "ghz 0.1.0",
        ),
        (
            Field::MachineClass,
            |run| run.machine.class = "Other CPU".to_owned(),
            "\"Example CPU, 2 cores, 8 GiB, kvm\"",
            "\"Other CPU\"",
        ),
        (
            Field::LimitsCpus,
            |run| run.machine.limits.cpus = Some(1.5),
            "absent",
            "1.5",
        ),
        (
            Field::LimitsMemoryBytes,
            |run| run.machine.limits.memory_bytes = Some(7),
            "absent",
            "7",
        ),
        (
            Field::LimitsBy,
            |run| run.machine.limits.by = LimitsBy::Affinity,
            "none",
            "affinity",
        ),
        (
            Field::LimitsDriverApart,
            |run| run.machine.limits.driver_apart = true,
            "false",
            "true",
        ),
        (
            Field::StackOverrides,
            |run| {
                let set = ("mq.order_batch_size".to_owned(), "9".to_owned());
                run.stack.overrides.extend([set]);
            },
            "absent",
            "mq.order_batch_size=9",
        ),
        (
            Field::SubjectOverrides,
            |run| {
                let set = ("api.workers".to_owned(), "2".to_owned());
                run.subjects[0].overrides.extend([set]);
            },
            "absent",
            "api.workers=2",
        ),
        (
            Field::BuildProfile,
            |run| run.subjects[0].build.profile = "debug".to_owned(),
            "release",
            "debug",
        ),
        (
            Field::BuildProfile,
            |run| run.lab.profile = "debug".to_owned(),
            "release",
            "debug",
        ),
    ];
    let small = small();
    for (field, change, base, other) in changes {
        let mut runs = small.clone();
        change(&mut runs[1].1);
        let said = refusal(&runs, &Options::default());
        let expected = format!("is {base} in before.json, and {other} in after.json");
        assert!(said.contains(&expected), "{field}: {said}");
        assert!(said.contains(&format!("{field} ")), "{field}: {said}");
        assert!(
            said.ends_with(&format!("add --allow {field}")),
            "{field}: {said}"
        );
        // Another field that is allowed does not help.
        let another = Field::ALL
            .into_iter()
            .find(|one| *one != field)
            .expect("several");
        let options = |field: Field| Options {
            allow: [field].into(),
            ..Options::default()
        };
        refusal(&runs, &options(another));
        let result = compare(&sources(&runs), &options(field)).expect("allowed");
        let shown = text(&result).replace('\n', " ");
        assert!(
            shown.contains(&format!("Unlike, and allowed to be: {field}")),
            "{shown}"
        );
    }
}

#[test]
fn a_subject_with_an_acknowledgement_or_a_driver_of_its_own_is_unlike_too() {
    let mut runs = two(after());
    let lua = |run: &mut Run| {
        run.subjects
            .iter()
            .position(|one| one.id == "lua-single-key")
    };
    let at = lua(&mut runs[1].1).expect("there");
    runs[1].1.subjects[at].ack = Some(Ack::Published);
    let said = refusal(&runs, &lenient());
    assert!(
        said.contains("durability.ack of lua-single-key is confirmed in before.json"),
        "{said}"
    );
    runs[1].1.subjects[at].ack = None;
    runs[1].1.subjects[at].driver = Some(DriverKind::Ghz);
    let said = refusal(&runs, &lenient());
    assert!(
        said.contains("driver of lua-single-key is grpc 0.1.0 in before.json, and ghz"),
        "{said}"
    );
    // What is filtered out need not be alike.
    compare(&sources(&runs), &filtered(&["engine=sharded*"])).expect("compared");
}

#[test]
fn what_one_result_lacks_is_refused_unless_it_is_chosen_away_or_allowed() {
    let mut runs = two(after());
    assert_eq!(
        refusal(&runs, &Options::default()),
        "these results do not hold the same: database-row of engines is not in after.json; choose what all of them \
         have with --engine or --filter, or compare the rest with --allow missing"
    );
    compare(&sources(&runs), &filtered(&["engine=lua*"])).expect("chosen away");
    let result = compare(&sources(&runs), &lenient()).expect("compared");
    let shown = text(&result);
    assert!(
        shown.contains("Absent: database-row of engines in B.\n"),
        "{shown}"
    );
    // It took part, and measured nothing.
    let mut broken = runs::engines().legs[4].clone();
    assert_eq!(broken.subject, "database-row");
    broken.phases.clear();
    broken.error = Some("the server died\nof hunger".to_owned());
    runs[1].1.legs.push(broken);
    let said = refusal(&runs, &Options::default());
    assert!(
        said.contains("database-row of engines broke in after.json (the server died);"),
        "{said}"
    );
    let mut scenario = runs[0].1.scenarios[0].clone();
    scenario.name = "spike".to_owned();
    scenario.sha256 = "5b".to_owned();
    let mut legs = runs[0].1.legs.clone();
    legs.iter_mut()
        .for_each(|leg| leg.scenario = "spike".to_owned());
    runs[0].1.scenarios.push(scenario);
    runs[0].1.legs.extend(legs);
    let said = refusal(&runs, &Options::default());
    assert!(
        said.contains("the scenario spike is not in after.json;"),
        "{said}"
    );
}

#[test]
fn an_engine_that_is_asked_for_must_be_in_every_result() {
    let runs = two(after());
    let wanted = |id: &str| Options {
        subjects: vec![id.to_owned()],
        ..Options::default()
    };
    assert_eq!(
        refusal(&runs, &wanted("database-row")),
        "after.json has no engine \"database-row\"; it has: null, lua-single-key, sharded-slots, preallocated"
    );
    let only = compare(&sources(&runs), &wanted("preallocated")).expect("compared");
    assert_eq!(only.scenarios[0].subjects.len(), 1);
    // Alone as well.
    let alone = &runs[..1];
    assert!(refusal(alone, &wanted("lua")).starts_with("before.json has no engine \"lua\""));
}

#[test]
fn the_same_run_twice_and_runs_without_anything_in_common_are_refused() {
    let twice = two(runs::engines());
    assert_eq!(
        refusal(&twice, &Options::default()),
        "after.json holds the same run as before.json, so there is nothing to compare"
    );
    let mut other = after();
    other.legs.retain(|leg| leg.subject == "null");
    let mut runs = two(other);
    runs[0].1.legs.retain(|leg| leg.subject == "preallocated");
    assert_eq!(
        refusal(&runs, &Options::default()),
        "nothing can be compared: before.json has preallocated in engines; after.json has null in engines"
    );
    let nothing = [("empty.json", runs::nothing_measured())];
    assert!(
        refusal(&nothing, &Options::default())
            .ends_with("empty.json measured nothing that was asked for")
    );
    assert_eq!(
        compare(&[], &Options::default()).expect_err("none"),
        CompareError::NoSource
    );
}
