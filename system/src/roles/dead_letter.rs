//! `seckill dead-letter`: what could not become a row, for whoever has to decide about it
//! (parked-is-final, R10).

mod print;

use crate::config::Config;
use crate::roles;
use crate::shutdown::Shutdown;
use crate::store::{DeadLetter, Ending, Fate, Replayed, Store};
use anyhow::{Context, anyhow, bail};
use clap::Subcommand;
use engines::{OrderId, Registry};
use std::io::Write;
use std::path::PathBuf;

/// Ids of open ones that are named when somebody asks for one that there is not.
const NAMED_MAX: usize = 20;
/// Orders of one dead letter of which it is told what became of them.
const TOLD_MAX: usize = 20;
/// Longest reason for a discard, characters.
const REASON_MAX: usize = 400;

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List those that are open, oldest first.
    List {
        /// Those that are resolved, too.
        #[arg(long)]
        all: bool,
        /// As JSON: times are unix ms.
        #[arg(long)]
        json: bool,
    },
    /// Show one with its body in hex digits, and what is in it as this binary understands it.
    Show {
        id: i64,
        /// Write the raw body into this file and do not show it.
        #[arg(long, value_name = "FILE")]
        body_out: Option<PathBuf>,
    },
    /// Write what is in them as their consumer would have; exit code 1 if something could not become a
    /// row, and why. May be repeated: what has a row keeps it.
    Replay {
        #[arg(required_unless_present = "all", value_name = "ID")]
        ids: Vec<i64>,
        /// Every one that is open.
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
    /// Resolve them without doing anything about them: holds that were kept for them are voided.
    Discard {
        #[arg(required = true, value_name = "ID")]
        ids: Vec<i64>,
        /// Why, for whoever asks later.
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
    },
}

fn reason(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("a reason has at least one word".to_owned()),
        text if text.chars().count() > REASON_MAX => {
            Err(format!("at most {REASON_MAX} characters"))
        }
        text => Ok(text.to_owned()),
    }
}

/// There is no such dead letter.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unknown(String);

/// Does what was asked for and says on stdout what was done.
///
/// # Errors
/// [`Unknown`], before anything is done; and when something could not be replayed.
pub async fn run(
    config: &Config,
    registry: &Registry,
    action: Action,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let store = Store::connect(&config.database, roles::engine(config, registry)?).await?;
    let operator = Operator {
        store: store.clone(),
        copies: config.order.copies,
        shutdown,
    };
    let done = operator.act(action, &mut std::io::stdout().lock()).await;
    drop(operator);
    store.close().await;
    done
}

/// Whoever has asked.
struct Operator {
    store: Store,
    /// Whether listeners get copies of orders.
    copies: bool,
    shutdown: Shutdown,
}

impl Operator {
    async fn act(&self, action: Action, out: &mut dyn Write) -> anyhow::Result<()> {
        match action {
            Action::List { all, json } => {
                let letters = self.list(all).await?;
                match json {
                    true => writeln!(out, "{}", serde_json::to_string_pretty(&letters)?)?,
                    false => print::table(&letters, all, out)?,
                }
                Ok(())
            }
            Action::Show { id, body_out } => {
                let Some(whole) = self.store.dead_letter(id).await? else {
                    return Err(self.unknown(id).await);
                };
                print::letter(&whole, out)?;
                match body_out {
                    Some(path) => std::fs::write(&path, &whole.body)
                        .with_context(|| format!("cannot write {}", path.display())),
                    None => Ok(print::hex(&whole.body, out)?),
                }
            }
            Action::Replay { ids, all } => {
                let ids = match all {
                    true => self
                        .list(false)
                        .await?
                        .iter()
                        .map(|letter| letter.id)
                        .collect(),
                    false => self.known(ids).await?,
                };
                self.replay(&ids, out).await
            }
            Action::Discard { ids, reason } => {
                for id in self.known(ids).await? {
                    let discarded = self.store.discard(id, &reason).await?;
                    let ending = discarded.ok_or_else(|| gone(id))?;
                    print::ending(id, &ending, out)?;
                }
                Ok(())
            }
        }
    }

    async fn list(&self, resolved_too: bool) -> anyhow::Result<Vec<DeadLetter>> {
        let mut letters: Vec<DeadLetter> = Vec::new();
        loop {
            let after = letters.last().map_or(0, |letter| letter.id);
            match self.store.dead_letters(after, resolved_too).await? {
                page if page.is_empty() => return Ok(letters),
                page => letters.extend(page),
            }
        }
    }

    async fn known(&self, ids: Vec<i64>) -> anyhow::Result<Vec<i64>> {
        for id in &ids {
            if self.store.dead_letter(*id).await?.is_none() {
                return Err(self.unknown(*id).await);
            }
        }
        Ok(ids)
    }

    async fn unknown(&self, id: i64) -> anyhow::Error {
        let open = match self.store.dead_letters(0, false).await {
            Ok(open) => open,
            Err(error) => return error.into(),
        };
        let mut ids: Vec<String> = open.iter().map(|letter| letter.id.to_string()).collect();
        if ids.len() > NAMED_MAX {
            ids.truncate(NAMED_MAX);
            ids.push("…".to_owned());
        }
        let open = match ids.is_empty() {
            true => "none is open".to_owned(),
            false => format!("open are: {}", ids.join(", ")),
        };
        Unknown(format!("no dead letter {id}; {open}")).into()
    }

    async fn replay_one(&self, id: i64) -> anyhow::Result<Replayed> {
        let replayed = self.store.replay(id, self.copies).await?;
        replayed.ok_or_else(|| gone(id))
    }

    async fn replay(&self, ids: &[i64], out: &mut dyn Write) -> anyhow::Result<()> {
        if ids.is_empty() {
            writeln!(out, "{}", print::NONE_OPEN)?;
        }
        let mut failed = 0;
        for id in ids {
            if self.shutdown.is_requested() {
                bail!("interrupted before dead letter {id}");
            }
            // One that cannot be replayed now keeps none of the others from it.
            let Replayed { orders, ending } = match self.replay_one(*id).await {
                Ok(replayed) => replayed,
                Err(error) => {
                    writeln!(out, "dead letter {id}: {error:#}")?;
                    failed += 1;
                    continue;
                }
            };
            let lines = orders.iter();
            let lines: Vec<String> = lines
                .filter_map(|(order, fate)| explained(order.order, fate))
                .collect();
            print::ending(*id, &ending, out)?;
            for line in lines.iter().take(TOLD_MAX) {
                writeln!(out, "  {line}")?;
            }
            if lines.len() > TOLD_MAX {
                writeln!(out, "  and {} more", lines.len() - TOLD_MAX)?;
            }
            let is_refused = |fate: &Fate| matches!(fate, Fate::Void | Fate::Refused(_));
            if matches!(ending, Ending::Open(_)) || orders.iter().any(|(_, fate)| is_refused(fate))
            {
                failed += 1;
            }
        }
        if failed > 0 {
            bail!(
                "{failed} of {} dead letters could not be replayed in full",
                ids.len()
            );
        }
        Ok(())
    }
}

/// What has to be known about one order beyond that it was written.
fn explained(order: OrderId, fate: &Fate) -> Option<String> {
    match fate {
        Fate::Written => None,
        Fate::HasRow => Some(format!("order {order} has its row already: nothing to do")),
        Fate::Void => Some(format!(
            "order {order} is void, which is final; its buyer can buy again"
        )),
        Fate::Refused(reason) => Some(format!(
            "order {order}: {reason}; a VOID row makes that final; its buyer can buy again"
        )),
    }
}

/// Records go when they have been resolved for long, and when a queue turns out to be there.
fn gone(id: i64) -> anyhow::Error {
    anyhow!("dead letter {id} has just gone: it was resolved long ago, or taken back")
}

#[cfg(test)]
mod tests;
