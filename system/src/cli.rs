//! The command line of `seckill`: one subcommand per role, and the one place where an error becomes
//! an exit code.

use crate::admin::{self, Admin};
use crate::config::Config;
use crate::listener::open_files;
use crate::logging;
use crate::panics;
use crate::roles::{self, RoleConfig};
use crate::shutdown::Shutdown;
use crate::supervisor;
use crate::telemetry;
use crate::version;
use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};
use database::DatabaseKind;
use engines::{Registry, SaleId};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// A flash-sale system: gRPC services, consumers and a reconciler over Redis, RabbitMQ and MySQL.
///
/// Configuration: defaults, then the TOML or YAML files named by CONFIG_PATH, with a colon between two,
/// then environment variables such as SECKILL__MQ__ORDER_BATCH_SIZE=500.
#[derive(Debug, Parser)]
#[command(name = "seckill", version, max_term_width = 110)]
struct Cli {
    /// Accept servers that forget or evict what they acknowledged, like engine.allow_volatile=true.
    #[arg(long, global = true)]
    allow_volatile: bool,
    /// Accept an engine that is registered as unsafe, like engine.allow_unsafe=true.
    #[arg(long, global = true)]
    allow_unsafe: bool,
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Bring the database schema up to date, and create sales from a seed file, and accounts.
    Migrate {
        /// TOML file with `[[sales]]` tables: product_id, name, price_cents, total, starts_at,
        /// ends_at; or `dev`: the users testuser1 to testuser3 with the password password123, not in
        /// production mode. May be repeated.
        #[arg(long, value_name = "FILE|dev")]
        seed: Vec<PathBuf>,
        /// Make this user an administrator, with an account if they have none, and with the password
        /// that comes on stdin; their tokens from before no longer hold.
        #[arg(long, value_name = "NAME")]
        admin: Option<String>,
        /// Read the administrator's password from this file.
        #[arg(long, value_name = "FILE", requires = "admin")]
        password_file: Option<PathBuf>,
    },
    /// Serve seckill.SeckillService: reserve, publish, and say yes once the order event is durable.
    Seckill,
    /// Serve order.OrderService: orders are looked at, cancelled and paid.
    Order,
    /// Serve product.ProductService: products, their prices, windows and stock, for administrators.
    Product,
    /// Serve auth.AuthService: people register and log in, and get the tokens that say who they are.
    Auth,
    /// Serve user.UserService: one's own account, and for administrators everybody's.
    User,
    /// Serve the whole system over HTTP, in front of the services.
    Gateway,
    /// Turn order events into rows, in batches.
    CreateConsumer,
    /// Give back the units of cancelled orders that could not be given back at once, and send copies
    /// to listeners.
    CancelConsumer,
    /// Repair what crashes leave behind: dead incarnations, orphaned and unsettled holds, sales
    /// without an epoch.
    Reconciler {
        /// Repair until nothing is left to repair, then exit; exit code 1 if something is left.
        #[arg(long)]
        once: bool,
    },
    /// Run every role in one process: the whole system, e.g. on a SQLite file that holds orders and
    /// queue.
    All {
        /// Serve nobody: bring what a stopped or killed process left to its end, then exit; exit
        /// code 1 if something is left.
        #[arg(long)]
        once: bool,
    },
    /// Show sales, publishers, consumers, queues and what is left to be done.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Count orders, too; this reads every order.
        #[arg(long)]
        orders: bool,
        /// Show at most so many sales; those that have ended come last.
        #[arg(long, value_name = "COUNT", default_value_t = 100)]
        sales: u32,
    },
    /// Pause a sale at once, or let it go on.
    Sale {
        #[command(subcommand)]
        action: SaleAction,
    },
    /// List, show, replay or discard what could not become an order's row.
    DeadLetter {
        #[command(subcommand)]
        action: roles::dead_letter::Action,
    },
    /// List the stock engines with their parameters.
    Engines {
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// List nothing, but check this name?key=value&key=value: exit code 1 and the reason if it
        /// is refused; may be repeated.
        #[arg(long, value_name = "ENGINE", conflicts_with = "json")]
        check: Vec<String>,
        /// Check for a sale of so many units.
        #[arg(long, value_name = "UNITS", requires = "check")]
        stock: Option<u64>,
    },
    /// Ask a role on this machine or another whether it works: exit code 1 if it does not. For health
    /// checks of containers, which have no other program.
    Health {
        /// Whom to ask: grpc://HOST:PORT by grpc.health.v1.Health, or http://HOST:PORT/PATH for a
        /// status of 200 to 299.
        #[arg(long, value_name = "URL")]
        address: roles::probe::Address,
        /// The name that a gRPC service is asked for.
        #[arg(long, value_name = "NAME", default_value = "readiness")]
        service: String,
        /// Longest wait for the answer, in ms.
        #[arg(long, value_name = "MS", default_value_t = 2_000)]
        timeout_ms: u64,
    },
    /// Say what this binary was made of: version, commit, profile, compiler.
    Version {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// List every setting with its type, default and meaning.
    Settings {
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// List nothing, but check this setting, such as mq.order_batch_size=500: exit code 2 and
        /// the reason if it is refused; may be repeated, and all are judged together.
        #[arg(long, value_name = "KEY=VALUE", num_args = 1.., conflicts_with = "json")]
        check: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
enum SaleAction {
    /// Nothing of it is sold any more until it is resumed, whatever its window says.
    Pause {
        /// Its product id.
        product: i64,
    },
    /// It is sold again, if its window is on.
    Resume {
        /// Its product id.
        product: i64,
    },
}

const FAILED: u8 = 1;
/// As of what the command line itself refuses.
const WRONG_USAGE: u8 = 2;

/// Runs the command line with the engines of `registry`; an engine of your own is one more
/// registration.
pub fn run(registry: Registry) -> ExitCode {
    panics::tell_masked();
    let cli = Cli::parse();
    match dispatch(cli, &registry) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            let is_wrong_usage = error.is::<roles::settings::Refused>()
                || error.is::<roles::sale::Unknown>()
                || error.is::<roles::dead_letter::Unknown>();
            ExitCode::from(match is_wrong_usage {
                true => WRONG_USAGE,
                false => FAILED,
            })
        }
    }
}

/// How a role lives with the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    /// It is one of several processes.
    OtherRoles,
    /// It can be the only one.
    Nobody,
}

fn dispatch(cli: Cli, registry: &Registry) -> anyhow::Result<()> {
    let accepted = Accepted {
        volatile: cli.allow_volatile,
        unsafe_engine: cli.allow_unsafe,
    };
    let configure = |beside| configure(accepted, registry, beside);
    match cli.role {
        Role::Engines { check, stock, .. } if !check.is_empty() => {
            let stock = stock.unwrap_or(u64::MAX);
            roles::engines::check(registry, &check, stock, accepted.unsafe_engine)
        }
        Role::Engines { json, .. } => roles::engines::list(registry, json),
        Role::Health {
            address,
            service,
            timeout_ms,
        } => {
            let limit = Duration::from_millis(timeout_ms);
            roles::block_on(async |_| roles::probe::check(&address, &service, limit).await)
        }
        Role::Version { json } => version::print(json),
        Role::Settings { check, .. } if !check.is_empty() => {
            roles::settings::check(registry, &check)
        }
        Role::Settings { json, .. } => roles::settings::list(registry, json),
        Role::Migrate {
            seed,
            admin,
            password_file,
        } => {
            let config = configure(Beside::Nobody)?;
            let seeds = roles::migrate::Seeds::named(&seed);
            let admin =
                admin.map(|name| roles::migrate::Admin::read(&name, password_file.as_deref()));
            let admin = admin.transpose()?;
            roles::block_on(async |_| {
                roles::migrate::with(&config, registry, &seeds, admin.as_ref()).await
            })
        }
        Role::Seckill => {
            let config = configure(Beside::OtherRoles)?;
            let listener = roles::seckill::bind(&config)?;
            start("seckill", config, registry, listener, roles::seckill::run)
        }
        Role::Order => {
            let config = configure(Beside::OtherRoles)?;
            let listener = roles::order::bind(&config)?;
            start("order", config, registry, listener, roles::order::run)
        }
        Role::CancelConsumer => {
            let config = configure(Beside::OtherRoles)?;
            let run = roles::cancel_consumer::run;
            start("cancel-consumer", config, registry, (), run)
        }
        Role::Product => {
            let config = configure(Beside::OtherRoles)?;
            let listener = roles::product::bind(&config)?;
            start("product", config, registry, listener, roles::product::run)
        }
        Role::Auth => {
            let config = configure(Beside::OtherRoles)?;
            let listener = roles::auth::bind(&config)?;
            start("auth", config, registry, listener, roles::auth::run)
        }
        Role::User => {
            let config = configure(Beside::OtherRoles)?;
            let listener = roles::user::bind(&config)?;
            start("user", config, registry, listener, roles::user::run)
        }
        Role::Gateway => {
            let config = configure(Beside::OtherRoles)?;
            let listener = roles::gateway::bind(&config)?;
            start("gateway", config, registry, listener, roles::gateway::run)
        }
        Role::CreateConsumer => {
            let config = configure(Beside::OtherRoles)?;
            let run = roles::create_consumer::run;
            start("create-consumer", config, registry, (), run)
        }
        // It consumes nothing, so it may use a SQLite file beside the process that does.
        Role::DeadLetter { action } => {
            let config = configure(Beside::Nobody)?;
            let run = roles::dead_letter::run;
            roles::block_on(async |shutdown| run(&config, registry, action, shutdown).await)
        }
        Role::Reconciler { once } => {
            let config = configure(Beside::OtherRoles)?;
            if once {
                return roles::block_on(async |shutdown| {
                    roles::reconciler::once(&config, registry, shutdown).await
                });
            }
            start("reconciler", config, registry, (), roles::reconciler::run)
        }
        Role::Status {
            json,
            orders,
            sales,
        } => {
            let config = configure(Beside::Nobody)?;
            let shown = roles::status::Shown {
                json,
                orders,
                sales,
            };
            roles::block_on(async |_| roles::status::run(&config, registry, shown).await)
        }
        Role::Sale { action } => {
            let config = configure(Beside::Nobody)?;
            let (product, paused) = match action {
                SaleAction::Pause { product } => (product, true),
                SaleAction::Resume { product } => (product, false),
            };
            roles::block_on(async |_| {
                roles::sale::pause(&config, registry, SaleId(product), paused).await
            })
        }
        Role::All { once } => {
            let config = configure(Beside::Nobody)?;
            let _only_user = roles::all::lock(&config)?;
            if once {
                return roles::block_on(async |shutdown| {
                    roles::all::finish(&config, registry, shutdown).await
                });
            }
            let listeners = roles::all::bind(&config)?;
            start("all", config, registry, listeners, roles::all::run)
        }
    }
}

/// What the command line accepts beyond what the configuration does.
#[derive(Clone, Copy, Debug)]
struct Accepted {
    volatile: bool,
    unsafe_engine: bool,
}

/// Reads the configuration, refuses what cannot work, and begins to log.
fn configure(accepted: Accepted, registry: &Registry, beside: Beside) -> anyhow::Result<Config> {
    let mut config = Config::load()?;
    config.engine.allow_volatile |= accepted.volatile;
    config.engine.allow_unsafe |= accepted.unsafe_engine;
    let engine = registry.check(&config.seckill.engine)?;
    engine.check_safe(config.engine.allow_unsafe)?;
    config.check_engines(registry)?;
    config.check_production(registry)?;
    // On a SQLite file the queue and its consumer live in one process (one-consumer-per-queue, R4).
    ensure!(
        beside == Beside::Nobody || config.database.kind()? != DatabaseKind::Sqlite,
        "database.url: only one process can use a SQLite file; run `seckill all` instead of separate roles"
    );
    logging::init(&config.log)?;
    open_files::raise();
    tracing::info!(config = %config.masked(registry), "effective configuration");
    Ok(config)
}

/// Runs a role with its listener until this process is asked to stop, serves operators meanwhile,
/// and announces that it is ready.
fn start<L>(
    name: &'static str,
    config: Config,
    registry: &Registry,
    listener: L,
    run: impl AsyncFnOnce(RoleConfig, L, Shutdown) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let operators = admin::bind(&config)?;
    let traces = telemetry::start(&config, name)?;
    let told = Admin::new(name, config.masked(registry));
    let (announce, is_ready) = (roles::announce(name, operators.address()), told.clone());
    let config = RoleConfig {
        config,
        registry: registry.clone(),
        admin: told.clone(),
        sales: Default::default(),
        ready: Box::new(move |addresses| {
            is_ready.is_ready();
            announce(addresses)
        }),
    };
    let ran = supervisor::catch(|| {
        roles::block_on(async |shutdown| {
            // Served to the very end, also while the role stops.
            let (_until_the_end, ended) = Shutdown::channel();
            tokio::select! {
                ran = run(config, listener, shutdown) => ran,
                served = admin::serve(operators, told, ended) => {
                    served.context("the admin listener failed")
                }
            }
        })
    });
    if let Some(traces) = traces {
        traces.stop();
    }
    ran.with_context(|| format!("{name} ended"))
}
