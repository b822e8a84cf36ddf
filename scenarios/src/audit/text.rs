//! An audit report as text.

use reports::result::AuditReport;
use reports::view::{self, Screen};

/// Every check, with the verdict in the last line; as wide as what was found needs, up to 160 columns.
pub fn text(report: &AuditReport) -> String {
    let screen = Screen {
        columns: 160,
        colour: false,
    };
    view::audit(report, screen)
}
