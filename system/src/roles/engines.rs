//! `seckill engines`: what is registered, for people and for the lab.

use engines::Registry;

/// Prints the registered engines.
pub fn run(registry: &Registry, json: bool) -> anyhow::Result<()> {
    let engines = registry.list();
    if json {
        println!("{}", serde_json::to_string_pretty(&engines)?);
        return Ok(());
    }
    for engine in engines {
        println!("{:<16} {}", engine.name, engine.about);
        for parameter in engine.params {
            println!("    {}={}  {} ({})", parameter.name, parameter.default, parameter.about, parameter.kind);
        }
    }
    Ok(())
}
