//! What stands in the files of a gate that came to no verdict, from its beginning on.

use super::text::clean;
use quick_xml::escape::escape;

/// Markdown for a pull request; `why` is one sentence.
pub fn not_measured_markdown(why: &str) -> String {
    let why = clean(why).replace('`', "'");
    format!("# Regression gate\n\n**Not measured**\n\n```text\n{why}\n```\n")
}

/// JUnit XML with one error.
pub fn not_measured_junit(why: &str) -> String {
    let why = clean(why);
    let why = escape(why.as_str());
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"regression gate\">\n  <testsuite name=\"gate\" \
         tests=\"1\" failures=\"0\" errors=\"1\" skipped=\"0\">\n    <testcase classname=\"gate\" \
         name=\"measured\">\n      <error message=\"{why}\"/>\n    </testcase>\n  </testsuite>\n</testsuites>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_can_break_out_of_neither_file() {
        let why = "\"main\" <b> & ```\n# no such commit";
        let xml = not_measured_junit(why);
        assert!(xml.contains("&quot;main&quot; &lt;b&gt; &amp; "), "{xml}");
        let markdown = not_measured_markdown(why);
        assert_eq!(markdown.matches("```").count(), 2, "{markdown}");
        assert!(!markdown.contains("\n# no such"), "{markdown}");
    }
}
