//! `lab engines` and `lab scenarios`.

use crate::bench;
use crate::bench::system_binary::{self, EngineEntry, ParamEntry};
use crate::catalog;
use crate::stack::{ANY_REDIS, Place};

/// Builds the system's binary if necessary, and asks it for its engines.
pub(super) fn engines(json: bool) -> anyhow::Result<()> {
    let entries = system_binary::engines(&system_binary::build()?)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&entries)?);
        return Ok(());
    }
    let listed: Vec<String> = entries.iter().map(listed).collect();
    print!("{}", listed.join("\n"));
    Ok(())
}

/// Name and purpose, where it can run, what it promises, and every parameter with type, default and
/// meaning.
fn listed(entry: &EngineEntry) -> String {
    let mut able = Vec::new();
    let mut unable = Vec::new();
    for place in Place::ALL {
        match entry.lacks(place) {
            None => able.push(place.name().to_owned()),
            Some(why) => unable.push(format!("{} ({why})", place.name())),
        }
    }
    let mut text = format!("{}\n    {}\n", entry.name, entry.about);
    let needs: Vec<String> = entry
        .needs
        .iter()
        .map(|need| in_words(need))
        .chain(entry.asks())
        .collect();
    let lists = [
        ("needs", needs),
        ("runs on", able),
        ("not on", unable),
        ("promises", entry.promises()),
    ];
    for (title, list) in lists {
        if !list.is_empty() {
            text.push_str(&format!(
                "    {:<12}{}\n",
                format!("{title}:"),
                list.join(", ")
            ));
        }
    }
    if entry.params.is_empty() {
        text.push_str("    parameters: none\n");
        return text;
    }
    let given: Vec<String> = entry
        .params
        .iter()
        .map(|it| format!("{}={}", it.name, it.default))
        .collect();
    text.push_str(&format!(
        "    parameters: {}?{} by default\n",
        entry.name,
        given.join("&")
    ));
    let width = |of: fn(&ParamEntry) -> &String| {
        entry
            .params
            .iter()
            .map(|it| of(it).chars().count())
            .max()
            .unwrap_or(0)
    };
    let (name, kind) = (width(|it| &it.name), width(|it| &it.kind));
    for it in &entry.params {
        let ParamEntry {
            name: its_name,
            kind: its_kind,
            default,
            about,
        } = it;
        text.push_str(&format!(
            "        {its_name:name$}  {its_kind:kind$}  default {default}: {about}\n"
        ));
    }
    text
}

fn in_words(need: &str) -> String {
    if need == ANY_REDIS {
        "redis or a redis cluster".to_owned()
    } else {
        need.to_owned()
    }
}

/// The catalog: of each scenario its question, what runs and how long that takes.
pub(super) fn scenarios() -> anyhow::Result<String> {
    let mut text = String::new();
    for scenario in catalog::all()? {
        let time = bench::in_words(bench::expected_time(&scenario, true));
        let phases: Vec<String> = scenario
            .phases
            .iter()
            .map(|phase| format!("    {}\n", bench::described(&scenario, phase)))
            .collect();
        let variants: Vec<&str> = scenario
            .variants
            .iter()
            .map(|variant| variant.name.as_str())
            .collect();
        let variants = match variants.as_slice() {
            [] => String::new(),
            names => format!(", each {}", names.join(" and ")),
        };
        text.push_str(&format!(
            "{} (about {time})\n    {}\n{}    engines: {}{variants}; rounds: {}; ack: {}\n",
            scenario.name,
            scenario.question,
            phases.concat(),
            scenario.engines.join(", "),
            scenario.rounds,
            scenario.ack,
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_listed_with_where_it_runs_what_it_promises_and_every_parameter() {
        let text = r#"{"name": "sharded-slots", "about": "Stock in slots.", "needs": ["redis-or-cluster"],
            "params": [{"name": "slots", "type": "integer 1..=1024", "default": "16", "about": "Number of slots."}],
            "guarantees": {"keeps_stock": true, "survives_server_loss": false, "needs_user_affinity": true}}"#;
        let listed = listed(&serde_json::from_str(text).expect("an entry"));
        let expected = "sharded-slots\n    Stock in slots.\n    needs:      redis or a redis cluster, user affinity\n    \
                        runs on:    servers, servers with --redis-cluster\n    \
                        not on:     embedded (needs redis)\n    promises:   keeps stock\n    \
                        parameters: sharded-slots?slots=16 by default\n        \
                        slots  integer 1..=1024  default 16: Number of slots.\n";
        assert_eq!(listed, expected);
    }
}
