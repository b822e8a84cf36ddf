//! `seckill settings`: what can be configured, for people and for the lab.

use crate::config::list;
use engines::Registry;

/// A setting that there is not, or a value that it does not take.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

/// Refuses the first of these `KEY=VALUE` that no role would start with.
///
/// # Errors
/// [`Refused`]
pub fn check(registry: &Registry, pairs: &[String]) -> anyhow::Result<()> {
    let checked = list::check(registry, pairs);
    Ok(checked.map_err(|error| Refused(format!("{error:#}")))?)
}

/// Prints every setting.
pub fn list(registry: &Registry, json: bool) -> anyhow::Result<()> {
    let settings = list::all(registry);
    if json {
        println!("{}", serde_json::to_string_pretty(&settings)?);
        return Ok(());
    }
    for setting in settings {
        println!("{} = {}  ({})", setting.key, setting.default, setting.kind);
        println!("    {}", setting.about);
    }
    Ok(())
}
