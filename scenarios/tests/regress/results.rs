//! Results that were made elsewhere.

use std::path::Path;
use std::process::{Command, Stdio};

use reports::result::Run;

use crate::{TINY, fresh_folder, only_result, regress, text, words};

/// What `lab bench` writes of one leg can be a side of a block.
fn write_results(folder: &Path, blocks: u32) {
    let tiny = TINY.replace("20% of base", "200");
    std::fs::create_dir_all(folder).expect("made");
    let scenario = folder.join("one.toml");
    std::fs::write(&scenario, tiny).expect("written");
    let result = folder.join("one.json");
    let status = Command::new(env!("CARGO_BIN_EXE_lab"))
        .arg("bench")
        .arg(&scenario)
        .args(["--stack", "embedded", "--json"])
        .arg(&result)
        .arg("--out")
        .arg(folder.join("out"))
        .stdin(Stdio::null())
        .output()
        .expect("lab starts");
    assert!(status.status.success(), "{}", text(&status.stderr));
    for block in 1..=blocks {
        let of_block = folder.join("blocks").join(block.to_string());
        std::fs::create_dir_all(&of_block).expect("made");
        for (number, side) in ["base", "head"].into_iter().enumerate() {
            // As if it had been measured anew, with the same figures.
            let mut run = reports::read(&result).expect("own result");
            run.id = format!("{}-{block}-{side}", run.id);
            run.legs[0].started_unix_us += i64::from(block) * 2 + number as i64;
            let path = of_block.join(side).with_extension("json");
            std::fs::write(path, run.to_json()).expect("written");
        }
    }
    std::fs::remove_dir_all(folder.join("out")).expect("removed");
}

#[test]
fn results_made_elsewhere_are_judged_and_what_does_not_fit_is_refused() {
    let folder = fresh_folder("regress_results");
    write_results(&folder, 10);
    let blocks = folder.join("blocks");
    let judged = |folder: &Path| {
        regress(
            folder,
            &[
                words(&["--void-above", "100", "--results"]),
                vec![blocks.display().to_string()],
            ]
            .concat(),
        )
    };
    let output = judged(&folder);
    let (screen, log) = (text(&output.stdout), text(&output.stderr));
    let run = only_result(&folder);
    let gate = run.gate.expect("a gate");
    assert_eq!(gate.not_measured, None);
    assert_eq!(output.status.code(), Some(0), "{screen}\n{log}");
    // Ten equal pairs: nothing differs.
    let d = gate.heads[0].metrics.iter().flat_map(|it| &it.d);
    assert!(d.clone().all(|ln| ln.0 == 0.0) && d.count() > 0, "{gate:?}");

    let refused = |change: &dyn Fn(), words: &[&str]| {
        change();
        let output = judged(&folder.join("refused"));
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        for word in words {
            assert!(error.contains(word), "{word:?} in {error}");
        }
    };
    let head = blocks.join("3/head.json");
    let whole = std::fs::read_to_string(&head).expect("readable");
    let put = |text: &str| std::fs::write(&head, text).expect("written");
    refused(&|| put(&whole[..whole.len() / 2]), &["3/head.json"]);
    refused(&|| put("{\"name\": 1}"), &["3/head.json", "schema"]);
    let other_machine = {
        let mut run = Run::from_json(&whole).expect("own");
        run.machine.class = "another machine".to_owned();
        run.to_json()
    };
    refused(&|| put(&other_machine), &["machine", "another machine"]);
    let other_engine = {
        let mut run = Run::from_json(&whole).expect("own");
        run.subjects[0].engine = "another-engine".to_owned();
        run.to_json()
    };
    refused(&|| put(&other_engine), &["engine", "another-engine"]);
    let twice = std::fs::read_to_string(blocks.join("4/head.json")).expect("readable");
    refused(&|| put(&twice), &["is the same measurement as"]);
    let other_build = {
        let mut run = Run::from_json(&whole).expect("own");
        run.subjects[0].build.sha256 = "another".to_owned();
        run.to_json()
    };
    refused(&|| put(&other_build), &["is another build than"]);
    let other_rate = {
        let mut run = Run::from_json(&whole).expect("own");
        run.legs[0].phases[1].offered_per_s = Some(100.0);
        run.to_json()
    };
    refused(&|| put(&other_rate), &["the work is", "at 100/s"]);
    let two_legs = {
        let mut run = Run::from_json(&whole).expect("own");
        run.legs.push(run.legs[0].clone());
        run.to_json()
    };
    refused(&|| put(&two_legs), &["2 legs"]);
    refused(
        &|| std::fs::remove_file(&head).expect("removed"),
        &["3/head.json is missing"],
    );
    let empty = folder.join("empty");
    std::fs::create_dir_all(&empty).expect("made");
    let output = regress(
        &folder,
        &["--results".to_owned(), empty.display().to_string()],
    );
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("holds no block"));
}
