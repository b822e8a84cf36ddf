//! SQL of the allocation tables: the right to sell `granted` units of a sale in one epoch.

/// MySQL/MariaDB statements, separated by `;`, that create the allocation tables. Idempotence is the migrator's job.
pub const ALLOCATIONS_MYSQL: &str = include_str!("../sql/allocations.mysql.sql");
