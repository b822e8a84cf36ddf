//! Which stack a run gets, decided before anything is started: so that engines which cannot run
//! there are known, and `auto` can say why it took what it took.

use super::address::REDIS_CLUSTER;
use super::options::{StackKind, StackOptions};
use crate::setup::{self, Programs};

/// What an engine may need: one Redis, or a Redis of either form.
pub(crate) const ONE_REDIS: &str = "redis";
pub(crate) const ANY_REDIS: &str = "redis-or-cluster";
const DATABASE: &str = "database";

/// Where an engine can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Servers,
    Cluster,
    Embedded,
}

impl Place {
    pub const ALL: [Self; 3] = [Self::Servers, Self::Cluster, Self::Embedded];

    /// Where a run takes place that gets what it was asked for; `auto` gets servers if it can.
    pub fn asked_for(options: &StackOptions) -> Self {
        let is_cluster = match options.kind {
            StackKind::Embedded => return Self::Embedded,
            StackKind::External => options
                .external
                .redis_url
                .as_ref()
                .is_some_and(|url| url.starts_with(REDIS_CLUSTER)),
            StackKind::Auto | StackKind::Servers => options.redis_cluster,
        };
        if is_cluster {
            Self::Cluster
        } else {
            Self::Servers
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Servers => "servers",
            Self::Cluster => "servers with --redis-cluster",
            Self::Embedded => "embedded",
        }
    }

    /// What an engine can have there, in the words of `needs`.
    pub fn offers(self) -> &'static [&'static str] {
        match self {
            Self::Servers => &[ONE_REDIS, ANY_REDIS, DATABASE],
            Self::Cluster => &[ANY_REDIS, DATABASE],
            Self::Embedded => &[DATABASE],
        }
    }
}

/// A decision; [`super::Stack::start_chosen`] carries it out.
#[derive(Clone, Debug)]
pub struct Choice {
    pub(super) chosen: Chosen,
    /// Why `auto` did not take the servers; none when it did, or was not asked.
    pub(super) fell_back: Option<String>,
    place: Place,
}

#[derive(Clone, Debug)]
pub(super) enum Chosen {
    Servers(Programs),
    External,
    Embedded,
}

impl Choice {
    /// Looks for the servers' binaries and installs them if that is needed and allowed.
    ///
    /// # Errors
    /// When the servers were asked for and cannot be had. `auto` is the embedded stack then.
    pub async fn of(options: &StackOptions) -> anyhow::Result<Self> {
        let options = options.clone();
        let deciding = move || {
            let install = options.install;
            decide(&options, || setup::require(install))
        };
        tokio::task::spawn_blocking(deciding).await?
    }

    /// `servers`, `external` or `embedded`.
    pub fn kind(&self) -> &'static str {
        match self.chosen {
            Chosen::Servers(_) => "servers",
            Chosen::External => "external",
            Chosen::Embedded => "embedded",
        }
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Whether `auto` took what was left, and nobody asked for this stack.
    pub fn is_fallback(&self) -> bool {
        self.fell_back.is_some()
    }
}

/// `servers` finds or installs the programs of private servers.
fn decide(
    options: &StackOptions,
    servers: impl FnOnce() -> anyhow::Result<Programs>,
) -> anyhow::Result<Choice> {
    let took = |chosen| Choice {
        chosen,
        fell_back: None,
        place: Place::asked_for(options),
    };
    match options.kind {
        StackKind::Embedded => Ok(took(Chosen::Embedded)),
        StackKind::External => Ok(took(Chosen::External)),
        StackKind::Servers => Ok(took(Chosen::Servers(servers()?))),
        // Who asks for a cluster asks for servers; a run without any Redis would answer another
        // question.
        StackKind::Auto if options.redis_cluster => Ok(took(Chosen::Servers(servers()?))),
        StackKind::Auto => Ok(match servers() {
            Ok(programs) => took(Chosen::Servers(programs)),
            Err(error) => {
                let reason = format!("{error:#}").replace('\n', " ");
                Choice {
                    chosen: Chosen::Embedded,
                    fell_back: Some(reason),
                    place: Place::Embedded,
                }
            }
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    fn options(kind: StackKind) -> StackOptions {
        StackOptions {
            kind,
            ..StackOptions::default()
        }
    }

    fn found() -> anyhow::Result<Programs> {
        Ok(Programs {
            redis_server: Some("/r".into()),
            rabbitmq_server: Some("/q".into()),
            database_server: Some("/d".into()),
            ..Programs::default()
        })
    }

    fn not_installable() -> anyhow::Result<Programs> {
        bail!("installing redis-server with apt-get failed (exit status: 100); see above")
    }

    #[test]
    fn auto_takes_the_servers_and_falls_back_with_the_reason_when_they_cannot_be_installed() {
        let choice = decide(&options(StackKind::Auto), found).expect("chosen");
        assert_eq!((choice.kind(), choice.is_fallback()), ("servers", false));
        let choice = decide(&options(StackKind::Auto), not_installable).expect("chosen");
        assert_eq!(
            (choice.kind(), choice.place()),
            ("embedded", Place::Embedded)
        );
        assert!(
            choice
                .fell_back
                .expect("a reason")
                .contains("exit status: 100")
        );
    }

    #[test]
    fn servers_that_were_asked_for_are_an_error_when_they_cannot_be_had() {
        decide(&options(StackKind::Servers), not_installable).expect_err("asked for");
        let cluster = StackOptions {
            redis_cluster: true,
            ..options(StackKind::Auto)
        };
        decide(&cluster, not_installable).expect_err("asked for");
        let untouched = || -> anyhow::Result<Programs> { panic!("nobody needs a server") };
        assert_eq!(
            decide(&options(StackKind::Embedded), untouched)
                .expect("chosen")
                .kind(),
            "embedded"
        );
    }

    #[test]
    fn a_cluster_offers_no_single_redis_and_the_embedded_stack_none_at_all() {
        let cluster = StackOptions {
            redis_cluster: true,
            ..options(StackKind::Servers)
        };
        let offers =
            |options: &StackOptions| decide(options, found).expect("chosen").place().offers();
        assert_eq!(offers(&cluster), [ANY_REDIS, DATABASE]);
        assert_eq!(offers(&options(StackKind::Embedded)), [DATABASE]);
        let mut external = options(StackKind::External);
        assert!(offers(&external).contains(&ONE_REDIS));
        external.external.redis_url = Some("redis-cluster://a:1,b:2".to_owned());
        assert!(!offers(&external).contains(&ONE_REDIS));
    }
}
