//! `seckill engines`: what is registered, for people and for the lab.

use engines::Registry;

/// Refuses the first specification that no registered engine can be built from, or not for a sale
/// of `stock` units; an unsafe one only with `allow_unsafe`.
pub fn check(
    registry: &Registry,
    specs: &[String],
    stock: u64,
    allow_unsafe: bool,
) -> anyhow::Result<()> {
    specs.iter().try_for_each(|spec| {
        let spec = spec.parse()?;
        registry.check_for(&spec, stock)?;
        Ok(registry.get(spec.name())?.check_safe(allow_unsafe)?)
    })
}

/// Prints the registered engines.
pub fn list(registry: &Registry, json: bool) -> anyhow::Result<()> {
    let engines = registry.list();
    if json {
        println!("{}", serde_json::to_string_pretty(&engines)?);
        return Ok(());
    }
    for engine in engines {
        println!("{:<16} {}", engine.name, engine.about);
        for setting in engine.settings {
            let required = if setting.required {
                "required"
            } else {
                "optional"
            };
            println!(
                "    setting {} ({required}): {}",
                setting.name, setting.about
            );
        }
        for parameter in engine.params {
            println!(
                "    {}={}  {} ({})",
                parameter.name, parameter.default, parameter.about, parameter.kind
            );
        }
    }
    Ok(())
}
