//! `lab engines` and `lab scenarios`.

use crate::bench::program;
use crate::catalog;

/// Builds the system's binary if need be, and asks it.
pub(super) fn engines(json: bool) -> anyhow::Result<()> {
    let entries = program::engines(&program::build()?)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&entries)?);
        return Ok(());
    }
    for entry in entries {
        let needs = if entry.needs.is_empty() { "nothing".to_owned() } else { entry.needs.join(", ") };
        println!("{}\n    {}\n    needs: {needs}", entry.name, entry.about);
    }
    Ok(())
}

pub(super) fn scenarios() -> anyhow::Result<String> {
    let mut text = String::new();
    for scenario in catalog::all()? {
        text.push_str(&format!(
            "{}\n    {}\n    {}\n    {}\n    engines: {}; ack {}; reference rows: {}\n",
            scenario.name,
            scenario.title,
            scenario.question,
            scenario.record().load.parameters(),
            scenario.engines.join(", "),
            scenario.ack.as_str(),
            scenario.reference.len()
        ));
    }
    Ok(text)
}
