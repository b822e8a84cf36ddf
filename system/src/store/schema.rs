//! The system's own tables, and together with those that the engines bring.

use database::SetupError;
use database::schema::{Migration, Schema};
use engines::{EngineFactory, Registry};

/// Who brings them, as refusals say it.
const OWNER: &str = "the system";

macro_rules! migration {
    ($version:literal, $name:literal, $tables:expr) => {
        Migration {
            version: $version,
            name: $name,
            oldest_binary: 0,
            tables: &$tables,
            mysql: include_str!(concat!("../../migrations/mysql/", $name, ".sql")),
            sqlite: include_str!(concat!("../../migrations/sqlite/", $name, ".sql")),
        }
    };
}

const MIGRATIONS: &[Migration] = &[
    migration!(2026112601, "products", ["products", "sales"]),
    engines::ALLOCATIONS,
    migration!(2026112603, "orders", ["orders", "parked"]),
    migration!(2026112604, "incarnations", ["incarnations", "markers"]),
    migration!(2026112605, "outbox", ["outbox"]),
    migration!(2026112606, "consumers", ["consumers"]),
    Migration {
        version: 2026112607,
        name: "embedded queue",
        oldest_binary: 0,
        tables: &["queue_bindings", "queue_messages"],
        mysql: "",
        sqlite: include_str!("../../migrations/sqlite/queue.sql"),
    },
    Migration {
        // One that does not know it would open again what has ended.
        oldest_binary: 2,
        ..migration!(2026112618, "ended_sales", [])
    },
    // On SQLite the table is made anew under this name first.
    Migration {
        tables: &["parked_by_digest"],
        ..migration!(2026112619, "parked_by_digest", [])
    },
    migration!(
        2026112720,
        "after_sale",
        ["sweeps", "stock_changes", "made_orders"]
    ),
    // On SQLite the table is made anew under this name first.
    Migration {
        tables: &["parked_by_body"],
        ..migration!(2026112721, "parked_once_per_body", [])
    },
    migration!(2026112722, "exact_keys", []),
    migration!(2026112723, "accounts", ["users"]),
    migration!(2026112724, "deleted_products", ["products_version"]),
    migration!(2026112725, "releases", ["releases"]),
    Migration {
        version: 2026112728,
        name: "traced messages",
        oldest_binary: 0,
        tables: &[],
        mysql: "",
        sqlite: include_str!("../../migrations/sqlite/traced_messages.sql"),
    },
    migration!(2026112830, "kept_for_a_while", []),
];

/// What a role needs that runs with `engine`.
pub fn of_role(engine: &EngineFactory) -> Result<Schema, SetupError> {
    let owner = format!("engine {}", engine.name);
    Schema::new([(OWNER.to_owned(), MIGRATIONS), (owner, engine.migrations)])
}

/// What the system and every registered engine need.
pub fn of_all(registry: &Registry) -> Result<Schema, SetupError> {
    let engines = registry.list().iter();
    let engines = engines.map(|engine| (format!("engine {}", engine.name), engine.migrations));
    Schema::new([(OWNER.to_owned(), MIGRATIONS)].into_iter().chain(engines))
}

/// What the system needed before the migration of this version.
#[cfg(test)]
pub fn before(version: i64) -> Result<Schema, SetupError> {
    let at = MIGRATIONS.iter().position(|known| known.version == version);
    Schema::new([(OWNER, &MIGRATIONS[..at.unwrap_or(MIGRATIONS.len())])])
}
