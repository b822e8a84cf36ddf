//! What a process counts and measures, for whoever scrapes it.
//!
//! A metric is registered with what reads it: a closure that is called when somebody scrapes. So
//! whoever counts adds to numbers of their own, and nobody looks anything up by name where it
//! matters. Of one metric there may be several readers (every serving thread, every role of a
//! process); values with equal labels are added up. The names are in `docs/observability.md`.

mod process;
mod registry;
mod samples;
mod values;

pub use process::{Build, register as register_process};
pub use registry::Metrics;
pub use samples::{Kind, Samples};
pub use values::{BATCH, CALL, Histogram, REQUEST, ROW, bucket_of, nanos};
