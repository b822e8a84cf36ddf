//! Whether this process traces, and with what.

use opentelemetry_sdk::trace::SdkTracer;
use std::sync::OnceLock;

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Whether this process traces.
pub fn is_on() -> bool {
    TRACER.get().is_some()
}

/// What spans are built with; `None`: this process does not trace.
pub(super) fn tracer() -> Option<&'static SdkTracer> {
    TRACER.get()
}

/// From now on this process traces; `false`: it did already.
pub(super) fn install(tracer: SdkTracer) -> bool {
    TRACER.set(tracer).is_ok()
}
