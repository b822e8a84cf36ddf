//! The system's processes of one leg: their environment, their start in the order in which they
//! need one another, and their end.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use reports::result::Ack;
use rustix::process::{Pid, Signal, kill_process};

use super::namespace::Namespace;
use crate::private_file;
use crate::scenario::Sale;
use crate::seed::seed_text;
use crate::stack::{Role, RoleSpec, Stack, without_rate_limits};

/// The reconciler and the consumer come first: the service can sell only once the reconciler has
/// opened an epoch.
const BEFORE_SERVICES: [&str; 2] = ["reconciler", "create-consumer"];
/// What gives the units of cancelled orders back, and the service that cancels; only where something
/// follows the yes.
const RELEASES: &str = "cancel-consumer";
const ORDERS: &str = "order";
/// What buyers come to over HTTP; only where the driver does.
const GATEWAY: &str = "gateway";
/// Holds the key that tokens are signed with, in the scratch folder.
const SECRET_FILE: &str = "jwt.secret";
/// The service that sells is the last to be started and the first to be stopped.
const SERVICE: &str = "seckill";
/// The role that runs all of them in one process, on the embedded stack.
const ALL: &str = "all";
/// The roles that sell.
const SELLERS: [&str; 2] = [SERVICE, ALL];
/// The roles that open sales, and know why one cannot be opened.
const OPENERS: [&str; 2] = ["reconciler", ALL];

/// How the roles of one leg are started.
#[derive(Clone, Debug)]
pub struct RoleSettings<'a> {
    pub program: &'a Path,
    pub engine: &'a str,
    pub ack: &'a Ack,
    /// Address of the service; port 0 lets the system choose.
    pub listen: &'a str,
    /// Something follows the yes, so that there must be an order service.
    pub needs_orders: bool,
    /// Buyers come over HTTP, with tokens, so that there must be a gateway.
    pub needs_gateway: bool,
    /// Settings that the user changed, `SECKILL__…`; they take precedence over the lab's own.
    pub overrides: &'a BTreeMap<String, String>,
}

#[derive(Debug, Default)]
pub(super) struct Roles {
    /// In the order in which they were started.
    roles: Vec<Role>,
    /// Of their names.
    prefix: String,
}

impl Roles {
    /// Creates the database, its tables and the sales.
    pub(super) async fn migrate(
        settings: &RoleSettings<'_>,
        stack: &Stack,
        namespace: &Namespace,
        sales: &[Sale],
    ) -> anyhow::Result<()> {
        if settings.needs_gateway {
            write_secret(stack)?;
        }
        let seed = stack
            .scratch()
            .join(format!("seed-{}.toml", namespace.database));
        std::fs::write(&seed, seed_text(sales))
            .with_context(|| format!("{} cannot be written", seed.display()))?;
        let arguments = vec![
            "migrate".to_owned(),
            "--seed".to_owned(),
            seed.display().to_string(),
        ];
        stack
            .run_to_end(&spec(settings, stack, namespace, "migrate", arguments))
            .await?;
        Ok(())
    }

    /// Starts one role after the other; each is ready before the next one is started. If one fails,
    /// those that did start are kept, so that the caller can stop them.
    pub(super) async fn start(
        &mut self,
        settings: &RoleSettings<'_>,
        stack: &Stack,
        namespace: &Namespace,
    ) -> anyhow::Result<SocketAddr> {
        self.prefix.clone_from(&namespace.role_prefix);
        let with_orders: &[&str] = match settings.needs_orders {
            true => &[RELEASES, ORDERS],
            false => &[],
        };
        let names = match stack.is_embedded() {
            true => vec![ALL],
            false => [&BEFORE_SERVICES, with_orders, &[SERVICE]].concat(),
        };
        for name in names {
            let spec = spec(settings, stack, namespace, name, vec![name.to_owned()]);
            self.roles.push(stack.spawn_role(&spec).await?);
        }
        let service = self.seller().and_then(Role::listen);
        let service = service.context("seckill did not say where it listens")?;
        if settings.needs_gateway && !stack.is_embedded() {
            let arguments = vec![GATEWAY.to_owned()];
            let mut spec = spec(settings, stack, namespace, GATEWAY, arguments);
            spec.env.push(upstream("SECKILL", service));
            spec.env
                .extend(self.orders().ok().map(|orders| upstream("ORDER", orders)));
            self.roles.push(stack.spawn_role(&spec).await?);
        }
        Ok(service)
    }

    /// Where buyers come over HTTP.
    pub(super) fn gateway(&self) -> anyhow::Result<SocketAddr> {
        let of_its_own = self.named(&[GATEWAY]).and_then(Role::listen);
        of_its_own
            .or_else(|| self.named(&[ALL]).and_then(Role::gateway))
            .context("no process says where its gateway listens, which the driver http needs")
    }

    /// Where the service answers operators.
    pub(super) fn admin(&self) -> anyhow::Result<SocketAddr> {
        self.seller()
            .and_then(Role::admin)
            .context("seckill did not say where it listens for operators")
    }

    /// Where orders are cancelled and paid.
    pub(super) fn orders(&self) -> anyhow::Result<SocketAddr> {
        let of_its_own = self.named(&[ORDERS]).and_then(Role::listen);
        of_its_own
            .or_else(|| self.named(&[ALL]).and_then(Role::orders))
            .context(
                "no process says where its order service listens, which [load.after] needs: the ready line of \
                 `seckill all` has no \"order\", so the binary is too old",
            )
    }

    fn seller(&self) -> Option<&Role> {
        self.named(&SELLERS)
    }

    /// The role with one of these names, behind the prefix of the leg.
    fn named(&self, names: &[&str]) -> Option<&Role> {
        let is_it = |role: &&Role| {
            let plain = role.name().strip_prefix(self.prefix.as_str());
            plain.is_some_and(|plain| names.contains(&plain))
        };
        self.roles.iter().find(is_it)
    }

    /// Names and process ids of those that run.
    pub(super) fn pids(&self) -> impl Iterator<Item = (&str, u32)> {
        self.roles.iter().map(|role| (role.name(), role.pid()))
    }

    /// Why a sale may not have opened: the last log lines of the role that opens sales.
    pub(super) fn why_nothing_opened(&self) -> String {
        self.named(&OPENERS)
            .map_or_else(String::new, Role::last_words)
    }

    /// Holds the consumer back by stopping its process (SIGSTOP), so that it loses nothing. None on
    /// the embedded stack.
    pub(super) fn hold_consumer(&self) -> anyhow::Result<Option<HeldBackConsumer>> {
        let consumer = self.named(&["create-consumer"]);
        let pid = consumer.and_then(|role| Pid::from_raw(i32::try_from(role.pid()).ok()?));
        let Some(pid) = pid else { return Ok(None) };
        kill_process(pid, Signal::STOP).context("the consumer cannot be held back")?;
        Ok(Some(HeldBackConsumer(pid)))
    }

    /// Stops the gateway, the service, and then that of orders: from then on nothing is accepted, cancelled or
    /// paid, while the other roles can still finish what is under way. On the embedded stack there
    /// is only one process; the repair there starts what it needs itself.
    pub(super) async fn stop_services(&mut self) -> anyhow::Result<()> {
        let others = [GATEWAY, ORDERS].map(|name| usize::from(self.named(&[name]).is_some()));
        for _ in 0..=others.iter().sum() {
            if let Some(role) = self.roles.pop() {
                stop(role).await?;
            }
        }
        Ok(())
    }

    /// Stops what still runs, in reverse order.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        let mut result = Ok(());
        while let Some(role) = self.roles.pop() {
            result = result.and(stop(role).await);
        }
        result
    }

    /// Repairs what is left open. The service must have been stopped, but not the consumer, because
    /// a drain waits for the consumer to commit its markers. On the embedded stack the repair has a
    /// consumer of its own.
    pub(super) async fn reconcile_once(
        settings: &RoleSettings<'_>,
        stack: &Stack,
        namespace: &Namespace,
    ) -> anyhow::Result<String> {
        let role = if stack.is_embedded() {
            ALL
        } else {
            "reconciler"
        };
        let arguments = vec![role.to_owned(), "--once".to_owned()];
        stack
            .run_to_end(&spec(
                settings,
                stack,
                namespace,
                &format!("{role}-once"),
                arguments,
            ))
            .await
    }
}

async fn stop(mut role: Role) -> anyhow::Result<()> {
    let name = role.name().to_owned();
    role.stop()
        .await
        .with_context(|| format!("{name} did not stop in order"))
}

/// A consumer that is held back. Lets it go on when dropped, however the leg ends.
#[derive(Debug)]
pub(super) struct HeldBackConsumer(Pid);

impl Drop for HeldBackConsumer {
    fn drop(&mut self) {
        // It may have been killed in the meantime.
        kill_process(self.0, Signal::CONT).ok();
    }
}

fn spec(
    settings: &RoleSettings<'_>,
    stack: &Stack,
    namespace: &Namespace,
    name: &str,
    args: Vec<String>,
) -> RoleSpec {
    RoleSpec {
        name: format!("{}{name}", namespace.role_prefix),
        program: settings.program.to_path_buf(),
        args,
        env: environment(settings, stack, namespace),
    }
}

fn upstream(service: &str, address: SocketAddr) -> (String, String) {
    let key = format!("SECKILL__GATEWAY__UPSTREAMS__{service}");
    (key, format!("http://{address}"))
}

/// The file with the key that tokens are signed with; there is one for all legs of a run.
pub(super) fn secret_file(stack: &Stack) -> PathBuf {
    stack.scratch().join(SECRET_FILE)
}

fn write_secret(stack: &Stack) -> anyhow::Result<()> {
    let path = secret_file(stack);
    let secret = format!("{:032x}", rand::random::<u128>());
    let written = match private_file::write_new(&path, &secret) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        written => written,
    };
    written.with_context(|| format!("{} cannot be written", path.display()))
}

fn environment(
    settings: &RoleSettings<'_>,
    stack: &Stack,
    namespace: &Namespace,
) -> Vec<(String, String)> {
    let mut variables = BTreeMap::from([
        (
            "SECKILL__DATABASE__URL".to_owned(),
            stack.database_url(&namespace.database),
        ),
        (
            "SECKILL__SECKILL__LISTEN".to_owned(),
            settings.listen.to_owned(),
        ),
        (
            "SECKILL__SECKILL__ENGINE".to_owned(),
            settings.engine.to_owned(),
        ),
        (
            "SECKILL__SECKILL__ACK".to_owned(),
            settings.ack.as_str().to_owned(),
        ),
    ]);
    if !stack.is_embedded() {
        variables.extend([
            ("SECKILL__REDIS__URL".to_owned(), stack.redis_url()),
            (
                "SECKILL__REDIS__PREFIX".to_owned(),
                namespace.redis_prefix.clone(),
            ),
            ("SECKILL__MQ__URL".to_owned(), stack.amqp_url()),
            (
                "SECKILL__MQ__PREFIX".to_owned(),
                namespace.mq_prefix.clone(),
            ),
        ]);
    }
    if settings.needs_gateway {
        let path = secret_file(stack).display().to_string();
        variables.insert("SECKILL__JWT__SECRET_FILE".to_owned(), path);
        variables.extend(without_rate_limits());
    }
    if let Some(queue_type) = stack.settings().get("rabbitmq.queue_type") {
        variables.insert("SECKILL__MQ__QUEUE_TYPE".to_owned(), queue_type.clone());
    }
    variables.extend(settings.overrides.clone());
    variables.into_iter().collect()
}
