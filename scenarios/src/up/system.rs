//! Every role of the system as a process of its own on a stack, with something to buy and somebody
//! to buy it.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use rand::RngCore;

use super::UpOptions;
use crate::bench::system_binary;
use crate::private_file;
use crate::scenario::Sale;
use crate::seed::seed_text;
use crate::stack::{Role, RoleSpec, Stack, without_rate_limits};

/// The sale: always on.
const PRODUCT: i64 = 1;
const PRICE_CENTS: i64 = 1_999;
/// Who may do everything.
const ADMIN: &str = "admin";
/// What works in the background, in the order in which it starts.
const WORKERS: [&str; 3] = ["reconciler", "create-consumer", "cancel-consumer"];
/// What the gateway asks, with the name of its section.
const SERVICES: [&str; 5] = ["seckill", "order", "product", "auth", "user"];
const GATEWAY: &str = "gateway";
/// Every role in one process, where only one may use the database.
const ALL: &str = "all";

/// Makes tables, a sale and accounts, starts every role, and says how to use it. Those that did start
/// are in `roles` whatever happens.
pub(super) async fn start(
    options: &UpOptions,
    stack: &Stack,
    roles: &mut Vec<Role>,
) -> anyhow::Result<()> {
    let program = system_binary::build()?;
    let secret = written(stack.scratch(), "jwt.secret", &random_hex(32))?;
    let mut system = System {
        program: &program,
        stack,
        environment: environment(options, stack, &secret),
    };
    let password = system.migrate(options).await?;
    let gateway = match stack.is_embedded() {
        true => system.start(ALL, roles).await?.gateway(),
        false => {
            for name in WORKERS {
                system.start(name, roles).await?;
            }
            for name in SERVICES {
                let address = system.start(name, roles).await?.listen();
                system.reached_at(name, address.context("it serves nobody")?);
            }
            system.start(GATEWAY, roles).await?.listen()
        }
    };
    let gateway = gateway.context("no role says where its gateway listens")?;
    println!("GATEWAY=http://{gateway}");
    println!("JWT_SECRET_FILE={secret}");
    println!("ADMIN={ADMIN}:{password}");
    eprintln!("{}", guide(gateway));
    Ok(())
}

/// What all roles have in common, and what the later ones know of the earlier ones.
struct System<'a> {
    program: &'a Path,
    stack: &'a Stack,
    environment: Vec<(String, String)>,
}

impl System<'_> {
    fn spec(&self, args: &[&str]) -> RoleSpec {
        RoleSpec {
            name: args[0].to_owned(),
            program: self.program.to_path_buf(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: self.environment.clone(),
        }
    }

    /// The administrator's password.
    async fn migrate(&self, options: &UpOptions) -> anyhow::Result<String> {
        let sale = Sale {
            product_id: PRODUCT,
            total: options.stock.into(),
            price_cents: PRICE_CENTS,
        };
        let seed = seed_text(&[sale]);
        let seed = written(self.stack.scratch(), "seed.toml", &seed)?;
        let password = random_hex(8);
        let file = written(self.stack.scratch(), "admin.password", &password)?;
        let arguments = [
            "migrate",
            "--seed",
            &seed,
            "--seed",
            "dev",
            "--admin",
            ADMIN,
            "--password-file",
            &file,
        ];
        self.stack.run_to_end(&self.spec(&arguments)).await?;
        Ok(password)
    }

    async fn start<'r>(&self, name: &str, roles: &'r mut Vec<Role>) -> anyhow::Result<&'r Role> {
        roles.push(self.stack.spawn_role(&self.spec(&[name])).await?);
        roles.last().context("it was just started")
    }

    /// Whoever starts later finds this service there.
    fn reached_at(&mut self, name: &str, address: SocketAddr) {
        let url = format!("http://{address}");
        if name == "seckill" {
            self.set("ORDER__SECKILL_URL", &url);
        }
        let upstream = format!("GATEWAY__UPSTREAMS__{}", name.to_uppercase());
        self.set(&upstream, &url);
    }

    fn set(&mut self, key: &str, value: &str) {
        self.environment.push(setting(key, value));
    }
}

fn setting(key: &str, value: &str) -> (String, String) {
    (format!("SECKILL__{key}"), value.to_owned())
}

fn environment(options: &UpOptions, stack: &Stack, secret: &str) -> Vec<(String, String)> {
    let mut environment = vec![
        setting("DATABASE__URL", &stack.database_url("seckill")),
        setting("SECKILL__ENGINE", &options.engine),
        setting("JWT__SECRET_FILE", secret),
    ];
    environment.extend(without_rate_limits());
    if !stack.is_embedded() {
        environment.push(setting("REDIS__URL", &stack.redis_url()));
        environment.push(setting("MQ__URL", &stack.amqp_url()));
    }
    if let Some(queue_type) = stack.settings().get("rabbitmq.queue_type") {
        environment.push(setting("MQ__QUEUE_TYPE", queue_type));
    }
    if options.any_port {
        let listens = SERVICES.iter().chain([&GATEWAY]);
        let listens = listens.map(|name| format!("{}__LISTEN", name.to_uppercase()));
        environment.extend(listens.map(|key| setting(&key, "127.0.0.1:0")));
    }
    environment
}

/// The path of a file with a secret or for the system to read.
fn written(folder: &Path, name: &str, text: &str) -> anyhow::Result<String> {
    let path = folder.join(name);
    private_file::write_new(&path, text)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(path.display().to_string())
}

fn random_hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    rand::rng().fill_bytes(&mut random);
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn guide(gateway: SocketAddr) -> String {
    format!(
        "the whole system is at http://{gateway}, its routes at http://{gateway}/docs; for example:\n  \
         TOKEN=$(curl -s http://{gateway}/api/v1/auth/login -H 'content-type: application/json' \\\n    \
         -d '{{\"username\":\"testuser1\",\"password\":\"password123\"}}' | sed 's/.*\"token\":\"\\([^\"]*\\)\".*/\\1/')\n  \
         curl -s http://{gateway}/api/v1/seckill/execute -H \"authorization: Bearer $TOKEN\" \\\n    \
         -H 'content-type: application/json' -d '{{\"product_id\":{PRODUCT},\"quantity\":1}}'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_differ_and_are_their_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let (one, other) = (random_hex(32), random_hex(32));
        assert_eq!(one.len(), 64);
        assert_ne!(one, other);
        let folder = tempfile::tempdir().expect("a folder");
        let path = written(folder.path(), "jwt.secret", &one).expect("written");
        let mode = std::fs::metadata(&path)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(written(folder.path(), "jwt.secret", &other).is_err());
    }
}
